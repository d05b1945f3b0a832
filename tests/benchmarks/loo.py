"""Quality beside peers: rows `loo_over_peer`, `loo_blind`, `loo_over_fusion`,
`temporal_over_peer` and `cold_over_text`, one a domain and one for the geometric mean.

They are made of the cells of `crossrec benchmark quality`, which is run first: what its folder
holds already is taken (hours, on an empty one), also of domains that were not asked for.
Leaves to others: training, judging, ratios and intervals (crossrec.benchmark).
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import torch

from crossrec.benchmark.cells import BLIND, DOMAINS, FUSION, MINE, OURS, TEXT, Cell
from crossrec.benchmark.compare import (
    Group,
    Ratio,
    best_peer,
    geometric,
    groups,
    over_best_on_test,
    ratio,
    select,
)
from crossrec.benchmark.exchange import NOT_INSTALLED
from crossrec.benchmark.report import write_report
from crossrec.benchmark.run import Benchmark, Outcome, make_plan, settings_of
from crossrec.domains import load_domain
from crossrec.evaluation.metrics import bootstrap_interval
from tests.benchmarks.rows import RESULTS, write_rows

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

COMMAND = "python -m tests.benchmarks.loo"


@dataclass(frozen=True)
class Kind:
    """Rows of one name: what stands above the line, what below, and on which split."""

    name: str
    split: str
    domains: Sequence[str]
    model: str = OURS
    peer: str | None = None
    """None: the best one by validation, once all of the default plan ran."""
    mean: bool = True


KINDS = (
    Kind("loo_over_peer", "leave_one_out", PEER_DOMAINS),
    Kind("loo_blind", "leave_one_out", PEER_DOMAINS, model=BLIND),
    Kind("loo_over_fusion", "leave_one_out", PEER_DOMAINS, peer=FUSION),
    Kind("temporal_over_peer", "temporal", TEMPORAL_DOMAINS),
    Kind("temporal_over_peer_thin", "temporal", TEMPORAL_SHOWN, mean=False),
)
COLD_NAME = "cold_over_text"


@dataclass(frozen=True)
class Found:
    """All groups of the cells, and why some cells have no figure."""

    groups: Sequence[Group]
    not_run: Mapping[Cell, str] = field(default_factory=dict)

    def ran(self, one: Ratio) -> list[str]:
        """Names of the peers that ran there, the fusion last."""
        there = {g.model for g in self.groups if (g.domain, g.split) == (one.domain, one.split)}
        return sorted(there - {*MINE, FUSION}) + sorted(there & {FUSION})

    def absent(self, one: Ratio) -> dict[str, str]:
        """Peers of the default plan that did not run there, and why."""
        reasons = {
            cell.model: why
            for cell, why in self.not_run.items()
            if (cell.domain, cell.split) == (one.domain, one.split)
        }
        names = [n for n in planned(one.domain, one.split) if n not in (*MINE, *self.ran(one))]
        return {name: reasons.get(name, "not run yet") for name in names}

    def missing(self, one: Ratio) -> list[str]:
        """Those of them that could have run: without them no mean stands."""
        absent = {name: why for name, why in self.absent(one).items() if name != FUSION}
        return [name for name, why in absent.items() if NOT_INSTALLED not in why]

    def of_ours(self, one: Ratio) -> Group:
        """What stands above the line."""
        ours = select(self.groups, one.domain, one.split, one.model)
        assert ours is not None, "a ratio is of ours"
        return ours


@cache
def planned(domain: str, split: str) -> list[str]:
    """Models of the default plan there."""
    return list(dict.fromkeys(cell.model for cell in make_plan([domain], [split], 1)))


def ratios_of(found: Sequence[Group], kind: Kind) -> list[Ratio]:
    """Ours over the best peer (by validation), or over the one that is named."""
    ratios = []
    for domain in kind.domains:
        ours = select(found, domain, kind.split, kind.model)
        best = best_peer(found, domain, kind.split)
        peer = best if kind.peer is None else select(found, domain, kind.split, kind.peer)
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


def rows(found: Found) -> list[Row]:
    """All rows of this benchmark that the groups have figures for."""
    made = []
    for kind in KINDS:
        ratios = ratios_of(found.groups, kind)
        made += [_row(kind.name, found, one, kind.peer) for one in ratios]
        complete = kind.peer is not None or not any(found.missing(one) for one in ratios)
        if kind.mean and complete:
            made += _mean(kind.name, found, ratios, kind.domains, kind.peer)
    cold = over_text(found.groups)
    wanted = [domain for domains in COLD.values() for domain in domains]
    made += [_row(COLD_NAME, found, one, TEXT) for one in cold]
    return made + _mean(COLD_NAME, found, cold, wanted, TEXT)


def _row(name: str, found: Found, one: Ratio, peer: str | None) -> Row:
    ours = found.of_ours(one)
    interval = bootstrap_interval(ours.values(one.metric, one.kind), np.random.default_rng(0))
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
        "command": _command(found, one, peer),
        "protocol": _protocol(found, one, peer),
        "data_hash": ours.results[0].data_hash,
    }


def _command(found: Found, one: Ratio, peer: str | None) -> str:
    """What makes this row anew, in any folder: with the peers it was made with."""
    names = [peer] if peer else found.ran(one) if found.missing(one) else []
    peers = f" --peers {' '.join(names)}" if names else ""
    seeds = max(found.of_ours(one).seeds) + 1
    return f"{COMMAND} --domains {one.domain} --seeds {seeds}{peers}"


def _protocol(found: Found, one: Ratio, peer: str | None) -> str:
    """Split, interval, what ours was told, and what it was compared with."""
    low, high = one.ci95
    targets = "" if one.kind == "all" else f", {one.kind} targets"
    said = [f"{one.split}{targets}", f"ratio {low:.3f} to {high:.3f} (95 %, users in pairs)"]
    said.append(told(one.domain, one.model))
    if peer is None:
        best, absent = over_best_on_test(found.groups, one), found.absent(one)
        assert best is not None, "there is a best peer by validation"
        said.append(f"over the peer best on test ({best.peer}) {best.value:.3f}")
        said.append(f"peers run: {', '.join(n for n in found.ran(one) if n != FUSION)}")
        excused = [name for name, why in absent.items() if NOT_INSTALLED in why]
        said += [f"do not install: {', '.join(excused)}"] if excused else []
        missing = found.missing(one)
        said += [f"peers missing: {', '.join(missing)}"] if missing else []
    return "; ".join(said)


def told(domain: str, model: str) -> str:
    """What a model of ours reads of the request itself; peers read the history alone."""
    if model == BLIND:
        return "ours is told the history alone, as peers are, and without its times"
    declared = load_domain(domain)
    fields = [one.name for one in declared.context if one.derive != "last_item"]
    moment = ["its moment"] if declared.time_kind == "unix_seconds" else []
    read = ", ".join([*moment, *fields])
    if not read:
        return "nothing is known of the request"
    return f"ours is told of the request: {read}; peers are not"


def _mean(
    name: str,
    found: Found,
    ratios: Sequence[Ratio],
    wanted: Sequence[str],
    peer: str | None,
) -> list[Row]:
    """The row of the geometric mean, once all domains that it speaks of are there."""
    if {one.domain for one in ratios} != set(wanted):
        return []
    value, interval = geometric(ratios)
    lowest = min(ratios, key=lambda one: one.value)
    said = [
        f"geometric mean of {len(ratios)} domains",
        f"lowest {lowest.domain} {lowest.value:.3f}",
    ]
    if peer is None:
        of_test = [over_best_on_test(found.groups, one) for one in ratios]
        mean, _ = geometric([one for one in of_test if one is not None])
        said.append(f"over the peers best on test {mean:.3f}")
    seeds = _shared_seeds(found, ratios)
    return [
        {
            "name": name,
            "domain": "all",
            "value": value,
            "unit": "geometric mean of ratios",
            "peer": {None: "of each domain", TEXT: "frozen text"}.get(peer, peer),
            "ratio": value,
            "n": sum(one.n for one in ratios),
            "ci95": list(interval),
            "seeds": seeds,
            "command": f"{COMMAND} --seeds {max(seeds, default=0) + 1}",
            "protocol": "; ".join([*said, "users of each drawn in pairs"]),
        }
    ]


def _shared_seeds(found: Found, ratios: Sequence[Ratio]) -> list[int]:
    """Those that ours has in every one of the domains."""
    return sorted(set.intersection(*(set(found.of_ours(one).seeds) for one in ratios)))


def merged(made: Sequence[Row], former: Sequence[Row], domains: Sequence[str]) -> list[Row]:
    """The rows made now and the former ones of other domains; a former mean goes with the rows
    it was made of.

    Args:
        domains: asked for in this run: what it did not make of them, is no more.
    """
    places = {(row["name"], row["domain"]) for row in made}
    names = {row["name"] for row in made}
    kept = [
        row
        for row in former
        if (row["name"], row["domain"]) not in places
        and row["domain"] not in domains
        and not (row["domain"] == "all" and row["name"] in names)
    ]
    order = [*(kind.name for kind in KINDS), COLD_NAME]
    return sorted(
        [*kept, *made],
        key=lambda row: (order.index(row["name"]), [*DOMAINS, "all"].index(row["domain"])),
    )


def with_the_rest(folder: Path, outcome: Outcome, cells: Sequence[Cell], seeds: int) -> Outcome:
    """The outcome of a run and what else its folder holds of the default plan."""
    held = [one for one in DOMAINS if any((folder / "cells").glob(f"{one}-*.npz"))]
    others = [cell for cell in make_plan(held, (), seeds) if cell not in set(cells)] if held else []
    rest = Benchmark(folder, others, make=False).run()
    results = [*outcome.results, *rest.results]
    return Outcome(results, {**rest.not_run, **outcome.not_run})


def former() -> list[Row]:
    """The rows as they were written last."""
    path = RESULTS / "loo.json"
    found: list[Row] = json.loads(path.read_text(encoding="utf-8")) if path.is_file() else []
    return found


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
    for cell, reason in outcome.not_run.items():
        print(f"{cell}: {reason}")
    whole = with_the_rest(given.out, outcome, cells, given.seeds)
    of_all = [*(result.cell for result in whole.results), *whole.not_run]
    write_report(given.out, whole, {**settings_of(of_all), "seeds": given.seeds})
    made = rows(Found(groups(whole.results), whole.not_run))
    write_rows("loo", merged(made, former(), given.domains or DOMAINS))


if __name__ == "__main__":
    main()
