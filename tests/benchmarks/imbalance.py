"""What `training.rarity_weight` and `training.popularity_correction` do to rare items.

Rows `imbalance`: NDCG@10 on targets in the tail (the least popular items that together have a fifth
of all training interactions) with the option over without, and in the protocol what it does to all
targets and to coverage. One seed unless asked for; minutes a training.
"""

from __future__ import annotations

import argparse
import json
from typing import Any

import numpy as np
import torch

from crossrec.config import load_config
from crossrec.data.importing import imported
from crossrec.data.split import Split
from crossrec.evaluation.metrics import bootstrap_interval
from crossrec.evaluation.protocols import Evaluation, judge
from crossrec.training.assemble import assemble
from crossrec.training.loop import fit
from crossrec.training.prepare import Prepared, prepare
from tests.benchmarks.rows import RESULTS, write_rows

Row = dict[str, Any]
OPTIONS = (
    "training.rarity_weight=0",
    "training.rarity_weight=0.5",
    "training.rarity_weight=1",
    "training.popularity_correction=0.5",
    "training.popularity_correction=1",
)
TAIL_SHARE = 0.2


def in_tail(split: Split) -> np.ndarray:
    """(N,) the least popular items, up to a fifth of all training interactions."""
    counts = np.bincount(split.sequences.items[split.train], minlength=split.sequences.n_items)
    order = np.argsort(counts, kind="stable")
    tail = np.zeros(len(counts), bool)
    tail[order[np.cumsum(counts[order]) <= TAIL_SHARE * counts.sum()]] = True
    return tail


def judged(domain: str, option: str, seed: int) -> tuple[Prepared, dict[str, Evaluation]]:
    """The towers alone, and the whole model, on the test cases."""
    prepared = prepare(imported(domain), load_config(overrides=[option, f"training.seed={seed}"]))
    fitted = fit(prepared)
    model = assemble(prepared, fitted)
    scores = {"towers": fitted.sequence().score, "model": model.score}
    width = prepared.text.shape[1]
    return prepared, {k: judge(s, prepared.split, request_dim=width) for k, s in scores.items()}


def rows_of(domain: str, n_seeds: int) -> list[Row]:
    """All options beside the first, which is none."""
    found: dict[tuple[str, str], list[Evaluation]] = {}
    for option in OPTIONS:
        for seed in range(n_seeds):
            prepared, evaluations = judged(domain, option, seed)
            for of, one in evaluations.items():
                found.setdefault((option, of), []).append(one)
                print(domain, option, of, one.mean("ndcg@10"), one.coverage, flush=True)
    split = prepared.split
    tail = in_tail(split)[split.targets(split.test)]
    return [
        row(domain, option, of, found[option, of], found[OPTIONS[0], of], tail, prepared)
        for of in ("towers", "model")
        for option in OPTIONS[1:]
    ]


def row(
    domain: str,
    option: str,
    of: str,
    ours: list[Evaluation],
    without: list[Evaluation],
    tail: np.ndarray,
    prepared: Prepared,
) -> Row:
    """Of one option: tail NDCG with and without, and in words all targets and coverage."""
    mine, other = (np.mean([e.values("ndcg@10") for e in es], axis=0) for es in (ours, without))
    covered = [np.mean([e.coverage[10] for e in es]) for es in (without, ours)]
    said = (
        f"leave_one_out, {of}, {option}; all targets {other.mean():.4f} to {mine.mean():.4f},"
        f" coverage@10 {covered[0]:.3f} to {covered[1]:.3f}"
    )
    return {
        "name": "imbalance",
        "domain": domain,
        "value": float(mine[tail].mean()),
        "unit": "ndcg@10 in the tail",
        "peer": "the same without the option",
        "peer_value": float(other[tail].mean()),
        "ratio": float(mine[tail].mean() / other[tail].mean()),
        "n": int(tail.sum()),
        "ci95": list(bootstrap_interval(mine[tail], np.random.default_rng(0))),
        "seeds": list(range(len(ours))),
        "protocol": said,
        "data_hash": prepared.data_hash,
    }


def others(domain: str) -> list[Row]:
    """Rows of other domains, as they were measured before."""
    path = RESULTS / "imbalance.json"
    known: list[Row] = json.loads(path.read_text(encoding="utf-8")) if path.is_file() else []
    return [row for row in known if row["domain"] != domain]


def main() -> None:
    """Run the domains named on the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, default=1)
    parser.add_argument("--domains", nargs="+", default=["movies", "travel"])
    given = parser.parse_args()
    torch.set_num_threads(1)
    for name in given.domains:
        made = rows_of(name, given.seeds)
        write_rows("imbalance", [*others(name), *made])


if __name__ == "__main__":
    main()
