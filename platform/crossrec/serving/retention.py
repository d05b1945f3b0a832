"""Feedback is forgotten when it is older than an operator keeps it: at once, by a command, or every
hour by a running service, where `$CROSSREC_KEEP_FEEDBACK_DAYS` says how long.

Leaves to others: the tables (feedback_log.py, learning_log.py), the process that runs it
(learning_service.py).
"""

from __future__ import annotations

import logging
import math
import os
import time
from collections.abc import Callable
from contextlib import closing

from crossrec.errors import ConfigError
from crossrec.serving.feedback_log import FeedbackLog
from crossrec.serving.learning_log import kept_answers

log = logging.getLogger(__name__)

KEEP_FEEDBACK_DAYS = "CROSSREC_KEEP_FEEDBACK_DAYS"
DAY_S = 24 * 3600
EVERY_S = 3600.0
AGAIN_S = 60.0
"""After it failed, for the database may be away."""


def keep_feedback_days() -> float | None:
    """What the environment says; None: nothing, and feedback is kept.

    Raises:
        ConfigError: it is no number of days.
    """
    given = os.environ.get(KEEP_FEEDBACK_DAYS, "").strip()
    if not given:
        return None
    try:
        days = float(given)
    except ValueError:
        days = math.nan
    if not 0 < days < math.inf:
        raise ConfigError(
            f"got ${KEEP_FEEDBACK_DAYS}={given!r}; expected a number of days above 0, such as 90,"
            " or no such variable, to keep all feedback"
        )
    return days


def forget_before(moment: float, domain: str | None = None) -> int:
    """Forget events, and answers that were kept for learning from them; how many events.

    Args:
        moment: those that came before it, seconds since 1970.
        domain: of this one alone; None: of all.

    Raises:
        ServiceError: a log cannot be opened.
    """
    with kept_answers() as answers, closing(FeedbackLog()) as feedback:
        if answers is not None:
            answers.prune(moment, domain)
        return feedback.prune(moment, domain)


class Retention:
    """What a service does hourly; not for several threads.

    Args:
        days: to keep; None: all.
        clock: seconds since 1970.
    """

    def __init__(self, days: float | None, clock: Callable[[], float] = time.time) -> None:
        self._days, self._clock = days, clock
        self._due = -math.inf

    def step(self) -> int:
        """Forget what is too old, if it is time to; how many events. A failure is logged."""
        now = self._clock()
        if self._days is None or now < self._due:
            return 0
        try:
            n_events = forget_before(now - self._days * DAY_S)
        except Exception:
            self._due = now + AGAIN_S
            log.exception("feedback of more than %g days was not forgotten", self._days)
            return 0
        self._due = now + EVERY_S
        if n_events:
            log.info("forgot %d events of more than %g days", n_events, self._days)
        return n_events
