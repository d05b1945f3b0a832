"""Whether the first reason of an explanation is a true cause, where causes are known (simulated).

Rows `true_causes` of `restaurants_sim`: for each test visit the best open restaurant that is new to
the guest is explained. Its true causes are the factors of the simulator's utility in which it is
better, for this guest at this moment, than the restaurants that were open on average, each by at
least CAUSE of all that it is better in. Its first reason is the largest of: all history items
together, each context field, popularity. What a reason stands for is written in STANDS_FOR, and
counts whether or not the model knows.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from crossrec.data.batches import queries_for
from crossrec.data.simulate import (
    FACTORS,
    Simulation,
    is_open,
    moment_utilities,
    simulate,
    steady_utilities,
)
from crossrec.evaluation.metrics import bootstrap_interval
from crossrec.explanation.contributions import explain
from tests.benchmarks.explanations import N_USERS, Row, Subject, subject, titles
from tests.benchmarks.rows import write_rows

DOMAIN = "restaurants_sim"
CAUSE = 0.2
"""As large a share as a kind of reason must have to be named in a sentence."""
STANDS_FOR = {
    "history": {"taste", "price"},  # where one went says what one likes and what one spends
    "popularity": {"quality"},  # what all guests agree on
    "hour": {"daytime"},
    "weekday": set[str](),  # opening days only, which are no utility
    "weather": {"weather"},
    "temperature": {"weather"},  # the simulator's factor of both
    "company": {"company"},
    "location": {"distance"},
}
Doubles = NDArray[np.float64]


@dataclass(frozen=True)
class Visit:
    """One explained recommendation: what each reason is worth, and each factor's advantage."""

    reasons: dict[str, float]
    advantages: dict[str, float]

    @property
    def causes(self) -> set[str]:
        """Factors that truly speak for the restaurant."""
        enough = CAUSE * sum(value for value in self.advantages.values() if value > 0)
        return {name for name, value in self.advantages.items() if value > 0 and value >= enough}

    def holds(self, reason: str) -> bool:
        """Whether it stands for a true cause."""
        return bool(STANDS_FOR[reason] & self.causes)

    @property
    def first(self) -> str:
        """The largest reason."""
        return max(self.reasons, key=lambda name: self.reasons[name])

    @property
    def by_chance(self) -> float:
        """Share of the reasons that speak for it, drawn evenly, that would hold."""
        speaking = [name for name, value in self.reasons.items() if value > 0] or list(self.reasons)
        return float(np.mean([self.holds(name) for name in speaking]))


def visits(of: Subject, world: Simulation, n_users: int) -> Iterator[Visit]:
    """Test visits, each with its best open restaurant explained."""
    rng = np.random.default_rng(0)
    sequences, cases = of.split.sequences, of.split.test
    drawn = np.sort(rng.choice(len(cases), min(n_users, len(cases)), replace=False))
    steady = steady_utilities(world.restaurants, world.guests)
    for number in drawn:
        case = cases.take(np.array([number]))
        user, visit = int(case.users[0]), int(case.cuts[0])
        # users and items of the data are in the simulator's order; what happened proves it
        assert world.chosen[user, visit] == sequences.items[sequences.target_rows(case)[0]]
        query = queries_for(sequences, case, of.model.request_dim)
        allowed = is_open(world.restaurants, world.moments, visit)[user]
        allowed[query.items[query.items >= 0]] = False
        scores = np.where(allowed, of.model.score(query)[0], -np.inf)
        best = int(scores.argmax())
        moment = moment_utilities(world.restaurants, world.guests, world.moments, visit)
        utilities = {**steady, **moment}
        advantages = {
            name: float(utilities[name][user, best] - utilities[name][user, allowed].mean())
            for name in FACTORS
        }
        [one] = explain(of.model, query, [best], titles, rescorer=of.rescorer)
        reasons: dict[str, float] = {}
        for part in one.parts:
            if part.kind in ("history", "popularity", "context"):
                name = part.name if part.kind == "context" else part.kind
                reasons[name] = reasons.get(name, 0.0) + part.value
        yield Visit(reasons, advantages)


def row(of: Subject, found: list[Visit]) -> Row:
    """Agreement, beside that of a reason drawn from those that speak for it."""
    hits = [one.holds(one.first) for one in found]
    chance = float(np.mean([one.by_chance for one in found]))
    low, high = bootstrap_interval(hits, np.random.default_rng(0))
    firsts = [one.first for one in found]
    shares = {
        name: float(np.mean([one.holds(name) for one in found if one.first == name]))
        for name in sorted(set(firsts), key=firsts.count, reverse=True)
    }
    each = ", ".join(f"{name} {firsts.count(name)} ({held:.0%})" for name, held in shares.items())
    causes = float(np.mean([len(one.causes) for one in found]))
    protocol = (
        f"simulated; best open restaurant of each visit; first reasons, how many are true: {each};"
        f" {causes:.1f} true causes a visit of {len(FACTORS)}; peer: a reason drawn from those that"
        " speak for it"
    )
    return of.row(
        "true_causes", 100 * float(np.mean(hits)), "% of first reasons", len(hits), protocol,
        peer="a reason at random", peer_value=100 * chance,
        ratio=float(np.mean(hits)) / chance, ci95=[100 * low, 100 * high],
    )  # fmt: skip


def main() -> None:
    """Measure and write the row."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--users", type=int, default=N_USERS)
    given = parser.parse_args()
    torch.set_num_threads(1)
    of = subject(DOMAIN)
    options: dict[str, Any] = of.model.domain.source.model_dump().get("options", {})  # type: ignore[union-attr]
    found = list(visits(of, simulate(**options), given.users))
    write_rows("true_causes", [row(of, found)])


if __name__ == "__main__":
    main()
