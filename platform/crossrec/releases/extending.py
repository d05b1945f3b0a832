"""A model that knows further items: each borrows from the warm items that are nearest in text.

What a new item is like is read from its own text; what it lacks, interactions, is lent as in
training (models/collaborative.py) until the domain is trained again. Needs scipy, so it runs in a
process of its own. Leaves to others: files and catalogue (editions.py), encoding (serving/).
Sizes: N items of the release, n given ones, m of them new, E text width.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from crossrec.errors import ReleaseError
from crossrec.models.collaborative import lend, text_lenders
from crossrec.models.domain_model import DomainModel
from crossrec.models.fusion import Fusion
from crossrec.models.lexical import LexicalSignal, word_key, words_of
from crossrec.models.neighbour_signals import NeighbourSignal
from crossrec.models.sequence_signal import SequenceSignal
from crossrec.models.signal import Signal
from crossrec.models.signals import PopularitySignal
from crossrec.models.text_signals import RequestSignal, TextSignal, unit

Floats = NDArray[np.float32]


@dataclass(frozen=True)
class Given:
    """Items as a caller describes them; `rows` of known ones are below N, of new ones from N on."""

    rows: NDArray[np.int64]  # (n,) item_idx
    texts: list[str]
    """What is read for words and for meaning."""
    vectors: Floats  # (n, E) the texts, encoded by the release's own adapter
    places: Floats  # (n, 2) degrees, NaN where not known


@dataclass(frozen=True)
class _Lending:
    """What the new items borrow, and what is read from their own texts."""

    n_items: int
    """N + m."""
    given: Given
    texts: Floats  # (n, E) centred, unit
    lenders: sparse.csr_array  # (m, N), rows sum to 1; or empty where nobody can lend

    def mean(self, values: Floats) -> Floats:
        """(N, …) → (N + m, …): the means of their lenders' values follow."""
        lent = np.asarray(self.lenders @ values, np.float32)
        return np.concatenate([np.asarray(values, np.float32), lent])

    def put(self, values: NDArray[Any], rows: NDArray[Any]) -> NDArray[Any]:
        """(N, …) → (N + m, …): the rows of the given items are (n, …) `rows`."""
        n_new = self.n_items - len(values)
        grown = np.concatenate([values, np.zeros((n_new, *values.shape[1:]), values.dtype)])
        grown[self.given.rows] = rows
        return grown


def extended(model: DomainModel, new_ids: Sequence[str], given: Given) -> DomainModel:
    """The model with m further items, and with new texts of given items that it has already.

    Raises:
        ReleaseError: the release keeps no text vectors, so nobody can say what an item is like.
    """
    request = model.signals_by_name.get(RequestSignal.name)
    if not isinstance(request, RequestSignal):
        raise ReleaseError(
            f"the release of '{model.domain.name}' keeps no vectors of item texts, so items cannot"
            " be added to it; train it with requests, or wait for the next training"
        )
    texts = unit(given.vectors.reshape(-1, len(request.centre)) - request.centre)
    lending = _Lending(
        len(model.vocabulary.item_ids) + len(new_ids),
        given,
        texts,
        _lenders(model, request, texts[given.rows >= len(model.vocabulary.item_ids)]),
    )
    signals = {name: _grown(one, model, lending) for name, one in model.signals_by_name.items()}
    text, requests = signals.get(TextSignal.name), signals[RequestSignal.name]
    if model.shares_texts and isinstance(text, TextSignal) and isinstance(requests, RequestSignal):
        signals[RequestSignal.name] = replace(requests, vectors=text.vectors)
    vocabulary = replace(model.vocabulary, item_ids=[*model.vocabulary.item_ids, *new_ids])
    fusion = model.fusion
    if isinstance(fusion, Fusion):
        nothing = np.full(len(new_ids), -1, np.float32)  # the lowest evidence there is
        evidence = np.concatenate([fusion.evidence, nothing])
        cold = np.concatenate([fusion.cold, np.ones(len(new_ids), np.float32)])
        fusion = replace(fusion, evidence=evidence, cold=cold)
    return replace(model, signals_by_name=signals, vocabulary=vocabulary, fusion=fusion)


def _lenders(model: DomainModel, request: RequestSignal, new: Floats) -> sparse.csr_array:
    """(m, N) for each new item its nearest warm items, by text."""
    n_items, n_new = len(model.vocabulary.item_ids), len(new)
    warm = np.ones(n_items, bool)
    if isinstance(model.fusion, Fusion) and not model.fusion.cold.all():
        warm = model.fusion.cold == 0
    texts = np.concatenate([request.vectors, new])
    takers = np.arange(n_items, n_items + n_new)
    everyone = text_lenders(texts, np.concatenate([warm, np.zeros(n_new, bool)]), takers=takers)
    return sparse.csr_array(everyone[n_items:, :n_items])


def _grown(signal: Signal, model: DomainModel, lending: _Lending) -> Signal:
    grow = _GROW.get(type(signal)) or _GROW.get(type(signal).__mro__[1])
    if grow is None:
        raise ReleaseError(f"items cannot be added to a release with the signal '{signal.name}'")
    return grow(signal, model, lending)


def _sequence(signal: SequenceSignal, model: DomainModel, lending: _Lending) -> Signal:
    places = signal.places
    if places is not None:
        places = lending.put(places, lending.given.places.astype(places.dtype))
    vectors = lending.mean(signal.vectors)
    n_items = len(signal.vectors)
    vectors[n_items:] = unit(vectors[n_items:])
    return replace(signal, vectors=vectors, bias=lending.mean(signal.bias), places=places)


def _neighbours(signal: NeighbourSignal, model: DomainModel, lending: _Lending) -> Signal:
    n_items, size = len(signal.starts) - 1, lending.n_items
    entries = (signal.values.astype(np.float32), signal.columns.astype(np.int64), signal.starts)
    weights = sparse.csr_array(entries, shape=(n_items, n_items))
    weights.resize((size, size))
    few = lending.lenders
    starts = np.concatenate([np.zeros(n_items, few.indptr.dtype), few.indptr])
    lenders = sparse.csr_array((few.data, few.indices, starts), shape=(size, size))
    lent = lend(weights, lenders)
    return replace(
        signal,
        starts=lent.indptr.astype(np.int64),
        columns=lent.indices.astype(np.int32),
        values=lent.data.astype(np.float16),
    )


def _text(signal: TextSignal, model: DomainModel, lending: _Lending) -> Signal:
    if model.shares_texts:
        return replace(signal, vectors=lending.put(signal.vectors, lending.texts))
    vectors = lending.mean(signal.vectors)
    n_items = len(signal.vectors)
    vectors[n_items:] = unit(vectors[n_items:])
    return replace(signal, vectors=vectors)


def _request(signal: RequestSignal, model: DomainModel, lending: _Lending) -> Signal:
    rows = lending.texts.astype(signal.vectors.dtype)
    return replace(signal, vectors=lending.put(signal.vectors, rows))


def _lexical(signal: LexicalSignal, model: DomainModel, lending: _Lending) -> Signal:
    """Known words of their texts, each with the weight that it usually has; others stay unknown.

    Words of earlier requests (`asked`) are nothing that a new item has.
    """
    if signal.name != LexicalSignal.name:
        return replace(signal, n_items=lending.n_items)
    words = np.repeat(np.arange(len(signal.starts) - 1), np.diff(signal.starts))
    items, values = signal.items.astype(np.int64), signal.values.astype(np.float32)
    kept = ~np.isin(items, lending.given.rows)
    usual = _usual_weights(signal)
    new = [
        (number, row, usual[number])
        for row, text in zip(lending.given.rows.tolist(), lending.given.texts, strict=True)
        for number in _known_words(signal, text)
        if usual[number] > 0
    ]
    fresh = np.array(new, np.float64).reshape(-1, 3)
    words = np.concatenate([words[kept], fresh[:, 0].astype(np.int64)])
    items = np.concatenate([items[kept], fresh[:, 1].astype(np.int64)])
    values = np.concatenate([values[kept], fresh[:, 2]])
    order = np.lexsort((items, words))
    counts = np.bincount(words, minlength=len(signal.starts) - 1)
    return replace(
        signal,
        starts=np.concatenate([[0], np.cumsum(counts)]).astype(np.int64),
        items=items[order].astype(np.int32),
        values=values[order].astype(np.float16),
        n_items=lending.n_items,
    )


def _known_words(signal: LexicalSignal, text: str) -> list[int]:
    """Numbers of the distinct words of a text that the signal knows."""
    keys = np.array(sorted({word_key(word) for word in words_of(text)}), np.int64)
    numbers = np.minimum(np.searchsorted(signal.keys, keys), len(signal.keys) - 1)
    return [int(number) for number in numbers[signal.keys[numbers] == keys]]


def _usual_weights(signal: LexicalSignal) -> Floats:
    """(V,) the mean weight of each word in the items that have it."""
    counts = np.diff(signal.starts)
    words = np.repeat(np.arange(len(counts)), counts)
    sums = np.bincount(words, signal.values.astype(np.float64), len(counts))
    return (sums / np.maximum(counts, 1)).astype(np.float32)


def _popularity(signal: PopularitySignal, model: DomainModel, lending: _Lending) -> Signal:
    nothing = np.zeros(lending.n_items - len(signal.values), np.float32)
    return replace(signal, values=np.concatenate([signal.values, nothing]))


_GROW: dict[type, Callable[[Any, DomainModel, _Lending], Signal]] = {
    SequenceSignal: _sequence,
    NeighbourSignal: _neighbours,
    TextSignal: _text,
    RequestSignal: _request,
    LexicalSignal: _lexical,
    PopularitySignal: _popularity,
}
