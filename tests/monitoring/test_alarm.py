"""The control chart: exact on small counts, quiet when nothing happens, loud in a burst."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest

from crossrec.monitoring.alarm import Rule, dispersion, judge_periods, upper_tails

RULE = Rule(window=14, false_alarms=0.001)


def test_tails_of_one_and_two_texts_by_hand() -> None:
    # a uniform share (hits + 1/2 = misses + 1/2 = 1): all counts of n are equally likely
    assert upper_tails(2, 0.5, 0.5) == pytest.approx(
        [1, float(Fraction(2, 3)), float(Fraction(1, 3))]
    )


def test_nothing_is_judged_before_enough_is_known() -> None:
    counts, hits = np.array([10, 10, 10, 10]), np.array([1, 1, 1, 10])
    judged = judge_periods(counts, hits, Rule(min_usual=30))
    assert [one.usual is None for one in judged] == [True, True, True, False]
    assert judged[3].alarm
    assert judged[3].usual == pytest.approx(0.1)


def test_a_period_with_few_texts_is_counted_but_not_judged() -> None:
    counts, hits = np.array([40, 3]), np.array([4, 3])
    judged = judge_periods(counts, hits, Rule(min_texts=5))
    assert judged[1].p_value is None
    assert not judged[1].alarm


def test_an_alarm_is_a_share_above_the_limit_and_a_small_chance() -> None:
    rng = np.random.default_rng(0)
    counts = rng.integers(5, 60, 300)
    hits = rng.binomial(counts, np.where(rng.random(300) < 0.1, 0.6, 0.2))
    judged = judge_periods(counts, hits, RULE)
    known = [(one, k / n) for one, n, k in zip(judged, counts, hits, strict=True) if one.p_value]
    assert any(one.alarm for one, _ in known)
    for one, share in known:
        assert one.alarm == (share > one.limit)
        assert one.alarm == (one.p_value <= RULE.false_alarms)


@pytest.mark.parametrize("share", [0.05, 0.25])
@pytest.mark.parametrize("size", [12, 60])
def test_false_alarms_are_as_rare_as_asked_for(share: float, size: int) -> None:
    rng = np.random.default_rng(1)
    rule = Rule(false_alarms=0.01)
    alarms = judged = 0
    for _ in range(60):
        counts = rng.poisson(size, 120)
        found = judge_periods(counts, rng.binomial(counts, share), rule)
        alarms += sum(one.alarm for one in found)
        judged += sum(one.p_value is not None for one in found)
    assert judged > 6000
    # at most what was asked for, and noise: three standard errors of 6,000 periods are .004
    assert alarms / judged <= 0.014


def test_shares_that_jump_about_by_themselves_raise_fewer_alarms_than_chance_alone_would(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    rng = np.random.default_rng(2)
    counts = np.full(2000, 60)
    hits = rng.binomial(counts, rng.beta(6, 18, 2000))  # three times the binomial's variance
    assert dispersion(counts[:100], hits[:100]) > 2

    def rate(window: int) -> float:
        rule = Rule(window=window, false_alarms=0.01)
        return float(np.mean([one.alarm for one in judge_periods(counts, hits, rule)]))

    known = [rate(14), rate(56)]
    monkeypatch.setattr("crossrec.monitoring.alarm.dispersion", lambda counts, hits: 1.0)
    assert known[0] < 0.4 * rate(14)
    assert known[1] < 0.03  # a long window knows how much they jump about


def test_a_burst_is_found_and_does_not_become_usual() -> None:
    rng = np.random.default_rng(3)
    counts = np.full(60, 50)
    hits = rng.binomial(counts, np.where((np.arange(60) >= 40) & (np.arange(60) < 45), 0.7, 0.2))
    judged = judge_periods(counts, hits, RULE)
    assert [i for i, one in enumerate(judged) if one.alarm] == [40, 41, 42, 43, 44]
    assert judged[45].usual == pytest.approx(0.2, abs=0.05)


def test_dispersion_by_hand() -> None:
    # expected 5, variance 2.5; (9 - 5)^2 + (1 - 5)^2 over 2.5, one degree of freedom
    assert dispersion(np.array([10, 10]), np.array([9, 1])) == pytest.approx(12.8)
    assert dispersion(np.array([10]), np.array([9])) == 1
