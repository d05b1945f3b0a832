"""Sets two evaluations of a domain beside each other, case by case.

Reads what `crossrec evaluate` kept (evaluation/saved.py), with numpy and SQLite alone. Leaves to
others: judging and keeping (evaluation/), messages (insight_messages.py), routes.
"""

from __future__ import annotations

import json
import sqlite3
from collections import Counter
from collections.abc import Callable
from contextlib import ExitStack, closing
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from crossrec.errors import ReleaseError, UnknownItemError
from crossrec.evaluation.metrics import (
    Floats,
    Ints,
    bootstrap_interval,
    interval_of,
    macro_f1_of_draws,
    ndcg,
    recall,
    reciprocal_rank,
    rmse_of_draws,
)
from crossrec.evaluation.saved import open_saved
from crossrec.serving.insight_messages import Comparison, ItemComparison, MetricGap

N_SHOWN = 15
MAX_CASES = 50
METRICS = {"ndcg@10": ndcg, "recall@10": recall, "mrr@10": reciprocal_rank}
OF_RATINGS = ("rmse", "mae")
MOVES = ("new in the first 10", "up", "same", "down", "out of the first 10")

Row = dict[str, Any]
Figures = dict[str, float | None]
"""Name → of one release over all its own cases."""
OfDraws = Callable[[Ints], Floats]
"""Figure of each draw of the cases, see `metrics.interval_of`."""
_CASES = "SELECT * FROM cases"


@dataclass(frozen=True)
class _Pairs:
    """Cases that both releases were judged on."""

    users: list[str]
    targets: list[str]
    lengths: list[int]
    a: NDArray[np.int64]  # (n,) ranks
    b: NDArray[np.int64]
    shared: NDArray[np.int64]  # (n,) items that both lists have
    best: NDArray[np.str_]  # (n, 2) first item of a's list, of b's
    errors: NDArray[np.float64]  # (n, 2) of the rating by a, by b; NaN where none was kept
    sizes: tuple[int, int]
    shown: tuple[Counter[str], Counter[str]]
    """Item id → in how many of the lists of these cases it is."""


def compare(domain: str, a: str, b: str) -> Comparison:
    """Release `b` against release `a` on their common users and targets.

    Raises:
        ReleaseError: one of them was never evaluated, or they were judged in different ways.
    """
    with ExitStack() as open_files:
        first, second = _open_alike(open_files, domain, a, b)
        figures = [_ours(database) for database in (first, second)]
        pairs = _pairs(first, second)
        titles = _titles(first) | _titles(second)
        items = _items(first, second, pairs)
    gain = ndcg(pairs.b, 10) - ndcg(pairs.a, 10)
    order = np.lexsort((pairs.a - pairs.b, gain))  # by gain, then by places
    return Comparison(
        domain=domain,
        a=a,
        b=b,
        n=len(pairs.users),
        n_a=pairs.sizes[0],
        n_b=pairs.sizes[1],
        metrics=_metrics(pairs, *figures) if pairs.users else [],
        overlap=[{"shared": k, "n": int((pairs.shared == k).sum())} for k in range(11)],
        moves=_moves(pairs),
        losers=_users(pairs, order[gain[order] < 0][:N_SHOWN], gain, titles),
        winners=_users(pairs, order[gain[order] > 0][::-1][:N_SHOWN], gain, titles),
        items=items,
    )


def compare_item(domain: str, a: str, b: str, item_id: str) -> ItemComparison:
    """One item in both releases.

    Raises:
        ReleaseError: one of them was never evaluated, or they were judged in different ways.
        UnknownItemError: neither knows the item.
    """
    with ExitStack() as open_files:
        first, second = _open_alike(open_files, domain, a, b)
        found = [_item(database, item_id) for database in (first, second)]
        pairs = _pairs(first, second)
    known = next((row for row in reversed(found) if row), None)
    if known is None:
        raise UnknownItemError(f"neither release of '{domain}' has an item '{item_id}'")
    own = [row for row, target in enumerate(pairs.targets) if target == item_id]
    cases = [
        {
            "user_id": pairs.users[row],
            "n_history": pairs.lengths[row],
            "rank_a": int(pairs.a[row]),
            "rank_b": int(pairs.b[row]),
        }
        for row in own
    ]
    return ItemComparison(
        item_id=item_id,
        title=known["title"],
        n_train=known["n_train"],
        shown_a=pairs.shown[0][item_id],
        shown_b=pairs.shown[1][item_id],
        n_targets=len(cases),
        hits_a=int((pairs.a[own] <= 10).sum()),
        hits_b=int((pairs.b[own] <= 10).sum()),
        cases=cases[:MAX_CASES],
    )


def _open_alike(
    open_files: ExitStack, domain: str, a: str, b: str
) -> tuple[sqlite3.Connection, sqlite3.Connection]:
    """Both evaluations, where their figures mean the same."""
    first, second = (_open(open_files, domain, version) for version in (a, b))
    ways = [_way(database) for database in (first, second)]
    if ways[0] != ways[1]:
        (one, data_one), (other, data_other) = ways
        raise ReleaseError(
            f"{a} of '{domain}' was judged by '{one}' on data {data_one[:12]}, {b} by '{other}' on"
            f" data {data_other[:12]}; choose two that agree in protocol and data"
        )
    return first, second


def _open(open_files: ExitStack, domain: str, version: str) -> sqlite3.Connection:
    database = open_files.enter_context(closing(open_saved(domain, version)))
    database.row_factory = sqlite3.Row
    return database


def _way(database: sqlite3.Connection) -> tuple[str, str]:
    """Protocol and data hash of an evaluation."""
    report = _report(database)
    return report["protocol"], report["data_hash"]


def _report(database: sqlite3.Connection) -> Row:
    text = database.execute("SELECT text FROM figures").fetchone()["text"]
    found: Row = json.loads(text)["report"]
    return found


def _ours(database: sqlite3.Connection) -> Figures:
    """Figures of the release itself, over all its cases; empty where the report has no row."""
    rows = _report(database).get("rows", [])
    return next((row["figures"] for row in rows if row["origin"] == "ours"), {})


def _pairs(first: sqlite3.Connection, second: sqlite3.Connection) -> _Pairs:
    before = {(row["user_id"], row["target"]): row for row in first.execute(_CASES)}
    users, targets, lengths, a, b, shared, best, errors = [], [], [], [], [], [], [], []
    shown: tuple[Counter[str], Counter[str]] = (Counter(), Counter())
    n_second = 0
    for row in second.execute(_CASES):
        n_second += 1
        own = before.get((row["user_id"], row["target"]))
        if own is None:
            continue
        users.append(row["user_id"])
        targets.append(row["target"])
        lengths.append(row["n_history"])
        a.append(own["rank"])
        b.append(row["rank"])
        tops = [json.loads(one["top"]) for one in (own, row)]
        shared.append(len({*tops[0]} & {*tops[1]}))
        best.append([top[0] if top else "" for top in tops])
        errors.append([_error(one) for one in (own, row)])
        for counts, top in zip(shown, tops, strict=True):
            counts.update(top)
    ranks_a, ranks_b, both = (np.array(column, np.int64) for column in (a, b, shared))
    sizes = (len(before), n_second)
    firsts = np.array(best, np.str_).reshape(-1, 2)
    off = np.array(errors, np.float64).reshape(-1, 2)
    return _Pairs(users, targets, lengths, ranks_a, ranks_b, both, firsts, off, sizes, shown)


def _error(case: sqlite3.Row) -> float:
    """By how much a rating was missed; NaN where the evaluation kept none: older ones have no such
    column, other tasks no such figure.
    """
    found = dict(case).get("error")
    return np.nan if found is None else float(found)


def _metrics(pairs: _Pairs, first: Figures, second: Figures) -> list[MetricGap]:
    """What belongs to the task of both first, then figures of the ranking.

    Args:
        pairs: their common cases.
        first, second: figures of each over all its own cases.
    """
    found = _of_ratings(pairs, first, second)
    if "accuracy" in first and "accuracy" in second:
        found += _of_labels(pairs)
    found += [
        _gap(name, metric(pairs.a, 10), metric(pairs.b, 10)) for name, metric in METRICS.items()
    ]
    return found


def _of_ratings(pairs: _Pairs, first: Figures, second: Figures) -> list[MetricGap]:
    """RMSE and MAE; where an evaluation kept no errors of single cases, as each was measured."""
    a, b = pairs.errors.T
    if not np.isnan(pairs.errors).any():
        rmse = _gap_of("rmse", partial(rmse_of_draws, a), partial(rmse_of_draws, b), len(a))
        return [rmse, _gap("mae", np.abs(a), np.abs(b))]
    both = [(name, first.get(name), second.get(name)) for name in OF_RATINGS]
    return [
        MetricGap(metric=name, a=one, b=other, gap=other - one)
        for name, one, other in both
        if one is not None and other is not None
    ]


def _of_labels(pairs: _Pairs) -> list[MetricGap]:
    """Macro-F1 and accuracy of the first item of each list."""
    targets = np.array(pairs.targets)
    _, codes = np.unique(np.column_stack([pairs.best, targets]), return_inverse=True)
    a, b, truth = codes.reshape(-1, 3).T
    first, second = (partial(macro_f1_of_draws, one, truth) for one in (a, b))
    hits = [(one == truth).astype(np.float64) for one in (a, b)]
    return [_gap_of("macro_f1", first, second, len(truth)), _gap("accuracy", *hits)]


def _gap_of(name: str, a: OfDraws, b: OfDraws, n: int) -> MetricGap:
    """Of a figure of all n cases together, such as an RMSE."""
    whole = np.arange(n)[None]
    one, other = float(a(whole)[0]), float(b(whole)[0])
    low, high = interval_of(lambda rows: b(rows) - a(rows), n, np.random.default_rng(0))
    return MetricGap(metric=name, a=one, b=other, gap=other - one, low=low, high=high)


def _gap(name: str, a: NDArray[np.float64], b: NDArray[np.float64]) -> MetricGap:
    """Of a metric of single cases: a, b: (n,)."""
    low, high = bootstrap_interval(b - a, np.random.default_rng(0))
    means = {"a": float(a.mean()), "b": float(b.mean()), "gap": float((b - a).mean())}
    return MetricGap(metric=name, **means, low=low, high=high)


def _moves(pairs: _Pairs) -> list[Row]:
    """What became of the target's rank, in words that are the rows of a chart."""
    into = (pairs.a > 10) & (pairs.b <= 10)
    out = (pairs.a <= 10) & (pairs.b > 10)
    rest = ~into & ~out
    counts = (
        into, rest & (pairs.b < pairs.a), pairs.a == pairs.b, rest & (pairs.b > pairs.a), out
    )  # fmt: skip
    return [{"move": name, "n": int(rows.sum())} for name, rows in zip(MOVES, counts, strict=True)]


def _users(
    pairs: _Pairs, rows: NDArray[np.int64], gain: NDArray[np.float64], titles: dict[str, str]
) -> list[Row]:
    return [
        {
            "user_id": pairs.users[row],
            "target": pairs.targets[row],
            "title": titles.get(pairs.targets[row], pairs.targets[row]),
            "n_history": pairs.lengths[row],
            "rank_a": int(pairs.a[row]),
            "rank_b": int(pairs.b[row]),
            "gain": float(gain[row]),
        }
        for row in rows
    ]


def _items(first: sqlite3.Connection, second: sqlite3.Connection, pairs: _Pairs) -> list[Row]:
    """Those whose number of places changed most, in both directions, over the common cases."""
    query = "SELECT item_id, title, n_train FROM items"
    known = {row["item_id"]: row for database in (first, second) for row in database.execute(query)}
    rows = [_changed(row, *(counts[i] for counts in pairs.shown)) for i, row in known.items()]
    rows.sort(key=lambda row: (-abs(row["change"]), row["item_id"]))
    return rows[: 2 * N_SHOWN]


def _changed(row: sqlite3.Row, a: int, b: int) -> Row:
    facts = {name: row[name] for name in ("item_id", "title", "n_train")}
    return {**facts, "shown_a": a, "shown_b": b, "change": b - a}


def _titles(database: sqlite3.Connection) -> dict[str, str]:
    return dict(map(tuple, database.execute("SELECT item_id, title FROM items")))


def _item(database: sqlite3.Connection, item_id: str) -> Row | None:
    row = database.execute("SELECT * FROM items WHERE item_id = ?", (item_id,)).fetchone()
    return dict(row) if row else None
