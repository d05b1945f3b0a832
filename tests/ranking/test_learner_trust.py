"""Who is believed: in a town of known tastes, with some who take what is worst."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from crossrec.ranking.learner import Belief, Choice
from crossrec.ranking.learner_trust import MAX_USERS, RANDOM_USERS, SLIPS, Trust
from tests.ranking.test_learner import choices, frame

TRUTH = np.array([1.0, 1.2, 0.6, 0.5])
BATCH = 25


def town(hostile_users: int) -> list[tuple[str, Choice]]:
    """2,000 choices of 800 people, among them ten of each hostile user, in any order."""
    rng = np.random.default_rng(3)
    said = [(f"guest-{rng.integers(800)}", one) for one in choices(2000, TRUTH, rng)]
    for n, one in enumerate(choices(10 * hostile_users, TRUTH, rng)):
        worst = replace(one, taken=int(one.standings.sum(axis=1).argmin()))
        said.insert(int(rng.integers(len(said))), (f"hostile-{n % hostile_users}", worst))
    return said


def weights(said: list[tuple[str, Choice]], trust: Trust | None) -> dict[str, float]:
    """Learned as the service does, the n-th choice of a user counting 1 / n."""
    prior = belief = frame().prior()
    counts: dict[str, int] = {}
    for start in range(0, len(said), BATCH):
        batch = []
        for user, one in said[start : start + BATCH]:
            counts[user] = counts.get(user, 0) + 1
            share = 1.0 if trust is None else trust.weigh(user, one, belief)
            batch.append(replace(one, weight=share / counts[user]))
        belief = belief.updated(batch, prior, 1e9)
    return frame().weights(belief.mean, np.zeros(0))


def moved(one: dict[str, float], other: dict[str, float]) -> float:
    return max(abs(one[name] - other[name]) for name in one)


def test_hostile_users_move_the_weights_by_a_third_of_what_they_would_and_honest_ones_are_heard():
    honest, mixed = town(0), town(8)  # one in a hundred users
    without = moved(weights(honest, None), weights(mixed, None))
    with_trust = moved(weights(honest, Trust()), weights(mixed, Trust()))
    assert with_trust < without / 3
    assert with_trust < 0.1
    assert moved(weights(honest, Trust()), weights(honest, None)) < 0.2


def test_who_makes_sense_for_long_is_not_believed_longer_than_anybody_else():
    rng = np.random.default_rng(5)
    belief = Belief(frame().prior().names, TRUTH, np.eye(4))
    sensible = [replace(one, taken=int((one.design() @ TRUTH).argmax())) for one in
                choices(30, TRUTH, rng)]  # fmt: skip
    worst = [replace(one, taken=int((one.design() @ TRUTH).argmin())) for one in
             choices(4, TRUTH, rng)]  # fmt: skip
    trust = Trust()
    for one in sensible:
        assert trust.weigh("patient", one, belief) > 0.5
    later = [trust.weigh("patient", one, belief) for one in worst]
    assert later == [Trust().weigh("new", worst[0], belief), *later[1:]]
    assert later == sorted(later, reverse=True)
    assert later[-1] < 0.01


def test_a_choice_as_likely_as_chance_leaves_everybody_where_they_were():
    flat = Belief(frame().prior().names, np.zeros(4), np.eye(4))
    one = choices(1, TRUTH, np.random.default_rng(1))[0]
    trust = Trust()
    found = [trust.weigh("somebody", one, flat) for _ in range(3)]
    np.testing.assert_allclose(found, (1 - SLIPS) * (1 - RANDOM_USERS))


def test_of_very_many_users_who_was_heard_longest_ago_is_forgotten(monkeypatch):
    monkeypatch.setattr("crossrec.ranking.learner_trust.MAX_USERS", 2)
    assert MAX_USERS > 2
    belief = Belief(frame().prior().names, TRUTH, np.eye(4))
    one = choices(1, TRUTH, np.random.default_rng(1))[0]
    worst = replace(one, taken=int((one.design() @ TRUTH).argmin()))
    trust = Trust()
    first = trust.weigh("a", worst, belief)
    assert trust.weigh("a", worst, belief) < first
    trust.weigh("b", worst, belief)
    trust.weigh("c", worst, belief)
    assert trust.weigh("a", worst, belief) == first
