"""Changes of what is served that are under way or were made lately: one a domain at a time.

Leaves to others: what a change does (operations.py).
"""

from __future__ import annotations

import asyncio
import logging
import secrets
from collections.abc import Coroutine

from crossrec.errors import CrossrecError, RequestError
from crossrec.serving.live_messages import Change

KEPT = 50

log = logging.getLogger(__name__)


class Changes:
    """Runs changes and remembers how they went, in memory."""

    def __init__(self) -> None:
        self._changes: dict[str, Change] = {}
        self._tasks: set[asyncio.Task[None]] = set()

    def begin(self, domain: str, what: str, work: Coroutine[object, object, str | None]) -> Change:
        """Begin a change; who asked for it may go away, it is made all the same.

        Args:
            work: does it; gives the version that the domain serves then.

        Raises:
            RequestError: another change of the domain is under way.
        """
        for other in self._changes.values():
            if other.domain == domain and other.state == "running":
                work.close()
                raise RequestError(
                    f"'{domain}' is being changed already ({other.what}); wait until that is done"
                )
        change = Change(change_id=secrets.token_hex(8), domain=domain, what=what)
        self._changes[change.change_id] = change
        for old in list(self._changes)[:-KEPT]:
            if self._changes[old].state != "running":
                del self._changes[old]
        task = asyncio.get_running_loop().create_task(self._run(change, work))
        self._tasks.add(task)  # the loop itself holds tasks weakly
        task.add_done_callback(self._tasks.discard)
        return change.model_copy()

    async def _run(self, change: Change, work: Coroutine[object, object, str | None]) -> None:
        try:
            change.release = await work
            change.state = "done"
        except CrossrecError as err:
            change.error, change.kind, change.state = str(err), type(err).__name__, "failed"
        except BaseException as err:
            change_id = change.change_id
            log.exception("%s of '%s' failed: change %s", change.what, change.domain, change_id)
            change.error = (
                f"the service could not do it ({type(err).__name__}); its log has the reason"
                f" under the change {change_id}"
            )
            change.kind, change.state = "ServiceError", "failed"
            if not isinstance(err, Exception):
                raise

    def show(self, change_id: str) -> Change:
        """How a change goes.

        Raises:
            RequestError: there is none, or it was long ago.
        """
        if change_id not in self._changes:
            raise RequestError(
                "no such change: it was made long ago, or before the service's own part started"
                " anew; its status says what is served"
            )
        return self._changes[change_id].model_copy()

    def list(self) -> list[Change]:
        """All that are remembered, oldest first."""
        return [change.model_copy() for change in self._changes.values()]
