"""When a share rises beyond its usual range: a control chart of counts, exact for small ones.

Leaves to others: counting (report.py). Sizes: P periods, oldest first.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Ints = NDArray[np.int64]


@dataclass(frozen=True)
class Rule:
    """How the usual range is found, and when a share lies above it."""

    window: int = 14
    """Periods that make what is usual; those that raised an alarm are left out of them."""
    false_alarms: float = 0.001
    """Chance of an alarm in a period like the usual ones; fewer alarms, later ones."""
    min_texts: int = 5
    """A period with fewer texts is counted, and judged not."""
    min_usual: int = 30
    """Texts that the window must hold before anything is judged."""


@dataclass(frozen=True)
class Judgement:
    """One period beside those before it."""

    usual: float | None
    """Share in the window; None: too little to tell, and then nothing is judged."""
    limit: float | None
    """The highest share that raises no alarm in a period of so many texts."""
    p_value: float | None
    """Chance of so high a share, or a higher one, if all is as usual."""
    alarm: bool


NOT_JUDGED = Judgement(None, None, None, False)


def judge_periods(counts: Ints, hits: Ints, rule: Rule | None = None) -> list[Judgement]:
    """Each period's share of hits beside that of the `window` periods before it.

    Count k of n texts is compared with the predictive distribution of the window's counts K of N,
    a beta-binomial with a = K' + 1/2, b = N' - K' + 1/2 (Jeffreys): a binomial chart that knows
    how little it knows of the usual share. Shares that jump about more than chance count as less:
    K' = K / phi, N' = N / phi, and n, k are divided too, with phi >= 1 the window's dispersion
    (Pearson's X^2 over its degrees of freedom, McCullagh & Nelder 1989, sec. 4.5).

    Args:
        counts: (P,) texts of each period.
        hits: (P,) of them with the watched label.

    Returns:
        P judgements; a period with too few texts, or too little before it, is not judged.
    """
    rule = rule or Rule()
    window: deque[tuple[int, int]] = deque(maxlen=rule.window)
    judged = []
    for n, k in zip(counts.tolist(), hits.tolist(), strict=True):
        one = _judge(n, k, window, rule)
        judged.append(one)
        if n and not one.alarm:
            window.append((n, k))
    return judged


def _judge(n: int, k: int, window: deque[tuple[int, int]], rule: Rule) -> Judgement:
    total = sum(size for size, _ in window)
    if total < max(rule.min_usual, 1):
        return NOT_JUDGED
    found = sum(hit for _, hit in window)
    usual = found / total
    if n < rule.min_texts:
        return Judgement(usual, None, None, False)
    phi = dispersion(np.array([size for size, _ in window]), np.array([hit for _, hit in window]))
    tails = upper_tails(max(1, round(n / phi)), found / phi, (total - found) / phi)
    m = len(tails) - 1
    allowed = (
        int(np.argmax(tails <= rule.false_alarms)) - 1 if tails[-1] <= rule.false_alarms else m
    )
    p_value = float(tails[min(m, int(np.ceil(k * m / n)))])
    return Judgement(usual, allowed / m, p_value, k / n > allowed / m)


def upper_tails(n: int, hits: float, misses: float) -> NDArray[np.float64]:
    """P(X >= k) for k = 0..n, X of n after `hits` and `misses`, beta-binomial with Jeffreys' prior.

    >>> upper_tails(1, 1.5, 5.5).round(2).tolist()
    [1.0, 0.25]
    """
    from scipy.stats import betabinom

    below = betabinom.cdf(np.arange(n), n, hits + 0.5, misses + 0.5)
    return np.concatenate([[1.0], 1 - below])


def dispersion(counts: Ints, hits: Ints) -> float:
    """How much shares jump about beside chance, at least 1: Pearson's X^2 / (P - 1).

    >>> dispersion(np.array([10, 10, 10]), np.array([5, 5, 5]))
    1.0
    """
    share = hits.sum() / max(counts.sum(), 1)
    if len(counts) < 2 or not 0 < share < 1:
        return 1.0
    expected = counts * share
    squares = (hits - expected) ** 2 / (expected * (1 - share))
    return max(1.0, float(squares.sum() / (len(counts) - 1)))
