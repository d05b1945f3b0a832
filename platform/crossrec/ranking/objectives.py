"""The objectives of a domain: which there are, and what each measures of every item.

What is the same for all requests is measured once a release, when it is first needed. Leaves to
others: what the list above an item changes (diversity, exposure: rerank.py), weights (weights.py).
Sizes: N items, T steps of history.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cache
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from crossrec.domains.spec import BUILT_IN, ContextField, Domain, Objective
from crossrec.errors import ReleaseError, RequestError, suggest
from crossrec.models.context import distances_km
from crossrec.ranking.scale import standing
from crossrec.ranking.weights import declared_weights

Floats = NDArray[np.float32]
Wide = NDArray[np.float64]

DAY_S = 86_400.0
NOVELTY_STEPS = 10
"""Newest items of the history that something can be new beside."""
UNITS = {"popularity": "interactions", "freshness": "days", "distance": "km"}
IMPLIED = tuple(name for name in BUILT_IN if name != "exposure")
"""Objectives that need no field: every domain has those that its data support."""


class Facts(Protocol):
    """What is known of the items; `releases.catalogue.Catalogue` is one."""

    n_items: int
    n_users: int
    columns: Any
    """Column → text, number or list."""

    @property
    def seen(self) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """(N,) how often each item was had, (N,) when it first was."""

    def values(self, column: str) -> list[Any]:
        """What a column holds of every item; None: nothing."""


@dataclass(frozen=True)
class Sources:
    """What objectives are measured from."""

    domain: Domain
    context_values: Mapping[str, list[str]]
    """Context field → its known values, in the order of their numbers."""
    facts: Facts
    vectors: Floats | None
    """(N, E) unit vectors, see `likeness.item_vectors`."""


@dataclass(frozen=True)
class Moment:
    """What a request says that an objective may need."""

    now: int
    """In the time of the domain's data, in its unit."""
    history: NDArray[np.int32]  # (T,) item_idx, newest last
    context: Mapping[str, Floats]
    """Field → (1,), of a place (1, 2); NaN where it is not known."""


@dataclass(frozen=True)
class Measured:
    """What an objective says of every item."""

    values: Wide
    """(N,) in the objective's unit, NaN where it is not known."""
    standing: Floats
    """(N,) see `scale.standing`; higher is better."""


Measure = Callable[[Moment], Measured | None]
"""None: this request says nothing that the objective could go by."""


class _UnsupportedError(Exception):
    """The domain's data do not support an objective; why."""


class Objectives:
    """The objectives of one release.

    Raises:
        ReleaseError: the YAML declares one whose column is missing or holds something else, or
            gives weight to one that the data do not support.
    """

    def __init__(self, sources: Sources) -> None:
        declared = {one.name: one for one in sources.domain.objectives}
        implied = {name: Objective(name=name) for name in IMPLIED}
        self.declared: dict[str, Objective] = {}
        """Name → objective, of all that this release supports."""
        self._measures: dict[str, Measure] = {}
        self._why_not = {"exposure": "the domain's YAML names no column of the provider"}
        for name, objective in (implied | declared).items():
            try:
                self._add(objective, sources)
            except _UnsupportedError as err:
                if name in declared and (objective.column or objective.weight):
                    raise ReleaseError(
                        f"objective '{name}' of '{sources.domain.name}': {err}; correct the"
                        " domain's YAML, import its data and train again"
                    ) from None
                self._why_not[name] = str(err)
        self.weights = declared_weights(sources.domain.objectives)

    def _add(self, objective: Objective, sources: Sources) -> None:
        name = objective.name
        if objective.column is not None and objective.column not in sources.facts.columns:
            known = suggest(objective.column, sources.facts.columns)
            raise _UnsupportedError(f"the items have no column '{objective.column}': {known}")
        measure = _MEASURES.get(name, _of_column)(objective, sources)
        self.declared[name] = objective
        if measure is not None:
            self._measures[name] = measure

    def check(self, weights: Mapping[str, float]) -> None:
        """Check that a request names objectives that there are.

        Raises:
            RequestError: one that there is not; near matches, or the reason, are named.
        """
        for name in weights:
            if name not in self.declared:
                reason = self._why_not.get(name) or suggest(name, self.declared)
                raise RequestError(f"no objective '{name}': {reason}")

    def is_by_item(self, name: str) -> bool:
        """Whether it measures items by themselves: neither relevance nor list-wise."""
        return name in self._measures

    def needs(self, name: str) -> str:
        """What a request has to give for an objective that has nothing to go by."""
        return _NEEDS.get(name, "the request gives it nothing to go by")

    def measure(self, name: str, moment: Moment) -> Measured | None:
        """What an objective says of every item; None where the request gives nothing to go by."""
        return self._measures[name](moment)

    @staticmethod
    def unit(objective: Objective) -> str:
        """Unit of what it measures; empty where it has none."""
        return objective.unit or UNITS.get(objective.name, "")


def _once(values: Callable[[], Wide], higher_is_better: bool = True) -> Measure:
    """What is the same for every request, measured when it is first asked for."""

    @cache
    def measured() -> Measured:
        found = values()
        return Measured(found, standing(found if higher_is_better else -found))

    return lambda moment: measured()


def _of_column(objective: Objective, sources: Sources) -> Measure:
    """The number in a column."""
    column = objective.column or ""
    if sources.facts.columns[column] != "number":
        raise _UnsupportedError(
            f"its column '{column}' holds {sources.facts.columns[column]}; expected numbers"
        )
    return _once(lambda: _numbers(sources.facts.values(column)), objective.higher_is_better)


def _numbers(values: list[Any]) -> Wide:
    return np.array([np.nan if value is None else value for value in values], np.float64)


def _popularity(objective: Objective, sources: Sources) -> Measure:
    """How often an item was had."""
    if not sources.facts.n_users:
        raise _UnsupportedError("the release holds no histories to count in")
    return _once(lambda: sources.facts.seen[0].astype(np.float64))


def _novelty(objective: Objective, sources: Sources) -> Measure:
    """1 less the highest cosine with something that the user had lately.

    Source: distance-based novelty of Vargas & Castells (RecSys 2011), with the nearest
    item of the history in place of the mean over all: one very like it is enough to be no news.
    """
    vectors = sources.vectors
    if vectors is None:
        raise _UnsupportedError("the release has no item vectors to compare")

    def measure(moment: Moment) -> Measured | None:
        if not len(moment.history):
            return None
        had = vectors[moment.history[-NOVELTY_STEPS:]]
        values = 1 - (vectors @ had.T).max(axis=1).astype(np.float64)
        return Measured(values, standing(values))

    return measure


def _freshness(objective: Objective, sources: Sources) -> Measure:
    """Days since the item's own date, or since it was first seen; younger is better.

    Where the data have no clock time, today is the newest date of the column.
    """
    if objective.column is not None:
        begins = cache(lambda: _moments(objective, sources))
        begins()  # so that a column without dates is found when the release is loaded
    elif sources.domain.time_kind != "unix_seconds" or not sources.facts.n_users:
        raise _UnsupportedError("the data have no clock time, and it names no column with dates")
    else:
        begins = cache(lambda: _first_seen(sources.facts))
    clock = sources.domain.time_kind == "unix_seconds"
    newest = cache(lambda: float(np.nanmax(begins(), initial=-np.inf)))
    fresh = cache(lambda: standing(begins()))

    def measure(moment: Moment) -> Measured:
        today = moment.now if clock else newest()
        return Measured((today - begins()) / DAY_S, fresh())

    return measure


def _first_seen(facts: Facts) -> Wide:
    counts, first = facts.seen
    return np.where(counts > 0, first.astype(np.float64), np.nan)


def _moments(objective: Objective, sources: Sources) -> Wide:
    """(N,) seconds since 1970 out of numbers or ISO dates."""
    column = objective.column or ""
    values = sources.facts.values(column)
    if sources.facts.columns[column] == "number":
        return _numbers(values)
    return np.array([_seconds(column, value) for value in values], np.float64)


def _seconds(column: str, value: Any) -> float:
    if value in (None, ""):
        return np.nan
    try:
        moment = datetime.fromisoformat(value)
    except (TypeError, ValueError):
        raise _UnsupportedError(
            f"its column '{column}' holds {value!r}; expected dates like 2024-05-31 or seconds"
            " since 1970"
        ) from None
    return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()


def undated(domain: Domain, columns: Mapping[str, Any]) -> str:
    """Why an item's columns (name → value) do not suit an objective over dates; empty: they do."""
    for name in {one.column for one in domain.objectives if one.name == "freshness"}:
        value = columns.get(name or "")
        value = next(iter(value), None) if isinstance(value, list) else value
        try:
            if not isinstance(value, int | float):
                _seconds(name or "", value)
        except _UnsupportedError as err:
            return str(err)
    return ""


def _distance(objective: Objective, sources: Sources) -> Measure:
    """Km from where the request is made, or (with a column) whether it is the same city."""
    if objective.column is not None:
        return _same_city(objective, sources)
    place = next((field for field in sources.domain.context if field.kind == "place"), None)
    if place is None:
        raise _UnsupportedError("the domain has no context field of kind place")
    missing = [column for column in place.item_columns if column not in sources.facts.columns]
    if missing:
        raise _UnsupportedError(f"the items have no column '{missing[0]}'")
    return _km(place, sources.facts)


def _km(place: ContextField, facts: Facts) -> Measure:
    @cache
    def there() -> tuple[Floats, NDArray[np.bool_]]:
        columns = [_numbers(facts.values(column)) for column in place.item_columns]
        places = np.stack(columns, axis=1).astype(np.float32)
        return places, np.asarray(np.isnan(places).any(axis=1))

    def measure(moment: Moment) -> Measured | None:
        here = moment.context.get(place.name)
        if here is None or np.isnan(here).any():
            return None
        places, unknown = there()
        km = distances_km(here, places)[0].astype(np.float64)
        km[unknown] = np.nan
        return Measured(km, standing(-km))

    return measure


def _same_city(objective: Objective, sources: Sources) -> Measure:
    """1 elsewhere, 0 in the city that the request gives, or that the last item was in."""
    column = objective.column or ""
    fields = [field for field in sources.domain.context if field.restricts == column]
    if not fields:
        raise _UnsupportedError(f"no context field restricts '{column}', so nobody says where")
    known = {value: n for n, value in enumerate(sources.context_values.get(fields[0].name, []))}

    @cache
    def there() -> Wide:
        values = sources.facts.values(column)
        return np.array(
            [np.nan if value is None else known.get(value, -1) for value in values], np.float64
        )

    def measure(moment: Moment) -> Measured | None:
        here = moment.context.get(fields[0].name)
        if here is None or np.isnan(here).any():
            return None
        values = np.where(np.isnan(there()), np.nan, there() != here[0])
        return Measured(values, standing(-values))

    return measure


def _not_by_item(objective: Objective, sources: Sources) -> None:
    """Relevance is the model's; what depends on the list is left to rerank.py."""
    if objective.name == "diversity" and objective.column is None and sources.vectors is None:
        raise _UnsupportedError("the release has no item vectors to compare")


_NEEDS = {
    "novelty": "nothing that the user had is known",
    "distance": "the request does not say where it is made",
}

_MEASURES: dict[str, Callable[[Objective, Sources], Measure | None]] = {
    "relevance": _not_by_item,
    "popularity": _popularity,
    "novelty": _novelty,
    "freshness": _freshness,
    "distance": _distance,
    "diversity": _not_by_item,
    "exposure": _not_by_item,
}
