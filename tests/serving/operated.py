"""The operations of a service, with what Serve would run kept in this process.

Leaves to others: asking for changes (test_operations.py, test_fuzz.py), a real service
(tests/integration/test_live.py).
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, cast

import uvicorn

from crossrec.errors import ServiceError
from crossrec.serving.arguments import Told
from crossrec.serving.gateway import App
from crossrec.serving.live_messages import ApplicationStatus, ServedRelease, ShadowResults
from crossrec.serving.operations import Operations
from crossrec.serving.running import Running
from crossrec.serving.shadow import Comparison
from tests.ports import free_port


class Parts:
    """The one domain that there is answers."""

    def __init__(self, served: Served) -> None:
        self._served = served

    async def names(self) -> list[str]:
        return [] if self._served.now is None else [self._served.now.domain]

    async def applications(self) -> dict[str, ApplicationStatus]:
        return {"encoder": await self.state("encoder")}

    async def state(self, name: str) -> ApplicationStatus:
        return ApplicationStatus(state="RUNNING", replicas={"RUNNING": 1})

    async def ask(self, domain: str, method: str, *arguments: Any, **options: Any) -> Any:
        if method != "served" or self._served.now is None:
            return None  # as where nothing was counted
        return ServedRelease(release=self._served.now.version, n_items=24)


class Served:
    """In the place of Serve: runs what it is told at once."""

    def __init__(self, version: str) -> None:
        self.parts = Parts(self)
        self.now: Told | None = Told(domain="films", version=version)
        self.shadow: str | None = None
        """The release that an application of its own has, whether or not it came up."""
        self.broken: str | None = None
        """A release that does not come up."""
        self.meanwhile: Callable[[], object] = lambda: None
        """Done while the replicas move on."""

    async def told(self, domain: str) -> Told | None:
        return self.now if domain == "films" else None

    async def new(self, domain: str) -> Told:
        return Told(domain=domain)

    async def run(self, wanted: Told) -> None:
        if wanted.shadow is not None:
            self.shadow = wanted.shadow.version
            if self.shadow == self.broken:
                raise ServiceError("the shadow does not come up")
        self.meanwhile()
        self.now = wanted

    async def remove(self, domain: str) -> None:
        self.now = None

    async def end_shadow(self, domain: str) -> None:
        self.shadow = None


class Unprepared(Operations):
    """There is no encoder to make ready, and no process of a shadow to ask."""

    def __init__(self, served: Served) -> None:
        super().__init__(cast("Running", served))

    async def _prepare(self, domain: str, version: str) -> None:
        pass

    async def _encoder(self, method: str, *arguments: Any) -> None:
        pass

    async def shadow(self, domain: str) -> ShadowResults:
        told = await self._shadowed(domain)
        return Comparison(domain, told.shadow.version if told.shadow else "").results()


@contextmanager
def over_http(app: App) -> Iterator[str]:
    """The address of an app that answers in a thread: changes go on after their answers."""
    port = free_port()
    server = uvicorn.Server(uvicorn.Config(app, port=port, log_level="error", lifespan="off"))
    thread = threading.Thread(target=server.run)
    thread.start()
    try:
        while not server.started:
            assert thread.is_alive()
            time.sleep(0.02)
        yield f"http://127.0.0.1:{port}"
    finally:
        server.should_exit = True
        thread.join()
