"""Words of like meaning, as the encoder sees them: for evidence by words and for training requests.

Leaves to others: what weights words have (lexicon.py), which requests are trained on (wishes.py).
Sizes: V words, E text width, K near words.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from crossrec.models.lexical import words_of

Floats = NDArray[np.float32]

NEAREST = 4
"""Near words of a word at most."""
LEAST_COSINE = 0.75
"""Of two words' vectors, less the mean word."""
SHORTEST = 3
"""Letters; shorter words, and words with digits, mean too little alone to have synonyms."""
_CHUNK = 1024


def near_words(words: Sequence[str], vectors: Floats) -> sparse.csr_array:
    """(V, V) cosine of each word and its K nearest, where it reaches LEAST_COSINE; no diagonal.

    A word of V may be near to another without the other being near to it, for each has only K.

    Args:
        words: V of them.
        vectors: (V, E) of each word alone, as the encoder gives them.
    """
    able = np.array([len(word) >= SHORTEST and word.isalpha() for word in words], bool)
    chosen = np.flatnonzero(able)
    centred = vectors[chosen] - vectors[chosen].mean(axis=0) if len(chosen) else vectors[:0]
    centred /= np.maximum(np.linalg.norm(centred, axis=1, keepdims=True), 1e-9)
    rows, columns, values = [], [], []
    for start in range(0, len(chosen), _CHUNK):
        cosines = centred[start : start + _CHUNK] @ centred.T
        own = np.arange(len(cosines))
        cosines[own, start + own] = -1
        k = min(NEAREST, len(chosen) - 1)
        best = np.argpartition(-cosines, k - 1, axis=1)[:, :k] if k > 0 else np.empty((0, 0), int)
        found = np.take_along_axis(cosines, best, axis=1)
        row, place = np.nonzero(found >= LEAST_COSINE)
        rows.append(chosen[start + row])
        columns.append(chosen[best[row, place]])
        values.append(found[row, place])
    shape = (len(words), len(words))
    if not rows:
        return sparse.csr_array(shape, dtype=np.float32)
    data = np.concatenate(values).astype(np.float32)
    return sparse.csr_array((data, (np.concatenate(rows), np.concatenate(columns))), shape=shape)


_WORD = re.compile(r"[^\W\d_]+")


@dataclass(frozen=True)
class Synonyms:
    """A word of the vocabulary, as `words_of` writes it → words of like meaning."""

    near: dict[str, list[str]]

    @classmethod
    def of(cls, texts: Iterable[str], encode: Callable[[list[str]], Floats]) -> Synonyms:
        """Among all words of the texts.

        Args:
            texts: the catalogue's, and what people said.
            encode: list of words → (V, E) vectors.
        """
        words = sorted({word for text in texts for word in words_of(text)})
        near = near_words(words, encode(words))
        found = np.flatnonzero(np.diff(near.indptr))
        of_row = {row: near.indices[near.indptr[row] : near.indptr[row + 1]] for row in found}
        return cls({words[row]: [words[n] for n in others] for row, others in of_row.items()})

    def reworded(self, text: str, share: float, rng: np.random.Generator) -> str:
        """The text, each word that has synonyms replaced by one of them with chance `share`.

        >>> hotels = Synonyms({"cheap": ["inexpensive"]})
        >>> hotels.reworded("A cheap room, please", 1.0, np.random.default_rng(0))
        'A inexpensive room, please'
        """

        def put(match: re.Match[str]) -> str:
            [word] = words_of(match[0])[:1] or [""]
            others = self.near.get(word)
            if not others or rng.random() >= share:
                return match[0]
            return others[int(rng.integers(len(others)))]

        return _WORD.sub(put, text)
