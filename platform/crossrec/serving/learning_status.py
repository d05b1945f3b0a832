"""What a learner says of itself, to who asks and to Prometheus.

Leaves to others: learning (learning.py), showing it (commands/learner.py, the app), the page of
figures (metrics_page.py).
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from crossrec.ranking.learner_caps import Caps
from crossrec.serving.learning_messages import LearnedWeight, LearnerStatus, LearnerVersion
from crossrec.serving.learning_store import LearnerStore, State
from crossrec.serving.metrics import Metrics

MAX_FLAGGED = 20
MAX_VERSIONS = 50
N_DRAWS = 400
GAUGES = tuple(f"crossrec_learner_{name}" for name in ("version", "learning", "flagged", "weight"))
"""What `set_gauges` sets."""


def status_of(
    domain: str, state: State, caps: Caps | None, store: LearnerStore, at: float
) -> LearnerStatus:
    """All that there is to say, of the current version, at a moment (seconds since 1970)."""
    return LearnerStatus(
        domain=domain,
        version=state.version,
        at=state.at,
        why=state.why,
        learning=state.learning,
        live=state.live,
        explore_share=state.exploring,
        explore_most=state.explore_share,
        weights=learned_weights(state),
        counts=state.counts,
        flagged_users=_first(caps.flagged_users(at)) if caps else {},
        flagged_addresses=_first(caps.flagged_addresses(at)) if caps else {},
        versions=[
            LearnerVersion(version=one.version, at=one.at, why=one.why, weights=mean_weights(one))
            for number in store.versions()[: -MAX_VERSIONS - 1 : -1]
            if (one := store.version(number)) is not None
        ],
    )


def set_gauges(metrics: Metrics, domain: str, state: State, caps: Caps | None, at: float) -> None:
    """The same for Prometheus: how many are flagged, not who."""
    metrics.set("crossrec_learner_version", state.version, domain=domain)
    metrics.set("crossrec_learner_learning", float(state.learning), domain=domain)
    users, addresses = (caps.flagged_users(at), caps.flagged_addresses(at)) if caps else ({}, {})
    for what, flagged in (("users", users), ("addresses", addresses)):
        metrics.set("crossrec_learner_flagged", len(flagged), domain=domain, what=what)
    for name, weight in mean_weights(state).items():
        metrics.set("crossrec_learner_weight", weight, domain=domain, objective=name)


def learned_weights(state: State) -> dict[str, LearnedWeight]:
    """Each objective's weight in the mean context of the choices so far, with 95 % of what is
    believed of it.
    """
    frame, context = state.frame, _context(state)
    draws = state.belief.draws(
        np.random.default_rng(0).standard_normal((N_DRAWS, len(state.belief.mean)))
    )
    drawn = np.array([list(frame.weights(one, context).values()) for one in draws])
    low, high = np.quantile(drawn, [0.025, 0.975], axis=0)
    least, most = frame.bounds()
    mean = mean_weights(state)
    return {
        name: LearnedWeight(
            declared=frame.declared[n],
            weight=mean[name],
            low=float(low[n]),
            high=float(high[n]),
            least=float(least[n]),
            most=float(most[n]),
        )
        for n, name in enumerate(frame.objectives)
    }


def mean_weights(state: State) -> dict[str, float]:
    """Each objective's weight in the mean context of the choices so far."""
    return state.frame.weights(state.belief.mean, _context(state))


def _context(state: State) -> NDArray[np.float64]:
    return np.array(state.context or [0.0] * len(state.frame.features))


def _first(counts: dict[str, int]) -> dict[str, int]:
    return dict(list(counts.items())[:MAX_FLAGGED])
