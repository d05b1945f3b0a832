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

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from crossrec.releases.store import LoadedRelease
from crossrec.serving.messages import RecommendRequest
from tests.benchmarks.learner_town import (
    CITY_SEED,
    DOMAIN,
    LEARNED,
    N_GUESTS,
    SPAN_S,
    K,
    Visitors,
    World,
    release,
    visitors,
    world,
)
from tests.benchmarks.rows import write_rows

N_ROUNDS = 5000
SEEDS = (0, 1, 2)
INJECTED_SEEDS = tuple(range(10))
"""Two worlds part after the first hostile choice, and chance moves their weights apart too (.10 for
honest users drawn anew): what hostile users do is the mean of many seeds."""
BATCH = 25
"""Rounds between two steps of the learner; the service takes one every quarter of a second."""
N_TUNING = 100
JUDGED_EVERY = 10
"""Rounds between two whose regret is looked at: the best list costs an answer more."""
HOSTILE_SHARE = 0.01
HOSTILE_ROUNDS = 60
"""What each hostile user sends in the day of the 5,000 rounds; an honest one sends 2 or 3."""

Wide = NDArray[np.float64]


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
    loaded: LoadedRelease,
    guests: Visitors,
    best: dict[str, float] | None,
    learns: bool,
    hostile: bool,
) -> Run:
    """Answer all rounds in one world; without `best` nobody looks at regret, which then is 0."""
    regret, short = np.zeros(N_ROUNDS), np.zeros(N_ROUNDS)
    attack = np.random.default_rng((guests.seed, 13))
    n_hostile = int(HOSTILE_SHARE * N_GUESTS)
    strikes = np.sort(attack.integers(N_ROUNDS, size=n_hostile * HOSTILE_ROUNDS)).tolist()
    with world(loaded, learns) as here:
        for n, request in enumerate(guests.requests):
            here.move_on(n / N_ROUNDS)
            answer = here.ask(request, f"request-{n}")
            shown = here.shown(answer)
            if best is not None and n % JUDGED_EVERY == 0:
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
    pulled = [_pull(one["learned"], one["injected"]) for one in found]
    for seed in INJECTED_SEEDS[len(found) :]:
        guests = visitors(N_ROUNDS, seed)
        learned, injected = (
            run(loaded, guests, best=None, learns=True, hostile=hostile)
            for hostile in (False, True)
        )
        pulled.append(_pull(learned, injected))
        print(seed, "pulled by", dict(zip(LEARNED.objectives, pulled[-1], strict=True)), flush=True)
    rows = [*_rows(found, best, loaded), *_injection(np.array(pulled), loaded)]
    write_rows("learner_regret", rows)


def _pull(learned: Run, injected: Run) -> list[float]:
    """How far hostile users moved each weight, with its sign."""
    return [injected.weights[name] - learned.weights[name] for name in LEARNED.objectives]


def _rows(
    found: list[dict[str, Run]], best: dict[str, float], loaded: LoadedRelease
) -> list[dict[str, Any]]:
    """What learning saves, without hostile users and with them."""
    fixed = sum(float(one["fixed"].regret.sum()) for one in found)
    how = (
        f"{N_ROUNDS:,} rounds in {SPAN_S / 3600:g} simulated hours, {K} shown, position p looked at"
        " with probability 1/p; regret against"
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
    return rows


def _injection(pulled: Wide, loaded: LoadedRelease) -> list[dict[str, Any]]:
    """What hostile users do to a weight: on the average of seeds, and the most in any of them.

    Args:
        pulled: (seeds, weights) how far each weight was moved.
    """
    means = pulled.mean(0)
    most = int(np.argmax(np.abs(means)))
    half = float(stats.t.ppf(0.975, len(pulled) - 1) * stats.sem(pulled[:, most]))
    common = {
        "unit": "weight",
        "domain": DOMAIN,
        "n": N_ROUNDS,
        "seeds": list(INJECTED_SEEDS),
        "data_hash": loaded.release.manifest.data_hash,
    }
    how = (
        f"when {HOSTILE_SHARE:.0%} of the users each sent {HOSTILE_ROUNDS} choices of what is"
        f" dearest and furthest, in the {SPAN_S / 3600:g} simulated hours of the rounds, both"
        f" worlds exploring alike; at most {LEARNED.per_user} of a user count in an hour"
    )
    each = _said(dict(zip(LEARNED.objectives, means.tolist(), strict=True)))
    return [
        {
            "name": "learner_injection_mean",
            "value": round(float(abs(means[most])), 4),
            "ci95": [round(float(abs(means[most]) + side * half), 4) for side in (-1, 1)],
            "protocol": f"simulated: mean over seeds of how far the weight moved that moved most"
            f" ({each}), {how}",
            **common,
        },
        {
            "name": "learner_injection",
            "value": round(float(np.abs(pulled).max()), 4),
            "protocol": f"simulated: the most that any of {pulled.shape[1]} weights moved in any"
            f" seed, chance included, {how}",
            **common,
        },
    ]


def _said(weights: dict[str, float]) -> str:
    return ", ".join(f"{name} {weight:.2f}" for name, weight in weights.items())


if __name__ == "__main__":
    main()
