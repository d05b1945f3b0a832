"""The alarm on the dated tweets of finance_sentiment, by the labels that people gave them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import polars as pl
import pytest

from crossrec.monitoring.alarm import Judgement, Rule, judge_periods

pytestmark = pytest.mark.mirror


@pytest.fixture(scope="module")
def tweets(data_mirror: Path) -> tuple[np.ndarray, np.ndarray]:
    """Number of the day, and whether it is negative, of each tweet."""
    frame = pl.read_parquet(data_mirror / "finance_sentiment" / "examples.parquet")
    dated = frame.filter(pl.col("timestamp").is_not_null()).sort("timestamp")
    days = pl.from_epoch(dated["timestamp"]).dt.truncate("1d")
    return days.rank("dense").to_numpy() - 1, (dated["label"] == "negative").to_numpy()


def judge(days: np.ndarray, bad: np.ndarray, rule: Rule) -> list[Judgement]:
    return judge_periods(np.bincount(days), np.bincount(days, bad).astype(np.int64), rule)


def test_shuffled_tweets_raise_as_few_alarms_as_asked_for(tweets) -> None:
    days, bad = tweets
    rng, rule = np.random.default_rng(0), Rule(false_alarms=0.01)
    found = [one for _ in range(30) for one in judge(days, rng.permutation(bad), rule)]
    judged = [one for one in found if one.p_value is not None]
    assert len(judged) > 2000
    assert np.mean([one.alarm for one in judged]) <= 0.01  # 0.0065 of 2,920 when written


def test_a_burst_in_one_day_is_found_and_other_days_stay_quiet(tweets) -> None:
    days, bad = tweets
    rng, rule = np.random.default_rng(1), Rule(false_alarms=0.001)
    assert not any(one.alarm for one in judge(days, bad, rule))
    large = [day for day in range(20, 77, 3) if (days == day).sum() >= 10]
    found = []
    for day in large:
        burst = np.where(days == day, rng.random(len(days)) < 0.9, bad)
        alarms = [i for i, one in enumerate(judge(days, burst, rule)) if one.alarm]
        assert set(alarms) <= {day}
        found.append(day in alarms)
    assert np.mean(found) > 0.8
