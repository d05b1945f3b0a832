"""What the user tower reads of a history with steps taken out, without reading the rest again.

Attention looks back only, and knows distances, not places: what stands before the oldest step that
was taken out reads as before. So one pass over the window serves all shortenings of it, and each
reads again only the steps after its cut. Equal to reading the shortened history whole, within
rounding (a test holds both equal). Leaves to others: which steps go (contributions.py), scores
(rescoring.py). Sizes: B shortenings, T steps of the history, W of a window before the cut, M after
it, n real ones of all rows, D model width, H heads.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from crossrec.models.context import gap_buckets
from crossrec.models.query import Queries
from crossrec.models.sequence import _gelu, _layer_norm, _softmax
from crossrec.models.sequence_signal import SequenceSignal

Floats = NDArray[np.float32]
Bools = NDArray[np.bool_]
Ints = NDArray[np.int64]


@dataclass(frozen=True)
class _Kept:
    """What is left of one history in the tower's window."""

    start: int
    """Place of its oldest step in the history."""
    n_before: int
    """Steps from there on without a gap."""
    after: Ints
    """Places of the steps after the first gap."""


@dataclass(frozen=True)
class _Window:
    """One reading of consecutive steps, with what later steps look back at."""

    keys: list[Floats]  # a block each: (H, W, D/H)
    values: list[Floats]
    items: Floats  # (W, D) scaled
    state: Floats  # (W, D)


class ShortenedReader:
    """Reads shortenings of one history through the tower of a sequence signal."""

    def __init__(self, signal: SequenceSignal) -> None:
        self._signal = signal
        self._tower = signal.tower

    def read(self, query: Queries, kept: Bools) -> tuple[Floats, Floats]:
        """Short and long interest of each shortening, as `SequenceTower.read` gives them.

        Args:
            query: one row.
            kept: (B, T) steps that are left; each row keeps one at least. Where the history is
                longer than the window, older steps move up into it.

        Returns:
            Two of (B, D).
        """
        rows = [self._window_of(row) for row in kept & (query.items >= 0)]
        short, long = np.empty((2, len(rows), self._tower.dim), np.float32)
        single = [i for i, row in enumerate(rows) if row.n_before == 1 and not len(row.after)]
        if single:
            short[single], long[single] = self._alone(query, [rows[i].start for i in single])
        for start in sorted({row.start for row in rows}):
            members = [i for i, row in enumerate(rows) if row.start == start and i not in single]
            if not members:
                continue
            window = self._window(query, start, max(rows[i].n_before for i in members))
            for some in _alike(members, rows):
                short[some], long[some] = self._after(query, window, [rows[i] for i in some])
        return short, long

    def _alone(self, query: Queries, places: list[int]) -> tuple[Floats, Floats]:
        """Histories of one step each, all at once."""
        at = (slice(None), places)
        return self._signal._read(query.items[at].T, query.times[at].T, query.events[at].T)

    def _window_of(self, kept: Bools) -> _Kept:
        places = np.flatnonzero(kept)[-self._signal.history_length :]
        before = int((places == places[0] + np.arange(len(places))).sum())
        return _Kept(int(places[0]), before, places[before:])

    def _embed(self, query: Queries, places: Ints, last: Ints) -> tuple[Floats, Floats]:
        """Steps as the first block takes them, and their scaled items; `last` is the step before
        each, -1 for none. Shapes of `places`, with D behind.
        """
        w, clock = self._tower.weights, self._signal.clock
        gaps = np.zeros(places.shape, np.int64)
        if clock:
            times = query.times[0]
            gaps = np.where(last >= 0, gap_buckets(times[places] - times[last]), 0)
        items = self._signal.vectors[query.items[0, places]] * w["scale"]
        events = query.events[0, places].astype(np.int64) + 1
        return items + w["events.weight"][events] + w["gaps.weight"][gaps], items

    def _window(self, query: Queries, start: int, length: int) -> _Window:
        places = np.arange(start, start + length)
        x, items = self._embed(query, places, np.where(places > start, places - 1, -1))
        steps, whole = np.arange(length), np.ones((1, length), np.bool_)
        distance = steps[:, None] - steps
        look = np.where(distance >= 0, np.float32(0), np.float32(-np.inf))[None, None]
        keys: list[Floats] = []
        values: list[Floats] = []
        for number in range(self._tower.n_blocks):
            q, k, v = self._heads(number, x, whole)
            keys.append(k[0])
            values.append(v[0])
            near = self._near(number, np.maximum(distance, 0))
            x = self._rest(number, x, _attend(q, k, v, near + look)[whole])
        return _Window(keys, values, items, self._normed(x))

    def _after(self, query: Queries, window: _Window, rows: list[_Kept]) -> tuple[Floats, Floats]:
        """Reads the steps after the cut, all rows at once; they are padded on the left."""
        n_after = np.array([len(row.after) for row in rows])[:, None]
        n_before = np.array([row.n_before for row in rows])[:, None]
        m, width = int(n_after.max()), len(window.items)
        ages = np.broadcast_to(np.arange(m - 1, -1, -1), (len(rows), m))
        back = n_after + n_before - 1 - np.arange(width)  # (B, W) ages of the window's steps
        age = np.concatenate([back, ages], axis=1)  # (B, W + M)
        there = np.concatenate([np.arange(width) < n_before, ages < n_after], axis=1)
        if not m:
            long = self._pool(window.state[None], window.items[None], age, there)
            return window.state[n_before[:, 0] - 1], long
        places, last = _chains(rows, m)
        real = there[:, width:]
        state, items = np.zeros((2, *real.shape, self._tower.dim), np.float32)
        x, items[real] = self._embed(query, places[real], last[real])
        state[real] = self._read_on(window, x, age, there)
        whole = np.concatenate([_repeat(window.state, len(rows)), state], axis=1)
        every = np.concatenate([_repeat(window.items, len(rows)), items], axis=1)
        return state[:, -1], self._pool(whole, every, age, there)

    def _read_on(self, window: _Window, x: Floats, age: Ints, there: Bools) -> Floats:
        """States of the steps after the cut, (n, D) as `x` has them, which look back."""
        width = len(window.items)
        real = there[:, width:]  # (B, M)
        n, m = real.shape
        distance = age[:, None, :] - age[:, width:, None]  # (B, M, W + M)
        seen = there[:, None, :] & (distance >= 0)
        seen[:, np.arange(m), width + np.arange(m)] = True  # padding sees itself
        look = np.where(seen, np.float32(0), np.float32(-np.inf))[:, None]
        distance = np.where(seen, distance, 0)
        for number in range(self._tower.n_blocks):
            q, k, v = self._heads(number, x, real)
            k = np.concatenate([_repeat(window.keys[number], n), k], axis=2)
            v = np.concatenate([_repeat(window.values[number], n), v], axis=2)
            near = self._near(number, distance).transpose(1, 0, 2, 3)
            x = self._rest(number, x, _attend(q, k, v, near + look)[real])
        return self._normed(x)

    def _heads(self, number: int, x: Floats, real: Bools) -> Floats:
        """Queries, keys, values of a block, (3, B, H, M, D/H), from its real steps, (n, D)."""
        w, name = self._tower.weights, f"blocks.{number}."
        normed = _layer_norm(x, w[name + "norm_attention.weight"], w[name + "norm_attention.bias"])
        qkv = self._tower._linear(name + "qkv.", normed)
        heads = (3, self._tower.n_heads, x.shape[1] // self._tower.n_heads)
        padded = np.zeros((*real.shape, *heads), np.float32)
        padded[real] = qkv.reshape(len(x), *heads)
        return padded.transpose(2, 0, 3, 1, 4)

    def _near(self, number: int, distance: Ints) -> Floats:
        """What each head adds for a distance: (H, …)."""
        return np.asarray(self._tower.weights[f"blocks.{number}.distance"][:, distance], np.float32)

    def _rest(self, number: int, x: Floats, mixed: Floats) -> Floats:
        """A block after its attention, whose heads come as (n, H, D/H)."""
        w, name, linear = self._tower.weights, f"blocks.{number}.", self._tower._linear
        x = x + linear(name + "out.", mixed.reshape(x.shape))
        normed = _layer_norm(x, w[name + "norm_mlp.weight"], w[name + "norm_mlp.bias"])
        return x + linear(name + "down.", _gelu(linear(name + "up.", normed)))

    def _normed(self, x: Floats) -> Floats:
        w = self._tower.weights
        return _layer_norm(x, w["norm.weight"], w["norm.bias"])

    def _pool(self, state: Floats, items: Floats, age: Ints, there: Bools) -> Floats:
        """Long interest, (B, D): attention over the steps, fading with age."""
        decay = np.logaddexp(0, self._tower.weights["decay"]).astype(np.float32)
        logits = self._tower._linear("pool.", state)[..., 0] - decay * age
        weights = _softmax(np.where(there, logits, -np.inf).astype(np.float32))
        return np.asarray((weights[:, None, :] @ items)[:, 0], np.float32)


def _alike(members: list[int], rows: list[_Kept]) -> list[list[int]]:
    """Rows with something after the cut, and rows without."""
    on, done = ([i for i in members if bool(len(rows[i].after)) == more] for more in (True, False))
    return [group for group in (on, done) if group]


def _chains(rows: list[_Kept], m: int) -> tuple[Ints, Ints]:
    """Places of the steps after each cut and of the step before each, both (B, M)."""
    places, last = np.zeros((2, len(rows), m), np.int64)
    for row, one in enumerate(rows):
        chain = [one.start + one.n_before - 1, *one.after.tolist()]
        places[row, m - len(one.after) :] = chain[1:]
        last[row, m - len(one.after) :] = chain[:-1]
    return places, last


def _attend(q: Floats, k: Floats, v: Floats, bias: Floats) -> Floats:
    """What each step takes from those it sees: (B, M, H, D/H)."""
    logits = q @ k.transpose(0, 1, 3, 2) / np.float32(math.sqrt(q.shape[-1])) + bias
    return (_softmax(logits) @ v).transpose(0, 2, 1, 3)


def _repeat(x: Floats, n: int) -> Floats:
    return np.broadcast_to(x, (n, *x.shape))
