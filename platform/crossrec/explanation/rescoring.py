"""Scores of a few items for one query with things taken out of it, without scoring the catalogue.

Each distinct history and each distinct request is read once, whatever the rows that share it. The
z-scores of the fusion need a signal's mean and deviation over the whole catalogue: where a signal
is linear in something small these follow from moments of the catalogue, kept here; so only the
explained items are scored. Equal to `DomainModel.signals` at those items within 1e-3 of a score.
Leaves to others: which rows there are (contributions.py), reading histories (shortened.py).
Sizes: B rows, H distinct histories, T steps, m of them that differ, k items, N of the catalogue,
E width of texts, D of the model, S signals.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from crossrec.explanation.moments import Moments, moments_of
from crossrec.explanation.shortened import ShortenedReader
from crossrec.explanation.things import Left
from crossrec.models.context import distances_km
from crossrec.models.domain_model import OF_REQUESTS, DomainModel
from crossrec.models.fusion import Fusion, query_features, rounding
from crossrec.models.lexical import LexicalSignal
from crossrec.models.neighbour_signals import NeighbourSignal
from crossrec.models.query import Queries
from crossrec.models.sequence_signal import SequenceSignal
from crossrec.models.signal import FEW_ITEMS, Signal
from crossrec.models.signals import PopularitySignal
from crossrec.models.text_signals import RequestSignal, TextSignal, unit

Floats = NDArray[np.float32]
Doubles = NDArray[np.float64]
Bools = NDArray[np.bool_]
Ints = NDArray[np.int64]

REMEMBERED = 256
"""Histories whose shortenings are remembered, about 15 KiB each: who asks why asks again."""
LARGEST_REMEMBERED = 40
"""Shortenings of one history that are remembered; a search for counterfactuals has more."""


@dataclass(frozen=True)
class Raw:
    """One signal at the explained items, before the fusion: raw scores and what z-scores need."""

    values: Doubles  # (B, k)
    mean: Doubles  # (B,) over the catalogue
    variance: Doubles  # (B,)


@dataclass(frozen=True)
class _Rows:
    """The rows of one call and what is common to them."""

    query: Queries  # one row
    batch: Queries  # B rows
    left: Sequence[Left]
    columns: Ints  # (k,)
    histories: Bools  # (H, T) distinct
    history_of: Ints  # (B,) row in `histories`

    @property
    def full(self) -> Bools:
        """(H,) that are whole."""
        return np.asarray((self.histories == (self.query.items >= 0)).all(axis=1))


class Rescorer:
    """Scores shortened queries of one release at a few items; one object a release.

    Args:
        model: of the release.
        moments: `moments_of` the model, where they are known; None: they are taken when needed.
    """

    def __init__(self, model: DomainModel, moments: Mapping[str, Moments] | None = None) -> None:
        self._model = model
        self._moments = dict(moments or {})
        self._reads: OrderedDict[bytes, tuple[Bools, Floats, Floats]] = OrderedDict()
        self._lock = threading.Lock()  # long work runs in threads

    def parts(
        self, query: Queries, batch: Queries, left: Sequence[Left], columns: Ints
    ) -> dict[str, Floats]:
        """Each signal's share of the score: signal → (B, k).

        Args:
            query: one row.
            batch: the same B times, each less what its row of `left` takes out.
            left: B rows.
            columns: item_idx of k items.
        """
        fusion = self._model.fusion
        if not isinstance(fusion, Fusion):
            whole = self._model.signals(batch)
            return {name: part[:, columns] for name, part in whole.items()}
        rows = _rows(query, batch, left, columns)
        asked = bool(batch.request.any())
        given = {
            name: self._raw(signal, rows)
            for name, signal in self._model.signals_by_name.items()
            if asked or not isinstance(signal, OF_REQUESTS)
        }
        return _fused(fusion, batch, given, columns) | {
            name: np.zeros((len(batch), len(columns)), np.float32)
            for name in self._model.signals_by_name.keys() - given.keys()
        }

    def _raw(self, signal: Signal, rows: _Rows) -> Raw:
        match signal:
            case SequenceSignal():
                return self._sequence(signal, rows)
            case NeighbourSignal():
                return _neighbours(signal, rows)
            case TextSignal():
                return self._text(signal, rows)
            case RequestSignal():
                return self._request(signal, rows)
            case LexicalSignal():
                return _words(signal, rows)
            case PopularitySignal():
                n, (mean, variance) = len(rows.left), self.popularity
                values = signal.values[rows.columns].astype(np.float64)
                at = np.broadcast_to(values, (n, len(rows.columns)))
                return Raw(at, np.full(n, mean), np.full(n, variance))
        return _whole(signal.score(rows.batch), rows.columns)

    def _sequence(self, signal: SequenceSignal, rows: _Rows) -> Raw:
        """u·v_i / tau + b_i less the way there, with u mixed anew for each row."""
        batch, columns = rows.batch, rows.columns
        short, long = (of[rows.history_of] for of in self._read(signal, rows))
        present = batch.items[:, -1] >= 0
        since = batch.now - batch.times[:, -1]
        last = np.where(present, np.maximum(since, 0) if signal.clock else since, -1)
        context = signal.context.encode(batch.context, last)
        users = signal.tower.mix(short, long, present, batch.request, context)
        slope = users / np.float32(signal.temperature)
        values = (slope @ signal.vectors[columns].T).astype(np.float64)
        if signal.user_offset is not None:  # the same for all items: z-scores do not see it
            values += (users @ signal.user_offset)[:, None]
        result = np.empty(len(batch)), np.empty(len(batch))
        moments = self.moments(SequenceSignal.name)
        values += signal.bias[columns]
        for far, members in _ways(signal, rows):
            some = slope[members]
            with_bias = np.concatenate([some, np.ones((len(some), 1), np.float32)], axis=1)
            mean, variance = moments.at(with_bias)
            if far is not None:  # the way is no vector: what it has in common with the rest
                away = far - far.mean()
                along = some @ (signal.vectors.T @ away / len(far)) + signal.bias @ away / len(far)
                mean, variance = mean - far.mean(), variance - 2 * along + far.var()
                values[members] -= far[columns]
            result[0][members], result[1][members] = mean, np.maximum(variance, 0)
        if signal.user_offset is not None:
            result[0][:] += users @ signal.user_offset
        return Raw(values, *result)

    def moments(self, name: str) -> Moments:
        """Of a signal's vectors, see `moments_of`; taken once."""
        if name not in self._moments:
            self._moments[name] = moments_of(self._model.signals_by_name[name])
        return self._moments[name]

    @cached_property
    def popularity(self) -> tuple[float, float]:
        """Mean and variance of that signal, over all items."""
        signal = self._model.signals_by_name[PopularitySignal.name]
        assert isinstance(signal, PopularitySignal)
        values = signal.values.astype(np.float64)
        return float(values.mean()), float(values.var())

    def _read(self, signal: SequenceSignal, rows: _Rows) -> tuple[Floats, Floats]:
        """Short and long interest of each distinct history, (H, D) each; remembered."""
        query = rows.query
        key = b"".join((query.items.tobytes(), query.times.tobytes(), query.events.tobytes()))
        with self._lock:
            known = self._reads.get(key)
            if known is not None and np.array_equal(known[0], rows.histories):
                self._reads.move_to_end(key)
                return known[1:]
        short, long = np.zeros((2, len(rows.histories), signal.tower.dim), np.float32)
        some, full = rows.histories.any(axis=1), rows.full
        if (some & full).any():
            length = slice(-signal.history_length, None)
            steps = query.items[:, length], query.times[:, length], query.events[:, length]
            short[full], long[full] = signal._read_again(*steps)
        if (some & ~full).any():
            reader = ShortenedReader(signal)
            short[some & ~full], long[some & ~full] = reader.read(
                query, rows.histories[some & ~full]
            )
        if len(rows.histories) > LARGEST_REMEMBERED:
            return short, long
        with self._lock:
            self._reads[key] = (rows.histories, short, long)
            if len(self._reads) > REMEMBERED:
                self._reads.popitem(last=False)
        return short, long

    def _text(self, signal: TextSignal, rows: _Rows) -> Raw:
        lengths = signal._lengths
        weights, places, older = _recency(rows, signal.decay)
        items = rows.query.items[0]
        scaled = signal.vectors[items[places]] / lengths[items[places]][:, None]
        lump = (older[1] / lengths[items[older[0]]]) @ signal.vectors[items[older[0]]]
        profile = (weights @ np.concatenate([lump[None], scaled])).astype(np.float32)  # (H, E)
        seen = profile @ signal.common
        size = np.vecdot(profile, profile) - np.vecdot(seen, seen)
        profile -= seen @ signal.common.T
        profile /= np.sqrt(np.maximum(size, 1e-12))[:, None]
        at = profile @ signal.vectors[rows.columns].T / lengths[rows.columns]
        return _spread_out(rows.history_of, at, *self.moments(signal.name).at(profile))

    def _request(self, signal: RequestSignal, rows: _Rows) -> Raw:
        requests, of = np.unique(rows.batch.request, axis=0, return_inverse=True)
        said = (requests != 0).any(axis=1, keepdims=True)
        vectors = unit(requests - signal.centre) * said
        texts = signal.vectors[rows.columns]
        of_request = self.moments(signal.name).at(vectors)
        return _spread_out(of.reshape(-1), vectors @ texts.T, *of_request)


def _rows(query: Queries, batch: Queries, left: Sequence[Left], columns: Ints) -> _Rows:
    steps = np.stack([row.steps for row in left])
    packed = np.packbits(steps, axis=1)
    places: dict[bytes, int] = {}
    of = [places.setdefault(row.tobytes(), len(places)) for row in packed]
    _, first = np.unique(of, return_index=True)
    return _Rows(query, batch, left, columns, steps[first], np.array(of))


def _ways(signal: SequenceSignal, rows: _Rows) -> list[tuple[Floats | None, Ints]]:
    """What the way to each item takes, (N,) or nothing, and the rows that (do not) know where they
    are.
    """
    field, every = signal.context.place, np.arange(len(rows.left))
    if field is None or signal.places is None or field.name not in rows.query.context:
        return [(None, every)]
    here = np.array([field.name in row.fields for row in rows.left])
    km = distances_km(rows.query.context[field.name], signal.places)[0]
    far = np.float32(signal.place_weight) * np.log1p(km)
    ways: list[tuple[Floats | None, Ints]] = [(far, every[here]), (None, every[~here])]
    return [(way, members) for way, members in ways if len(members)]


def _recency(rows: _Rows, decay: float) -> tuple[Doubles, Ints, tuple[Ints, Doubles]]:
    """Recency weights of shortened histories over few things: what is common to all, and the rest.

    Returns:
        (H, 1 + m) weights of the old steps that every history keeps or drops as a whole, and of m
        single steps; places of those; places of the old steps with their weights among themselves.
    """
    histories = rows.histories
    there = np.flatnonzero(rows.query.items[0] >= 0)
    first = int(there[0]) if len(there) else histories.shape[1]
    alike = np.ones(histories.shape[1], bool)
    if len(there):
        alike = (histories == histories[:, first : first + 1]).all(axis=0)
    differs = np.flatnonzero(~alike & (np.arange(histories.shape[1]) >= first))
    cut = int(differs[0]) if len(differs) else histories.shape[1]
    single = there[there >= cut]
    old = there[there < cut]
    kept = histories[:, single].astype(np.float64)  # (H, m)
    newer = np.cumsum(kept[:, ::-1], axis=1)[:, ::-1] - kept
    lump = histories[:, first] * decay ** kept.sum(axis=1) if len(old) else np.zeros(len(kept))
    weights = np.concatenate([lump[:, None], kept * decay**newer], axis=1)
    return weights, single, (old, decay ** np.arange(len(old) - 1, -1, -1.0))


def _neighbours(signal: NeighbourSignal, rows: _Rows) -> Raw:
    """Sums of the sparse rows of the history, with what is common to all added up once."""
    weights, places, (old, ages) = _recency(rows, signal.decay)
    n_items = len(signal.starts) - 1
    items = rows.query.items[0]
    used = ages > 1e-6
    groups = [signal.sums(items[old[used]], ages[used].astype(np.float32))]
    groups += [signal.sums(items[[place]], np.ones(1, np.float32)) for place in places]
    if n_items <= FEW_ITEMS:
        at, width = rows.columns, n_items
        where = [columns for columns, _ in groups]
    else:
        touched = np.unique(np.concatenate([rows.columns, *(columns for columns, _ in groups)]))
        at, width = np.searchsorted(touched, rows.columns), len(touched)
        where = [np.searchsorted(touched, columns) for columns, _ in groups]
    basis = np.zeros((len(groups), width), np.float32)
    for row, (columns, (_, values)) in enumerate(zip(where, groups, strict=True)):
        basis[row, columns] = values
    mean = basis.sum(axis=1, dtype=np.float64) / n_items
    covariance = basis @ basis.T / n_items - np.outer(mean, mean)
    spread = np.einsum("hm,hm->h", weights @ covariance, weights)
    return _spread_out(
        rows.history_of, weights @ basis[:, at], weights @ mean, np.maximum(spread, 0)
    )


def _words(signal: LexicalSignal, rows: _Rows) -> Raw:
    """Each distinct request once; it names few items, but which is not known before."""
    said = [row.words for row in rows.left]
    distinct = list(dict.fromkeys(said))
    first = np.array([said.index(words) for words in distinct])
    of = np.array([distinct.index(words) for words in said])
    found = _whole(signal.score(rows.batch.take(first)), rows.columns)
    return _spread_out(of, found.values, found.mean, found.variance)


def _whole(scores: Floats, columns: Ints) -> Raw:
    """From scores of the whole catalogue."""
    exact = scores.astype(np.float64)
    return Raw(exact[:, columns], exact.mean(axis=1), exact.var(axis=1))


def _spread_out(of: Ints, values: NDArray[np.floating], mean: Doubles, variance: Doubles) -> Raw:
    """Figures of distinct histories or requests as figures of rows."""
    return Raw(values.astype(np.float64)[of], mean[of], variance[of])


def _fused(
    fusion: Fusion, batch: Queries, given: dict[str, Raw], columns: Ints
) -> dict[str, Floats]:
    """What `Fusion.parts` gives, at some items."""
    features = query_features(batch, fusion.clock)
    cold, evidence = fusion.cold[columns], fusion.evidence[columns]
    rows = [row for row, name in enumerate(fusion.names) if name in given]
    raws = [given[fusion.names[row]] for row in rows]
    gains = np.logaddexp(0, features @ fusion.weights[rows].T).T  # (S, B)
    deviations = np.sqrt([raw.variance for raw in raws])
    gains /= np.where(deviations < rounding(np.array([r.mean for r in raws])), np.inf, deviations)
    lifts = fusion.evidence_weights[rows, None] * evidence + fusion.cold_lifts[rows, None] * cold
    centred = [raw.values - raw.mean[:, None] for raw in raws]
    shares = np.stack(centred) * gains[:, :, None] * np.exp(lifts)[:, None]
    result = {fusion.names[row]: share for row, share in zip(rows, shares, strict=True)}
    if fusion.cold.any():
        result["newness"] = (features @ fusion.cold_weights)[:, None] * cold
    return {name: share.astype(np.float32) for name, share in result.items()}
