"""Films whose price is an objective, a recommender that learns its weight, people who choose."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from crossrec.domains.spec import Learning, Objective
from crossrec.releases.store import LoadedRelease, ReleaseStore
from crossrec.serving.feedback_log import FeedbackLog
from crossrec.serving.learned_weights import LearnedWeights
from crossrec.serving.learning import DomainLearner
from crossrec.serving.learning_log import LearningLog, ShownList
from crossrec.serving.learning_messages import LearnerOrder, LearnerStatus
from crossrec.serving.messages import FeedbackEvent, RecommendRequest, RecommendResponse
from crossrec.serving.recommender import Recommender
from tests.serving.conftest import WordCounter
from tests.small_release import DOMAIN, SmallDomain

OBJECTIVES = [
    Objective(name="relevance", weight=1.0),
    Objective(name="price", column="price", unit="EUR", higher_is_better=False),
    Objective(name="popularity"),
]
LEARNING = Learning(explore_share=0.2, within=2.0)


def published(
    films: SmallDomain, learning: Learning | None = LEARNING, **encoder: str
) -> LoadedRelease:
    """A release whose YAML says what to learn.

    Args:
        encoder: name and fingerprint, as `SmallDomain.publish` takes them.
    """
    domain = DOMAIN.model_copy(
        update={
            "objectives": OBJECTIVES,
            "learning": learning,
            "card_columns": [],  # people see prices
        }
    )
    small = replace(
        films,
        dataset=replace(films.dataset, domain=domain),
        model=replace(films.model, domain=domain),
    )
    small.publish(ReleaseStore(), **encoder)
    return ReleaseStore().load("films")


@dataclass
class Shop:
    """A replica, the learner, and the logs."""

    recommender: Recommender
    weights: LearnedWeights
    learner: DomainLearner
    log: FeedbackLog
    notes: LearningLog
    n_asked: int = 0

    def ask(self, user: str | None, **fields) -> RecommendResponse:
        self.n_asked += 1
        request = RecommendRequest(user_id=user, **fields)
        return asyncio.run(self.recommender.recommend(request, f"request-{self.n_asked}"))

    def send(self, user: str, item: str, request_id: str | None, event: str = "click") -> None:
        self.n_asked += 1
        sent = FeedbackEvent(
            event_id=f"event-{self.n_asked}", user_id=user, item_id=item, event=event,
            request_id=request_id,
        )  # fmt: skip
        answer = asyncio.run(self.recommender.feedback([sent]))
        assert answer.accepted == 1

    def step(self) -> int:
        """What waits is written, then the learner reads on."""
        self.weights.close()
        return self.learner.step()

    def order(
        self, action: str, version: int | None = None, share: float | None = None
    ) -> LearnerStatus:
        return self.learner.order(LearnerOrder(action=action, version=version, share=share))

    def price(self) -> float:
        return self.learner.status().weights["price"].weight


def cheap_choice(answer: RecommendResponse, rng: np.random.Generator) -> str:
    """Somebody who looks at the top first, and likes what is cheap."""
    prices = np.array([item.item.get("price") or 6.0 for item in answer.items])
    positions = np.arange(1, len(prices) + 1)
    utilities = -0.2 * prices - 0.5 * np.log(positions) + rng.gumbel(size=len(prices))
    return answer.items[int(utilities.argmax())].item_id


def given_to(user: str, at: float) -> ShownList:
    """An answer with one item, as the log keeps it."""
    one = np.ones(1)
    return ShownList(
        request_id=f"request of {user}", user_id=user, at=at, version=1, arm=0, propensity=1.0,
        objectives=["price"], item_ids=["a"], n_shown=1, plain=True, relevance=one,
        standings=one[:, None], features=[], context=np.zeros(0), arms=one[:, None], share=0.0,
        relevance_weight=1.0,
    )  # fmt: skip


def visits(shop: Shop, n: int, seed: int = 0, n_users: int = 20) -> list[tuple[str, str, str]]:
    """So many people are answered and choose; (user, item, request)."""
    rng = np.random.default_rng(seed)
    done = []
    for n_visit in range(n):
        user = f"user-{(n_visit + seed) % n_users}"
        answer = shop.ask(user, exclude_seen=False)
        item = cheap_choice(answer, rng)
        shop.send(user, item, answer.request_id)
        done.append((user, item, answer.request_id))
    return done


def shop(loaded: LoadedRelease, home: Path) -> Shop:
    """A replica of a release and its learner, below a home of their own."""
    log = FeedbackLog(home / "feedback.db")
    notes = LearningLog()
    weights = LearnedWeights("films")
    recommender = Recommender(loaded, WordCounter(), log, weigh=weights)
    weights.declare(recommender)
    learner = DomainLearner("films", notes, salt="of the shop")
    return Shop(recommender, weights, learner, log, notes)
