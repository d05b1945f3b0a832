"""What answers in a replica: the release that is served, and those that an experiment tries.

Leaves to others: who is in which arm (traffic.py), one release with the items added to it
(item_updates.py), counting (answer_log.py), copies for a release in the shadow (shadow.py).
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable
from time import perf_counter

from crossrec.serving.answer_log import FLUSH_S, AnswerLog
from crossrec.serving.experiments import results
from crossrec.serving.feedback_log import SeenBy
from crossrec.serving.item_updates import Current
from crossrec.serving.live_messages import (
    ArmStatus,
    ExperimentResults,
    ServedRelease,
)
from crossrec.serving.messages import (
    FeedbackEvent,
    FeedbackResponse,
    RecommendRequest,
    RecommendResponse,
)
from crossrec.serving.recommender import Recommender
from crossrec.serving.shadow import Copies
from crossrec.serving.traffic import CONTROL, Experiment

Load = Callable[[str], Awaitable[Current]]
"""Version → its release, ready to answer."""


class Arms:
    """All releases that answer for one domain in this process.

    Args:
        domain: its name.
        load: makes a release ready.
        answer_log: where answers are counted; made when the first experiment runs.
    """

    def __init__(
        self, domain: str, load: Load, answer_log: Callable[[], AnswerLog] | None = None
    ) -> None:
        self._domain = domain
        self._load = load
        self._open_log = answer_log or (lambda: AnswerLog(domain))
        self._log: AnswerLog | None = None
        self._loaded: dict[str, Current] = {}
        self._experiment: Experiment | None = None
        self.copies: Copies | None = None
        """Sends copies of requests to a release in the shadow; None: there is none."""
        self.control: Current

    async def configure(self, version: str, experiment: Experiment | None) -> None:
        """Answer from other releases; requests under way end on those they began on.

        What is loaded already stays as it is, so that a change of shares loads nothing.

        Raises:
            ReleaseError: a release cannot be loaded; all is as before.
        """
        versions = {version, *(arm.version for arm in (experiment.arms if experiment else ()))}
        loaded = {
            one: self._loaded[one] if one in self._loaded else await self._load(one)
            for one in sorted(versions)
        }
        if experiment is not None and self._log is None:
            self._log = await asyncio.to_thread(self._open_log)
        self._loaded, self._experiment = loaded, experiment
        self.control = loaded[version]

    @property
    def loaded(self) -> Iterable[Current]:
        """Every release that answers."""
        return self._loaded.values()

    async def refresh(self) -> None:
        """Look for items that were added."""
        for current in list(self._loaded.values()):
            await current.refresh()

    def choose(self, user_id: str | None, request_id: str) -> tuple[Recommender, SeenBy | None]:
        """What answers a user, or an anonymous request, and the arm that this is."""
        experiment = self._experiment
        if experiment is None:
            return self.control.recommender, None
        arm = experiment.arm_of(request_id if user_id is None else user_id)
        if arm is None:
            return self.control.recommender, SeenBy(experiment.experiment, CONTROL)
        recommender = self._loaded[arm.version].recommender
        return recommender, SeenBy(experiment.experiment, arm.name)

    async def recommend(self, request: RecommendRequest, request_id: str) -> RecommendResponse:
        """The answer of the user's arm, which it names; raises as `Recommender.recommend`."""
        recommender, seen_by = self.choose(request.user_id, request_id)
        began = perf_counter()
        answer = await recommender.recommend(request, request_id)
        if seen_by is not None:
            answer.experiment, answer.arm = seen_by
            self._count(seen_by, request.user_id)
        if self.copies is not None:
            self.copies.offer(request, answer, (perf_counter() - began) * 1000)
        return answer

    async def feedback(self, events: list[FeedbackEvent]) -> FeedbackResponse:
        """Store events, each as its user's arm understands it.

        Raises:
            ServiceError: not all could be stored; sending them again stores each once.
        """
        if self._experiment is None:
            return await self.control.recommender.feedback(events)
        groups: dict[SeenBy | None, tuple[Recommender, list[FeedbackEvent]]] = {}
        for event in events:
            recommender, seen_by = self.choose(event.user_id, "")
            groups.setdefault(seen_by, (recommender, []))[1].append(event)
        whole = FeedbackResponse(accepted=0, duplicates=0)
        for seen_by, (recommender, own) in groups.items():
            part = await recommender.feedback(own, seen_by)
            whole.accepted += part.accepted
            whole.duplicates += part.duplicates
            whole.rejected += part.rejected
        return whole

    def _count(self, seen_by: SeenBy, user_id: str | None) -> None:
        if self._log is not None and self._log.count(*seen_by, user_id):
            asyncio.get_running_loop().call_later(FLUSH_S, self._log.flush)

    def close(self) -> None:
        """Write what was counted and waits."""
        if self._log is not None:
            self._log.close()

    def served(self) -> ServedRelease:
        """What answers now."""
        control, copies = self.control, self.copies
        experiment, arms = self._experiment, []
        if experiment is not None:
            first = ArmStatus(
                name=CONTROL, release=experiment.control, share=experiment.control_share
            )
            arms = [first]
            for arm in experiment.arms:
                arms.append(ArmStatus(name=arm.name, release=arm.version, share=arm.share))
        return ServedRelease(
            release=control.release.version,
            edition=control.edition,
            n_items=control.recommender.catalogue.n_items,
            experiment=experiment.experiment if experiment else None,
            arms=arms,
            shadow=copies.shadow.version if copies else None,
            shadow_share=copies.shadow.share if copies else 0.0,
        )

    async def results(self, name: str | None) -> ExperimentResults | None:
        """Results of an experiment, of the running or else the latest one; None: there is none."""
        if self._log is None:
            self._log = await asyncio.to_thread(self._open_log)
        written = self._log.flush()
        if written is not None:
            await asyncio.wrap_future(written)
        return await asyncio.to_thread(self._results, self._log, name)

    def _results(self, log: AnswerLog, name: str | None) -> ExperimentResults | None:
        running = self._experiment
        name = name or (running.experiment if running else log.latest())
        if name is None:
            return None
        is_running = running is not None and running.experiment == name
        arms = [arm.name for arm in running.arms] if running and is_running else []
        responses = log.responses(name)
        if not responses and not is_running:
            return None
        rows = results(responses, self.control.recommender.rules.meaning, arms)
        return ExperimentResults(
            domain=self._domain, experiment=name, running=is_running, arms=rows
        )
