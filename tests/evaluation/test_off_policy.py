"""Ten rows worked by hand, properties, and the real logged propensities of `ads`."""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction

import numpy as np
import polars as pl
import pytest

from crossrec.config import mirror
from crossrec.errors import DataError
from crossrec.evaluation.logged import Exposures, chances, rates, read_exposures, rounds_of
from crossrec.evaluation.off_policy import ESTIMATORS, Rounds, judge

# Ten rounds of two actions, a and b: what was shown, its propensity, the reward. The policy that is
# judged shows a with 3/4; the model of rewards says 1/2 for a and 1/4 for b.
SHOWN = ["a", "b", "a", "a", "b", "b", "a", "b", "a", "b"]
PROPENSITY = [Fraction(1, 2)] * 6 + [Fraction(1, 4), Fraction(3, 4), Fraction(1, 4), Fraction(3, 4)]
REWARD = [1, 0, 0, 1, 1, 0, 1, 0, 0, 1]
CHANCE = {"a": Fraction(3, 4), "b": Fraction(1, 4)}
MODEL = {"a": Fraction(1, 2), "b": Fraction(1, 4)}
# weights: a 3/2 at 1/2 and 3 at 1/4; b 1/2 at 1/2 and 1/3 at 3/4
WEIGHTS = [Fraction(3, 2), Fraction(1, 2), Fraction(3, 2), Fraction(3, 2), Fraction(1, 2),
           Fraction(1, 2), Fraction(3), Fraction(1, 3), Fraction(3), Fraction(1, 3)]  # fmt: skip
# Σ w = 38/3; Σ w r = 3/2 + 3/2 + 1/2 + 3 + 1/3 = 41/6; Σ_a π q = 3/8 + 1/16 = 7/16
# Σ w q: of a (3/2 + 3/2 + 3/2 + 3 + 3) / 2 = 21/4, of b (3/2 + 2/3) / 4 = 13/24; together 139/24
BY_HAND = {
    "direct": Fraction(7, 16),
    "inverse propensity": Fraction(41, 60),
    "self-normalised": Fraction(41, 76),
    "doubly robust": Fraction(7, 16) + (Fraction(41, 6) - Fraction(139, 24)) / 10,
}


def ten_rows() -> Rounds:
    return Rounds(
        reward=np.array(REWARD, float),
        propensity=np.array([float(p) for p in PROPENSITY]),
        chance=np.array([float(CHANCE[a]) for a in SHOWN]),
        model_logged=np.array([float(MODEL[a]) for a in SHOWN]),
        model_policy=np.full(10, 7 / 16),
    )


def test_ten_rows_come_out_as_by_hand():
    rounds = ten_rows()
    assert rounds.ratio.tolist() == pytest.approx([float(w) for w in WEIGHTS])
    for name, estimator in ESTIMATORS.items():
        assert estimator(rounds, np.ones(10)) == pytest.approx(float(BY_HAND[name]), abs=1e-12)


def test_a_judgement_holds_the_estimates_within_their_intervals():
    found = judge(ten_rows(), n_samples=400)
    for one in found.estimates:
        assert one.value == pytest.approx(float(BY_HAND[one.name]))
        assert one.low <= one.value <= one.high
    squares = sum(w * w for w in WEIGHTS)
    assert found.effective_n == pytest.approx(float(sum(WEIGHTS) ** 2 / squares))
    assert found.coverage == pytest.approx(38 / 30)


def logging(n: int, rng: np.random.Generator) -> tuple[Exposures, np.ndarray, np.ndarray]:
    """A log of three items by an uneven policy, the true rates, and another policy."""
    truth, shown_by = np.array([0.1, 0.3, 0.6]), np.array([0.6, 0.3, 0.1])
    action = rng.choice(3, n, p=shown_by)
    reward = (rng.random(n) < truth[action]).astype(float)
    position = rng.integers(2, size=n)
    log = Exposures(action, position, reward, shown_by[action], ["a", "b", "c"])
    return log, truth, np.array([0.1, 0.2, 0.7])


def test_intervals_hold_the_truth_as_often_as_they_say():
    rng = np.random.default_rng(0)
    held = dict.fromkeys(["inverse propensity", "self-normalised", "doubly robust"], 0)
    for _ in range(60):
        log, truth, chance = logging(1500, rng)
        for one in judge(rounds_of(log, chance), n_samples=200).estimates:
            if one.name in held:
                held[one.name] += one.low <= truth @ chance <= one.high
    # 57 of 60 are expected; below 51 has a chance of about 1 in 300
    assert all(n >= 51 for n in held.values()), held


def test_doubly_robust_is_right_with_wrong_propensities_or_a_wrong_model_but_not_both():
    log, truth, chance = logging(200_000, np.random.default_rng(1))
    right = rounds_of(log, chance)
    ones = np.ones(len(log.action))
    no_model = replace(right, model_logged=0 * ones, model_policy=0 * ones)
    wrong = replace(right, propensity=0 * ones + 1 / 3)
    value = float(truth @ chance)
    estimate = ESTIMATORS["doubly robust"]
    assert estimate(no_model, ones) == pytest.approx(value, abs=0.02)
    assert estimate(wrong, ones) == pytest.approx(value, abs=0.02)
    both = replace(no_model, propensity=wrong.propensity)
    assert abs(estimate(both, ones) - value) > 0.1


def test_rounds_of_one_cluster_stand_or_fall_together():
    rounds = ten_rows()
    doubled = Rounds(*(np.repeat(getattr(rounds, name), 40) for name in (
        "reward", "propensity", "chance", "model_logged", "model_policy")))  # fmt: skip
    alone = judge(doubled, n_samples=300)
    together = judge(replace(doubled, cluster=np.repeat(np.arange(10), 40)), n_samples=300)
    for one, other in zip(alone.estimates[1:], together.estimates[1:], strict=True):
        assert other.high - other.low > 3 * (one.high - one.low)


def test_what_cannot_be_judged_is_said():
    rounds = ten_rows()
    with pytest.raises(DataError, match="no logged rounds"):
        Rounds(*[np.zeros(0)] * 5)
    with pytest.raises(DataError, match="a propensity is not within 0 and 1"):
        replace(rounds, propensity=rounds.propensity - 0.25)
    with pytest.raises(DataError, match="chance below 0"):
        replace(rounds, chance=-rounds.chance)
    with pytest.raises(DataError, match="not of the same rounds"):
        replace(rounds, chance=rounds.chance[:5])


def test_a_table_without_propensities_is_refused_by_name():
    table = pl.DataFrame({"item_id": ["a"], "timestamp": [1], "event": ["click"]})
    with pytest.raises(DataError, match="no column 'position'"):
        read_exposures(table, ["a"], "random", ["click"])


def test_popular_shows_more_of_what_was_taken_more_often():
    log, _, _ = logging(30_000, np.random.default_rng(2))
    found = chances("popular", log)
    assert found.sum() == pytest.approx(1)
    assert found[0] < found[1] < found[2]
    assert (np.diff(rates(log), axis=1) > 0).all()


@pytest.mark.mirror
def test_uniform_choice_is_estimated_from_the_log_of_another_policy():
    """What uniform choice earns in `ads` is known from a log of its own."""
    folder = mirror()
    assert folder is not None
    table = pl.read_parquet(folder / "ads" / "interactions.parquet")
    pool = [f"men:{n}" for n in range(34)]
    truth = read_exposures(table, pool, "random", ["click"])
    assert truth.propensity == pytest.approx(1 / 34, rel=1e-4)
    bts = read_exposures(table, pool, "bts", ["click"])
    found = judge(rounds_of(bts, chances("uniform", bts)), n_samples=300)
    mean = truth.reward.mean()
    error = np.sqrt(mean / len(truth.reward))
    for one in found.estimates[1:]:
        assert one.low - 2 * error < mean < one.high + 2 * error
    with pytest.raises(DataError, match="there are: bts, random"):
        read_exposures(table, pool, "greedy", ["click"])
