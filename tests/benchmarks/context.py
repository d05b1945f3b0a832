"""What the context of the moment is worth: the same model with it and without it.

Rows `context`: `restaurants_sim` (simulated, where context is known to matter) and real domains.
Rows `restricted`: one model judged among all items, and among those that the city of the last place
leaves; published peers rank all of them, so these stand beside no peer's.
"""

from __future__ import annotations

import argparse
from typing import Any

import torch

from crossrec.benchmark.cells import Cell, Result
from crossrec.benchmark.compare import Group, ratio
from crossrec.data.importing import imported
from crossrec.data.restrictions import restricted_split
from crossrec.evaluation.protocols import Evaluation, judge
from crossrec.training.prepare import Prepared
from tests.benchmarks.quality import WITHOUT, made, with_and_without
from tests.benchmarks.rows import write_rows

Row = dict[str, Any]

SIMULATED, REAL = "restaurants_sim", "travel"
RESTRICTED = "travel"


def compared(
    name: str,
    of: Prepared,
    ours: list[Evaluation],
    peer: str,
    theirs: list[Evaluation],
    protocol: str,
) -> Row:
    """A row whose interval is of the ratio, from a paired bootstrap over users."""
    found = ratio(group(of, "ours", ours), group(of, peer, theirs))
    return {
        "name": name,
        "domain": of.domain.name,
        "value": found.ours,
        "unit": "ndcg@10",
        "peer": peer,
        "peer_value": found.theirs,
        "ratio": found.value,
        "n": found.n,
        "ci95": list(found.ci95),
        "seeds": list(range(len(ours))),
        "protocol": f"{protocol}; ci95 is of the ratio, paired over users",
        "data_hash": of.data_hash,
    }


def group(of: Prepared, model: str, evaluations: list[Evaluation]) -> Group:
    """All seeds of one side, as the benchmark compares them."""
    domain, split = of.domain.name, of.split.protocol
    results = tuple(
        Result(Cell(domain, split, model, seed), "", of.data_hash, {"test": one}, {}, 0.0, 0.0)
        for seed, one in enumerate(evaluations)
    )
    return Group(domain, split, model, results)


def context(name: str, n_seeds: int) -> Row:
    """With the context of the moment over without."""
    prepared, ours, theirs = with_and_without(name, n_seeds)
    fields = ", ".join(field.name for field in prepared.domain.context)
    protocol = f"{prepared.split.label}, context: {fields}"
    return compared("context", prepared, ours, WITHOUT, theirs, protocol)


def restricted(name: str, n_seeds: int) -> Row:
    """Candidates of the case's context over the whole catalogue, by one model."""
    among: dict[str, list[Evaluation]] = {"some": [], "all": []}
    for seed in range(n_seeds):
        prepared, model = made(name, f"training.seed={seed}")
        narrow = restricted_split(imported(name), prepared.split)
        width = prepared.text.shape[1]
        for kind, split in {"some": narrow, "all": prepared.split}.items():
            among[kind].append(judge(model.score, split, "test", request_dim=width))
            print(f"{name} seed {seed}: {split.label} {among[kind][-1].mean('ndcg@10'):.4f}")
    whole = "the same model among all items"
    return compared("restricted", prepared, among["some"], whole, among["all"], narrow.label)


def main() -> None:
    """Run and write all rows."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--real", nargs="*", default=[REAL])
    given = parser.parse_args()
    torch.set_num_threads(1)
    rows = [context(name, given.seeds) for name in (SIMULATED, *given.real)]
    write_rows("context", [*rows, restricted(RESTRICTED, given.seeds)])


if __name__ == "__main__":
    main()
