"""Which items are worth scoring for a question, where a catalogue has too many to score all.

Every signal names the items that it gives most: dense ones through an index of what they give,
sparse ones by the items that they touch. All that is named is then scored exactly, by everything.
Leaves to others: the indexes (item_index.py), exact scores (explanation/rescoring.py), files
(releases/item_search.py).
Sizes: N items, D dimensions of a signal's vectors (of the towers with the bias), C candidates.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from crossrec.config import SearchConfig
from crossrec.explanation.moments import Moments
from crossrec.explanation.rescoring import Rescorer
from crossrec.models.domain_model import OF_REQUESTS, DomainModel
from crossrec.models.fusion import Fusion, query_features, rounding
from crossrec.models.lexical import LexicalSignal
from crossrec.models.neighbour_signals import NeighbourSignal, recency_weights
from crossrec.models.query import Queries
from crossrec.models.sequence_signal import SequenceSignal
from crossrec.models.signal import Signal
from crossrec.models.signals import PopularitySignal
from crossrec.models.text_signals import RequestSignal, TextSignal
from crossrec.ranking.item_index import ItemIndex

Floats = NDArray[np.float32]
Bools = NDArray[np.bool_]
Ints = NDArray[np.int64]

Dense = SequenceSignal | TextSignal | RequestSignal
DENSE = (SequenceSignal, TextSignal, RequestSignal)
SPARSE = (NeighbourSignal, LexicalSignal)


@dataclass(frozen=True)
class Shares:
    """The vectors that an index holds of one signal: what it, popularity and newness give to items.

    With L_i what the fusion makes of the signal at item i, x_i its vector and p_i its popularity:
    (L_i (x_i - mean), L'_i (p_i - mean') / scale, cold_i / scale'). A query's product with such a
    vector is what the fusion adds up of these three.
    """

    mean: Floats  # (D,)
    popularity: Floats  # (N,) L' (p - mean')
    lifts: Floats  # (N,)
    cold: Floats  # (N,)
    scales: Floats  # (2,) so that the two columns spread as far as a dimension of x does

    def rows(self, signal: Dense, some: slice) -> Floats:
        """(some, D + 2)."""
        vectors = (vectors_of(signal, some) - self.mean) * self.lifts[some, None]
        beside = np.stack([self.popularity[some], self.cold[some]], axis=1) / self.scales
        return np.concatenate([vectors, beside], axis=1, dtype=np.float32)


@dataclass(frozen=True)
class ItemSearch:
    """What a release of many items keeps so that they can be found."""

    config: SearchConfig
    indexes: Mapping[str, ItemIndex]
    """Dense signal → index of its `Shares`."""
    scales: Mapping[str, Floats]
    """Dense signal → (2,), see `Shares`."""
    moments: Mapping[str, Moments]
    """Dense signal → moments of its vectors, over all items."""
    unindexed: Ints
    """Items that were added or described anew since the indexes were made; always candidates."""


def is_searchable(model: DomainModel) -> bool:
    """Whether candidates of all its signals can be named."""
    known = (*DENSE, *SPARSE, PopularitySignal)
    return isinstance(model.fusion, Fusion) and all(
        isinstance(signal, known) for signal in model.signals_by_name.values()
    )


def vectors_of(signal: Dense, some: slice | Ints) -> Floats:
    """(some, D) in which the signal is linear, see `moments.moments_of`."""
    match signal:
        case SequenceSignal():
            return np.concatenate([signal.vectors[some], signal.bias[some, None]], axis=1)
        case TextSignal():
            return np.asarray(signal.vectors[some] / signal._lengths[some, None], np.float32)
    return signal.vectors[some]


def shares_of(model: DomainModel, signal: Dense, moments: Moments) -> Shares:
    """What an index of the signal is made of."""
    fusion = model.fusion
    assert isinstance(fusion, Fusion)
    lifts = _lifts(fusion, signal.name, slice(None))
    popularity = np.zeros(len(fusion.cold), np.float32)
    liked = model.signals_by_name.get(PopularitySignal.name)
    if isinstance(liked, PopularitySignal):
        popularity = (liked.values - liked.values.mean()) * _lifts(fusion, liked.name, slice(None))
    spread = float(np.sqrt(np.diagonal(moments.covariance).mean()))
    beside = np.array([popularity.std(), fusion.cold.std()])
    scales = np.where(beside > 0, beside / max(spread, 1e-6), 1).astype(np.float32)
    return Shares(moments.mean.astype(np.float32), popularity, lifts, fusion.cold, scales)


def _lifts(fusion: Fusion, name: str, some: slice | Ints) -> Floats:
    """What the fusion makes of a signal at some items, see `Fusion`."""
    row = fusion.names.index(name)
    lifted = fusion.evidence_weights[row] * fusion.evidence[some]
    return np.asarray(np.exp(lifted + fusion.cold_lifts[row] * fusion.cold[some]), np.float32)


class Candidates:
    """Names candidates of one release; one object a release, any number of requests at once."""

    def __init__(self, model: DomainModel, search: ItemSearch, rescorer: Rescorer) -> None:
        fusion = model.fusion
        assert isinstance(fusion, Fusion)
        self._model, self._fusion = model, fusion
        self._search, self._rescorer = search, rescorer
        self._n = search.config.n_candidates

    def fits(self, queries: Queries) -> bool:
        """Whether all that counts can be named: a way to each item, from where the request is made,
        is no vector.
        """
        signal = self._model.signals_by_name.get(SequenceSignal.name)
        if not isinstance(signal, SequenceSignal) or signal.places is None:
            return True
        place = signal.context.place
        return place is None or place.name not in queries.context

    def named(self, queries: Queries, allowed: Bools | None = None) -> Ints:
        """item_idx of about the best, among them nearly all of the very best: (C,), rising.

        Args:
            queries: one row.
            allowed: (N,) what filters leave; None: everything.
        """
        asked = bool(queries.request.any())
        found = [self._search.unindexed, self._liked, self._new]
        for signal in self._model.signals_by_name.values():
            if asked or not isinstance(signal, OF_REQUESTS):
                found += self._of(signal, queries, allowed)
        rows = np.unique(np.concatenate(found))
        return rows if allowed is None else rows[allowed[rows]]

    def _of(self, signal: Signal, queries: Queries, allowed: Bools | None) -> Iterator[Ints]:
        if isinstance(signal, DENSE):
            query = self._query(signal, queries)
            index = self._search.indexes[signal.name]
            yield index.largest(query, self._n, self._search.config.effort, allowed)
        elif isinstance(signal, SPARSE):
            columns, values = _touched(signal, queries)
            if allowed is not None:
                columns, values = columns[allowed[columns]], values[allowed[columns]]
            yield self._largest(columns, values * _lifts(self._fusion, signal.name, columns))

    def _largest(self, columns: Ints, values: Floats) -> Ints:
        if len(columns) <= self._n:
            return columns
        return columns[np.argpartition(-values, self._n)[: self._n]]

    def _query(self, signal: Dense, queries: Queries) -> Floats:
        """(D + 2,) of which the product with an item's `Shares` is what is added up of them."""
        slope = _slope(signal, queries)
        features = query_features(queries, self._fusion.clock)
        of_signal = self._gain(
            signal.name, features, *self._rescorer.moments(signal.name).at(slope)
        )
        of_popularity = 0.0
        if PopularitySignal.name in self._model.signals_by_name:
            mean, variance = self._rescorer.popularity
            of_popularity = self._gain(
                PopularitySignal.name, features, np.array([mean]), np.array([variance])
            )
        newness = float(features[0] @ self._fusion.cold_weights)
        beside = np.array([of_popularity, newness]) * self._search.scales[signal.name]
        return np.concatenate([slope[0] * of_signal, beside]).astype(np.float32)

    def _gain(
        self, name: str, features: Floats, mean: NDArray[np.float64], variance: NDArray[np.float64]
    ) -> float:
        """What one unit of a raw score is worth to the fusion."""
        deviation = float(np.sqrt(variance[0]))
        if deviation < rounding(mean)[0]:
            return 0.0
        row = self._fusion.names.index(name)
        return float(np.logaddexp(0, features[0] @ self._fusion.weights[row]) / deviation)

    @cached_property
    def _liked(self) -> Ints:
        """The items that most people have: what is left where nothing is known of the request."""
        signal = self._model.signals_by_name.get(PopularitySignal.name)
        if not isinstance(signal, PopularitySignal):
            return np.arange(min(self._n, len(self._fusion.cold)))
        values = (signal.values - signal.values.mean()) * _lifts(
            self._fusion, signal.name, slice(None)
        )
        return self._largest(np.arange(len(values)), values)

    @cached_property
    def _new(self) -> Ints:
        """Some that nobody had yet."""
        return np.flatnonzero(self._fusion.cold)[: self._n]


def _slope(signal: Dense, queries: Queries) -> Floats:
    """(1, D) by which the signal's vectors are multiplied."""
    match signal:
        case SequenceSignal():
            users = signal._user_vectors(queries) / np.float32(signal.temperature)
            return np.concatenate([users, np.ones((1, 1), np.float32)], axis=1)
        case TextSignal():
            return signal.profiles(queries)
    return signal.meanings(queries)


def _touched(signal: Signal, queries: Queries) -> tuple[Ints, Floats]:
    """Items to which a sparse signal gives anything, and what."""
    if isinstance(signal, NeighbourSignal):
        weights = recency_weights(queries.items >= 0, signal.decay)[0]
        used = weights > 1e-6
        return signal.sums(queries.items[0, used], weights[used])
    scores = signal.score(queries)[0]
    columns = np.flatnonzero(scores)
    return columns, scores[columns]
