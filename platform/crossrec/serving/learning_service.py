"""Ray Serve: the one process in which all domains' learners live, and how replicas ask it.

One replica, so that a domain has one learner; a file lock holds while Serve replaces it. A process
for each domain would cost 60 MiB each. Leaves to others: learning (learning.py).
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import math
import threading
import time
from pathlib import Path
from typing import Any

from ray import serve
from ray.serve.handle import DeploymentHandle

from crossrec.errors import ConfigError, CrossrecError, ServiceError
from crossrec.serving.arguments import LEARNER_APPLICATION
from crossrec.serving.asking import service_name
from crossrec.serving.learning import DomainLearner
from crossrec.serving.learning_log import LearningLog
from crossrec.serving.learning_messages import LearnerOrder, LearnerStatus
from crossrec.serving.learning_status import GAUGES
from crossrec.serving.learning_store import learners_folder
from crossrec.serving.logs import ASKED, Asked, keep_replica_log
from crossrec.serving.metrics import (
    WRITE_EVERY_S,
    Metrics,
    metrics_folder,
    own_file,
    write_figures,
)
from crossrec.serving.retention import Retention, keep_feedback_days

log = logging.getLogger(__name__)

LEARNER = "Learner"
POLL_S = 0.25
"""Between two looks at the feedback log."""
ASK_TIMEOUT_S = 10.0
N_CPUS = 0.05


class Learners:
    """The learners of all domains that a replica has ever said what to learn of; their thread also
    forgets what is too old, for there is one in the whole service.

    Args:
        figures: folder for a file with the figures of this process; None: nobody reads them.
        poll_s: between two looks at the feedback log.

    Raises:
        ConfigError: as `keep_feedback_days`.
    """

    def __init__(self, figures: Path | None = None, poll_s: float = POLL_S) -> None:
        self._retention = Retention(keep_feedback_days())
        self._log = LearningLog()
        self._learners: dict[str, DomainLearner] = {}
        self._metrics = Metrics()
        self._figures = None if figures is None else own_file(figures)
        self._written_at = -math.inf
        self._poll_s = poll_s
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._run, name="learners", daemon=True)
        self._thread.start()

    def learner(self, domain: str) -> DomainLearner:
        """The learner of a domain."""
        if domain not in self._learners:
            self._learners[domain] = DomainLearner(domain, self._log, metrics=self._metrics)
        return self._learners[domain]

    def ask(self, domain: str, order: LearnerOrder | None) -> LearnerStatus:
        """Order, or look; raises as `DomainLearner.order`."""
        learner = self.learner(domain)
        return learner.status() if order is None else learner.order(order)

    def step(self) -> int:
        """Let each learner read on; one that fails is logged and does not keep the others."""
        n_choices = 0
        for path in sorted(learners_folder().glob("*/domain.json")):
            try:
                n_choices += self.learner(path.parent.name).step()
            except Exception:
                log.exception("the learner of '%s' failed at a step", path.parent.name)
        return n_choices

    def _run(self) -> None:
        while not self._ended.wait(self._poll_s):
            self.step()
            self._retention.step()
            if self._figures and time.monotonic() >= self._written_at + WRITE_EVERY_S:
                self._written_at = time.monotonic()
                try:
                    self._write(self._figures)
                except Exception:  # nobody stops learning for it
                    log.exception("the figures of the learners were not written")

    def _write(self, path: Path) -> None:
        """The figures, by the one thread that changes them."""
        for name in GAUGES:  # an objective may be gone
            self._metrics.forget(name)
        for learner in list(self._learners.values()):
            learner.set_gauges()
        write_figures(self._metrics, path)

    def close(self) -> None:
        """End the thread, let go of the locks."""
        self._ended.set()
        self._thread.join()
        for learner in self._learners.values():
            learner.close()
        self._log.close()


class LearnerDeployment:
    """One replica of it learns for all domains."""

    def __init__(self) -> None:
        keep_replica_log()
        self._learners = Learners(metrics_folder(service_name()))

    async def ask(self, domain: str, order: dict[str, Any] | None, asked: Asked) -> dict[str, Any]:
        """Order (as plain values), or look; `asked` is the request that does, for the log."""
        ASKED.set(asked)
        wanted = None if order is None else LearnerOrder.model_validate(order)
        status = await asyncio.to_thread(self._learners.ask, domain, wanted)
        return status.model_dump()


def build_learner(arguments: dict[str, Any]) -> serve.Application:
    """The learners' application, in the service once.

    Raises:
        ConfigError: it got an argument, for it takes none; or as `keep_feedback_days`.
    """
    if arguments:
        raise ConfigError(f"the learners take no arguments; got {', '.join(arguments)}")
    keep_feedback_days()  # a replica that cannot read it would say so in a log alone
    deployment = serve.deployment(
        LearnerDeployment,
        name=LEARNER,
        num_replicas=1,
        ray_actor_options={"num_cpus": N_CPUS},
        graceful_shutdown_timeout_s=2,
    )
    return deployment.bind()


class LearnerHandle:
    """Asks the learners' process, which lives in another application."""

    def __init__(self, domain: str) -> None:
        self._domain = domain
        self._handle: DeploymentHandle | None = None

    async def ask(self, order: LearnerOrder | None) -> LearnerStatus:
        """Order, or look.

        Raises:
            RequestError: no such version.
            ServiceError: (503) the learner does not answer.
        """
        if self._handle is None:
            with contextlib.suppress(Exception):
                self._handle = serve.get_deployment_handle(LEARNER, LEARNER_APPLICATION)
        plain = None if order is None else order.model_dump()
        try:
            if self._handle is None:
                raise ServiceError("no learner runs", 503)
            asked = self._handle.ask.remote(self._domain, plain, ASKED.get())
            answer = await asyncio.wait_for(asked, ASK_TIMEOUT_S)
        except Exception as err:
            cause = getattr(err, "cause", err)  # Ray wraps what was raised, and adds a traceback
            if isinstance(cause, CrossrecError):
                raise cause from err
            raise ServiceError(
                "the learner does not answer now; the weights hold as they are, ask again later",
                503,
            ) from err
        return LearnerStatus.model_validate(answer)
