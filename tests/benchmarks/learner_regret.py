"""What learning weights online saves in the simulated city, and what hostile users do to it.

Guests with known tastes are shown ten restaurants, look at the top of the list first, and choose
one or none. Since the release was trained, prices and distances have come to matter twice as much.
The same guests at the same moments are answered twice: with the domain's weights (relevance alone),
and with those a learner has learned by then. Recommender, logs and learner are those of the
service, without Ray. Figures are simulated.

What a list is worth to a guest is the utility they can expect of it (log Σ exp, McFadden 1974):
log(1 + Σ_p p^-η exp(u_p - u_0)), u the true utilities, u_0 that of staying at home. Regret is what
the list of the best weights would have been worth more, the best that are the same for everybody,
found in hindsight with the true utilities on other guests.
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
from tests.benchmarks.rows import write_rows

DOMAIN = "restaurants_sim"
N_GUESTS, N_RESTAURANTS, CITY_SEED = 2000, 300, 0
"""As the domain's YAML has them: the release knows these guests and restaurants."""
N_ROUNDS = 5000
SEEDS = (0, 1)
K = 10
LEARNED = Learning(objectives=["price", "distance", "popularity"], within=2.0)
CHANGED = {"price_weight": 2.0, "distance_weight": 2.0}
"""What each guest's taste is multiplied with, of the tastes that the release was trained on."""
LOOKS = 1.0
"""η: the tenth position is looked at a tenth as often as the first."""
HOME_SHARE = 0.9
"""u_0 is this quantile of the utilities of open restaurants, of all guests."""
BATCH = 25
"""Rounds between two steps of the learner; the service takes one every quarter of a second."""
N_TUNING = 200
JUDGED_EVERY = 5
"""Rounds between two whose regret is looked at: the best list costs an answer more."""
HOSTILE_SHARE = 0.01
HOSTILE_ROUNDS = 60
"""What each hostile user sends in the time of the 5,000 rounds; an honest one sends 2 or 3."""
MOVED_BOUND = 0.15
"""What 1 % of hostile users may move a weight by, as ARCHITECTURE.md states it."""

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
        self._row = loaded.model.vocabulary.item_idx
        self._ids = loaded.model.vocabulary.item_ids
        self.log = FeedbackLog()
        self._weights = LearnedWeights(DOMAIN) if learns else None
        self.recommender = Recommender(loaded, _no_words, self.log, weigh=self._weights)
        self.learner: DomainLearner | None = None
        if self._weights is not None:
            self._weights.declare(self.recommender)
            self.learner = DomainLearner(DOMAIN, LearningLog())
            self.step()
        self._n = 0

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


def best_weights(loaded: LoadedRelease, seed: int) -> dict[str, float]:
    """Those whose lists are worth most to other guests, the same for all; by coordinates."""
    tuning = visitors(N_TUNING, seed + 1000)
    names = LEARNED.objectives
    with world(loaded, learns=False) as plain:

        def worth(weights: dict[str, float]) -> float:
            asked = [one.model_copy(update={"objectives": weights}) for one in tuning.requests]
            lists = [plain.shown(plain.ask(one, "tuning")) for one in asked]
            return float(np.mean([tuning.value(n, shown) for n, shown in enumerate(lists)]))

        best = dict.fromkeys(names, 0.0)
        reached = worth(best)
        for step in (1.0, 0.5, 0.25):
            for name in [*names, *names]:
                for change in (step, -step):
                    tried = best | {name: float(np.clip(best[name] + change, -2, 2))}
                    if (found := worth(tried)) > reached:
                        best, reached = tried, found
    return best


@dataclass(frozen=True)
class Run:
    """What came of the rounds in one world."""

    regret: Wide
    """(R,) against the best weights; of rounds that are not looked at 0, of the others as many
    times as these stand for."""
    short: Wide
    """(R,) against the best list there is, likewise."""
    weights: dict[str, float]


def run(
    loaded: LoadedRelease, guests: Visitors, best: dict[str, float], learns: bool, hostile: bool
) -> Run:
    """Answer all rounds in one world."""
    regret, short = np.zeros(N_ROUNDS), np.zeros(N_ROUNDS)
    attack = np.random.default_rng((guests.seed, 13))
    n_hostile = int(HOSTILE_SHARE * N_GUESTS)
    strikes = np.sort(attack.integers(N_ROUNDS, size=n_hostile * HOSTILE_ROUNDS)).tolist()
    with world(loaded, learns) as here:
        for n, request in enumerate(guests.requests):
            answer = here.ask(request, f"request-{n}")
            shown = here.shown(answer)
            if n % JUDGED_EVERY == 0:
                of_best = here.ask(request.model_copy(update={"objectives": best}), f"best-{n}")
                had = guests.value(n, shown)
                regret[n] = JUDGED_EVERY * (guests.value(n, here.shown(of_best)) - had)
                top = np.argsort(-guests.worth[n])[: len(shown)].tolist()
                short[n] = JUDGED_EVERY * (guests.value(n, top) - had)
            taken = guests.choice(n, shown)
            if taken is not None:
                here.take(guests.user_ids[n], taken, f"request-{n}")
            while hostile and strikes and strikes[0] <= n:
                strikes.pop(0)
                _strike(here, request, len(strikes), len(strikes) % n_hostile)
            if n % BATCH == BATCH - 1:
                here.step()
        weights = here.weights() if learns else {}
    return Run(regret, short, weights)


def _strike(here: World, request: RecommendRequest, number: int, user: int) -> None:
    """A hostile user asks, and takes what is dearest and furthest away of what is shown."""
    user_id, request_id = f"hostile-{user}", f"strike-{number}"
    answer = here.ask(request.model_copy(update={"user_id": user_id}), request_id)
    worst = min(
        answer.items,
        key=lambda item: (
            sum(item.objectives.get(name, 0.0) for name in ("price", "distance"))
            if answer.weights_version
            else 0.0
        ),
    )
    here.take(user_id, here.shown(answer)[answer.items.index(worst)], request_id)


def release() -> LoadedRelease:
    """The city's release below `$CROSSREC_HOME`, trained where there is none; what it learns."""
    store = ReleaseStore()
    imported(DOMAIN)
    if DOMAIN not in store.domains():
        train_here(DOMAIN, load_config(overrides=["training.max_epochs=2"]))
    loaded = store.load(DOMAIN)
    domain = loaded.model.domain.model_copy(update={"learning": LEARNED})
    return replace(loaded, model=replace(loaded.model, domain=domain))


def main() -> None:
    """All seeds, both worlds, with and without hostile users; the rows."""
    loaded = release()
    best = best_weights(loaded, CITY_SEED)
    print("best weights", best, flush=True)
    found = []
    for seed in SEEDS:
        guests = visitors(N_ROUNDS, seed)
        runs = {
            "fixed": run(loaded, guests, best, learns=False, hostile=False),
            "learned": run(loaded, guests, best, learns=True, hostile=False),
            "injected": run(loaded, guests, best, learns=True, hostile=True),
        }
        for name, one in runs.items():
            print(seed, name, one.regret.sum(), one.short.sum(), one.weights, flush=True)
        found.append(runs)
    write_rows("learner_regret", _rows(found, best, loaded))


def _rows(
    found: list[dict[str, Run]], best: dict[str, float], loaded: LoadedRelease
) -> list[dict[str, Any]]:
    fixed = sum(float(one["fixed"].regret.sum()) for one in found)
    how = (
        f"{N_ROUNDS:,} rounds, {K} shown, position p looked at with probability 1/p; regret against"
        f" the best weights that are the same for all ({_said(best)}), of every"
        f" {JUDGED_EVERY}th round; price and distance matter twice what they did in training"
    )
    common = {
        "domain": DOMAIN,
        "n": N_ROUNDS,
        "seeds": list(SEEDS),
        "data_hash": loaded.release.manifest.data_hash,
    }
    rows = []
    for name, kind in (("learner_regret", "learned"), ("learner_regret_injected", "injected")):
        ours = sum(float(one[kind].regret.sum()) for one in found)
        ratios = [float(one[kind].regret.sum() / one["fixed"].regret.sum()) for one in found]
        beyond = sum(float(one[kind].short.sum()) for one in found) / sum(
            float(one["fixed"].short.sum()) for one in found
        )
        rows.append(
            {
                "name": name,
                "value": round(ours / len(found), 1),
                "unit": "utility",
                "peer": "fixed weights",
                "peer_value": round(fixed / len(found), 1),
                "ratio": round(ours / fixed, 4),
                "ci95": [round(min(ratios), 4), round(max(ratios), 4)],
                "protocol": f"simulated, {how}, of the ratio (range of seeds); against the best"
                f" list there is the ratio is {beyond:.3f};"
                f" weights {_said(found[0][kind].weights)}",
                **common,
            }
        )
    moved = max(
        abs(one["injected"].weights[name] - one["learned"].weights[name])
        for one in found
        for name in LEARNED.objectives
    )
    rows.append(
        {
            "name": "learner_injection",
            "value": round(moved, 4),
            "unit": "weight",
            "protocol": f"simulated: most that a weight moved, of {len(LEARNED.objectives)} and"
            f" {len(found)} seeds, when {HOSTILE_SHARE:.0%} of the users each sent"
            f" {HOSTILE_ROUNDS} choices of what is dearest and furthest, in the time of the rounds;"
            f" at most {LEARNED.per_user} of a user count in an hour",
            **common,
        }
    )
    return rows


def _said(weights: dict[str, float]) -> str:
    return ", ".join(f"{name} {weight:.2f}" for name, weight in weights.items())


if __name__ == "__main__":
    main()
