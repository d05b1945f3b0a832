"""Requests that the user tower trains on: what people said, or requests made up from the data.

Leaves to others: encoding them (prepare.py), when a target comes with one (network.py).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import polars as pl
from numpy.typing import NDArray

from crossrec.data.split import Split
from crossrec.schema import CATEGORY, TEXT
from crossrec.training.synonyms import Synonyms

Encode = Callable[[list[str]], NDArray[np.float32]]

WISH_WORDS = 4
"""Words of its text that a made-up request for an item names at most, beside one category."""
MAX_MADE = 15_000
"""Made-up requests of a catalogue: three an item up to 5,000 items, one above 7,500."""
MISSPELT = 0.1
"""Share of the longer words of a made-up request that are misspelt."""
SHORTEST_MISSPELT = 5


@dataclass(frozen=True)
class Wishes:
    """Q requests, and which of them each of the R rows comes with."""

    texts: list[str]
    of_row: NDArray[np.int64]  # (R,) index into `texts`
    reworded: NDArray[np.int64] | None = None
    """(R,) likewise, of another wording; None: there is none."""


def wishes_for(
    split: Split,
    catalogue: pl.DataFrame,
    seed: int,
    share: float = 0.0,
    encode: Encode | None = None,
) -> Wishes:
    """The rows' own requests; where nobody said anything, made-up ones for their items.

    Rows of one item take turns with the item's requests, so that the tower sees several.

    Args:
        catalogue: the items, with `text` and perhaps `category`.
        seed: of the words drawn.
        share: chance that a word is replaced by a synonym: of a made-up request, or in a second
            wording of what somebody said in training.
        encode: words → vectors; only read where `share` is above 0.
    """
    sequences, texts = split.sequences, catalogue[TEXT].to_list()
    synonyms = _synonyms(split, texts, encode) if share and encode else None
    if sequences.requests is not None:
        own = Wishes(sequences.requests, np.arange(len(sequences.items)))
        return _with_second_wording(own, split, synonyms, share, seed) if synonyms else own
    categories: list[list[str] | None] = [None] * len(texts)
    if CATEGORY in catalogue.columns:
        categories = catalogue[CATEGORY].to_list()
    n_each = max(1, min(3, MAX_MADE // max(len(texts), 1)))
    made = [make_wishes(texts, categories, seed + 7919 * which) for which in range(n_each)]
    turns = np.arange(len(sequences.items)) % n_each
    of_row = sequences.items.astype(np.int64) + turns * len(texts)
    whole = [wish for wishes in made for wish in wishes]
    if synonyms:
        rng = np.random.default_rng(seed)
        whole = [synonyms.reworded(wish, share, rng) for wish in whole]
    return Wishes(whole, of_row)


def _synonyms(split: Split, texts: list[str], encode: Encode) -> Synonyms:
    """Among the words of the catalogue and of what was said in training."""
    said = split.sequences.requests or []
    return Synonyms.of(
        [*texts, *(said[row] for row in np.flatnonzero(split.train) if said)], encode
    )


def _with_second_wording(
    own: Wishes, split: Split, synonyms: Synonyms, share: float, seed: int
) -> Wishes:
    """Beside each training request, the same with some of its words replaced."""
    rng = np.random.default_rng(seed)
    texts, reworded = list(own.texts), own.of_row.copy()
    for row in np.flatnonzero(split.train):
        reworded[row] = len(texts)
        texts.append(synonyms.reworded(own.texts[row], share, rng))
    return Wishes(texts, own.of_row, reworded)


def make_wishes(texts: list[str], categories: list[list[str] | None], seed: int) -> list[str]:
    """For each item, one category and one to four words of its text, as somebody might type them.

    Pairs made from the data itself teach the user tower that a request names what is wanted. The
    title's first words are left out, since a wish rarely names the thing; words vary in number,
    and a few are misspelt, since a model that is only ever asked in the item's exact words learns
    to trust nothing else.
    """
    rng = np.random.default_rng(seed)
    wishes = []
    for text, category in zip(texts, categories, strict=True):
        words = [word.strip(".,:;()!?\"'") for word in text.split()]
        words = [w.lower() for w in words[2:] if len(w) > 3] or [w.lower() for w in words]
        n_words = int(rng.integers(1, WISH_WORDS + 1)) if category else WISH_WORDS
        drawn = np.sort(rng.permutation(len(words))[:n_words])
        named = [str(category[rng.integers(len(category))]).lower()] if category else []
        said = named + [misspelt(words[i], rng) for i in drawn]
        wishes.append(" ".join(said) or text)
    return wishes


def misspelt(word: str, rng: np.random.Generator) -> str:
    """The word, or with chance MISSPELT one letter of it left out, doubled, or swapped.

    The first and the last letter stay: they are those that people get right most often.
    """
    if len(word) < SHORTEST_MISSPELT or not word.isalpha() or rng.random() >= MISSPELT:
        return word
    place = int(rng.integers(1, len(word) - 2))
    one, two, rest = word[place], word[place + 1], word[place + 2 :]
    said = (two, one + one + two, two + one)[int(rng.integers(3))]
    return word[:place] + said + rest
