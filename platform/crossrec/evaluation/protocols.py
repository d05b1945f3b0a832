"""Judges a scoring function on the cases of a split: full catalogue, never sampled.

Leaves to others: making the cases (data/split.py), tables and peers (report.py, peers.py).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal, TypedDict, Unpack

import numpy as np
from numpy.typing import NDArray

from crossrec.data.batches import queries_for
from crossrec.data.split import Cases, Split, fingerprint
from crossrec.errors import DataError
from crossrec.evaluation import metrics
from crossrec.models.query import Queries

if TYPE_CHECKING:
    from scipy import sparse

Part = Literal["validation", "test"]
Task = Literal["rank", "rate", "classify"]
Score = Callable[[Queries], NDArray[np.float32]]
"""Queries → (B, N) scores; NaN where the model cannot score an item."""
ScoreCases = Callable[[NDArray[np.int64], Queries], NDArray[np.float32]]
"""The same of a model that knows the cases by number: rows of the part's cases, their queries."""
Watch = Callable[
    [
        NDArray[np.int64],
        NDArray[np.float32],
        NDArray[np.int64],
        NDArray[np.int64],
        NDArray[np.float32],
    ],
    None,
]
"""Told of every batch: rows of the part's cases, (B, N) scores with NaN for what is no candidate,
(B,) ranks of the targets, (B, k) best items, (B,) scores of the targets."""

_METRICS = {"recall": metrics.recall, "ndcg": metrics.ndcg, "mrr": metrics.reciprocal_rank}

_BATCH_CELLS = 8_000_000
"""Scores and history cells of one batch: about 32 MB in float32, a few times that in work."""


@dataclass(frozen=True)
class Evaluation:
    """Figures of one model on the cases of one part of a split."""

    protocol: str
    part: Part
    fingerprint: str
    """SHA-256 of the cases: figures with another one are not comparable."""
    n_items: int
    ks: tuple[int, ...]
    users: NDArray[np.int64] = field(repr=False)  # (n,) user_idx of each case
    ranks: NDArray[np.int64] = field(repr=False)  # (n,) rank of each case's target
    warm: NDArray[np.bool_] = field(repr=False)  # (n,) the target occurs in training
    coverage: dict[int, float]
    """k → share of the catalogue in all top-k lists."""
    task_figures: dict[str, float] = field(default_factory=dict)
    """Of the task `rate`: rmse and mae; of `classify`: accuracy and macro_f1; of requests with
    several right answers: set_ndcg@k, which counts them all; else empty."""

    @property
    def n(self) -> int:
        """Number of cases, one a user."""
        return len(self.ranks)

    def values(self, metric: str) -> NDArray[np.float64]:
        """(n,) value of `recall@k`, `ndcg@k` or `mrr@k` of each case, to compare case by case."""
        name, _, k = metric.partition("@")
        return _METRICS[name](self.ranks, int(k))

    def mean(self, metric: str) -> float:
        """Mean over the cases; NaN where there is none."""
        return _mean(self.values(metric))

    def interval(self, metric: str) -> tuple[float, float]:
        """95 % percentile bootstrap interval of the mean over users, always the same draws."""
        return metrics.bootstrap_interval(self.values(metric), np.random.default_rng(0))

    @property
    def names(self) -> list[str]:
        """All metrics: `recall@10`, `ndcg@10`, …"""
        return [f"{name}@{k}" for k in self.ks for name in _METRICS]

    def to_dict(self) -> dict[str, Any]:
        """Figures as plain numbers: all, warm and cold targets apart, spread, coverage.

        None where there is no figure (no case, or one only for a spread): NaN is no JSON.
        """
        spread = {name: metrics.standard_error(self.values(name)) for name in self.names}
        means = {name: self.mean(name) for name in self.names} | self.task_figures
        return {
            "protocol": self.protocol,
            "part": self.part,
            "fingerprint": self.fingerprint,
            "n": self.n,
            "n_items": self.n_items,
            "metrics": {name: known(value) for name, value in means.items()},
            "standard_error": {name: known(value) for name, value in spread.items()},
            "ci95": {name: [known(v) for v in self.interval(name)] for name in self.names},
            "warm": self._of(self.warm),
            "cold": self._of(~self.warm),
            "coverage": {f"coverage@{k}": v if self.n else None for k, v in self.coverage.items()},
        }

    def _of(self, cases: NDArray[np.bool_]) -> dict[str, float | int | None]:
        """Means over some of the cases, None where there is none, and their number."""
        n = int(cases.sum())
        means = {m: float(self.values(m)[cases].mean()) if n else None for m in self.names}
        return {"n": n, **means}


class Options(TypedDict, total=False):
    """How `judge` judges, each with a default of `judge_cases`."""

    ks: tuple[int, ...]
    """Lengths of the top list."""
    request_dim: int
    """Width E of the (empty) request vectors that the model is given."""
    requests: NDArray[np.float32] | None
    """(R, E) encoded request of each row of the sequences, where there are any."""
    task: Task
    """`rate` takes scores as ratings, `classify` the best item as the answer; both add their own
    figures to those of the ranking."""
    watch: Watch | None
    """Told of every batch, to keep more of the cases than their ranks (detail.py)."""


def judge(
    score: Score, split: Split, part: Part = "test", **options: Unpack[Options]
) -> Evaluation:
    """Rank the whole catalogue, less the user's history, for every case of `part`.

    The history is everything the user did before the target; ties count against the model. A
    target is warm if its item occurs in the training part.

    Args:
        score: the model.
        split: cases and catalogue.
        part: which cases.
        options: see `Options`.
    """
    return judge_cases(lambda rows, queries: score(queries), split, part, **options)


def judge_cases(
    score: ScoreCases,
    split: Split,
    part: Part = "test",
    *,
    ks: tuple[int, ...] = (10,),
    request_dim: int = 0,
    requests: NDArray[np.float32] | None = None,
    task: Task = "rank",
    watch: Watch | None = None,
) -> Evaluation:
    """The same for scores that were made elsewhere, case by case: see `judge`."""
    cases: Cases = getattr(split, part)
    targets = split.targets(cases)
    n_items = split.sequences.n_items
    ranks, own = np.zeros(len(cases), np.int64), np.zeros(len(cases), np.float32)
    top = np.full((len(cases), min(max(ks), n_items)), -1, np.int64)
    whole: dict[str, float] = {}  # sums over the cases so far
    for rows in _batches(cases, n_items):
        some = cases.take(rows)
        queries = queries_for(split.sequences, some, request_dim, requests=requests)
        scores = candidates_only(score(rows, queries), split, targets[rows], part)
        scores = restricted(scores, split, queries)
        ranks[rows] = metrics.ranks(scores, targets[rows], queries.items)
        own[rows] = scores[np.arange(len(rows)), targets[rows]]
        top[rows] = metrics.top_items(scores, queries.items, max(ks))
        if watch is not None:
            allowed = metrics.candidates(scores, queries.items)
            watch(rows, allowed, ranks[rows], top[rows], own[rows])
        for name, value in _of_all_answers(split, some, scores, queries, ks).items():
            whole[name] = whole.get(name, 0.0) + value / len(cases)
    return Evaluation(
        split.label,
        part,
        fingerprint(split, cases),
        n_items,
        ks,
        cases.users,
        ranks,
        split.warm[targets],
        {k: metrics.coverage(top[:, :k], n_items) for k in ks},
        _task_figures(task, split, cases, own, top[:, 0]) | whole,
    )


def _of_all_answers(
    split: Split,
    cases: Cases,
    scores: NDArray[np.float32],
    queries: Queries,
    ks: tuple[int, ...],
) -> dict[str, float]:
    """Sum over the cases of NDCG over all right answers, where requests have several."""
    if split.relevant is None:
        return {}
    rows = split.sequences.target_rows(cases)
    right = right_answers(split, rows).toarray() > 0
    values = {k: metrics.set_ndcg(scores, right, queries.items, k) for k in ks}
    return {f"set_ndcg@{k}": float(value.sum()) for k, value in values.items()}


def _task_figures(
    task: Task,
    split: Split,
    cases: Cases,
    own: NDArray[np.float32],
    best: NDArray[np.int64],
) -> dict[str, float]:
    """Figures of ratings (`own`: score of the target) or of labels (`best`: item scored best)."""
    if task == "rate":
        rows = split.sequences.target_rows(cases)
        given = split.sequences.ratings[rows]
        return {"rmse": metrics.rmse(own, given), "mae": metrics.mae(own, given)}
    if task == "classify":
        targets = split.targets(cases)
        return {
            "accuracy": _mean(np.asarray(best == targets, np.float64)),
            "macro_f1": metrics.macro_f1(best, targets),
        }
    return {}


def candidates_only(
    scores: NDArray[np.float32], split: Split, targets: NDArray[np.int32], part: Part
) -> NDArray[np.float32]:
    """Scores with NaN for items that are no candidates: of another pool than the target's, and at
    validation those that are late; unchanged where all are.
    """
    hidden = None
    if split.pools is not None:
        hidden = split.pools != split.pools[targets][:, None]
    if split.late is not None and part == "validation":
        hidden = split.late[None, :] if hidden is None else hidden | split.late
    return scores if hidden is None else np.where(hidden, np.float32(np.nan), scores)


def restricted(scores: NDArray[np.float32], split: Split, queries: Queries) -> NDArray[np.float32]:
    """Scores with NaN for items that the context of a query rules out (`Split.restrictions`).

    A field that is not known restricts nothing. A target that is ruled out stays the target, and
    counts as missed: in life it could not have been found.
    """
    for name, may in split.restrictions.items():
        codes = queries.context[name]
        known = ~np.isnan(codes)
        out = ~may[np.where(known, codes, 0).astype(np.int64)] & known[:, None]
        scores = np.where(out, np.float32(np.nan), scores)
    return scores


def right_answers(split: Split, rows: NDArray[np.int64]) -> sparse.csr_array:
    """(n, n_items) with ones at all items that are right for each of `rows`: its own, or all that
    satisfy its request.
    """
    from scipy import sparse

    if split.relevant is not None:
        return split.relevant[rows]
    shape = (len(rows), split.sequences.n_items)
    ends = np.arange(len(rows) + 1)
    ones = np.ones(len(rows), np.float32)
    return sparse.csr_array((ones, split.sequences.items[rows], ends), shape=shape)


def difference(ours: Evaluation, other: Evaluation, metric: str) -> tuple[float, float, float]:
    """Mean of ours minus the other's value, case by case, and its 95 % bootstrap interval.

    An interval above 0 says that ours is better by more than the noise of these users.

    Raises:
        DataError: the two were not made on the same cases.
    """
    if (ours.fingerprint, ours.part) != (other.fingerprint, other.part):
        raise DataError(
            f"cannot compare {ours.part} cases {ours.fingerprint[:12]} with {other.part} cases"
            f" {other.fingerprint[:12]}; expected the same split"
        )
    gap = ours.values(metric) - other.values(metric)
    low, high = metrics.bootstrap_interval(gap, np.random.default_rng(0))
    return _mean(gap), low, high


def _batches(cases: Cases, n_items: int) -> Iterator[NDArray[np.int64]]:
    """Rows of the cases in batches, short histories first so that little is padded."""
    order = np.argsort(cases.cuts, kind="stable")
    size = max(1, min(2048, _BATCH_CELLS // n_items))
    start = 0
    while start < len(order):
        rows = order[start : start + size]
        # The longest history of the batch decides its width: 8 cells of work each step.
        rows = rows[: max(1, _BATCH_CELLS // (8 * max(1, int(cases.cuts[rows].max()))))]
        yield rows
        start += len(rows)


def known(value: float) -> float | None:
    """The value, or None in place of NaN and infinity, which are no JSON."""
    return value if np.isfinite(value) else None


def _mean(values: NDArray[np.float64]) -> float:
    return float(values.mean()) if len(values) else float("nan")
