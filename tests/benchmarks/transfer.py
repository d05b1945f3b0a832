"""Transfer: rows `zero_shot`, `few_shot_10`, and `transfer_pair`, one an ordered pair of domains.

Each domain in turn begins with weights of all others, alone and averaged (and learned together,
with --together); what is chosen, by nearness or validation, is compared with frozen text
(zero-shot), or with the best peer learned from the same users, best by validation: the package's
baselines and the scripts of `peers/` named in SCRIPTED (one needs `peers/make_env.sh rectools`).
Each script's cell is kept under `<home>/cache/transfer`, so that a run goes on where it was cut
off. Rows of domains and shares that are not named stay. About five minutes a target and seed
besides the scripts, with `--shares 0` two.
Leaves to others: trying and choosing (crossrec.training.transfer).
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from dataclasses import replace
from functools import cached_property
from typing import Any

import numpy as np
import torch

from crossrec.benchmark.cells import Cell, CellStore, Result
from crossrec.benchmark.compare import interval, ratio_draws
from crossrec.benchmark.contestants import Arena, contestant
from crossrec.config import RunConfig, home, load_config
from crossrec.data.dataset import Dataset
from crossrec.data.few_shot import few_shot
from crossrec.data.importing import imported
from crossrec.data.split import Split
from crossrec.evaluation.metrics import bootstrap_interval
from crossrec.evaluation.protocols import Evaluation
from crossrec.training.network import State
from crossrec.training.prepare import split_for
from crossrec.training.transfer import (
    AVERAGE,
    SCRATCH,
    SHARED,
    Peer,
    ShareReport,
    TransferReport,
    transfer,
)
from tests.benchmarks.rows import RESULTS, common_seeds, write_rows

Row = dict[str, Any]
DOMAINS = ("movies", "movies_recent", "industrial", "fashion", "travel", "music")
SHARES = {0.0: "zero_shot", 0.1: "few_shot_10"}
SOURCE_USERS = 1000
MAX_EPOCHS = 12
"""Of ours here, in place of the default."""
SCRIPTED = ("sasrec_own", "unisrec_text", "unisrec_text_id", "implicit_als")
METRIC = "ndcg@10"


class FewShot(Arena):
    """A domain with few known users, as peers' scripts see it."""

    def __init__(self, dataset: Dataset, config: RunConfig, share: float) -> None:
        super().__init__(dataset, config)
        self.share = share

    @cached_property
    def split(self) -> Split:
        """The very one that `transfer` makes of the share."""
        whole = split_for(self.dataset, self.config)
        return few_shot(whole, self.share, self.config.training.seed)


def with_scripts(report: TransferReport, dataset: Dataset, config: RunConfig) -> TransferReport:
    """The report with the peers' scripts beside the baselines, where somebody is known."""
    shares = []
    for one in report.shares:
        arena = FewShot(dataset, config, one.share)
        scripted = [_scripted(name, arena) for name in SCRIPTED if one.share]
        shares.append(replace(one, peers=[*one.peers, *scripted]))
    return replace(report, shares=shares)


def _scripted(name: str, arena: FewShot) -> Peer:
    """A script tuned and trained on the arena's split, now or by an earlier run."""
    seed = arena.config.training.seed
    cell = Cell(arena.dataset.domain.name, f"few_shot_{arena.share:g}", name, seed)
    found = _result(cell, arena).evaluations
    print(f"{cell}: {METRIC} {found['test'].mean(METRIC):.4f}", flush=True)
    return Peer(name, found["validation"], found["test"])


def _result(cell: Cell, arena: FewShot) -> Result:
    store, model = CellStore(home() / "cache" / "transfer"), contestant(cell.model)
    key = model.key(cell, arena, {})
    result = store.load(cell, key)
    if result is None:
        result = model.run(cell, key, arena, {})
        store.save(result)
    return result


def rows_of(
    target: str, reports: Sequence[TransferReport], shares: Sequence[float] = tuple(SHARES)
) -> list[Row]:
    """All rows of a target; means over the seeds' reports of these shares."""
    made = []
    for place, share in enumerate(shares):
        seeds = [report.shares[place] for report in reports]
        starts = ", ".join(one.chosen.start for one in seeds)
        peers = ", ".join(sorted({one.best_peer.name for one in seeds}))
        chosen = _values([one.chosen.test for one in seeds])
        peer = _values([one.best_peer.test for one in seeds])
        about = f"{share:.0%} of the users; begins with {starts}"
        made.append(_row(SHARES[share], reports, chosen, peers, peer, about))
        names = [a.start for a in seeds[0].attempts if a.start not in (SCRATCH, AVERAGE, SHARED)]
        scratch = _values([_attempt(one, SCRATCH) for one in seeds])
        for name in names:
            values = _values([_attempt(one, name) for one in seeds])
            near = reports[0].nearness[name]
            about = f"{share:.0%} of the users; from {name}, nearness in text {near:.2f}"
            made.append(_row("transfer_pair", reports, values, SCRATCH, scratch, about))
    return made


def _attempt(one: ShareReport, start: str) -> Evaluation:
    return next(attempt.test for attempt in one.attempts if attempt.start == start)


def _values(tests: Sequence[Evaluation]) -> np.ndarray:
    """(n,) each case's NDCG@10, mean over the seeds: all have the same cases."""
    return np.mean([test.values(METRIC) for test in tests], axis=0)


def _row(
    name: str,
    reports: Sequence[TransferReport],
    ours: np.ndarray,
    peer: str,
    theirs: np.ndarray,
    about: str,
) -> Row:
    low, high = interval(ratio_draws(ours, theirs))
    return {
        "name": name,
        "domain": reports[0].target,
        "value": float(ours.mean()),
        "unit": METRIC,
        "peer": peer,
        "peer_value": float(theirs.mean()),
        "ratio": float(ours.mean() / theirs.mean()),
        "n": len(ours),
        "ci95": list(bootstrap_interval(ours, np.random.default_rng(0))),
        "seeds": [report.seed for report in reports],
        "protocol": f"leave_one_out; {about}; ours trains at most {MAX_EPOCHS} epochs; ratio"
        f" {low:.3f} to {high:.3f} (95 %, users in pairs)",
        "data_hash": reports[0].data_hash,
    }


def _means(rows: Sequence[Row]) -> list[Row]:
    """Geometric means of the ratios, once all domains are there."""
    made = []
    for name in SHARES.values():
        of = [row for row in rows if row["name"] == name]
        if {row["domain"] for row in of} == set(DOMAINS):
            value = float(np.exp(np.mean([np.log(row["ratio"]) for row in of])))
            made.append(
                of[0]
                | {"domain": "all", "value": value, "ratio": value, "unit": "geometric mean"}
                | {"peer": "of each domain", "peer_value": None, "ci95": None, "data_hash": None}
                | {"n": sum(row["n"] for row in of), "seeds": common_seeds(of)}
                | {"protocol": f"geometric mean of the ratios of {len(of)} domains"}
            )
    return made


def _kept(targets: Sequence[str], shares: Sequence[float]) -> list[Row]:
    path = RESULTS / "transfer.json"
    rows = json.loads(path.read_text(encoding="utf-8")) if path.is_file() else []
    anew = [f"; {share:.0%} of the users; " for share in shares]
    return [
        row
        for row in rows
        if row["domain"] not in {*targets, "all"}
        or (row["domain"] in targets and not any(words in row["protocol"] for words in anew))
    ]


def main() -> None:
    """Every target named, with each seed; rows are written after each target."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--domains", nargs="*", default=list(DOMAINS), choices=DOMAINS)
    parser.add_argument("--shares", nargs="+", type=float, default=list(SHARES), choices=SHARES)
    parser.add_argument("--seeds", type=int, default=1)
    parser.add_argument("--together", action="store_true")
    given = parser.parse_args()
    torch.set_num_threads(1)
    known: dict[int, dict[str, State]] = {seed: {} for seed in range(given.seeds)}
    rows = _kept(given.domains, given.shares)
    for target in given.domains:
        reports = []
        for seed, starts in known.items():
            epochs = f"training.max_epochs={MAX_EPOCHS}"
            config = load_config(overrides=[f"training.seed={seed}", epochs])
            report = transfer(
                [imported(name) for name in DOMAINS if name != target],
                imported(target),
                config,
                given.shares,
                source_users=SOURCE_USERS,
                starts=starts,
                together=given.together,
                tell=lambda step: print(step, flush=True),
            )
            starts |= {n: s for n, s in report.starts.items() if n not in (AVERAGE, SHARED)}
            reports.append(with_scripts(report, imported(target), config))
        rows += rows_of(target, reports, given.shares)
        write_rows("transfer", rows + _means(rows))


if __name__ == "__main__":
    main()
