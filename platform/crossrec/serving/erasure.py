"""Erases a user: feedback, stored history and identity, and says what stays in trained weights.

Only ever by the exact id. Leaves to others: each place itself (feedback_log.py,
releases/forgetting.py, data/forgetting.py), who may ask for it (gateway.py).
"""

from __future__ import annotations

import json
import logging
import subprocess
import sys
import time

from crossrec.config import home
from crossrec.data.locks import only_one
from crossrec.data.pseudonyms import UserKey, UserKeys
from crossrec.errors import ReleaseError, ServiceError
from crossrec.evaluation.saved import forget as forget_cases
from crossrec.releases.forgetting import forget_user, trained_with
from crossrec.releases.store import ReleaseStore
from crossrec.serving.answer_log import FLUSH_S
from crossrec.serving.audit import AuditLog
from crossrec.serving.feedback_log import Erasure, FeedbackLog
from crossrec.serving.learning_log import kept_answers
from crossrec.serving.learning_store import LearnerStore
from crossrec.serving.messages import ErasureResponse

log = logging.getLogger(__name__)

DATA_TIMEOUT_S = 300.0
LATE_S = 2 * FLUSH_S
"""How long a replica may still hold, and then write, that it answered a user before the erasure."""
FORGET_DATA = [sys.executable, "-m", "crossrec.data.forgetting"]


class Erasures:
    """Who was erased from one domain; the first word on it is the log's, which all replicas read.

    Args:
        domain: its name.
        log: where erasures are remembered, by a keyed hash.
        store: the releases.
        users: the key.
    """

    def __init__(
        self, domain: str, log: FeedbackLog, store: ReleaseStore, users: UserKeys | None = None
    ) -> None:
        self._domain, self._log, self._store = domain, log, store
        self._users = users or UserKeys()

    def hides(self, user_id: str) -> bool:
        """Whether what a release holds of a user may not be read any more.

        Feedback sent after the erasure is not hidden: somebody may come back.
        """
        key = self._users.read()
        return key is not None and bool(self._known(key, user_id))

    def _known(self, key: UserKey, user_id: str) -> list[Erasure]:
        """What is remembered of a user, under the id or under the pseudonym."""
        found = (self._log.erased(self._domain, one) for one in sorted(key.digests(user_id)))
        return [one for one in found if one is not None]

    def erase(self, user_id: str) -> ErasureResponse:
        """Erase a user; may be done again, which then finds what is left.

        The logs come first: from then on no replica shows anything. Then the releases and the
        imported data on this machine's disk are rewritten, one erasure of a domain at a time.

        Args:
            user_id: as callers say it; where pseudonyms are kept, what is older may still hold it,
                so both are erased.

        Raises:
            ServiceError: (503) a place could not be changed; what was done before stays done.
            ReleaseError: releases are damaged; everything else was cleaned.
        """
        key = self._users.make()
        names = sorted({user_id, key.inside(user_id)})
        digest = key.digest(key.inside(user_id))
        self._forget_answers(names)  # the log knows which events were theirs, until it forgets
        n_events = sum(self._log.erase(self._domain, name, digest, []) for name in names)
        erased_at = time.monotonic()
        cleaned: list[str] = []
        damaged: ReleaseError | None = None
        with only_one(self._store.root, self._domain):
            self._log.note(self._domain, digest, trained_with(self._store, self._domain, *names))
            try:
                cleaned = forget_user(self._store, self._domain, *names)
            except ReleaseError as err:
                damaged = err
        tables = self._forget_data(names)
        if n_cases := forget_cases(self._domain, *names):
            tables["evaluations"] = n_cases
        time.sleep(max(0.0, erased_at + LATE_S - time.monotonic()))
        self._forget_late(names)
        AuditLog().write("user erased", domain=self._domain, n_events=n_events)
        if damaged is not None:
            raise damaged
        trained = {version for one in self._known(key, user_id) for version in one.releases}
        still = [one.version for one in self._store.list(self._domain) if one.version in trained]
        return ErasureResponse(
            domain=self._domain,
            n_events=n_events,
            tables=tables,
            releases=cleaned,
            trained_with=still,
            remains=_remains(still, self._domain, self._has_learned()),
        )

    def _has_learned(self) -> bool:
        """Whether weights were learned online that hold; nobody can tell by whose choices. Of a
        state that cannot be read it is to be feared.
        """
        try:
            state = LearnerStore(self._domain).state()
        except (OSError, ValueError, KeyError, TypeError):
            log.exception("the state of the learner of '%s' cannot be read", self._domain)
            return True
        return state is not None and state.moved

    def _forget_answers(self, user_ids: list[str]) -> None:
        with kept_answers() as answers:
            if answers is None:
                return
            for user_id in user_ids:
                answers.erase(self._domain, user_id)

    def _forget_late(self, user_ids: list[str]) -> None:
        """What was on its way to the logs when the user was erased from them."""
        self._forget_answers(user_ids)
        for user_id in user_ids:
            self._log.erase_counts(self._domain, user_id)

    def _forget_data(self, user_ids: list[str]) -> dict[str, int]:
        """In a process of its own, for it needs libraries that a replica has no room for."""
        places = [*(home() / "data").glob(f"{self._domain}*")]
        if not [*places, *(home() / "feedback").glob(f"{self._domain}.parquet")]:
            return {}
        asked = json.dumps({"domain": self._domain, "user_ids": user_ids})
        try:
            answer = subprocess.run(
                FORGET_DATA, input=asked, capture_output=True, text=True, timeout=DATA_TIMEOUT_S,
                check=True,
            )  # fmt: skip
            removed: dict[str, int] = json.loads(answer.stdout)
        except (OSError, subprocess.SubprocessError, ValueError) as err:
            # its last line alone, which names the error: others may quote a row
            last = (getattr(err, "stderr", None) or str(err)).strip().splitlines()[-1:]
            log.error("forgetting in the data of '%s' failed: %s", self._domain, last)
            raise ServiceError(
                f"feedback and releases of '{self._domain}' were cleaned, the imported data could"
                f" not be ({type(err).__name__}): ask again", 503
            ) from err  # fmt: skip
        return removed


def _remains(versions: list[str], domain: str, has_learned: bool) -> str:
    """What is left, in words.

    >>> _remains([], "films", has_learned=False)
    'nothing: no release was trained with events of this user'
    """
    left = []
    if versions:
        left.append(
            f"the weights of {', '.join(versions)} were trained with this user's events; they hold"
            " no id and no history: train the domain again and delete these releases to be rid of"
            " that too. Sources outside (files, wheels, other exports) are as they were; an import"
            " leaves the user out"
        )
    if has_learned:
        left.append(
            "the objectives' weights that were learned online may have learned from this user's"
            " choices; they hold no id, and the influence fades as others choose: crossrec learner"
            f" reset {domain} takes it out of what is in use at once, and out of earlier versions"
            " as these are thinned out"
        )
    return ". ".join(left) or "nothing: no release was trained with events of this user"
