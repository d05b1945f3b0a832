"""What the words of an item's own text give to its score, through the signals that read texts.

Words are taken out of the text, and stand alone, and are encoded again by the caller: in the
deletion test of the rows `item_words` the mean of both is more faithful than taking out alone
(occlusion) and than integrated gradients, and needs no gradients where an item is explained. The
towers read texts too, but a release keeps only what they made of them, so their share stays with
the history. Leaves to others: encoding (a callable of the caller). Sizes: n words, N items, E width
of texts.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from crossrec.explanation.contributions import spread
from crossrec.explanation.things import without_each
from crossrec.models.domain_model import DomainModel
from crossrec.models.query import Queries
from crossrec.models.text_signals import RequestSignal, TextSignal, unit

Floats = NDArray[np.float32]
NOTHING = "."
SAME = 0.99
"""Least cosine of a text's vector with the one that the release keeps; below, the release read it
otherwise (with another adapter, or cut elsewhere), and its words cannot be told apart."""


@dataclass(frozen=True)
class ItemWord:
    """A word of an item's text, or a run of words where it has many."""

    word: str
    value: float


def variants(text: str) -> tuple[list[str], list[str]]:
    """The words of a text, n, and what is to be encoded: the text, a text that says nothing, the
    text without each word, each word alone.

    >>> variants("dark film")
    (['dark', 'film'], ['dark film', '.', 'film', 'dark', 'dark', 'film'])
    """
    words, left = without_each(text)
    return words, [text, NOTHING, *(one or NOTHING for one in left), *words]


def text_parts(
    model: DomainModel,
    query: Queries,
    item: int,
    words: Sequence[str],
    vectors: Floats,
    *,
    adapted: bool,
) -> list[ItemWord]:
    """What each word of the item's text gives: parts that sum to the shares of the signals `text`
    and `request` in the item's score.

    A word's part is the mean of what these lose without it and of what they gain from it alone, and
    a share of the remainder by its size.

    Args:
        query: one row.
        words: of the item's text, n of them.
        vectors: (2 + 2n, E) of `variants(text)`, as the release's encoder gives them.
        adapted: the encoder has an adapter, so that vectors are those of `request` only.

    Returns:
        Nothing where no signal reads texts here, or the release read this text otherwise.
    """
    own = np.zeros(len(words))
    total = 0.0
    shares = model.signals(query)
    for name in (TextSignal.name, RequestSignal.name):
        if name not in model.signals_by_name or not shares[name].any():
            continue
        if name == TextSignal.name and adapted:
            continue
        raw = model.signals_by_name[name].score(query)[0].astype(np.float64)
        scores = text_scores(model, query, name, vectors)
        if scores is None or not _as_kept(model, name, item, vectors[0]):
            continue
        away = raw[item] - raw.mean()
        scale = float(shares[name][0, item]) / away if abs(away) > 1e-9 else 0.0
        n = len(words)
        own += scale * (scores[0] - scores[2 : 2 + n] + scores[2 + n :] - scores[1]) / 2
        total += float(shares[name][0, item])
    if not own.any():
        return []
    values = spread(own[:, None], np.array([total]))[:, 0]
    return [ItemWord(word, float(value)) for word, value in zip(words, values, strict=True)]


def text_scores(
    model: DomainModel, query: Queries, name: str, vectors: Floats
) -> NDArray[np.float64] | None:
    """(n,) raw scores that items with these text vectors would have; None: no such signal."""
    centre = _centre(model)
    signal = model.signals_by_name.get(name)
    if centre is None or signal is None:
        return None
    texts = unit(vectors - centre)
    if isinstance(signal, RequestSignal):
        return np.asarray(replace(signal, vectors=texts).score(query)[0], np.float64)
    if isinstance(signal, TextSignal):
        more = replace(signal, vectors=np.concatenate([signal.vectors, texts]))
        return np.asarray(more.score(query)[0, -len(texts) :], np.float64)
    return None


def _centre(model: DomainModel) -> Floats | None:
    signal = model.signals_by_name.get(RequestSignal.name)
    return signal.centre if isinstance(signal, RequestSignal) else None


def _as_kept(model: DomainModel, name: str, item: int, vector: Floats) -> bool:
    """Whether the release keeps this vector of the item's text."""
    signal = model.signals_by_name[name]
    centre = _centre(model)
    if centre is None or not isinstance(signal, TextSignal | RequestSignal):
        return False
    return bool(signal.vectors[item] @ unit((vector - centre)[None])[0] >= SAME)
