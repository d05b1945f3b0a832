"""What items shown and not taken are worth as hard negatives (rows `passed_over`).

`training.passed_over_weight` is chosen on validation among WEIGHTS; rows have test with each weight
over without, and say which was chosen. `ads`: the next advert clicked. `assistant_requests`: all
offers that satisfy a request are right, also those turned down, as the data set says; and beside it
the one that was taken alone. `restaurants_sim`: simulated guests who choose among eight restaurants
that they are shown. In `news` no impression precedes a training click.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from crossrec.benchmark.compare import interval, ratio_draws
from crossrec.config import home, load_config
from crossrec.data.dataset import Dataset
from crossrec.data.importing import import_domain, imported
from crossrec.domains import load_domain
from crossrec.evaluation.protocols import Part, judge
from crossrec.training.assemble import assemble
from crossrec.training.loop import fit
from crossrec.training.prepare import Prepared, prepare
from tests.benchmarks import words
from tests.benchmarks.rows import RESULTS, write_rows

SIMULATED = "restaurants_sim"
SHOWN = 8
"""Restaurants that a simulated guest chooses among, in place of all."""

Row = dict[str, Any]
Values = NDArray[np.float64]
Key = tuple[str, str, Part]
"""What scores (towers or model), what is right, validation or test."""

WEIGHTS = (0.0, 0.3, 1.0)
SEEDS = {"ads": 3, "assistant_requests": 1, SIMULATED: 1}
PARTS: tuple[Part, ...] = ("validation", "test")
ALL_RIGHT, TAKEN, NEXT = "all that satisfy it", "the one taken alone", "next click"


def dataset_of(domain: str) -> Dataset:
    """As it is imported; the simulated city with guests who are shown a few restaurants."""
    if domain != SIMULATED:
        return imported(domain)
    whole = load_domain(domain)
    options = {"n_users": 400, "n_items": 300, "seed": 0, "shown": SHOWN}
    update = {"source": whole.source.model_copy(update={"options": options})}
    update |= {"dropped_events": ["shown"]}
    root = home() / "cache" / "benchmarks" / f"{domain}-shown"
    return import_domain(whole.model_copy(update=update), root, progress=False)


def trained(domain: str, weight: float, seed: int) -> tuple[Prepared, dict[Key, Values]]:
    """NDCG@10 of each case after one training."""
    settings = [f"training.passed_over_weight={weight}", f"training.seed={seed}"]
    prepared = prepare(dataset_of(domain), load_config(overrides=settings))
    fitted = fit(prepared)
    requests = fitted.network.texts.requests()
    scores = {"towers": fitted.sequence().score, "model": assemble(prepared, fitted).score}
    return prepared, {
        (of, right, part): values
        for of, score in scores.items()
        for part in PARTS
        for right, values in _judged(prepared, score, part, requests)
    }


def _judged(
    prepared: Prepared, score: words.Score, part: Part, requests: words.Floats | None
) -> Iterator[tuple[str, Values]]:
    if requests is None:
        width = prepared.text.shape[1]
        yield NEXT, judge(score, prepared.split, part, request_dim=width).values("ndcg@10")
        return
    alone = replace(prepared, split=replace(prepared.split, relevant=None))
    for right, of in ((ALL_RIGHT, prepared), (TAKEN, alone)):
        yield right, words.judge(of, score, part, requests)


def rows_of(domain: str, n_seeds: int) -> list[Row]:
    """All weights beside none."""
    found: dict[float, dict[Key, Values]] = {}
    for weight in WEIGHTS:
        runs = []
        for seed in range(n_seeds):
            prepared, values = trained(domain, weight, seed)
            runs.append(values)
        found[weight] = {key: np.mean([run[key] for run in runs], axis=0) for key in runs[0]}
        told = ", ".join(f"{' '.join(key)} {v.mean():.4f}" for key, v in found[weight].items())
        print(f"{domain} weight {weight}: {told}", flush=True)
    rows = []
    for of, right, part in found[0.0]:
        if part == "test":
            best = max(WEIGHTS, key=lambda w, a=of, b=right: found[w][a, b, "validation"].mean())
            rows += [
                row(prepared, weight, found, (of, right, "test"), best, n_seeds)
                for weight in WEIGHTS[1:]
            ]
    return rows


def row(
    prepared: Prepared,
    weight: float,
    found: dict[float, dict[Key, Values]],
    key: Key,
    best: float,
    n_seeds: int,
) -> Row:
    """One weight over none, on test."""
    of, right, _ = key
    mine, others = found[weight][key], found[0.0][key]
    return {
        "name": "passed_over",
        "domain": prepared.domain.name,
        "value": float(mine.mean()),
        "unit": "ndcg@10",
        "peer": "the same without",
        "peer_value": float(others.mean()),
        "ratio": float(mine.mean() / others.mean()) if others.any() else None,
        "n": len(mine),
        "ci95": list(interval(ratio_draws(mine, others))),
        "seeds": list(range(n_seeds)),
        "protocol": f"{_what(prepared)}, {of}, right: {right},"
        f" training.passed_over_weight={weight:g}; validation chose {best:g};"
        " ci95 is of the ratio, paired over cases",
        "data_hash": prepared.data_hash,
    }


def others(domains: list[str]) -> list[Row]:
    """Rows of other domains, as they were measured before."""
    path = RESULTS / "passed_over.json"
    known: list[Row] = json.loads(path.read_text(encoding="utf-8")) if path.is_file() else []
    return [row for row in known if row["domain"] not in domains]


def _what(prepared: Prepared) -> str:
    simulated = f"simulated, {SHOWN} shown at a time, " if prepared.domain.simulated else ""
    return simulated + prepared.split.label


def main() -> None:
    """Measure and write."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--domains", nargs="+", default=list(SEEDS), choices=list(SEEDS))
    given = parser.parse_args()
    torch.set_num_threads(1)
    made = [row for domain in given.domains for row in rows_of(domain, SEEDS[domain])]
    write_rows("passed_over", [*others(given.domains), *made])


if __name__ == "__main__":
    main()
