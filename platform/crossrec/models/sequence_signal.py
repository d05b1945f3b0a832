"""The signal of the trained towers: what a history says in its order, at this moment.

Leaves to others: the tower in numpy (sequence.py), training it (training/), moments (context.py).
Sizes: B queries, T steps, N items, E text width, D model width.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property, lru_cache
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from crossrec.models.context import ContextEncoder, distances_km, gap_buckets
from crossrec.models.query import Queries
from crossrec.models.sequence import SequenceTower
from crossrec.models.signal import Arrays, Floats, Stored

REMEMBERED_HISTORIES = 512
"""Of single queries, by a release that is served: about 2 KiB each."""


@dataclass(frozen=True)
class SequenceSignal:
    """s = u·v_i / tau + b_i - w log(1 + km to the item): the trained towers.

    With the head of the task `rate` s is a rating: 1 / tau is the learned scale, b_i holds the
    mean, and u·`user_offset` is added.
    """

    name: ClassVar[str] = "sequence"
    tower: SequenceTower
    vectors: Floats  # (N, D) unit
    bias: Floats  # (N,)
    context: ContextEncoder
    temperature: float
    history_length: int
    clock: bool
    places: Floats | None = None  # (N, 2) degrees
    place_weight: float = 0.0
    user_offset: Floats | None = None  # (D,)

    def score(self, queries: Queries) -> Floats:
        """Scores of the towers for the newest `history_length` steps."""
        return self._logits(queries, self._user_vectors(queries))

    def moment(self, queries: Queries) -> bytes:
        """All that the scores of one query without a request hang on: equal where they are."""
        steps = (steps.tobytes() for steps in self._steps(queries))
        return b"|".join((*steps, self.context.moment(queries.context, self._since_last(queries))))

    def _user_vectors(self, queries: Queries) -> Floats:
        steps = self._steps(queries)
        short, long = (self._read_again if len(queries) == 1 else self._read)(*steps)
        context = self.context.encode(queries.context, self._since_last(queries))
        return self.tower.mix(short, long, queries.items[:, -1] >= 0, queries.request, context)

    def _since_last(self, queries: Queries) -> NDArray[np.int64]:
        since = queries.now - queries.times[:, -1]
        known = np.maximum(since, 0) if self.clock else since
        return np.where(queries.items[:, -1] >= 0, known, -1)

    def _steps(
        self, queries: Queries
    ) -> tuple[NDArray[np.int32], NDArray[np.int64], NDArray[np.int16]]:
        newest = slice(-self.history_length, None)
        return queries.items[:, newest], queries.times[:, newest], queries.events[:, newest]

    def _read(
        self, items: NDArray[np.int32], times: NDArray[np.int64], events: NDArray[np.int16]
    ) -> tuple[Floats, Floats]:
        present = items >= 0
        gaps = np.zeros(items.shape, np.int64)
        if self.clock:
            both = present[:, 1:] & present[:, :-1]
            gaps[:, 1:] = gap_buckets(np.diff(times, axis=1)) * both
        vectors = self.vectors[np.maximum(items, 0)] * present[..., None]
        return self.tower.read(vectors, events.astype(np.int64) + 1, gaps, present)

    def _read_again(
        self, items: NDArray[np.int32], times: NDArray[np.int64], events: NDArray[np.int16]
    ) -> tuple[Floats, Floats]:
        """One history, remembered: who asks again asks in other words, of the same history."""
        return self._remembered(items.tobytes(), times.tobytes(), events.tobytes())

    @cached_property
    def _remembered(self) -> Callable[[bytes, bytes, bytes], tuple[Floats, Floats]]:
        def read(items: bytes, times: bytes, events: bytes) -> tuple[Floats, Floats]:
            return self._read(
                np.frombuffer(items, np.int32)[None],
                np.frombuffer(times, np.int64)[None],
                np.frombuffer(events, np.int16)[None],
            )

        return lru_cache(REMEMBERED_HISTORIES)(read)

    def _logits(self, queries: Queries, users: Floats) -> Floats:
        logits = users @ self.vectors.T / np.float32(self.temperature) + self.bias
        if self.user_offset is not None:
            logits += (users @ self.user_offset)[:, None]
        field = self.context.place
        if field is not None and self.places is not None and field.name in queries.context:
            km = distances_km(queries.context[field.name], self.places)
            logits -= np.float32(self.place_weight) * np.log1p(km)
        return logits.astype(np.float32)

    def arrays(self) -> Arrays:
        """Vectors, bias, places and the user tower's weights."""
        optional = {"places": self.places, "user_offset": self.user_offset}
        given = {name: value for name, value in optional.items() if value is not None}
        tower = {f"tower.{name}": value for name, value in self.tower.weights.items()}
        return {"vectors": self.vectors, "bias": self.bias, **given, **tower}

    def settings(self) -> dict[str, Any]:
        """Heads, temperature, history length, and the context encoder."""
        return {
            "n_heads": self.tower.n_heads,
            "temperature": self.temperature,
            "history_length": self.history_length,
            "clock": self.clock,
            "place_weight": self.place_weight,
            "context": self.context.to_dict(),
        }

    @classmethod
    def restore(cls, arrays: Stored, settings: dict[str, Any]) -> SequenceSignal:
        """From stored tensors and values."""
        weights = {k.removeprefix("tower."): v for k, v in arrays.items() if k.startswith("tower.")}
        return cls(
            tower=SequenceTower(weights, settings["n_heads"]),
            vectors=arrays["vectors"],
            bias=arrays["bias"],
            context=ContextEncoder.from_dict(settings["context"]),
            temperature=settings["temperature"],
            history_length=settings["history_length"],
            clock=settings["clock"],
            places=arrays.get("places"),
            place_weight=settings["place_weight"],
            user_offset=arrays.get("user_offset"),
        )
