"""Signals of meaning: item texts beside those of a history, and beside a request.

Leaves to others: encoding (encoder.py), the very words (lexical.py).
Sizes: B queries, T steps, N items, E text width.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any, ClassVar

import numpy as np

from crossrec.models.neighbour_signals import recency_weights
from crossrec.models.query import Queries
from crossrec.models.signal import Arrays, Floats, Stored


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
        """Item texts and the directions."""
        return {"vectors": self.vectors, "common": self.common}

    def settings(self) -> dict[str, Any]:
        """The decay."""
        return {"decay": self.decay}

    @classmethod
    def restore(cls, arrays: Stored, settings: dict[str, Any]) -> TextSignal:
        """From stored tensors and values."""
        return cls(arrays["vectors"], settings["decay"], arrays["common"])


@dataclass(frozen=True)
class RequestSignal:
    """Cosine of an item's text with the request's, both less the catalogue's mean text."""

    name: ClassVar[str] = "request"
    vectors: Floats  # (N, E) centred, unit
    centre: Floats  # (E,)

    def score(self, queries: Queries) -> Floats:
        """Cosine in [-1, 1]; zero without a request."""
        given = (queries.request != 0).any(axis=1, keepdims=True)
        if not given.any():  # also where requests have no width at all
            return np.zeros((len(queries), len(self.vectors)), np.float32)
        return np.asarray(self.meanings(queries) @ self.vectors.T)

    def meanings(self, queries: Queries) -> Floats:
        """What requests are like: (B, E), of which each item's score is a product."""
        given = (queries.request != 0).any(axis=1, keepdims=True)
        return np.asarray(unit(queries.request - self.centre) * given)

    def arrays(self) -> Arrays:
        """Item texts and their mean."""
        return {"vectors": self.vectors, "centre": self.centre}

    def settings(self) -> dict[str, Any]:
        """Nothing."""
        return {}

    @classmethod
    def restore(cls, arrays: Stored, settings: dict[str, Any]) -> RequestSignal:
        """From stored tensors."""
        return cls(arrays["vectors"], arrays["centre"])


def unit(x: Floats) -> Floats:
    """Rows scaled to length 1; rows of zeros stay zero."""
    norm = np.linalg.norm(x, axis=-1, keepdims=True)
    return np.asarray(x / np.maximum(norm, 1e-12), np.float32)
