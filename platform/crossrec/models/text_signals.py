"""Signals of meaning: item texts beside those of a history, and beside a request.

Leaves to others: encoding (encoder.py), the very words (lexical.py).
Sizes: B queries, T steps, N items, E text width.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from itertools import count
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from crossrec.models.neighbour_signals import recency_weights
from crossrec.models.query import Queries
from crossrec.models.signal import FEW_ITEMS, Arrays, Floats, Stored
from crossrec.models.tensor_file import give_back_pages

WIDENED_AFTER = 8
"""Requests with words after which item texts are kept in single precision."""


@dataclass(frozen=True)
class TextSignal:
    """Cosine of an item's text with the recency-weighted mean text of the history, in a metric
    that counts less what all items of a catalogue have in common.

    Texts x are compared as W x, with W² = I - C C' and C the `common` directions: a whitening of
    the first principal directions in part (Mu & Viswanath 2018, "All-but-the-Top", takes them out
    altogether). W x is never stored: the item texts are those that requests read too.
    """

    name: ClassVar[str] = "text"
    vectors: Floats  # (N, E) centred, unit
    decay: float
    common: Floats  # (E, K) orthogonal, shorter than 1; K = 0: the plain cosine

    def score(self, queries: Queries) -> Floats:
        """Cosine in [-1, 1]."""
        return np.asarray(self.profiles(queries) @ self.vectors.T / self._lengths, np.float32)

    def profiles(self, queries: Queries) -> Floats:
        """What histories are like: (B, E), of which each item's score is a product."""
        present = queries.items >= 0
        items = np.maximum(queries.items, 0)
        weights = recency_weights(present, self.decay) / self._lengths[items]
        profile = np.einsum("bt,bte->be", weights, self.vectors[items])
        seen = profile @ self.common
        length = np.vecdot(profile, profile) - np.vecdot(seen, seen)  # |W profile|²
        profile -= seen @ self.common.T
        profile /= np.sqrt(np.maximum(length, 1e-12))[:, None]
        return np.asarray(profile, np.float32)

    @cached_property
    def _lengths(self) -> Floats:
        """(N,) of W x."""
        seen = self.vectors @ self.common
        return np.asarray(np.sqrt(np.maximum(1 - np.vecdot(seen, seen), 1e-12)), np.float32)

    def arrays(self) -> Arrays:
        """Item texts, in half precision (cosines move by less than 1e-3) unless they are very many,
        and the directions.
        """
        return {"vectors": stored_texts(self.vectors), "common": self.common}

    def settings(self) -> dict[str, Any]:
        """The decay."""
        return {"decay": self.decay}

    @classmethod
    def restore(cls, arrays: Stored, settings: dict[str, Any]) -> TextSignal:
        """From stored tensors and values."""
        vectors = arrays["vectors"]
        if vectors.dtype == np.float16:
            vectors = unit(vectors.astype(np.float32))
        return cls(vectors, settings["decay"], arrays["common"])


@dataclass(frozen=True)
class RequestSignal:
    """Cosine of an item's text with the request's, both less the catalogue's mean text.

    In a release that has an adapter the texts stay on the file, in half precision, until requests
    have words often: many domains hardly ever are asked so, and texts would be half their memory.
    """

    name: ClassVar[str] = "request"
    vectors: Floats | NDArray[np.float16]  # (N, E) centred, unit
    centre: Floats  # (E,)

    def score(self, queries: Queries) -> Floats:
        """Cosine in [-1, 1]; zero without a request."""
        given = (queries.request != 0).any(axis=1, keepdims=True)
        if not given.any():  # also where requests have no width at all
            return np.zeros((len(queries), len(self.vectors)), np.float32)
        if self.vectors.dtype == np.float32:
            texts = self.vectors
        else:  # to widen them for each request takes longer than all else that an answer needs
            texts = self._widened if next(self._n_asked) >= WIDENED_AFTER else self.exact()
        return np.asarray(self.meanings(queries) @ texts.T)

    @cached_property
    def _n_asked(self) -> Iterator[int]:
        return count()

    @cached_property
    def _widened(self) -> Floats:
        """(N, E); nobody reads those on the file any more."""
        widened = self.exact()
        give_back_pages(self.vectors)
        return widened

    def meanings(self, queries: Queries) -> Floats:
        """What requests are like: (B, E), of which each item's score is a product."""
        given = (queries.request != 0).any(axis=1, keepdims=True)
        return np.asarray(unit(queries.request - self.centre) * given)

    def exact(self, some: slice | NDArray[np.int64] = slice(None)) -> Floats:
        """Rows of the item texts in single precision, of unit length."""
        rows = self.vectors[some]
        return unit(single(rows)) if rows.dtype == np.float16 else np.asarray(rows)

    def arrays(self) -> Arrays:
        """Item texts, as in TextSignal, and their mean."""
        return {"vectors": stored_texts(self.vectors), "centre": self.centre}

    def settings(self) -> dict[str, Any]:
        """Nothing."""
        return {}

    @classmethod
    def restore(cls, arrays: Stored, settings: dict[str, Any]) -> RequestSignal:
        """From stored tensors."""
        return cls(arrays["vectors"], arrays["centre"])


def stored_texts(vectors: Floats | NDArray[np.float16]) -> NDArray[Any]:
    """As a release keeps them."""
    return vectors.astype(np.float16 if len(vectors) <= FEW_ITEMS else np.float32)


def single(half: NDArray[Any]) -> Floats:
    """Finite numbers of half precision in single precision, exactly.

    By their bits, a third of the time of `astype`: sign, exponent and fraction move to where single
    precision has them, and a product makes up for its other exponent of zero (127 in place of 15).
    """
    bits = np.ascontiguousarray(half).view(np.int16).astype(np.int32)
    bits <<= 13
    bits &= ~0x70000000  # copies of the sign
    return np.asarray(bits.view(np.float32) * np.float32(2.0**112))


def unit(x: Floats) -> Floats:
    """Rows scaled to length 1; rows of zeros stay zero."""
    norm = np.linalg.norm(x, axis=-1, keepdims=True)
    return np.asarray(x / np.maximum(norm, 1e-12), np.float32)
