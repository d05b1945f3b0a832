"""Judges weights off-line, on answers given with learned ones and what was done with them.

A list is judged position by position (the item-position model of Li et al., KDD 2018): the log's
propensity of an item at a position is that of all arms that would have put it there, known
exactly, for arms are few and drawn. What was not noted of an answer, below its best candidates,
cannot be judged. What was fitted to choices looks better on them than it is, so what is learned is
learned anew from a part of the answers, and judged on others. Leaves to others: the estimators
(evaluation/off_policy.py), what events say (learning_choices.py).
Sizes: S noted candidates, k of them shown, M arms, D objectives.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from crossrec.errors import DataError
from crossrec.evaluation.off_policy import Rounds
from crossrec.ranking.learner import Belief
from crossrec.serving.learning_choices import BATCH, ChoiceReader
from crossrec.serving.learning_log import Heard, LearningLog, ShownList
from crossrec.serving.learning_store import ToLearn

Wide = NDArray[np.float64]
WeightsOf = Callable[[ShownList], dict[str, float]]
"""What a policy weighs objectives by, for the context of an answer."""

N_FOLDS = 5
RIDGE = 1.0


@dataclass(frozen=True)
class LoggedAnswers:
    """Rounds of a log, with what a policy would have done."""

    rounds: Rounds
    """One a position of an answer; rewards are choices times the mean length of a list, so that
    estimates are choices an answer."""
    n_answers: int
    logged: float
    """Choices an answer in the log."""


def logged_answers(
    log: LearningLog, domain: str, interests: Iterable[str], since: float, weights_of: WeightsOf
) -> LoggedAnswers:
    """The answers of a domain, with what was chosen and what a policy would have shown.

    Answers with pins, limits or list-wise objectives are left out: their order is not that of
    scores.

    Args:
        interests: events that are a choice.
        since: seconds since 1970.

    Raises:
        DataError: no answer is kept.
    """
    chosen = _chosen(log, domain, set(interests), since)
    answers = [one for one in log.all(domain, since) if one.plain and one.n_shown]
    if not answers:
        raise DataError(
            f"no answers of '{domain}' are kept that a policy could be judged on; they are while"
            f" its learner learns: crossrec learner trial {domain}"
        )
    parts = [_positions(one, weights_of(one), chosen) for one in answers]
    reward, propensity, chance, shown, picked = (
        np.concatenate([part[n] for part in parts]) for n in range(5)
    )
    length = np.array([one.n_shown for one in answers])
    folds = np.repeat(np.arange(len(answers)) % N_FOLDS, length)
    model_logged, model_policy = _modelled(reward, shown, picked, folds)
    scale = len(reward) / len(answers)
    users = np.unique([one.user_id or one.request_id for one in answers], return_inverse=True)[1]
    rounds = Rounds(
        reward=reward * scale,
        propensity=propensity,
        chance=chance,
        model_logged=model_logged * scale,
        model_policy=model_policy * scale,
        cluster=np.repeat(users, length),
    )
    return LoggedAnswers(rounds, len(answers), float(reward.sum() / len(answers)))


@dataclass(frozen=True)
class Relearned:
    """What a learner believes after a part of the answers."""

    belief: Belief
    n_choices: int


def relearned(
    log: LearningLog, domain: str, to_learn: ToLearn, salt: str, since: float, until: float
) -> Relearned:
    """What a learner makes of the choices out of the answers of a span, from the declared weights.

    Args:
        salt: of the keys that users go by.
        since: seconds since 1970.
        until: likewise; answers given then or later say nothing.
    """
    reader = ChoiceReader(domain, log, to_learn, salt, (since, until))
    prior, n_choices = to_learn.frame.prior(), 0
    belief = prior
    for events in _pages(log, domain, since):
        choices = reader.read(events, belief).choices
        belief = belief.updated(choices, prior, to_learn.learning.half_life)
        n_choices += len(choices)
    return Relearned(belief, n_choices)


def _pages(log: LearningLog, domain: str, since: float) -> Iterator[list[Heard]]:
    """Events that came at `since` or later, as a learner reads them."""
    row = log.row_before(domain, since)
    while events := log.heard(domain, row, BATCH):
        yield events
        row = events[-1].row


def _chosen(
    log: LearningLog, domain: str, interests: set[str], since: float
) -> dict[str, set[tuple[str, str]]]:
    """Request → (user, item) of choices."""
    found: dict[str, set[tuple[str, str]]] = {}
    for request_id, user_id, item_id, event in log.events_of_requests(domain, since):
        if event in interests:
            found.setdefault(request_id, set()).add((user_id, item_id))
    return found


def _positions(
    one: ShownList, weights: dict[str, float], chosen: dict[str, set[tuple[str, str]]]
) -> tuple[Wide, Wide, Wide, Wide, Wide]:
    """Of each position: reward, propensity, chance (k,), features of the item that was shown there
    and of the one that the policy would show (k, 2 + D).
    """
    k = one.n_shown
    took = {
        item
        for user, item in chosen.get(one.request_id, ())
        if one.user_id is None or user == one.user_id
    }
    reward = np.array([float(item in took) for item in one.item_ids[:k]])
    n_arms = len(one.arms)
    of_arm = np.full(n_arms, one.share)
    of_arm[0] = 1 - (n_arms - 1) * one.share
    if one.arm == 0 and one.propensity == 1.0:  # exploring was out of the question
        of_arm = np.eye(n_arms)[0]
    scores = one.relevance_weight * one.relevance + one.arms @ one.standings.T  # (M, S)
    lists = np.argsort(-scores, axis=1, kind="stable")[:, :k]
    lists[one.arm] = np.arange(k)  # as it was, whatever rounding says
    propensity = of_arm @ (lists == np.arange(k))
    own = np.array([weights.get(name, 0.0) for name in one.objectives])
    wanted = one.relevance_weight * one.relevance + one.standings @ own
    picked = np.argsort(-wanted, kind="stable")[:k]
    features = np.column_stack([one.relevance, one.standings])
    position = -np.log(np.arange(1, k + 1))[:, None]
    chance = (picked == np.arange(k)).astype(np.float64)
    shown = np.column_stack([position, features[:k]])
    return reward, propensity, chance, shown, np.column_stack([position, features[picked]])


def _modelled(
    reward: Wide, shown: Wide, picked: Wide, fold: NDArray[np.int64]
) -> tuple[Wide, Wide]:
    """Ridge regression of rewards on position, relevance and standings, on other folds' answers."""
    logged, policy = np.zeros(len(reward)), np.zeros(len(reward))
    for number in range(N_FOLDS):
        other, own = fold != number, fold == number
        design = np.column_stack([np.ones(other.sum()), shown[other]])
        penalty = RIDGE * np.eye(design.shape[1])
        fitted = np.linalg.solve(design.T @ design + penalty, design.T @ reward[other])
        for target, features in ((logged, shown), (policy, picked)):
            target[own] = np.clip(fitted[0] + features[own] @ fitted[1:], 0.0, 1.0)
    return logged, policy
