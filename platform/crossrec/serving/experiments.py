"""Results of an experiment: what the users of each arm were answered, did, and how sure that is.

Leaves to others: counting (answer_log.py), what an event means (feedback.py), statistics
(evaluation/lift.py).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from crossrec.evaluation.lift import Responses, lift, lift_interval, rate_interval
from crossrec.serving.answer_log import NOBODY, Response
from crossrec.serving.feedback import Meaning
from crossrec.serving.live_messages import ArmResults
from crossrec.serving.traffic import CONTROL

IMPRESSION = "impression"


def results(
    responses: Sequence[Response], meaning: Callable[[str], Meaning], arms: Sequence[str] = ()
) -> list[ArmResults]:
    """One row an arm, `control` first.

    Args:
        responses: of all users of the experiment.
        meaning: event → what it says; see `FeedbackRules.meaning`.
        arms: names that have a row though nobody was answered by them.
    """
    others = sorted({one.arm for one in responses} | set(arms) - {CONTROL})
    names = [CONTROL, *(name for name in others if name != CONTROL)]
    control = _responses(responses, meaning, CONTROL)
    return [_row(responses, meaning, name, control) for name in names]


def _row(
    responses: Sequence[Response],
    meaning: Callable[[str], Meaning],
    arm: str,
    control: Responses,
) -> ArmResults:
    own = _responses(responses, meaning, arm)
    shown = sum(one.events.get(IMPRESSION, 0) for one in _users(responses, arm))
    nobody = [one for one in responses if one.arm == arm and one.user_id == NOBODY]
    n_answers = int(own.answers.sum())
    compared = arm != CONTROL
    return ArmResults(
        arm=arm,
        n_users=len(own.answers),
        n_answers=n_answers,
        n_anonymous=sum(one.n_answers for one in nobody),
        n_impressions=shown,
        n_positive=int(own.positives.sum()),
        rate=own.rate if n_answers else None,
        rate_ci95=rate_interval(own),
        lift=lift(own, control) if compared else None,
        lift_ci95=lift_interval(own, control) if compared else None,
    )


def _users(responses: Sequence[Response], arm: str) -> list[Response]:
    return [one for one in responses if one.arm == arm and one.user_id != NOBODY]


def _responses(
    responses: Sequence[Response], meaning: Callable[[str], Meaning], arm: str
) -> Responses:
    users = _users(responses, arm)
    positives = [
        sum(n for event, n in one.events.items() if meaning(event) == "interest") for one in users
    ]
    answers = [one.n_answers for one in users]
    return Responses(np.array(answers, np.int64), np.array(positives, np.int64))
