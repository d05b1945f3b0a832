"""Weights judged on answers of other weights, against what they earn when they are really used."""

from __future__ import annotations

import re
import time
from contextlib import closing
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import pytest

from crossrec import verbs
from crossrec.domains.spec import Learning
from crossrec.errors import ConfigError, DataError
from crossrec.evaluation.off_policy import Judgement, judge
from crossrec.ranking.learner import Belief
from crossrec.ranking.learner_policy import Feature, Frame
from crossrec.serving.feedback_log import FeedbackLog
from crossrec.serving.learning import DomainLearner
from crossrec.serving.learning_judge import logged_answers
from crossrec.serving.learning_log import LearningLog, ShownList
from crossrec.serving.learning_store import LearnerStore, ToLearn
from crossrec.serving.messages import FeedbackEvent, RecommendResponse
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


LOOKED = (0.7, 0.5)
"""Probability that the item at each position is clicked on, whatever it is."""
N_LEARNED, N_MOODS, N_DRAWS = 6, 12, 60
TO_LEARN = ToLearn(
    Frame(
        objectives=tuple(f"o{n}" for n in range(N_LEARNED)), declared=(0.0,) * N_LEARNED,
        relevance=1.0, within=4.0,
        features=tuple(Feature("mood", "value", float(n), str(n)) for n in range(N_MOODS)),
    ),
    Learning(within=4.0), interests=("click",), starts=True,
)  # fmt: skip
"""Many weights, that few choices are easily fitted with."""


def chance_answer(n: int, rng: np.random.Generator) -> ShownList:
    """An answer to a stranger: the list of one of many draws of weights, each as likely."""
    relevance, standings = 0.5 * rng.normal(size=6), rng.uniform(-1.7, 1.7, size=(6, N_LEARNED))
    arms = 2 * rng.normal(size=(N_DRAWS, N_LEARNED))
    arm = int(rng.integers(N_DRAWS))
    order = np.argsort(-(relevance + standings @ arms[arm]), kind="stable")
    return ShownList(
        request_id=f"request-{n}", user_id=None, at=time.time(), version=1, arm=arm,
        propensity=1 / N_DRAWS, objectives=list(TO_LEARN.frame.objectives),
        item_ids=[f"film-{row}" for row in order], n_shown=len(LOOKED), plain=True,
        relevance=relevance[order], standings=standings[order],
        features=[feature.name for feature in TO_LEARN.frame.features],
        context=np.eye(N_MOODS)[n % N_MOODS], arms=arms, share=1 / N_DRAWS, relevance_weight=1.0,
    )  # fmt: skip


def taught_by_chance(domain: str, seed: int) -> Belief:
    """What a learner believes after clicks that say nothing."""
    LearnerStore(domain).declare(TO_LEARN)
    rng = np.random.default_rng(seed)
    with (
        closing(LearningLog()) as notes,
        closing(FeedbackLog()) as feedback,
        closing(DomainLearner(domain, notes)) as learner,
    ):
        learner.step()
        for n in range(N_ANSWERS):
            shown = chance_answer(n, rng)
            notes.shown(domain, shown)
            for item_id, looked in zip(shown.item_ids, LOOKED, strict=False):
                if rng.random() < looked:
                    event = FeedbackEvent(
                        event_id=f"{n} {item_id}", user_id=f"visitor-{n}", item_id=item_id,
                        event="click", request_id=shown.request_id,
                    )  # fmt: skip
                    feedback.append(domain, [event])
    with closing(LearningLog()) as notes, closing(DomainLearner(domain, notes)) as learner:
        while learner.step():
            pass
    return LearnerStore(domain).state().belief


def weights_by(belief: Belief, shown: ShownList) -> dict[str, float]:
    return TO_LEARN.frame.weights(belief.mean, shown.context)


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


def test_what_chance_taught_is_judged_to_earn_what_chance_earns(fresh_home: Path):
    earns, judged, own = sum(LOOKED), [], []
    for seed in range(4):
        domain = f"town-{seed}"
        belief = taught_by_chance(domain, seed)
        found = verbs.judge(domain, "learned")
        assert re.fullmatch(
            r"300 answers given while learning, the later half; weights learned anew from 3\d\d"
            r" choices out of the earlier half",
            found.log,
        )
        judged += [of(found.judgement)[name] for name in RIGHT]
        with closing(LearningLog()) as log:
            all_answers = logged_answers(log, domain, ["click"], 0.0, partial(weights_by, belief))
        own += [of(judge(all_answers.rounds))[name] for name in RIGHT]
    assert not [low for low, _, _ in judged if low > earns]
    assert len([high for _, _, high in judged if high < earns]) <= 1  # of twelve, at 95 %
    # on what taught them, weights that chance taught would be said to be worth something
    assert len([low for low, _, _ in own if low > earns]) >= 4


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
    assert learned.log.startswith("60 answers given while learning, the later half; weights")
    assert learned.judgement.n == 60 * K
    assert verbs.judge("films", {"price": 1.0}).policy == "price=1"
    assert verbs.judge("films", "declared").judgement.n == 120 * K
    with pytest.raises(ConfigError, match="does not know 'prise': did you mean 'price'"):
        verbs.judge("films", {"prise": 1.0})
    with pytest.raises(ConfigError, match="no policy 'greedy'"):
        verbs.judge("films", "greedy")
    with pytest.raises(DataError, match="no answers of 'films' are kept"):
        verbs.judge("films", since=f"{time.strftime('%Y', time.gmtime(time.time() + 4e7))}-12-31")
