"""Frozen, adapted and chosen by validation: quality, warm and cold, and seconds (rows `modes`).

Leaves to others: the choice itself (training/choosing.py), speed of adapted training beside
other loops (adapted_speed.py).
"""

from __future__ import annotations

import argparse
import json
import time
from dataclasses import dataclass
from typing import Any

import torch

from crossrec.benchmark.compare import ratio
from crossrec.config import load_config
from crossrec.data.importing import imported
from crossrec.evaluation.protocols import Evaluation
from crossrec.training.assemble import assemble
from crossrec.training.loop import fit
from crossrec.training.pipeline import judge_model
from crossrec.training.prepare import Prepared, prepare
from tests.benchmarks.context import group
from tests.benchmarks.rows import RESULTS, write_rows

Row = dict[str, Any]
DOMAINS = ("travel", "movies", "industrial")
MODES = ("adapted", "auto")


@dataclass(frozen=True)
class Run:
    """One training: judged, and how long it took from prepared data to the whole model."""

    prepared: Prepared
    validation: Evaluation
    test: Evaluation
    towers: float
    """NDCG@10 of the sequence signal alone on (at most 2,000 cases of) validation."""
    seconds: float
    said: str
    """What was chosen and why; empty where nothing was to be chosen."""


def run(domain: str, mode: str, seed: int, *settings: str) -> Run:
    """Train in that mode; text vectors of the frozen encoder are cached before the clock starts."""
    overrides = [f"training.mode={mode}", f"training.seed={seed}", *settings]
    prepared = prepare(imported(domain), load_config(overrides=overrides))
    started = time.perf_counter()
    fitted = fit(prepared)
    model = assemble(prepared, fitted)
    seconds = time.perf_counter() - started
    validation, test = (
        judge_model(prepared, fitted, model, part) for part in ("validation", "test")
    )
    towers = max(epoch["best"] for epoch in fitted.history)
    said = f"{fitted.choice.mode}: {fitted.choice.why}" if fitted.choice else ""
    return Run(prepared, validation, test, towers, seconds, said)


def words(one: Run) -> str:
    """A line for the log."""
    cold = one.test.values("ndcg@10")[~one.test.warm]
    return (
        f"towers {one.towers:.4f}, validation {one.validation.mean('ndcg@10'):.4f},"
        f" test {one.test.mean('ndcg@10'):.4f}, {len(cold)} cold"
        f" {cold.mean() if len(cold) else float('nan'):.4f}, {one.seconds:.0f} s {one.said}"
    )


def rows(mode: str, runs: list[Run], frozen: list[Run]) -> list[Row]:
    """That mode beside frozen: all test targets, and the cold ones."""
    prepared, made = runs[0].prepared, []
    for kind in ("all", "cold"):
        compared = ratio(
            group(prepared, mode, [one.test for one in runs]),
            group(prepared, "frozen", [one.test for one in frozen]),
            kind=kind,
        )
        if not compared.n or not compared.theirs:
            continue
        made.append(
            {
                "name": "modes",
                "domain": prepared.domain.name,
                "value": compared.ours,
                "unit": "ndcg@10",
                "peer": compared.peer,
                "peer_value": compared.theirs,
                "ratio": compared.value,
                "n": compared.n,
                "ci95": list(compared.ci95),
                "seeds": list(range(len(runs))),
                "protocol": "; ".join(
                    [
                        f"{prepared.split.label}, test, {kind} targets, training.mode={mode}",
                        f"{_seconds(runs):.0f} s a training, frozen {_seconds(frozen):.0f} s",
                        *(one.said for one in runs if one.said),
                        "ci95 is of the ratio, paired over users",
                    ]
                ),
                "data_hash": prepared.data_hash,
            }
        )
    return made


def _seconds(runs: list[Run]) -> float:
    return sum(one.seconds for one in runs) / len(runs)


def measure(domain: str, modes: list[str], seeds: int, settings: list[str]) -> list[Row]:
    """All rows of a domain."""
    found: dict[str, list[Run]] = {}
    for seed in range(seeds):
        for mode in ("frozen", *modes):
            one = run(domain, mode, seed, *settings)
            found.setdefault(mode, []).append(one)
            print(f"{domain} seed {seed} {mode}: {words(one)}", flush=True)
    frozen = found.pop("frozen")
    return [row for mode, runs in found.items() for row in rows(mode, runs, frozen)]


def others(domains: list[str]) -> list[Row]:
    """Rows of other domains, as they were measured before."""
    path = RESULTS / "modes.json"
    known: list[Row] = json.loads(path.read_text(encoding="utf-8")) if path.is_file() else []
    return [row for row in known if row["domain"] not in domains]


def main() -> None:
    """Measure and write."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--domains", nargs="+", default=list(DOMAINS))
    parser.add_argument("--modes", nargs="+", default=list(MODES))
    parser.add_argument("--seeds", type=int, default=1)
    parser.add_argument("--set", nargs="*", default=[], dest="settings")
    given = parser.parse_args()
    torch.set_num_threads(1)
    made = [
        row
        for domain in given.domains
        for row in measure(domain, given.modes, given.seeds, given.settings)
    ]
    write_rows("modes", [*others(given.domains), *made])


if __name__ == "__main__":
    main()
