"""A domain's process without Ray: everything its routes need, from real parts."""

from __future__ import annotations

import asyncio
from contextlib import closing
from dataclasses import dataclass

from crossrec.releases.editions import Editions
from crossrec.releases.store import LoadedRelease, Release, ReleaseStore
from crossrec.serving.auth import KeyRing
from crossrec.serving.erasure import Erasures
from crossrec.serving.feedback_log import FeedbackLog
from crossrec.serving.gateway import App
from crossrec.serving.http_api import domain_app
from crossrec.serving.item_updates import Current, ItemUpdates
from crossrec.serving.learned_weights import LearnedWeights
from crossrec.serving.learning_messages import LearnerOrder, LearnerStatus
from crossrec.serving.learning_service import Learners
from crossrec.serving.messages import ErasureResponse, ItemsResponse, ItemUpsert
from crossrec.serving.recommender import Recommender
from tests.serving.conftest import NOW, WordCounter


def _make(release: Release) -> None:
    """An edition, in this process: a process of its own takes a second to start."""
    Editions(release).make()


@dataclass
class WholeReplica:
    """One replica of `films`."""

    current: Current
    updates: ItemUpdates
    feedback_log: FeedbackLog
    erasures: Erasures

    @property
    def recommender(self) -> Recommender:
        return self.current.recommender

    async def put_items(self, items: list[ItemUpsert]) -> ItemsResponse:
        return await self.updates.put(lambda: self.current, items)

    async def erase(self, user_id: str) -> ErasureResponse:
        return await asyncio.to_thread(self.erasures.erase, user_id)

    async def learner(self, order: LearnerOrder | None) -> LearnerStatus:
        weights = LearnedWeights("films")
        weights.declare(self.recommender)
        weights.expect_learnable()

        def ask() -> LearnerStatus:
            with closing(Learners()) as learners:
                return learners.ask("films", order)

        return await asyncio.to_thread(ask)

    def app(self, keys: KeyRing) -> App:
        """Its routes."""
        return domain_app(self, keys, "films", self.current.refresh)


def whole_replica(store: ReleaseStore) -> WholeReplica:
    """A replica of the current release of `films` in this home."""
    log = FeedbackLog()
    erasures = Erasures("films", log, store)

    def answering(loaded: LoadedRelease) -> Recommender:
        loaded.catalogue.hides = erasures.hides
        return Recommender(loaded, WordCounter(), log, clock=lambda: NOW)

    current = Current(store.load("films"), answering)
    asyncio.run(current.refresh())
    return WholeReplica(current, ItemUpdates("films", _make), log, erasures)
