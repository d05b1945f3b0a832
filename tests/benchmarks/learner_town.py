"""The simulated city as a learner meets it: guests who choose, a way of answering them.

Guests with known tastes are shown restaurants, look at the top of the list first, and choose one or
none. Since the release was trained, prices and distances have come to matter twice as much. Leaves
to others: what is measured (learner_regret, feedback_fresh).
"""

from __future__ import annotations

import asyncio
import math
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, fields, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from crossrec.config import load_config
from crossrec.data import city
from crossrec.data.importing import imported
from crossrec.data.simulate import (
    Guests,
    Moments,
    Restaurants,
    draw_guests,
    draw_moments,
    draw_restaurants,
    is_open,
    moment_utilities,
    steady_utilities,
)
from crossrec.domains.spec import Learning
from crossrec.releases.store import LoadedRelease, ReleaseStore
from crossrec.serving.feedback_log import FeedbackLog
from crossrec.serving.learned_weights import LearnedWeights
from crossrec.serving.learning import DomainLearner
from crossrec.serving.learning_log import LearningLog
from crossrec.serving.messages import FeedbackEvent, RecommendRequest, RecommendResponse
from crossrec.serving.recommender import Recommender
from crossrec.training.pipeline import train_here

DOMAIN = "restaurants_sim"
N_GUESTS, N_RESTAURANTS, CITY_SEED = 2000, 300, 0
"""As the domain's YAML has them: the release knows these guests and restaurants."""
K = 10
LEARNED = Learning(objectives=["price", "distance", "popularity"], within=2.0)
CHANGED = {"price_weight": 2.0, "distance_weight": 2.0}
"""What each guest's taste is multiplied with, of the tastes that the release was trained on."""
LOOKS = 1.0
"""η: the tenth position is looked at a tenth as often as the first."""
BEGIN_S, SPAN_S = 1_767_225_600.0, 86_400.0
"""The rounds of a run are spread over one simulated day: 2026-01-01 UTC."""
SALT = "town"
"""All worlds explore alike, so that what differs between two is not the chance of exploring."""
HOME_SHARE = 0.9
"""u_0 is this quantile of the utilities of open restaurants, of all guests."""

Wide = NDArray[np.float64]


@dataclass(frozen=True)
class Visitors:
    """Who comes when, and what they truly think of each restaurant."""

    user_ids: list[str]
    requests: list[RecommendRequest]
    worth: Wide
    """(R, N) exp(u - u_0); 0 where it is closed."""
    seed: int

    def value(self, round_: int, shown: list[int]) -> float:
        """What a list is worth to the visitor of a round."""
        looks = np.arange(1, len(shown) + 1) ** -LOOKS
        return float(np.log1p(looks @ self.worth[round_, shown]))

    def choice(self, round_: int, shown: list[int], salt: int = 0) -> int | None:
        """Row of the restaurant that the visitor takes out of a list; None: none.

        Each position is looked at with its own probability; of those looked at one is chosen, or
        none, by a softmax. The same draws whatever the list.
        """
        rng = np.random.default_rng((self.seed, round_, salt))
        positions = np.arange(1, len(shown) + 1)
        seen = rng.random(len(shown)) < positions**-LOOKS
        worth = np.append(np.where(seen, self.worth[round_, shown], 0.0), 1.0)
        taken = int(np.searchsorted(np.cumsum(worth / worth.sum()), rng.random()))
        return shown[taken] if taken < len(shown) else None


def town() -> tuple[Restaurants, Guests]:
    """The city that the release was trained on."""
    rng = np.random.default_rng(CITY_SEED)
    restaurants = draw_restaurants(N_RESTAURANTS, rng)
    return restaurants, draw_guests(N_GUESTS, rng)


def visitors(n: int, seed: int) -> Visitors:
    """Guests of the city at moments that the release has not seen."""
    restaurants, guests = town()
    rng = np.random.default_rng((seed, 77))
    rows = rng.integers(N_GUESTS, size=n)
    now = {one.name: getattr(guests, one.name)[rows] for one in fields(Guests)}
    who = Guests(**{name: values * CHANGED.get(name, 1) for name, values in now.items()})
    moments = draw_moments(who, rng)
    parts = {**steady_utilities(restaurants, who), **moment_utilities(restaurants, who, moments, 0)}
    utilities = np.sum(list(parts.values()), axis=0)
    open_now = is_open(restaurants, moments, 0)
    at_home = np.quantile(utilities[open_now], HOME_SHARE)
    worth = np.where(open_now, np.exp(utilities - at_home), 0.0)
    user_ids = [f"u{row + 1:05d}" for row in rows]
    requests = [_request(user, moments, n_) for n_, user in enumerate(user_ids)]
    return Visitors(user_ids, requests, worth, seed)


def _request(user_id: str, moments: Moments, row: int) -> RecommendRequest:
    hour = int(moments.hour[row, 0])
    east, north = moments.place[row, 0]
    latitude = city.CENTRE[0] + north / city.KM_PER_DEGREE
    longitude = city.CENTRE[1] + east / (
        city.KM_PER_DEGREE * math.cos(math.radians(city.CENTRE[0]))
    )
    context: dict[str, Any] = {
        "hour": float(hour),
        "weekday": float(moments.weekday[row, 0]),
        "weather": city.WEATHERS[moments.weather[row, 0]],
        "temperature": float(moments.temperature[row, 0]),
        "company": city.COMPANIES[moments.company[row, 0]],
        "location": [float(latitude), float(longitude)],
    }
    where = f"opens <= {hour} and closes > {hour}"
    return RecommendRequest(user_id=user_id, context=context, where=where, k=K, exclude_seen=False)


class World:
    """One way of answering, with logs of its own."""

    def __init__(self, loaded: LoadedRelease, learns: bool) -> None:
        self._now = BEGIN_S
        self._row = loaded.model.vocabulary.item_idx
        self._ids = loaded.model.vocabulary.item_ids
        self.log = FeedbackLog(clock=self.now)
        self._weights = LearnedWeights(DOMAIN, clock=self.now) if learns else None
        self.recommender = Recommender(
            loaded, _no_words, self.log, clock=self.now, weigh=self._weights
        )
        self.learner: DomainLearner | None = None
        if self._weights is not None:
            self._weights.declare(self.recommender)
            self.learner = DomainLearner(DOMAIN, LearningLog(), clock=self.now, salt=SALT)
            self.step()
        self._n = 0

    def now(self) -> float:
        return self._now

    def move_on(self, part: float) -> None:
        """Let it be so late: 0 when the day begins, 1 when it ends."""
        self._now = BEGIN_S + part * SPAN_S

    def ask(self, request: RecommendRequest, request_id: str) -> RecommendResponse:
        return asyncio.run(self.recommender.recommend(request, request_id))

    def shown(self, answer: RecommendResponse) -> list[int]:
        return [self._row[item.item_id] for item in answer.items]

    def take(self, user_id: str, row: int, request_id: str) -> None:
        self._n += 1
        event = FeedbackEvent(
            event_id=f"event-{self._n}", user_id=user_id, item_id=self._ids[row], event="visit",
            request_id=request_id,
        )  # fmt: skip
        answer = asyncio.run(self.recommender.feedback([event]))
        assert not answer.rejected, answer.rejected

    def step(self) -> None:
        if self.learner is not None and self._weights is not None:
            self._weights.close()  # so that what was shown is written
            self.learner.step()

    def weights(self) -> dict[str, float]:
        assert self.learner is not None
        found = self.learner.status().weights
        return {name: one.weight for name, one in found.items()}

    def close(self) -> None:
        if self.learner is not None:
            self.learner.close()
        self.log.close()


async def _no_words(texts: list[str]) -> NDArray[np.float32]:
    raise AssertionError("nobody says anything in words")


@contextmanager
def world(loaded: LoadedRelease, learns: bool) -> Iterator[World]:
    """A world in a home of its own."""
    before = os.environ["CROSSREC_HOME"]
    with tempfile.TemporaryDirectory() as folder:
        os.environ["CROSSREC_HOME"] = folder
        found = World(loaded, learns)
        try:
            yield found
        finally:
            found.close()
            os.environ["CROSSREC_HOME"] = before


def release() -> LoadedRelease:
    """The city's release below `$CROSSREC_HOME`, trained where there is none; what it learns."""
    store = ReleaseStore()
    imported(DOMAIN)
    if DOMAIN not in store.domains():
        train_here(DOMAIN, load_config(overrides=["training.max_epochs=2"]))
    loaded = store.load(DOMAIN)
    domain = loaded.model.domain.model_copy(update={"learning": LEARNED})
    return replace(loaded, model=replace(loaded.model, domain=domain))
