"""Quality beside peers: rows `loo_over_peer`, `loo_over_fusion`, `temporal_over_peer` and
`cold_over_text`, one a domain and one for the geometric mean.

They are read from the `quality.json` and the cells of `crossrec benchmark quality`, which is run
first: what its folder holds already is taken (hours, on an empty one).
Leaves to others: training, judging, ratios and intervals (crossrec.benchmark).
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from crossrec.benchmark.cells import FUSION, OURS, TEXT
from crossrec.benchmark.compare import Group, Ratio, best_peer, geometric, groups, ratio, select
from crossrec.benchmark.report import write_report
from crossrec.benchmark.run import Benchmark, make_plan, settings_of
from crossrec.evaluation.metrics import bootstrap_interval
from tests.benchmarks.rows import write_rows

Row = dict[str, Any]

PEER_DOMAINS = (
    *("movies", "industrial", "fashion", "restaurants"),
    *("movies_recent", "travel", "music", "grocery"),
)
TEMPORAL_DOMAINS = ("grocery", "fashion", "music", "travel")
"""Those with at least 300 cases; movies and restaurants get rows, outside the mean."""
TEMPORAL_SHOWN = ("movies", "restaurants")
COLD = {
    "leave_one_out": ("fashion", "music", "books"),
    "cold_items": ("movies", "industrial"),
}
"""Domains with at least 200 cold targets of their own, and others with items withheld."""


def over_peer(found: Sequence[Group], name: str, split: str, domains: Sequence[str]) -> list[Ratio]:
    """Ours over the best peer (by validation), or over the fusion of peers."""
    ratios = []
    for domain in domains:
        ours = select(found, domain, split, OURS)
        fusion = name.endswith("fusion")
        peer = select(found, domain, split, FUSION) if fusion else best_peer(found, domain, split)
        if ours is not None and peer is not None:
            ratios.append(ratio(ours, peer))
    return ratios


def over_text(found: Sequence[Group]) -> list[Ratio]:
    """Recall@10 of cold targets over frozen text."""
    ratios = []
    for split, domains in COLD.items():
        for domain in domains:
            ours, text = (select(found, domain, split, model) for model in (OURS, TEXT))
            if ours is not None and text is not None:
                ratios.append(ratio(ours, text, "recall@10", "cold"))
    return ratios


def rows(found: Sequence[Group]) -> list[Row]:
    """All rows of this benchmark that the groups have figures for."""
    made = []
    for name, split in (
        ("loo_over_peer", "leave_one_out"),
        ("loo_over_fusion", "leave_one_out"),
        ("temporal_over_peer", "temporal"),
    ):
        domains = PEER_DOMAINS if split == "leave_one_out" else TEMPORAL_DOMAINS
        ratios = over_peer(found, name, split, domains)
        made += [_row(name, found, one) for one in ratios] + _mean(name, found, ratios, domains)
        if split == "temporal":
            thin = over_peer(found, name, split, TEMPORAL_SHOWN)
            made += [_row(f"{name}_thin", found, one) for one in thin]
    cold = over_text(found)
    wanted = [domain for domains in COLD.values() for domain in domains]
    made += [_row("cold_over_text", found, one) for one in cold]
    return made + _mean("cold_over_text", found, cold, wanted)


def _row(name: str, found: Sequence[Group], one: Ratio) -> Row:
    ours = select(found, one.domain, one.split, OURS)
    assert ours is not None, "a ratio is of ours"
    targets = "" if one.kind == "all" else f", {one.kind} targets"
    interval = bootstrap_interval(ours.values(one.metric, one.kind), np.random.default_rng(0))
    low, high = one.ci95
    ran = [g.model for g in found if (g.domain, g.split) == (one.domain, one.split)]
    peers = ", ".join(sorted(set(ran) - {OURS, FUSION}))
    return {
        "name": name,
        "domain": one.domain,
        "value": one.ours,
        "unit": one.metric,
        "peer": one.peer,
        "peer_value": one.theirs,
        "ratio": one.value,
        "n": one.n,
        "ci95": list(interval),
        "seeds": ours.seeds,
        "protocol": f"{one.split}{targets}; ratio {low:.3f} to {high:.3f} (95 %, users in pairs);"
        f" peers run: {peers}",
        "data_hash": ours.results[0].data_hash,
    }


def _mean(
    name: str, found: Sequence[Group], ratios: Sequence[Ratio], wanted: Sequence[str]
) -> list[Row]:
    """The row of the geometric mean, once all domains that it speaks of are there."""
    if {one.domain for one in ratios} != set(wanted):
        return []
    value, interval = geometric(ratios)
    lowest = min(ratios, key=lambda one: one.value)
    peers = "frozen text" if name == "cold_over_text" else "of each domain"
    first = _row(name, found, ratios[0])
    return [
        {
            "name": name,
            "domain": "all",
            "value": value,
            "unit": "geometric mean of ratios",
            "peer": FUSION if name.endswith("fusion") else peers,
            "ratio": value,
            "n": sum(one.n for one in ratios),
            "ci95": list(interval),
            "seeds": first["seeds"],
            "protocol": f"geometric mean of {len(ratios)} domains; lowest {lowest.domain}"
            f" {lowest.value:.3f}; users of each drawn in pairs",
        }
    ]


def main() -> None:
    """Run what is missing, write the report and the rows."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--out", type=Path, default=Path("artifacts/quality"))
    parser.add_argument("--domains", nargs="*", default=())
    parser.add_argument("--peers", nargs="*", default=None)
    parser.add_argument("--no-run", action="store_true", help="rows of what is there")
    given = parser.parse_args()
    torch.set_num_threads(1)
    cells = make_plan(given.domains, (), given.seeds, given.peers)
    outcome = Benchmark(given.out, cells, make=not given.no_run).run(
        lambda cell, made: print(f"{'done' if made else '....'} {cell}", flush=True)
    )
    write_report(given.out, outcome, {**settings_of(cells), "seeds": given.seeds})
    for cell, reason in outcome.not_run.items():
        print(f"{cell}: {reason}")
    write_rows("loo", rows(groups(outcome.results)))


if __name__ == "__main__":
    main()
