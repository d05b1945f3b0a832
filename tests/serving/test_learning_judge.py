"""Weights judged on answers of other weights, against what they earn when they are really used."""

from __future__ import annotations

import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from crossrec import verbs
from crossrec.errors import ConfigError, DataError
from crossrec.evaluation.off_policy import Judgement, judge
from crossrec.serving.learning_judge import logged_answers
from crossrec.serving.learning_log import LearningLog
from crossrec.serving.messages import RecommendResponse
from tests.serving.learners import LEARNING, Shop, published, shop
from tests.small_release import SmallDomain

K = 3
N_ANSWERS = 600
RIGHT = ("inverse propensity", "self-normalised", "doubly robust")


def clicks(answer: RecommendResponse, rng: np.random.Generator) -> list[str]:
    """Somebody who looks at each position with its probability and clicks on what is cheap."""
    found = []
    for position, item in enumerate(answer.items, start=1):
        price = item.item.get("price") or 6.0
        if rng.random() < position**-0.5 / (1 + np.exp(0.5 * price - 1)):
            found.append(item.item_id)
    return found


def answered(town: Shop, n: int, **fields) -> float:
    """So many strangers are answered, and click; clicks an answer. Nothing they do changes what
    the next one is shown.
    """
    rng, total = np.random.default_rng(0), 0
    for number in range(n):
        answer = town.ask(None, k=K, **fields)
        for item_id in clicks(answer, rng):
            total += 1
            if not fields:
                town.send(f"visitor-{number}", item_id, answer.request_id)
    return total / n


@pytest.fixture
def town(films: SmallDomain, fresh_home: Path):
    found = shop(published(films, LEARNING.model_copy(update={"explore_share": 0.5})), fresh_home)
    found.learner.step()
    yield found
    for one in (found.learner, found.weights, found.notes, found.log):
        one.close()


def of(judgement: Judgement) -> dict[str, tuple[float, float, float]]:
    return {one.name: (one.low, one.value, one.high) for one in judgement.estimates}


def test_estimates_hold_what_weights_earn_when_they_are_used(town: Shop):
    earned = answered(town, N_ANSWERS)
    town.weights.close()
    log = LearningLog()
    shown = next(log.all("films"))
    arm = max(shown.arms.tolist())  # weighs price most
    weights = dict(zip(shown.objectives, arm, strict=True))
    really = answered(town, N_ANSWERS, objectives=weights)
    found = logged_answers(log, "films", ["click"], 0.0, lambda shown: weights)
    assert (found.n_answers, found.logged) == (N_ANSWERS, pytest.approx(earned))
    assert really > earned - 0.05  # the dearest lists are not what people want
    judged = judge(found.rounds, n_samples=300)
    for name in RIGHT:
        low, _, high = of(judged)[name]
        wide = (high - low) / 2  # what is explored is drawn anew: 95 % would fail now and then
        assert low - wide < really < high + wide, (name, low, really, high)
    assert judged.coverage == pytest.approx(1, abs=0.4)
    # the log's own policy, judged on itself, earned what it earned
    nowhere = logged_answers(log, "films", ["click"], 0.0, lambda shown: {"price": -3.0}).rounds
    assert judge(nowhere, n_samples=10).coverage < 0.9  # of which the log shows a part at most
    own = replace(found.rounds, chance=found.rounds.propensity)
    assert of(judge(own, n_samples=50))["inverse propensity"][1] == pytest.approx(earned)
    log.close()


def test_the_propensity_of_a_position_is_that_of_the_arms_that_agree_on_it(town: Shop):
    answered(town, 60)
    town.weights.close()
    log = LearningLog()
    rounds = logged_answers(log, "films", ["click"], 0.0, lambda shown: {}).rounds
    answers = list(log.all("films"))
    assert len(rounds.propensity) == K * len(answers)
    for n, shown in enumerate(answers):
        of_list = rounds.propensity[K * n : K * (n + 1)]
        assert (of_list >= shown.propensity - 1e-9).all()
        assert (of_list <= 1 + 1e-9).all()
    assert rounds.propensity.min() < 0.5
    log.close()


def test_the_verb_judges_weights_by_name_and_says_what_it_cannot(town: Shop):
    answered(town, 120)
    town.step()
    learned = verbs.judge("films", "learned")
    assert learned.log == "120 answers given while learning"
    assert verbs.judge("films", {"price": 1.0}).policy == "price=1"
    assert verbs.judge("films", "declared").judgement.n == 120 * K
    with pytest.raises(ConfigError, match="does not know 'prise': did you mean 'price'"):
        verbs.judge("films", {"prise": 1.0})
    with pytest.raises(ConfigError, match="no policy 'greedy'"):
        verbs.judge("films", "greedy")
    with pytest.raises(DataError, match="no answers of 'films' are kept"):
        verbs.judge("films", since=f"{time.strftime('%Y', time.gmtime(time.time() + 4e7))}-12-31")
