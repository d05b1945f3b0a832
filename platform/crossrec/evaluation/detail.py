"""What an evaluation says beside its means: groups of users, exposure, calibration, single cases.

Leaves to others: judging (protocols.py), the table with peers (report.py), files (saved.py).
Sizes: n cases (one a user), N items, k places of a list.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from crossrec.data.split import Cases, Split
from crossrec.evaluation import metrics
from crossrec.evaluation.protocols import Part, Task

K = 10
MIN_GROUP = 20
"""Users of a group, at least, before anything is said of it: nobody is singled out."""
HEAD = 0.2
"""Share of the catalogue, the most popular first, that counts as its head."""
N_BINS = 10
N_POINTS = 50
N_GROUPS = 12
"""Groups of one trait, at most; what is beyond is put together."""
MERGED = "others"

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]


@dataclass
class CaseNotes:
    """Keeps of each case what `judge` forgets; give it to `judge` as `watch`."""

    n: int
    ranks: Ints = field(init=False)  # (n,)
    top: Ints = field(init=False)  # (n, K) item_idx, -1 where a list is shorter
    confidence: Floats = field(init=False)  # (n,) softmax of the scores, of the best candidate
    own: Floats = field(init=False)  # (n,) score of the target

    def __post_init__(self) -> None:
        self.ranks = np.zeros(self.n, np.int64)
        self.top = np.full((self.n, K), -1, np.int64)
        self.confidence = np.full(self.n, np.nan)
        self.own = np.full(self.n, np.nan)

    def __call__(
        self,
        rows: Ints,
        allowed: NDArray[np.float32],
        ranks: Ints,
        top: Ints,
        own: NDArray[np.float32],
    ) -> None:
        """One batch, see `protocols.Watch`."""
        self.ranks[rows] = ranks
        self.own[rows] = own
        self.top[rows, : min(K, top.shape[1])] = top[:, :K]
        best = np.nanmax(allowed, axis=1, keepdims=True)
        self.confidence[rows] = 1 / np.nansum(np.exp((allowed - best).astype(np.float64)), axis=1)


@dataclass(frozen=True)
class Detail:
    """One model on the cases of one part of a split, case by case and item by item."""

    users: list[str]  # (n,) user_id
    cuts: Ints  # (n,) interactions before the target
    targets: Ints  # (n,) item_idx
    warm: NDArray[np.bool_]  # (n,) the target occurs in training
    notes: CaseNotes
    n_train: Ints  # (N,) interactions of each item in training
    errors: Floats | None = None  # (n,) rating as predicted less as given; None: of no ratings

    @classmethod
    def of(cls, split: Split, part: Part, notes: CaseNotes, task: Task = "rank") -> Detail:
        """What was noted, with what the split says of the same cases."""
        cases: Cases = getattr(split, part)
        sequences, targets = split.sequences, split.targets(cases).astype(np.int64)
        return cls(
            [sequences.user_ids[user] for user in cases.users],
            np.asarray(cases.cuts, np.int64),
            targets,
            split.warm[targets],
            notes,
            np.bincount(sequences.items[split.train], minlength=sequences.n_items),
            notes.own - sequences.ratings[sequences.target_rows(cases)] if task == "rate" else None,
        )

    @property
    def ranks(self) -> Ints:
        """(n,) rank of each case's target."""
        return self.notes.ranks

    @property
    def shown(self) -> Ints:
        """(N,) in how many lists each item is."""
        top = self.notes.top
        return np.bincount(top[top >= 0], minlength=len(self.n_train))


def figures(detail: Detail, traits: dict[str, list[str]], providers: list[str]) -> dict[str, Any]:
    """Everything that can be said of groups, JSON-able; no user is in it.

    Args:
        detail: the cases.
        traits: of users, for an audit: name → value of each case.
        providers: of each item, empty where it has none.
    """
    return {
        "min_group": MIN_GROUP,
        "groups": [
            *(one | {"audit": False} for one in groups(detail, "history", _lengths(detail.cuts))),
            *(
                one | {"audit": True}
                for name, values in traits.items()
                for one in groups(detail, name, values)
            ),
        ],
        "popularity": popularity_curve(detail),
        "calibration": calibration(detail),
        "providers": exposure(detail, providers),
    }


def groups(detail: Detail, trait: str, values: list[str]) -> list[dict[str, Any]]:
    """Metrics of each group of users with 95 % bootstrap intervals, and the gap to all others.

    Groups of less than `MIN_GROUP` users are put together; where even that is too small, the
    smallest of the others joins them, so that no difference of sums tells of a few.
    """
    found = []
    head = _head(detail.n_train)
    for value, rows in _large_enough(values):
        top = detail.notes.top[rows]
        of_head = head[top[top >= 0]]
        measured: dict[str, Any] = {}
        for name, cases in (
            (f"ndcg@{K}", metrics.ndcg(detail.ranks, K)),
            (f"recall@{K}", metrics.recall(detail.ranks, K)),
        ):
            measured[name] = _spread(cases[rows])
            measured[f"{name}_gap"] = _gap(cases[rows], cases[~rows])
        found.append(
            {
                "trait": trait,
                "value": value,
                "n": int(rows.sum()),
                "cold": float((~detail.warm[rows]).mean()),
                "head_share": float(of_head.mean()) if len(of_head) else None,
                f"coverage@{K}": metrics.coverage(top, len(detail.n_train)),
                **measured,
            }
        )
    return found


def _large_enough(values: list[str]) -> list[tuple[str, NDArray[np.bool_]]]:
    """Value → cases that have it, (n,), in the order of the values; small groups together.

    >>> [(name, int(rows.sum())) for name, rows in _large_enough(["a"] * 30 + ["b"] * 25 + ["c"])]
    [('a', 30), ('others', 26)]
    """
    array = np.array(values, dtype=object)
    names, counts = np.unique(array, return_counts=True)
    by_size = sorted(zip(counts.tolist(), names.tolist(), strict=True))
    merged: list[str] = []
    n_merged = 0
    while by_size and (
        by_size[0][0] < MIN_GROUP or len(by_size) >= N_GROUPS or 0 < n_merged < MIN_GROUP
    ):
        count, name = by_size.pop(0)
        merged.append(name)
        n_merged += count
    kept = sorted((name for _, name in by_size), key=_natural)
    found = [(str(name), np.asarray(array == name, np.bool_)) for name in kept]
    if n_merged >= MIN_GROUP:
        found.append((MERGED, np.isin(array, merged)))
    return found


def _natural(name: str) -> tuple[float, int, str]:
    """Numbers by size, words after them.

    >>> sorted(["f", "above 31", "7 to 25", "up to 7", "25 to 31"], key=_natural)
    ['up to 7', '7 to 25', '25 to 31', 'above 31', 'f']
    """
    found = re.match(r"(up to |above |)(-?\d+(?:\.\d+)?)", name)
    if found is None:
        return np.inf, 0, name
    return float(found[2]), ("up to ", "", "above ").index(found[1]), name


def _spread(values: Floats) -> list[float]:
    low, high = metrics.bootstrap_interval(values, np.random.default_rng(0))
    return [float(values.mean()), low, high]


def _gap(own: Floats, others: Floats) -> list[float] | None:
    """Mean less that of all others, with the normal 95 % interval by their pooled deviation.

    As in Student's test of two means: a small group's own deviation is a poor guess, 0 where all
    its cases came out alike, which would make almost any gap of it more than noise.
    """
    if not len(others):
        return None
    gap = float(own.mean() - others.mean())
    squares = len(own) * own.var() + len(others) * others.var()
    deviation = np.sqrt(squares / max(1, len(own) + len(others) - 2))
    return _within(gap, float(deviation * np.sqrt(1 / len(own) + 1 / len(others))))


def _within(value: float, error: float) -> list[float]:
    """A figure with its normal 95 % interval."""
    return [value, value - 1.96 * error, value + 1.96 * error]


def _lengths(cuts: Ints) -> list[str]:
    """Lengths of histories in bins that double, named so that they sort."""
    names = []
    for cut in cuts.tolist():
        power = max(0, int(cut).bit_length() - 1)
        low = 2**power if cut else 0
        names.append(f"{low:04d}-{max(1, 2 * low - 1):04d}" if cut else "0000")
    return names


def _head(n_train: Ints) -> NDArray[np.bool_]:
    """(N,) whether an item is among the most popular `HEAD` of the catalogue."""
    head = np.zeros(len(n_train), np.bool_)
    head[np.argsort(-n_train, kind="stable")[: max(1, round(HEAD * len(n_train)))]] = True
    return head


def popularity_curve(detail: Detail) -> list[dict[str, float]]:
    """Items by popularity: share of the catalogue, of all training interactions, of all places.

    A list that follows demand lies on the curve of interactions; above it the popular are shown
    more than they were ever asked for.
    """
    order = np.argsort(-detail.n_train, kind="stable")
    n = len(order)
    ends = np.unique(np.linspace(0, n, min(n, N_POINTS) + 1).round().astype(int))
    curves = {
        name: np.append(0.0, np.cumsum(counts[order]) / max(1, counts.sum()))[ends]
        for name, counts in (("interactions", detail.n_train), ("shown", detail.shown))
    }
    return [
        {"items": float(end / n), **{name: float(c[row]) for name, c in curves.items()}}
        for row, end in enumerate(ends)
    ]


def calibration(detail: Detail) -> list[dict[str, float]]:
    """How often the best item was right, against how sure the scores were of it.

    Cases by the softmax probability of their best candidate, in bins of equal size.
    Source: Guo et al. 2017, section 2, with bins of equal size in place of equal width.
    """
    sure = detail.notes.confidence
    rows = np.argsort(sure, kind="stable")
    rows = rows[np.isfinite(sure[rows])]
    right = detail.ranks == 1
    return [
        {
            "n": len(part),
            "predicted": float(sure[part].mean()),
            "observed": float(right[part].mean()),
            "error": float(np.sqrt(right[part].var() / len(part))),
        }
        for part in np.array_split(rows, max(1, min(N_BINS, len(rows) // MIN_GROUP)))
        if len(part)
    ]


def exposure(detail: Detail, providers: list[str]) -> list[dict[str, Any]]:
    """Providers of items: share of the catalogue, of training, of places in lists; largest first.

    A gap above 0: shown more than asked for in training; with its 95 % interval over the users
    whose lists were counted. Providers beyond the largest 30 go as one.
    """
    counts: dict[str, list[int]] = {}
    columns = (np.ones(len(providers), np.int64), detail.n_train, detail.shown)
    totals = [max(1, int(column.sum())) for column in columns]
    for item_idx, name in enumerate(providers):
        sums = counts.setdefault(name, [0, 0, 0])
        for position, column in enumerate(columns):
            sums[position] += int(column[item_idx])
    ranked = sorted(counts, key=lambda name: (name == "", -counts[name][1], name))
    shown, rest = ranked[:30], ranked[30:]
    rows = [(name, counts[name]) for name in shown]
    if rest:
        sums = [sum(counts[name][position] for name in rest) for position in range(3)]
        rows.append((MERGED, sums))
    row_of = {name: row for row, (name, _) in enumerate(rows)}
    codes = np.array([row_of.get(name, row_of.get(MERGED, 0)) for name in providers], np.int64)
    errors = _share_errors(detail.notes.top, codes, len(rows))
    return [
        {
            "provider": name,
            "n_items": sums[0],
            "catalogue": sums[0] / totals[0],
            "interactions": sums[1] / totals[1],
            "shown": sums[2] / totals[2],
            "gap": _within(sums[2] / totals[2] - sums[1] / totals[1], error),
        }
        for (name, sums), error in zip(rows, errors.tolist(), strict=True)
    ]


def _share_errors(top: Ints, codes: Ints, n_codes: int) -> Floats:
    """(n_codes,) standard error of each code's share of the places in lists, over users: places of
    one list go together. Source: ratio estimator, Cochran 1977, section 6.
    """
    users, places = np.nonzero(top >= 0)
    cells = users * n_codes + codes[top[users, places]]
    counts = np.bincount(cells, minlength=len(top) * n_codes).reshape(len(top), n_codes)
    lengths = counts.sum(axis=1, keepdims=True)
    n_places = max(1, int(lengths.sum()))
    rest = counts - lengths * (counts.sum(axis=0) / n_places)
    spare = len(top) / max(1, len(top) - 1)
    return np.asarray(np.sqrt(spare * (rest**2).sum(axis=0)) / n_places, np.float64)
