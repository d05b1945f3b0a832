"""Off-line judging on real logged propensities (`ads`, Open Bandit), and beside obp 0.5.7.

`ads` was logged by two policies at once, so the truth is known for one of them: what uniform
choice earns is in the log of the uniform policy, and is estimated from the other one's log. The
estimators are run on the very same arrays by obp, in the environment that peers/make_env.sh makes.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from crossrec.config import mirror
from crossrec.evaluation.logged import (
    Exposures,
    Policy,
    chances,
    rates,
    read_exposures,
    rounds_of,
)
from crossrec.evaluation.off_policy import ESTIMATORS, Judgement, judge
from tests.benchmarks.rows import write_rows

ROOT = Path(__file__).resolve().parents[2]
OBP = ROOT / ".venv-peers" / "obp" / "bin" / "python"
SCRIPT = Path(__file__).with_name("peers") / "obp_estimates.py"
CAMPAIGNS = ("all", "men", "women")
DOUBLY_ROBUST = "doubly robust"

Row = dict[str, Any]


def exposures(campaign: str, logged_by: str) -> Exposures:
    """The rounds of a campaign that a policy logged."""
    folder = (mirror() or Path("/nowhere")) / "ads"
    items = pl.read_parquet(folder / "items.parquet")
    pool = items.filter(pl.col("campaign") == campaign).sort("action")["item_id"].to_list()
    interactions = pl.read_parquet(folder / "interactions.parquet")
    return read_exposures(interactions, pool, logged_by, ["click"])


def by_obp(log: Exposures, chance: np.ndarray, q_hat: np.ndarray) -> dict[str, float]:
    """obp's estimates from the same arrays: (A,) chances, (n, A) modelled rewards."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "log.npz"
        full = np.broadcast_to(chance, q_hat.shape)
        np.savez(path, reward=log.reward, action=log.action, propensity=log.propensity,
                 chance=full, q_hat=q_hat)  # fmt: skip
        command = [str(OBP), str(SCRIPT), str(path)]
        answer = subprocess.run(command, capture_output=True, text=True, check=True)
    found: dict[str, float] = json.loads(answer.stdout)["estimates"]
    return found


def furthest_from_obp(log: Exposures, chance: np.ndarray) -> float:
    """Largest difference between an estimate of ours and obp's, relative to obp's."""
    from crossrec.evaluation.off_policy import Rounds

    q_hat = rates(log)[log.position]  # (n, A): any model does, the same for both
    rows = np.arange(len(log.action))
    rounds = Rounds(
        log.reward, log.propensity, chance[log.action], q_hat[rows, log.action], q_hat @ chance
    )
    ones = np.ones(len(rows))
    theirs = by_obp(log, chance, q_hat)
    gaps = [abs(ours(rounds, ones) / theirs[name] - 1) for name, ours in ESTIMATORS.items()]
    return max(gaps)


def main() -> None:
    """Judge, compare, write the rows."""
    gaps: list[float] = []
    rows: list[Row] = []
    for campaign in CAMPAIGNS:
        random, bts = exposures(campaign, "random"), exposures(campaign, "bts")
        earlier, later = random.halves()
        uniform, popular = chances("uniform", bts), chances("popular", earlier)
        gaps += [furthest_from_obp(bts, uniform), furthest_from_obp(later, popular)]
        truth = float(random.reward.mean())
        rows.append(
            _row(campaign, "uniform", "bts", judge(rounds_of(bts, uniform)), truth,
                 "what the uniform policy's own log earned in the same week")
        )  # fmt: skip
        logged = float(later.reward.mean())
        rows.append(
            _row(campaign, "popular", "random, later half", judge(rounds_of(later, popular)),
                 logged, "what the log itself earned")
        )  # fmt: skip
    agreement = {
        "name": "off_policy_obp",
        "domain": "ads",
        "value": max(gaps),
        "unit": "relative difference",
        "peer": "obp 0.5.7",
        "n": len(gaps) * len(ESTIMATORS),
        "protocol": "largest difference between an estimate of ours and obp's on the same arrays:"
        f" {', '.join(ESTIMATORS)}; 3 campaigns, 2 policies, 5,000 or 10,000 rounds each",
    }
    write_rows("off_policy", [agreement, *rows])


def _row(
    campaign: str, policy: Policy, log: str, found: Judgement, beside: float, beside_is: str
) -> Row:
    best = next(one for one in found.estimates if one.name == DOUBLY_ROBUST)
    others = ", ".join(
        f"{one.name} {one.value:.4f} [{one.low:.4f}, {one.high:.4f}]"
        for one in found.estimates
        if one is not best
    )
    return {
        "name": "off_policy_ads",
        "domain": f"ads:{campaign}",
        "value": round(best.value, 6),
        "unit": "clicks a round",
        "peer": beside_is,
        "peer_value": round(beside, 6),
        "n": found.n,
        "ci95": [round(best.low, 6), round(best.high, 6)],
        "seeds": [0],
        "protocol": f"policy {policy} from the log of {log}, doubly robust; {others}; worth"
        f" {found.effective_n:.0f} rounds of its own, mean weight {found.coverage:.2f}",
    }


if __name__ == "__main__":
    sys.exit(main())
