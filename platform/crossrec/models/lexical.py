"""Evidence of the very words of a request: sparse word-item weights, read in numpy.

A word that nobody has used is taken for a near one (rapidfuzz, loaded when one turns up).
Leaves to others: fitting the weights (training/lexicon.py), meaning (RequestSignal).
Sizes: B queries, N items, V words, P postings.
"""

from __future__ import annotations

import hashlib
import re
import unicodedata
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property, lru_cache
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from crossrec.models.query import Queries

Floats = NDArray[np.float32]

REMEMBERED_WORDS = 1024
SHORTEST_REPAIRED, LONG_WORD = 5, 8
"""Letters: below the first a word is too short to tell what it was meant to be; from the second
on two letters may be wrong, else one."""
MOST_REPAIRED = 32
"""Unknown words of one request that are repaired, the first ones: each is compared with all known
words (3 ms where there are 20,000), and a request may have 8,000 letters."""

_IDEOGRAPHS = "\u3040-\u30ff\u3400-\u9fff"
_WORD = re.compile(rf"[{_IDEOGRAPHS}]+|[^\W_{_IDEOGRAPHS}]+")
_IDEOGRAPH = re.compile(f"[{_IDEOGRAPHS}]")


def words_of(text: str) -> list[str]:
    """The words of a text as they are compared: lower case, no accents, no plural.

    Chinese and Japanese, written without spaces, become pairs of neighbouring letters.

    >>> words_of("Cafés, two cities; 中国菜")
    ['cafe', 'two', 'city', '中国', '国菜']
    """
    letters = unicodedata.normalize("NFKD", text.lower())
    letters = "".join(letter for letter in letters if not unicodedata.combining(letter))
    words: list[str] = []
    for run in _WORD.findall(letters):
        if _IDEOGRAPH.match(run):
            words += [run[i : i + 2] for i in range(max(1, len(run) - 1))]
        else:
            words.append(singular(run))
    return words


def singular(word: str) -> str:
    """An English plural's singular. Source: the S-stemmer of Harman 1991, "How effective is
    suffixing?"; it leaves other words, and other languages, mostly as they are.

    >>> [singular(word) for word in ("cities", "dishes", "bars", "glass", "bus")]
    ['city', 'dishe', 'bar', 'glass', 'bus']
    """
    if word.endswith("ies") and not word.endswith(("eies", "aies")):
        return word[:-3] + "y"
    if word.endswith("es") and not word.endswith(("aes", "ees", "oes")):
        return word[:-1]
    if word.endswith("s") and not word.endswith(("us", "ss")):
        return word[:-1]
    return word


def word_key(word: str) -> int:
    """64 bits that stand for a word, the same in every process.

    Two of 100,000 words share one with a chance of 3 in 10 thousand millions.
    """
    return int.from_bytes(hashlib.blake2b(word.encode(), digest_size=8).digest(), signed=True)


@dataclass(frozen=True)
class LexicalSignal:
    """s(q, i) = sum over the distinct words w of the request of W[w, i], W sparse by words.

    W holds BM25 weights of the items' own texts (Robertson and Zaragoza 2009, eq. 3.15), each
    times how rarely requests use the word.
    """

    name: ClassVar[str] = "lexical"
    letters: NDArray[np.uint8]
    """The V words in UTF-8, one a line; known words without postings are among them."""
    keys: NDArray[np.int64]
    """(V,) `word_key` of each, in rising order, which is the order of the words."""
    starts: NDArray[np.int64]  # (V + 1,)
    items: NDArray[np.int32] | NDArray[np.uint16]  # (P,)
    values: NDArray[np.float16]  # (P,)
    n_items: int

    def score(self, queries: Queries) -> Floats:
        """Sums of the words' postings; zeros where nothing was said."""
        if queries.words is None or not any(queries.words):
            return np.zeros((len(queries), self.n_items), np.float32)
        return np.stack([self._score(text) for text in queries.words])

    def _score(self, text: str) -> Floats:
        found = set(self._numbers(text)) - {-1} if text else set()
        if not found:
            return np.zeros(self.n_items, np.float32)
        rows = [slice(self.starts[word], self.starts[word + 1]) for word in sorted(found)]
        items = np.concatenate([self.items[row] for row in rows])
        values = np.concatenate([self.values[row] for row in rows]).astype(np.float32)
        return np.bincount(items, values, self.n_items).astype(np.float32)

    def _numbers(self, text: str) -> list[int]:
        """Those of the distinct words, or of the words they were meant to be; -1 for unknown."""
        numbers = {word: self._known(word) for word in words_of(text)}
        unknown = [
            word
            for word, number in numbers.items()
            if number < 0 and len(word) >= SHORTEST_REPAIRED and word.isalpha()
        ]
        return [*numbers.values(), *(self._meant(word) for word in unknown[:MOST_REPAIRED])]

    def some_words(self, rng: np.random.Generator, n: int) -> list[str]:
        """Up to n words that items have, drawn at random: to try the signal with."""
        used = np.flatnonzero(np.diff(self.starts))
        words = self._words()
        return [words[word] for word in rng.permutation(used)[:n]]

    def _words(self) -> list[str]:
        # Not kept: as Python's strings they take ten times the room that they have on the file.
        return self.letters.tobytes().decode().split("\n")

    def _known(self, word: str) -> int:
        """The number of a word, -1 for an unknown one."""
        key = word_key(word)
        number = int(np.searchsorted(self.keys, key))
        return number if number < len(self.keys) and self.keys[number] == key else -1

    @cached_property
    def _meant(self) -> Callable[[str], int]:
        """Unknown word → the number of the word it was meant to be, or -1."""
        return lru_cache(REMEMBERED_WORDS)(self._nearest)

    def _nearest(self, word: str) -> int:
        """Of the words within reach that begin alike the one in most items."""
        from rapidfuzz.distance import OSA

        reach = 1 if len(word) < LONG_WORD else 2
        near: list[tuple[int, int, int]] = []
        for number, other in enumerate(self._words()):
            if other[:1] != word[:1] or abs(len(other) - len(word)) > reach:
                continue
            far = OSA.distance(word, other, score_cutoff=reach)
            if far <= reach:
                count = int(self.starts[number + 1] - self.starts[number])
                near.append((far, -count, number))
        return min(near)[2] if near else -1

    def arrays(self) -> dict[str, NDArray[Any]]:
        """Words and postings; items in two bytes where they fit."""
        narrow = self.n_items <= np.iinfo(np.uint16).max
        items = self.items.astype(np.uint16 if narrow else np.int32)
        postings = {"starts": self.starts, "items": items, "values": self.values}
        return {"letters": self.letters, "keys": self.keys, **postings}

    def settings(self) -> dict[str, Any]:
        """Size of the catalogue."""
        return {"n_items": self.n_items}

    @classmethod
    def restore(cls, arrays: Any, settings: dict[str, Any]) -> LexicalSignal:
        """From stored tensors and values."""
        return cls(
            arrays["letters"],
            arrays["keys"],
            arrays["starts"],
            arrays["items"],
            arrays["values"],
            settings["n_items"],
        )


@dataclass(frozen=True)
class AskedSignal(LexicalSignal):
    """The same sum over the words of earlier requests: what people said who got the item."""

    name: ClassVar[str] = "asked"
