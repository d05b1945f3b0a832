"""What posters of `movies`, audio features of `music` and prices of `fashion` add: the same
training with that modality alone and with none.

Rows `modalities`, of prices `modality_price` (which no bar asks for), one a domain, split and kind
of target: NDCG@10 with over without, users in pairs, three seeds. With `cold_items` a tenth of the
catalogue is withheld from training, another tenth for each seed. Each training is kept under
`<home>/cache/modalities`, so that a run goes on where it was cut off; after a change of the code,
`--fresh` makes them anew. More than an hour on one thread.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch

from crossrec.benchmark.cells import PARTS, Cell, CellStore, Result, digest
from crossrec.benchmark.compare import Group, ratio
from crossrec.config import home, load_config
from crossrec.data.dataset import Dataset
from crossrec.data.freshness import why_stale
from crossrec.data.importing import import_domain, imported
from crossrec.domains import load_domain
from crossrec.evaluation.metrics import bootstrap_interval
from crossrec.evaluation.protocols import judge
from crossrec.training.assemble import assemble
from crossrec.training.loop import fit
from crossrec.training.prepare import prepare
from tests.benchmarks.rows import RESULTS, write_rows

Row = dict[str, Any]

WITH, WITHOUT = "with", "none"
MODALITIES = {"movies": "image", "music": "audio", "fashion": "price"}
"""What of each domain is read, and nothing else; `fashion` has pictures besides."""
KINDS = {
    ("movies", "leave_one_out"): ("warm",),
    ("movies", "cold_items"): ("cold",),
    ("music", "leave_one_out"): ("warm", "cold"),
    ("music", "cold_items"): ("cold",),
    ("fashion", "leave_one_out"): ("warm", "cold"),
}
"""Kinds of targets by domain and split; all but two films of `movies` are warm in leave_one_out."""


def up_to_date(name: str) -> Dataset:
    """The imported data set, imported anew where its YAML did not name its modalities yet."""
    found = imported(name)
    return import_domain(load_domain(name)) if why_stale(found, load_domain(name)) else found


def settings_of(cell: Cell) -> list[str]:
    """What makes the cell's training differ from the defaults."""
    read = f"[{MODALITIES[cell.domain]}]" if cell.model == WITH else "none"
    return [
        f"protocol={cell.split}",
        f"training.seed={cell.seed}",
        f"model.modalities={read}",
    ]


def trained(cell: Cell, overrides: Sequence[str], store: CellStore, fresh: bool) -> Result:
    """One training, judged on its validation and test cases; remembered."""
    data = up_to_date(cell.domain)
    config = load_config(overrides=[*settings_of(cell), *overrides])
    key = digest(config.digest(), data.content_hash)
    found = None if fresh else store.load(cell, key)
    if found is None:
        started = time.monotonic()
        prepared = prepare(data, config)
        if cell.model == WITH and prepared.absent_modalities:
            raise SystemExit(f"the data of {cell.domain} lack {prepared.absent_modalities}")
        fitted = fit(prepared)
        model, width = assemble(prepared, fitted), prepared.text.shape[1]
        judged = {p: judge(model.score, prepared.split, p, request_dim=width) for p in PARTS}
        seconds, epochs = time.monotonic() - started, len(fitted.history)
        plain: Row = {"params": {}, "fit_seconds": seconds, "tune_seconds": seconds}
        found = Result(cell, key, data.content_hash, judged, **plain, epochs=epochs)
        store.save(found)
    told(found)
    return found


def told(result: Result) -> None:
    """Its figures on one line."""
    figures = []
    for part, one in result.evaluations.items():
        for kind, mask in (("warm", one.warm), ("cold", ~one.warm)):
            if mask.any():
                values = [one.values(m)[mask].mean() for m in ("ndcg@10", "recall@10")]
                figures.append(f"{part} {kind} {values[0]:.4f} / {values[1]:.4f}")
    print(result.cell, f"{result.epochs} epochs, {result.fit_seconds:.0f} s", *figures, flush=True)


def rows_of(ours: Group, without: Group) -> list[Row]:
    """One row a kind of target."""
    modality = MODALITIES[ours.domain]
    made = []
    for kind in KINDS[ours.domain, ours.split]:
        one = ratio(ours, without, "ndcg@10", kind)
        recall = ratio(ours, without, "recall@10", kind)
        low, high = one.ci95
        values = ours.values("ndcg@10", kind)
        made.append(
            {
                "name": "modality_price" if modality == "price" else "modalities",
                "domain": ours.domain,
                "value": one.ours,
                "unit": "ndcg@10",
                "peer": "the same without",
                "peer_value": one.theirs,
                "ratio": one.value,
                "n": one.n,
                "ci95": list(bootstrap_interval(values, np.random.default_rng(0))),
                "seeds": ours.seeds,
                "protocol": f"{modality} of `{ours.domain}`, {ours.split}, {kind} targets, ratio"
                f" {low:.3f} to {high:.3f} (95 %, users in pairs), Recall@10"
                f" {recall.theirs:.4f} to {recall.ours:.4f}",
                "data_hash": ours.results[0].data_hash,
            }
        )
    return made


def with_others(rows: list[Row]) -> list[Row]:
    """Those rows, and what earlier runs wrote of other domains and splits."""
    path = RESULTS / "modalities.json"
    before = json.loads(path.read_text(encoding="utf-8")) if path.is_file() else []
    new = {_place(row) for row in rows}
    return sorted([row for row in before if _place(row) not in new] + rows, key=_place)


def _place(row: Row) -> tuple[str, str]:
    """Domain, and the protocol up to the kind of target."""
    return row["domain"], row["protocol"].partition(", ratio")[0]


def main() -> None:
    """Measure the domains and splits named on the command line, or all, and write their rows."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--domains", nargs="+", choices=sorted({d for d, _ in KINDS}))
    parser.add_argument("--splits", nargs="+", choices=sorted({s for _, s in KINDS}))
    parser.add_argument("--set", nargs="+", default=[], help="a.b=value, to try; no rows")
    parser.add_argument("--fresh", action="store_true")
    given = parser.parse_args()
    torch.set_num_threads(1)
    store = CellStore(home() / "cache" / "modalities")
    rows = []
    for domain, split in KINDS:
        if domain in (given.domains or domain) and split in (given.splits or split):
            groups = []
            for model in (WITH, WITHOUT):
                cells = [Cell(domain, split, model, seed) for seed in range(given.seeds)]
                done = [trained(cell, given.set, store, given.fresh) for cell in cells]
                groups.append(Group(domain, split, model, tuple(done)))
            rows += rows_of(*groups)
    if given.set:
        print(*rows, sep="\n")
    else:
        write_rows("modalities", with_others(rows))


if __name__ == "__main__":
    main()
