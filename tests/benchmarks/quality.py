"""Quality of the fused model under the protocol: movies warm and cold, and context in the city.

Rows `movies_warm`, `sim_context`, `movies_cold`. Data comes from `CROSSREC_DATA_MIRROR`, or
from the package index where there is none (then texts, and so figures, differ). Minutes, not
seconds: nine trainings.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from typing import Any

import numpy as np
import torch

from crossrec.config import RunConfig, load_config
from crossrec.data.importing import imported
from crossrec.evaluation.metrics import bootstrap_interval
from crossrec.evaluation.protocols import Evaluation, judge
from crossrec.models import baselines
from crossrec.models.domain_model import DomainModel
from crossrec.training.assemble import assemble
from crossrec.training.loop import fit
from crossrec.training.prepare import Prepared, prepare
from tests.benchmarks.rows import write_rows

Row = dict[str, Any]

WITHOUT = "the same without context"


def made(name: str, *overrides: str) -> tuple[Prepared, DomainModel]:
    """Train with the default settings but for `overrides`."""
    config: RunConfig = load_config(overrides=list(overrides))
    prepared = prepare(imported(name), config)
    return prepared, assemble(prepared, fit(prepared))


def trained(name: str, *overrides: str) -> tuple[Prepared, Evaluation]:
    """The same, judged on the test cases."""
    prepared, model = made(name, *overrides)
    evaluation = judge(model.score, prepared.split, "test", request_dim=prepared.text.shape[1])
    print(f"{name} {overrides}: {evaluation.mean('ndcg@10'):.4f}", flush=True)
    return prepared, evaluation


def row(
    name: str,
    metric: str,
    ours: list[Evaluation],
    peer: str,
    theirs: list[Evaluation],
    of: Prepared,
) -> Row:
    """Seed averages. The interval is over users: each with the mean of the seeds where all seeds
    have the same cases, else over all cases of all seeds.
    """
    mine, others = (np.mean([e.mean(metric) for e in es]) for es in (ours, theirs))
    per_user = [e.values(metric) for e in ours]
    same = len({len(values) for values in per_user}) == 1
    values = np.mean(per_user, axis=0) if same else np.concatenate(per_user)
    return {
        "name": name,
        "domain": of.domain.name,
        "value": float(mine),
        "unit": metric,
        "peer": peer,
        "peer_value": float(others),
        "ratio": float(mine / others),
        "n": len(values),
        "ci95": list(bootstrap_interval(values, np.random.default_rng(0))),
        "seeds": list(range(len(ours))),
        "protocol": of.split.protocol,
        "data_hash": of.data_hash,
    }


def movies_warm(n_seeds: int) -> list[Row]:
    """Above every baseline of the package, each tuned on validation."""
    runs = [trained("movies", f"training.seed={seed}") for seed in range(n_seeds)]
    prepared, ours = runs[0][0], [evaluation for _, evaluation in runs]
    rows = []
    for name, model in baselines.tune_all(prepared.split, prepared.text).items():
        peer = judge(model.score, prepared.split, "test")
        print(f"  {name}: {peer.mean('ndcg@10'):.4f}")
        rows.append(row("movies_warm", "ndcg@10", ours, name, [peer], prepared))
    return sorted(rows, key=lambda one: float(one["ratio"]))[:1]


def sim_context(n_seeds: int) -> list[Row]:
    """The same model with and without the context of the moment."""
    prepared, *both = with_and_without("restaurants_sim", n_seeds)
    return [row("sim_context", "ndcg@10", both[0], WITHOUT, both[1], prepared)]


def with_and_without(
    name: str, n_seeds: int
) -> tuple[Prepared, list[Evaluation], list[Evaluation]]:
    """Evaluations of each seed with the context of the moment, and without."""
    results: dict[str, list[Evaluation]] = {"true": [], "false": []}
    for seed in range(n_seeds):
        for use, evaluations in results.items():
            settings = (f"training.seed={seed}", f"model.use_context={use}")
            prepared, evaluation = trained(name, *settings)
            evaluations.append(evaluation)
    return prepared, results["true"], results["false"]


def movies_cold(n_seeds: int) -> list[Row]:
    """Items withheld from training (others for each seed), full catalogue as candidates."""
    ours, theirs = [], []
    for seed in range(n_seeds):
        prepared, evaluation = trained("movies", "protocol=cold_items", f"training.seed={seed}")
        frozen = baselines.tune("frozen_text", prepared.split, prepared.text)
        ours.append(evaluation)
        theirs.append(judge(frozen.score, prepared.split, "test"))
        print(f"  {evaluation.mean('recall@10'):.4f}, frozen {theirs[-1].mean('recall@10'):.4f}")
    return [row("movies_cold", "recall@10", ours, "frozen text", theirs, prepared)]


PARTS: dict[str, Callable[[int], list[Row]]] = {
    "movies_warm": movies_warm,
    "sim_context": sim_context,
    "movies_cold": movies_cold,
}


def main() -> None:
    """Run the parts named on the command line, or all."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--part", choices=PARTS, action="append")
    given = parser.parse_args()
    torch.set_num_threads(1)
    rows = [one for part in given.part or PARTS for one in PARTS[part](given.seeds)]
    if given.part is None:
        write_rows("quality", rows)
    else:
        print(rows)


if __name__ == "__main__":
    main()
