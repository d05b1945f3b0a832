"""Time of a batch that mixes 8 adapters over the same batch through one merged adapter.

Rows `mixed_batch_8`: batches of 8 and 32 requests, fp32 and bf16, the default adapters (query and
value of the upper 2 layers) and hard ones (every linear layer of all layers, ranks 4, 8 and 16).
Both sides tokenise, lie end to end and pool alike; runs alternate, so that noise hits both.
"""

from __future__ import annotations

import copy
import itertools
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from rich.progress import track

from crossrec.config import AdapterConfig
from crossrec.models.encoder import TextEncoder, has_bf16
from crossrec.models.mixed import MixedEncoder
from tests.benchmarks.rows import write_rows
from tests.models.lora import load_adapter, random_adapter

DOMAINS = [f"domain{i}" for i in range(8)]
RUNS = 100
MIN_RUNS = 20
CASE_S = 20.0
"""A case ends after RUNS, or after this many seconds once it has MIN_RUNS."""
SENTENCE = "a quiet place by the river with live music good for children not far from here"
EVERYWHERE = ["query", "key", "value", "dense"]
ADAPTERS = {
    "default adapters": [AdapterConfig()] * 8,
    "hard adapters": [
        AdapterConfig(rank=rank, n_layers=6, targets=EVERYWHERE) for rank in (4, 8, 16, 8) * 2
    ],
}


def texts(n: int) -> list[str]:
    """Requests of 8 to 24 words, all different."""
    generator = np.random.default_rng(0)
    words, lengths = SENTENCE.split(), generator.integers(8, 25, n)
    return [f"{i} " + " ".join(generator.choice(words, length)) for i, length in enumerate(lengths)]


def merged(encoder: TextEncoder, folder: Path) -> TextEncoder:
    """The encoder with one adapter added into its weights by peft: nothing is left to add."""
    alone = copy.copy(encoder)
    alone.model = copy.deepcopy(encoder.model)
    alone.model = load_adapter(alone, folder).merge_and_unload().eval()
    return alone


def compare(ours: Callable[[], Any], peer: Callable[[], Any]) -> tuple[list[float], list[float]]:
    """Milliseconds of each run of both, in turns."""
    sides, times = (ours, peer), ([], [])
    for _ in range(5):
        ours(), peer()
    end = time.perf_counter() + CASE_S
    for run in range(RUNS):
        if run >= MIN_RUNS and time.perf_counter() > end:
            break
        for side in (0, 1) if run % 2 else (1, 0):
            start = time.perf_counter()
            sides[side]()
            times[side].append((time.perf_counter() - start) * 1000)
    return times


def interval(ours: list[float], peer: list[float]) -> list[float]:
    """95 % interval of the ratio of medians, by bootstrap over the paired runs."""
    generator = np.random.default_rng(0)
    rows = generator.integers(0, len(ours), (1000, len(ours)))
    ratios = np.median(np.array(ours)[rows], 1) / np.median(np.array(peer)[rows], 1)
    return [round(float(q), 3) for q in np.quantile(ratios, [0.025, 0.975])]


def measure(precision: str, kind: str, size: int, root: Path) -> dict[str, Any]:
    """One row."""
    encoder = TextEncoder.load(device="cpu", precision=precision)
    mixed = MixedEncoder(encoder)
    for seed, (domain, config) in enumerate(zip(DOMAINS, ADAPTERS[kind], strict=True)):
        folder = random_adapter(encoder, root / precision / kind / domain, config, seed)
        mixed.add(domain, folder)
    alone = merged(encoder, root / precision / kind / DOMAINS[0])
    batch, domains = texts(size), list(itertools.islice(itertools.cycle(DOMAINS), size))
    ours, peer = compare(lambda: mixed.encode(batch, domains), lambda: alone.encode(batch))
    value, peer_value = statistics.median(ours), statistics.median(peer)
    return {
        "name": "mixed_batch_8",
        "value": round(value, 3),
        "unit": "ms",
        "peer": "one adapter merged into the weights",
        "peer_value": round(peer_value, 3),
        "ratio": round(value / peer_value, 3),
        "n": len(ours),
        "ci95": interval(ours, peer),
        "seeds": list(range(8)),
        "protocol": (
            f"{kind}, batch {size}, {precision}, 1 thread, median of "
            f"runs in turns, tokenising included; ci95 is of the ratio"
        ),
    }


def main() -> None:
    """Measure all rows and write them."""
    precisions = ["fp32", "bf16"] if has_bf16(torch.device("cpu")) else ["fp32"]
    torch.set_num_threads(1)  # threads that wait for each other time what else the machine does
    cases = list(itertools.product(precisions, ADAPTERS, (8, 32)))
    with tempfile.TemporaryDirectory() as root:
        rows = [measure(*case, Path(root)) for case in track(cases, "mixed batches")]
    write_rows("mixed_batch", rows)
    for row in rows:
        print(f"{row['ratio']:.3f} {row['ci95']} {row['protocol']}")


if __name__ == "__main__":
    main()
