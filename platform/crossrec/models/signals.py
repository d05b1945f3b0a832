"""The signals of relevance, each scoring the whole catalogue from other evidence, in numpy.

Leaves to others: fitting them (training/assemble.py), mixing them (fusion.py).
Sizes: B queries, T steps, N items, E text width, D model width.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property, lru_cache
from typing import Any, ClassVar, Protocol

import numpy as np
from numpy.typing import NDArray

from crossrec.models.context import ContextEncoder, distances_km, gap_buckets
from crossrec.models.lexical import AskedSignal, LexicalSignal
from crossrec.models.query import Queries
from crossrec.models.rating_profile import RatingProfileSignal
from crossrec.models.sequence import SequenceTower

Floats = NDArray[np.float32]
REMEMBERED_HISTORIES = 512
"""Of single queries, by a release that is served: about 2 KiB each."""
FEW_ITEMS = 1 << 16
"""Up to so many items a row over all of them is no work; from there on texts are stored in single
precision, so that replicas read them where they are, on the file, and share them."""
REQUEST_ROWS = 256
"""Item texts that are in single precision at once: they stay in the processor's cache."""

Arrays = dict[str, NDArray[Any]]
Stored = Mapping[str, NDArray[Any]]


class Signal(Protocol):
    """One kind of evidence. `arrays` and `settings` are all that a release keeps of it."""

    name: ClassVar[str]

    def score(self, queries: Queries) -> Floats:
        """(B, N) float32, higher is better; rows of zeros where it has nothing to say."""

    def arrays(self) -> Arrays:
        """Tensors to store."""

    def settings(self) -> dict[str, Any]:
        """Plain values to store."""

    @classmethod
    def restore(cls, arrays: Stored, settings: dict[str, Any]) -> Signal:
        """Inverse of the two above."""


@dataclass(frozen=True)
class SequenceSignal:
    """s = u·v_i / tau + b_i - w log(1 + km to the item): the trained towers.

    With the head of the task `rate` s is a rating: 1 / tau is the learned scale, b_i holds the
    mean, and u·`user_offset` is added.
    """

    name: ClassVar[str] = "sequence"
    tower: SequenceTower
    vectors: Floats  # (N, D) unit
    bias: Floats  # (N,)
    context: ContextEncoder
    temperature: float
    history_length: int
    clock: bool
    places: Floats | None = None  # (N, 2) degrees
    place_weight: float = 0.0
    user_offset: Floats | None = None  # (D,)

    def score(self, queries: Queries) -> Floats:
        """Scores of the towers for the newest `history_length` steps."""
        return self._logits(queries, self._user_vectors(queries))

    def _user_vectors(self, queries: Queries) -> Floats:
        items = queries.items[:, -self.history_length :]
        times = queries.times[:, -self.history_length :]
        present = items >= 0
        since = queries.now - times[:, -1]
        last = np.where(present[:, -1], np.maximum(since, 0) if self.clock else since, -1)
        events = queries.events[:, -self.history_length :]
        read = self._read_again if len(queries) == 1 else self._read
        short, long = read(items, times, events)
        context = self.context.encode(queries.context, last)
        return self.tower.mix(short, long, present[:, -1], queries.request, context)

    def _read(
        self, items: NDArray[np.int32], times: NDArray[np.int64], events: NDArray[np.int16]
    ) -> tuple[Floats, Floats]:
        present = items >= 0
        gaps = np.zeros(items.shape, np.int64)
        if self.clock:
            both = present[:, 1:] & present[:, :-1]
            gaps[:, 1:] = gap_buckets(np.diff(times, axis=1)) * both
        vectors = self.vectors[np.maximum(items, 0)] * present[..., None]
        return self.tower.read(vectors, events.astype(np.int64) + 1, gaps, present)

    def _read_again(
        self, items: NDArray[np.int32], times: NDArray[np.int64], events: NDArray[np.int16]
    ) -> tuple[Floats, Floats]:
        """One history, remembered: who asks again asks in other words, of the same history."""
        return self._remembered(items.tobytes(), times.tobytes(), events.tobytes())

    @cached_property
    def _remembered(self) -> Callable[[bytes, bytes, bytes], tuple[Floats, Floats]]:
        def read(items: bytes, times: bytes, events: bytes) -> tuple[Floats, Floats]:
            return self._read(
                np.frombuffer(items, np.int32)[None],
                np.frombuffer(times, np.int64)[None],
                np.frombuffer(events, np.int16)[None],
            )

        return lru_cache(REMEMBERED_HISTORIES)(read)

    def _logits(self, queries: Queries, users: Floats) -> Floats:
        logits = users @ self.vectors.T / np.float32(self.temperature) + self.bias
        if self.user_offset is not None:
            logits += (users @ self.user_offset)[:, None]
        field = self.context.place
        if field is not None and self.places is not None and field.name in queries.context:
            km = distances_km(queries.context[field.name], self.places)
            logits -= np.float32(self.place_weight) * np.log1p(km)
        return logits.astype(np.float32)

    def arrays(self) -> Arrays:
        """Vectors, bias, places and the user tower's weights."""
        optional = {"places": self.places, "user_offset": self.user_offset}
        given = {name: value for name, value in optional.items() if value is not None}
        tower = {f"tower.{name}": value for name, value in self.tower.weights.items()}
        return {"vectors": self.vectors, "bias": self.bias, **given, **tower}

    def settings(self) -> dict[str, Any]:
        """Heads, temperature, history length, and the context encoder."""
        return {
            "n_heads": self.tower.n_heads,
            "temperature": self.temperature,
            "history_length": self.history_length,
            "clock": self.clock,
            "place_weight": self.place_weight,
            "context": self.context.to_dict(),
        }

    @classmethod
    def restore(cls, arrays: Stored, settings: dict[str, Any]) -> SequenceSignal:
        """From stored tensors and values."""
        weights = {k.removeprefix("tower."): v for k, v in arrays.items() if k.startswith("tower.")}
        return cls(
            tower=SequenceTower(weights, settings["n_heads"]),
            vectors=arrays["vectors"],
            bias=arrays["bias"],
            context=ContextEncoder.from_dict(settings["context"]),
            temperature=settings["temperature"],
            history_length=settings["history_length"],
            clock=settings["clock"],
            places=arrays.get("places"),
            place_weight=settings["place_weight"],
            user_offset=arrays.get("user_offset"),
        )


def recency_weights(present: NDArray[np.bool_], decay: float) -> Floats:
    """decay^age, age 0 for the newest step; zero for padding. (B, T)."""
    ages = np.arange(present.shape[1] - 1, -1, -1)
    return (present * np.float32(decay) ** ages).astype(np.float32)


@dataclass(frozen=True)
class NeighbourSignal:
    """s_i = sum over history h of decay^age_h W[h, i], with W sparse by rows.

    W comes from cosine neighbours or from what follows what (linear_weights.py); columns and
    rows of items without interactions are lent by their nearest items in text (collaborative.py).
    """

    name: ClassVar[str] = "neighbours"
    starts: NDArray[np.int64]  # (N + 1,)
    columns: NDArray[np.int32] | NDArray[np.uint16]  # (nnz,)
    values: NDArray[np.float16]  # (nnz,)
    decay: float

    def score(self, queries: Queries) -> Floats:
        """Sparse rows of the history, added up with recency weights."""
        n_items = len(self.starts) - 1
        weights = recency_weights(queries.items >= 0, self.decay)
        scores = np.zeros((len(queries), n_items), np.float32)
        for row, (items, weight) in enumerate(zip(queries.items, weights, strict=True)):
            used = weight > 1e-6
            scores[row] = self._add_up(items[used], weight[used], n_items)
        return scores

    def sums(self, items: NDArray[np.int32], weights: Floats) -> tuple[NDArray[np.int64], Floats]:
        """Items that neighbour some items, in rising order, and the sums of their weights."""
        n_items = len(self.starts) - 1
        if len(items) == 1:
            row = slice(*self.starts[items[0] : items[0] + 2].tolist())
            columns = np.asarray(self.columns[row], np.int64)
            return columns, self.values[row].astype(np.float32) * weights[0]
        if n_items <= FEW_ITEMS:
            dense = self._add_up(items, weights, n_items)
            columns = np.flatnonzero(dense)
            return columns, dense[columns]
        columns, values = self._entries(items, weights)
        columns, of = np.unique(columns, return_inverse=True)
        return columns, np.bincount(of, values, len(columns)).astype(np.float32)

    def _add_up(self, items: NDArray[np.int32], weights: Floats, n_items: int) -> Floats:
        columns, values = self._entries(items, weights)
        return np.bincount(columns, values, n_items).astype(np.float32)

    def _entries(
        self, items: NDArray[np.int32], weights: Floats
    ) -> tuple[NDArray[np.intp], NDArray[np.float64]]:
        """Columns and weighted values of the items' rows, one after the other."""
        first, last = self.starts[items], self.starts[items + 1]
        rows = [slice(*ends) for ends in zip(first.tolist(), last.tolist(), strict=True)]
        if not rows:
            return np.zeros(0, np.intp), np.zeros(0)
        # In the types that bincount takes: slices joined so cost less than one index of them all.
        columns = np.concatenate([self.columns[row] for row in rows], dtype=np.intp)
        values = np.concatenate([self.values[row] for row in rows], dtype=np.float64)
        values *= np.repeat(weights, last - first)
        return columns, values

    def arrays(self) -> Arrays:
        """The sparse matrix; its columns in two bytes where they fit."""
        narrow = len(self.starts) <= np.iinfo(np.uint16).max
        columns = self.columns.astype(np.uint16 if narrow else np.int32)
        return {"starts": self.starts, "columns": columns, "values": self.values}

    def settings(self) -> dict[str, Any]:
        """The decay."""
        return {"decay": self.decay}

    @classmethod
    def restore(cls, arrays: Stored, settings: dict[str, Any]) -> NeighbourSignal:
        """From stored tensors and values."""
        return cls(arrays["starts"], arrays["columns"], arrays["values"], settings["decay"])


@dataclass(frozen=True)
class CollaborativeSignal(NeighbourSignal):
    """The same sum over EASE weights."""

    name: ClassVar[str] = "collaborative"


@dataclass(frozen=True)
class WordingSignal(NeighbourSignal):
    """The same sum over cosines of item texts as bags of words and of pairs of words.

    A name, a make or a model number is a word among many to the encoder; here it is rare, and
    weighs.
    """

    name: ClassVar[str] = "wording"


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

    In a release that has an adapter the texts are read in half precision, as the file has them:
    few requests have words, and half of a domain's memory would be texts otherwise.
    """

    name: ClassVar[str] = "request"
    vectors: Floats | NDArray[np.float16]  # (N, E) centred, unit
    centre: Floats  # (E,)

    def score(self, queries: Queries) -> Floats:
        """Cosine in [-1, 1]; zero without a request."""
        given = (queries.request != 0).any(axis=1, keepdims=True)
        if not given.any():  # also where requests have no width at all
            return np.zeros((len(queries), len(self.vectors)), np.float32)
        request = self.meanings(queries)
        if self.vectors.dtype == np.float32:
            return np.asarray(request @ self.vectors.T)
        starts = range(0, len(self.vectors), REQUEST_ROWS)
        blocks = (single(self.vectors[start : start + REQUEST_ROWS]) for start in starts)
        parts = [request @ block.T / _lengths(block) for block in blocks]
        return np.concatenate(parts, axis=1)

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


@dataclass(frozen=True)
class PopularitySignal:
    """log(1 + count), counts halving with age: the same for everybody."""

    name: ClassVar[str] = "popularity"
    values: Floats  # (N,)

    def score(self, queries: Queries) -> Floats:
        """The same row for each query."""
        return np.broadcast_to(self.values, (len(queries), len(self.values)))

    def arrays(self) -> Arrays:
        """The scores themselves."""
        return {"values": self.values}

    def settings(self) -> dict[str, Any]:
        """Nothing."""
        return {}

    @classmethod
    def restore(cls, arrays: Stored, settings: dict[str, Any]) -> PopularitySignal:
        """From stored tensors."""
        return cls(arrays["values"])


SIGNALS: tuple[type[Signal], ...] = (
    SequenceSignal,
    CollaborativeSignal,
    NeighbourSignal,
    TextSignal,
    WordingSignal,
    RequestSignal,
    LexicalSignal,
    AskedSignal,
    PopularitySignal,
    RatingProfileSignal,
)
"""In the order of the fusion's weights."""


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


def _lengths(rows: Floats) -> Floats:
    return np.asarray(np.maximum(np.sqrt(np.einsum("ij,ij->i", rows, rows)), 1e-12))


def unit(x: Floats) -> Floats:
    """Rows scaled to length 1; rows of zeros stay zero."""
    norm = np.linalg.norm(x, axis=-1, keepdims=True)
    return np.asarray(x / np.maximum(norm, 1e-12), np.float32)
