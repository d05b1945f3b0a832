"""What the cells say together: means over seeds, the best peer by validation, ratios of means
with intervals from one bootstrap over users, geometric means over domains.

Leaves to others: the cells (cells.py), tables and plots (report.py).
Sizes: n cases, K draws.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from crossrec.benchmark.cells import FUSION, MINE, Result
from crossrec.evaluation import peers
from crossrec.evaluation.protocols import Evaluation, Part, known

Floats = NDArray[np.float64]

MAIN = "ndcg@10"
N_DRAWS = 1000


@dataclass(frozen=True)
class Group:
    """All seeds of one model on one split of one domain, on equal cases unless seeds draw them."""

    domain: str
    split: str
    model: str
    results: tuple[Result, ...]

    def evaluations(self, part: Part = "test") -> list[Evaluation]:
        """One a seed."""
        return [result.evaluations[part] for result in self.results]

    def mean(self, metric: str = MAIN, part: Part = "test") -> float:
        """Mean over cases and seeds."""
        return float(np.mean([e.mean(metric) for e in self.evaluations(part)]))

    def values(self, metric: str = MAIN, kind: str = "all") -> Floats:
        """(n,) each test case's mean over the seeds; seeds with other cases follow each other.

        Args:
            kind: `all`, `warm` or `cold` targets.
        """
        tests = self.evaluations()
        masks = [{"all": np.ones(e.n, bool), "warm": e.warm, "cold": ~e.warm}[kind] for e in tests]
        per_seed = [e.values(metric)[mask] for e, mask in zip(tests, masks, strict=True)]
        same = len({e.fingerprint for e in tests}) == 1
        return np.mean(per_seed, axis=0) if same else np.concatenate(per_seed)

    @property
    def seeds(self) -> list[int]:
        """Its seeds."""
        return [result.cell.seed for result in self.results]

    @property
    def published(self) -> dict[str, Any] | None:
        """The figures published for that model on these very cases, if there are any."""
        first = self.evaluations()[0]  # whose protocol also says how candidates were restricted
        return peers.published(self.domain, first.protocol, first.fingerprint).get(self.model)


def groups(results: Iterable[Result]) -> list[Group]:
    """Results put together over seeds, in the order they come."""
    found: dict[tuple[str, str, str], list[Result]] = {}
    for result in results:
        cell = result.cell
        found.setdefault((cell.domain, cell.split, cell.model), []).append(result)
    return [Group(*names, tuple(of)) for names, of in found.items()]


def select(found: Sequence[Group], domain: str, split: str, model: str) -> Group | None:
    """That group, or None."""
    wanted = (domain, split, model)
    return next((g for g in found if (g.domain, g.split, g.model) == wanted), None)


def best_peer(
    found: Sequence[Group], domain: str, split: str, part: Part = "validation"
) -> Group | None:
    """The peer with the best NDCG@10 on validation, not the fusion; None without a peer.

    Args:
        part: `test` names the peer that turned out best, which nobody could have chosen: where
            validation is noisy, the one chosen may be far from it.
    """
    there = [g for g in found if (g.domain, g.split) == (domain, split)]
    rivals = [g for g in there if g.model not in (*MINE, FUSION)]
    return max(rivals, key=lambda group: group.mean(part=part), default=None)


@dataclass(frozen=True)
class Ratio:
    """A mean of ours over a mean of theirs, on the same cases."""

    domain: str
    split: str
    model: str
    """Which of ours."""
    metric: str
    kind: str
    ours: float
    theirs: float
    peer: str
    n: int
    value: float
    ci95: tuple[float, float]
    draws: Floats
    """(K,) the ratio in each draw of the users."""

    def summary(self) -> dict[str, Any]:
        """Plain values for JSON, without the draws; None for a ratio over 0."""
        plain = {name: value for name, value in vars(self).items() if name != "draws"}
        return plain | {"value": known(self.value), "ci95": [known(v) for v in self.ci95]}


def ratio(ours: Group, peer: Group, metric: str = MAIN, kind: str = "all") -> Ratio:
    """Ours over the peer's, with a paired 95 % percentile bootstrap interval over users.

    Each user counts with the mean of the seeds. Where the peer has fewer seeds than ours (it has
    no randomness), its one value stands for all of them.
    """
    ours, peer = _on_cases_of(ours, peer), _on_cases_of(peer, ours)
    mine, others = ours.values(metric, kind), peer.values(metric, kind)
    draws = ratio_draws(mine, others)
    low, high = interval(draws)
    return Ratio(
        ours.domain,
        ours.split,
        ours.model,
        metric,
        kind,
        _mean(mine),
        _mean(others),
        peer.model,
        len(mine),
        _over(_mean(mine), _mean(others)),
        (low, high),
        draws,
    )


def over_best_on_test(found: Sequence[Group], one: Ratio) -> Ratio | None:
    """The same figure over the peer that is best on test instead; None without ours or a peer."""
    ours = select(found, one.domain, one.split, one.model)
    best = best_peer(found, one.domain, one.split, "test")
    return None if ours is None or best is None else ratio(ours, best, one.metric, one.kind)


def _on_cases_of(group: Group, other: Group) -> Group:
    """Its seeds on cases that the other has too: where seeds draw the cases (`cold_items`) one of
    the two may have run fewer of them.
    """
    shared = {evaluation.fingerprint for evaluation in other.evaluations()}
    tests = zip(group.results, group.evaluations(), strict=True)
    return replace(group, results=tuple(r for r, e in tests if e.fingerprint in shared))


def geometric(ratios: Sequence[Ratio]) -> tuple[float, tuple[float, float]]:
    """Geometric mean over domains and its interval, users of each domain drawn on their own."""
    values = np.array([one.value for one in ratios])
    draws = np.exp(np.mean([np.log(np.maximum(one.draws, 1e-9)) for one in ratios], axis=0))
    return float(np.exp(np.log(np.maximum(values, 1e-9)).mean())), interval(draws)


def ratio_draws(mine: Floats, others: Floats) -> Floats:
    """Ratio of the means over the same draws of users, (K,)."""
    rng = np.random.default_rng(0)
    chunk = max(1, 1_000_000 // max(1, len(mine)))
    found = []
    for start in range(0, N_DRAWS, chunk):
        rows = rng.integers(len(mine), size=(min(chunk, N_DRAWS - start), len(mine)))
        top, bottom = mine[rows].mean(axis=1), others[rows].mean(axis=1)
        found.append(np.divide(top, bottom, out=np.full_like(top, np.inf), where=bottom > 0))
    return np.concatenate(found)


def interval(draws: Floats) -> tuple[float, float]:
    """The middle 95 % of the draws."""
    low, high = np.quantile(draws, [0.025, 0.975], method="nearest")
    return float(low), float(high)


def _mean(values: Floats) -> float:
    return float(values.mean()) if len(values) else float("nan")


def _over(top: float, bottom: float) -> float:
    return top / bottom if bottom else float("inf")
