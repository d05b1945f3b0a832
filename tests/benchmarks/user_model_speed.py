"""Time of an epoch of our user model over one of RecTools' SASRec (rows `user_model_speed`).

Same data, width, length, batch and threads; 2 blocks, 2 heads, full softmax in both. Ours as
shipped stands beside the faster of RecTools in fp32 and in bf16. Ours reads events and gaps
besides, and trains item vectors from text and id. Validation is left out of both.
Needs the environment that `tests/benchmarks/peers/make_env.sh rectools` makes, and a quiet machine.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch

from crossrec.benchmark.exchange import Script, task_data
from crossrec.config import Placement, load_config
from crossrec.data.importing import imported
from crossrec.data.split import Cases
from crossrec.training.loop import Trainer
from crossrec.training.prepare import Prepared, prepare
from tests.benchmarks.rows import write_rows

WARM_UP = 1
"""First epochs, which are not counted."""

Row = dict[str, Any]
Precision = Literal["auto", "fp32"]
PEER_PRECISIONS = {"fp32": "32-true", "bf16": "bf16-mixed"}
"""Precisions of the peer in Lightning's words."""


def ours(prepared: Prepared, epochs: int, precision: Precision) -> list[float]:
    """Seconds of each epoch, without validation."""
    nobody = Cases(np.zeros(0, np.int64), np.zeros(0, np.int64))
    bare = replace(prepared, split=replace(prepared.split, validation=nobody))
    trainer = Trainer(bare, Placement(use_gpu=False, precision=precision))
    return [trainer.epoch()["seconds"] for _ in range(epochs + WARM_UP)][WARM_UP:]


def theirs(
    prepared: Prepared, epochs: int, threads: int, precision: str
) -> tuple[list[float], int]:
    """Seconds of each epoch of RecTools, and how many targets an epoch has.

    Args:
        precision: one of PEER_PRECISIONS.
    """
    model, training = prepared.config.model, prepared.config.training
    settings = {"width": model.dim, "batch": training.batch_size, "threads": threads}
    settings |= {"epochs": epochs + WARM_UP, "precision": PEER_PRECISIONS[precision]}
    peer = Script("speed", "rectools_speed.py", "rectools", settings=settings)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        about = {"n_items": prepared.split.sequences.n_items, "seed": 0, "params": None}
        task = json.dumps(about | {"settings": settings, "epochs": None})
        (folder / "task.json").write_text(task, encoding="utf-8")
        np.savez(folder / "data.npz", **task_data(prepared.split, None))
        command = [str(peer.python()), str(peer.path), str(folder), str(folder)]
        subprocess.run(command, check=True, stdout=sys.stderr)
        found = json.loads((folder / "seconds.json").read_text(encoding="utf-8"))
    return found["seconds"][WARM_UP:], found["targets"]


def measure(domain: str, epochs: int, threads: int) -> list[Row]:
    """Ours as shipped (bf16 where the processor has it) beside the faster of RecTools in fp32 and
    in bf16, and both in fp32.
    """
    prepared = prepare(imported(domain), load_config())
    peers, targets = {}, 0
    for precision in PEER_PRECISIONS:
        peers[precision], targets = theirs(prepared, epochs, threads, precision)
    medians = {name: statistics.median(seconds) for name, seconds in peers.items()}
    faster = min(medians, key=lambda name: medians[name])
    told = ", ".join(f"{value:.2f} s in {name}" for name, value in medians.items())
    model, training = prepared.config.model, prepared.config.training
    rows = []
    kinds: tuple[tuple[str, Precision, str, str], ...] = (
        ("user_model_speed", "auto", faster, "as shipped (bf16 where the processor has it)"),
        ("user_model_speed_fp32", "fp32", "fp32", "fp32"),
    )
    for name, precision, beside, words in kinds:
        mine = ours(prepared, epochs, precision)
        rows.append(
            {
                "name": name,
                "domain": domain,
                "value": statistics.median(mine),
                "unit": "s an epoch",
                "peer": f"RecTools 0.19.0 SASRec, {beside}",
                "peer_value": medians[beside],
                "ratio": statistics.median(mine) / medians[beside],
                "n": epochs,
                "ci95": [min(mine), max(mine)],
                "seeds": [0],
                "protocol": f"{words}, width {model.dim}, length {model.history_length}, batch"
                f" {training.batch_size}, {threads} threads, {targets:,} targets an epoch; median"
                f" of {epochs} epochs after {WARM_UP}, interval: all of them; no validation;"
                f" the peer takes {told}",
                "data_hash": prepared.data_hash,
            }
        )
    return rows


def main() -> None:
    """Measure and write the rows."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--domains", nargs="+", default=["movies", "industrial"])
    parser.add_argument("--epochs", type=int, default=3)
    parser.add_argument("--threads", type=int, default=2)
    given = parser.parse_args()
    torch.set_num_threads(given.threads)
    rows = [row for domain in given.domains for row in measure(domain, given.epochs, given.threads)]
    write_rows("user_model_speed", rows)


if __name__ == "__main__":
    main()
