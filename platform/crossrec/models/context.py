"""Context of a request as numbers: what the user tower reads, and how far items are.

Leaves to others: which fields a domain has (domains/spec.py), learning from them (towers.py).
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from crossrec.domains.spec import ContextField

Floats = NDArray[np.float32]

EARTH_RADIUS_KM = 6371.0
N_GAP_BUCKETS = 20
HOUR_S = 3600.0


def gap_buckets(seconds: NDArray[np.int64]) -> NDArray[np.int64]:
    """Bucket of a time gap: 1 for none, 2 up to an hour, then one for each doubling (up to 3, 7,
    15 hours…); 0 is left for a step without a predecessor.

    >>> gap_buckets(np.array([0, 3600, 7200, 10**9])).tolist()
    [1, 2, 3, 19]
    """
    hours = np.maximum(seconds, 0) / HOUR_S
    return np.asarray(np.minimum(1 + np.ceil(np.log2(1 + hours)), N_GAP_BUCKETS - 1), np.int64)


CLOCK_DIGITS = 3
"""Of log(1 + days since the last step): from one minute to the next nothing becomes another, so
that what was computed for a moment ago still holds."""


_MISSING = np.zeros(0, np.float32)


@dataclass(frozen=True)
class ContextEncoder:
    """Declared context fields → one vector; fitted on training rows, stored in the release.

    A category becomes one 0/1 column a value; a number is standardised; a cycle gives sine and
    cosine of its first two harmonics; a place is standardised. Each field has one more column
    that is 1 where it is missing (then its others are 0). `clock` adds the time since the
    user's last step.
    """

    fields: list[ContextField]
    values: dict[str, list[str]]
    stats: dict[str, list[list[float]]] = field(default_factory=dict)
    """Number and place fields → [means, standard deviations], one each per column."""
    clock: bool = False

    @classmethod
    def fit(
        cls,
        fields: list[ContextField],
        values: dict[str, list[str]],
        rows: dict[str, Floats],
        clock: bool,
    ) -> ContextEncoder:
        """Means and deviations from the training rows (field → (n,) or (n, 2))."""
        stats = {}
        for one in fields:
            if one.kind in ("number", "place"):
                column = rows[one.name].astype(np.float64)
                column = column[:, None] if column.ndim == 1 else column
                if not len(column):  # nothing to learn from: as it comes
                    stats[one.name] = [[0.0] * column.shape[1], [1.0] * column.shape[1]]
                    continue
                stats[one.name] = [
                    np.nan_to_num(np.nanmean(column, axis=0)).tolist(),
                    (np.nan_to_num(np.nanstd(column, axis=0)) + 1e-6).tolist(),
                ]
        return cls(fields, values, stats, clock)

    @property
    def dim(self) -> int:
        """Width C of the vector."""
        return sum(self._width(one) + 1 for one in self.fields) + 2 * self.clock

    def _width(self, one: ContextField) -> int:
        return {
            "category": len(self.values.get(one.name, [])),
            "number": 1,
            "cycle": 4,
            "place": 2,
        }[one.kind]

    def encode(self, context: dict[str, Floats], since_last: NDArray[np.int64]) -> Floats:
        """Context vectors.

        Args:
            context: field → (B,), places (B, 2); a field that is not there counts as missing.
            since_last: (B,) seconds since the user's last step, -1 without one.

        Returns:
            (B, C) float32.
        """
        result = np.zeros((len(since_last), self.dim), np.float32)
        start = 0
        for one in self.fields:
            end = start + self._width(one) + 1
            self._encode(one, context.get(one.name), result[:, start:end])
            start = end
        if self.clock:
            result[:, start] = self._clock(since_last)
            result[:, start + 1] = since_last < 0
        return result

    def moment(self, context: dict[str, Floats], since_last: NDArray[np.int64]) -> bytes:
        """What of a row comes to the same vector: equal where all of it is."""
        given = (context.get(one.name, _MISSING).tobytes() for one in self.fields)
        return b"|".join((*given, self._clock(since_last).tobytes() if self.clock else b""))

    @staticmethod
    def _clock(since_last: NDArray[np.int64]) -> NDArray[np.float64]:
        days = np.log1p(np.maximum(since_last, 0) / (24 * HOUR_S))
        return np.asarray(np.round(days, CLOCK_DIGITS) * (since_last >= 0))

    def _encode(self, one: ContextField, given: Floats | None, columns: Floats) -> None:
        """Write one field's columns, (B, width + 1), which hold zeros so far."""
        if given is None:
            columns[:, -1] = 1
            return
        given = given.reshape(len(columns), math.prod(given.shape[1:]))  # (B, 1), places (B, 2)
        if one.kind == "category":
            columns[:, :-1] = given == np.arange(columns.shape[1] - 1)
        elif one.kind == "cycle":
            angles = 2 * np.pi * given / float(one.period or 1) * np.array([1, 2], np.float32)
            columns[:, 0:4:2] = np.sin(angles)
            columns[:, 1:4:2] = np.cos(angles)
        else:
            mean, deviation = np.asarray(self.stats[one.name])
            columns[:, :-1] = (given - mean) / deviation
        missing = np.isnan(given[:, 0] + given[:, -1])
        if missing.any():
            columns[missing] = 0
            columns[missing, -1] = 1

    @property
    def place(self) -> ContextField | None:
        """The first field of kind place, whose distance to the items counts."""
        return next((one for one in self.fields if one.kind == "place"), None)

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return {
            "fields": [one.model_dump() for one in self.fields],
            "values": self.values,
            "stats": self.stats,
            "clock": self.clock,
        }

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> ContextEncoder:
        """Inverse of `to_dict`."""
        fields = [ContextField.model_validate(one) for one in values["fields"]]
        return cls(fields, values["values"], values["stats"], values["clock"])


def distances_km(here: Floats, there: Floats) -> Floats:
    """Great-circle distance in km (haversine) of B moments to N items: (B, 2), (N, 2) → (B, N).

    Degrees of latitude, longitude. NaN on either side gives 0: nothing is known of the distance.
    """
    lat1, lon1 = np.radians(here[:, None, 0]), np.radians(here[:, None, 1])
    lat2, lon2 = np.radians(there[None, :, 0]), np.radians(there[None, :, 1])
    half = (
        np.sin((lat2 - lat1) / 2) ** 2
        + np.cos(lat1) * np.cos(lat2) * np.sin((lon2 - lon1) / 2) ** 2
    )
    km = 2 * EARTH_RADIUS_KM * np.arcsin(np.sqrt(np.clip(half, 0, 1)))
    return np.asarray(np.nan_to_num(km), np.float32)
