"""Judges policies on recorded exposures with propensities, as `ads` (Open Bandit) has them.

Each round showed one item of a pool at one position. Leaves to others: the estimators
(off_policy.py), our own answers (serving/learning_judge.py).
Sizes: n rounds, A items of a pool, J positions.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import numpy as np
from numpy.typing import NDArray

from crossrec.errors import DataError
from crossrec.evaluation.off_policy import Rounds

if TYPE_CHECKING:
    import polars as pl

Wide = NDArray[np.float64]
Ints = NDArray[np.int64]

Policy = Literal["uniform", "popular"]
POLICIES: tuple[Policy, ...] = ("uniform", "popular")
COLUMNS = ("item_id", "timestamp", "event", "position", "propensity_score", "policy")
"""Of `interactions`; every row is one item shown, at a position, with its propensity."""
N_FOLDS = 5
PRIOR_ROUNDS = 200.0
"""Rounds of the mean rate that a cell's own rate is mixed with."""
SHARPNESS = 3.0
"""Of the policy `popular`: exponent of its rates, so that a third more is shown twice as often."""


@dataclass(frozen=True)
class Exposures:
    """Rounds of one logging policy in one pool, in order of time."""

    action: Ints  # (n,) number of the item
    position: Ints  # (n,) from 0
    reward: Wide  # (n,) 1 where it was taken
    propensity: Wide  # (n,)
    item_ids: list[str]  # (A,)

    def part(self, rows: NDArray[np.bool_]) -> Exposures:
        """Some of the rounds."""
        return Exposures(
            self.action[rows],
            self.position[rows],
            self.reward[rows],
            self.propensity[rows],
            self.item_ids,
        )

    def halves(self) -> tuple[Exposures, Exposures]:
        """The earlier and the later half."""
        early = np.arange(len(self.action)) < len(self.action) // 2
        return self.part(early), self.part(~early)


def read_exposures(
    interactions: pl.DataFrame, pools: Sequence[str], logged_by: str, positive: Sequence[str]
) -> Exposures:
    """The rounds that a policy logged, in order of time.

    Args:
        interactions: with `COLUMNS`; ties in time keep their order.
        pools: items that could be shown, in the order of their numbers.
        logged_by: name of the logging policy.
        positive: events that are a reward.

    Raises:
        DataError: a column is missing, or that policy logged nothing of the pool.
    """
    import polars as pl

    missing = [name for name in COLUMNS if name not in interactions.columns]
    if missing:
        raise DataError(
            f"the interactions have no column '{missing[0]}'; a policy is judged on what was shown"
            " with its propensity: " + ", ".join(COLUMNS)
        )
    known = sorted(interactions["policy"].drop_nulls().unique().to_list())
    rows = interactions.filter(
        pl.col("policy") == logged_by, pl.col("item_id").is_in(list(pools))
    ).sort("timestamp", maintain_order=True)
    if not rows.height:
        raise DataError(f"no rounds logged by '{logged_by}'; there are: {', '.join(known)}")
    number = {item_id: n for n, item_id in enumerate(pools)}
    _, position = np.unique(rows["position"].cast(pl.Float64).to_numpy(), return_inverse=True)
    return Exposures(
        action=np.array([number[item_id] for item_id in rows["item_id"]], np.int64),
        position=np.asarray(position, np.int64),
        reward=rows["event"].is_in(list(positive)).cast(pl.Float64).to_numpy(),
        propensity=rows["propensity_score"].cast(pl.Float64).to_numpy(),
        item_ids=list(pools),
    )


def rates(exposures: Exposures) -> Wide:
    """(J, A): how often each item is taken at each position.

    Rewards are rare, so an item's rate is drawn towards the mean of all (`PRIOR_ROUNDS`), and
    then times what the position makes of it.
    """
    n_items, n_positions = len(exposures.item_ids), int(exposures.position.max()) + 1
    mean = max(float(exposures.reward.mean()), 1e-9)
    own = _smoothed(exposures.action, exposures.reward, n_items, mean)
    of_position = _smoothed(exposures.position, exposures.reward, n_positions, mean)
    return np.asarray(of_position[:, None] * own[None, :] / mean)


def _smoothed(of: Ints, reward: Wide, n: int, mean: float) -> Wide:
    taken = np.bincount(of, reward, minlength=n) + PRIOR_ROUNDS * mean
    return np.asarray(taken / (np.bincount(of, minlength=n) + PRIOR_ROUNDS))


def chances(policy: Policy, earlier: Exposures) -> Wide:
    """(A,): how likely a policy is to show each item, whatever the position.

    Args:
        policy: `uniform`; or `popular`: in proportion to the item's rate to the power SHARPNESS.
        earlier: rounds that `popular` reads; none of those it is judged on.
    """
    n_items = len(earlier.item_ids)
    if policy == "uniform":
        return np.full(n_items, 1 / n_items)
    raised = rates(earlier).mean(axis=0) ** SHARPNESS
    return np.asarray(raised / raised.sum())


def rounds_of(exposures: Exposures, chance: Wide) -> Rounds:
    """The log with what a policy would have done; the model of rewards is fitted crosswise, on
    the rounds of other folds.

    Args:
        exposures: the log.
        chance: (A,) or, by position, (J, A): the policy that is judged.
    """
    n, n_items = len(exposures.action), len(exposures.item_ids)
    n_positions = int(exposures.position.max()) + 1
    mine = np.broadcast_to(chance, (n_positions, n_items))[exposures.position]  # (n, A)
    model = np.zeros((n, n_items))
    fold = np.arange(n) % N_FOLDS
    for number in range(N_FOLDS):
        learned = rates(exposures.part(fold != number))
        model[fold == number] = learned[exposures.position[fold == number]]
    rows = np.arange(n)
    return Rounds(
        reward=exposures.reward,
        propensity=exposures.propensity,
        chance=mine[rows, exposures.action],
        model_logged=model[rows, exposures.action],
        model_policy=(mine * model).sum(axis=1),
    )
