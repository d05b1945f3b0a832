"""Encoding with 1, 10, 100 and 200 adapters resident (rows `resident_200`): texts a second.

What the encoder's process does for a batch, without HTTP, which does not know how many adapters
there are: 200 domains would be 200 replicas, more than this machine has memory for. Each batch is
32 requests of people, spread over all adapters of the encoder that is asked. Leaves to others:
traffic over HTTP (throughput.py), one adapter merged into the weights (mixed_batch.py).
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from itertools import islice
from pathlib import Path

import torch

from crossrec.config import AdapterConfig
from crossrec.models.encoder import TextEncoder
from crossrec.models.mixed import MixedEncoder
from crossrec.serving.encoder_service import STEP_TOKENS
from tests.benchmarks.rows import write_rows
from tests.benchmarks.served import random_adapter
from tests.benchmarks.throughput import request_texts

RESIDENT = (1, 10, 100, 200)
BATCH = 32
WARM_UP = 3


def encoders(encoder: TextEncoder) -> dict[int, MixedEncoder]:
    """Number of adapters → an encoder that has so many; the weights below them are shared."""
    found = {n: MixedEncoder(encoder) for n in RESIDENT}
    with tempfile.TemporaryDirectory() as folder:
        for number in range(max(RESIDENT)):
            path = Path(folder) / str(number)
            random_adapter(encoder, AdapterConfig(), number).save(path)
            for n, mixed in found.items():
                if number < n:
                    mixed.add(f"domain-{number}", path)
    return found


def seconds(mixed: MixedEncoder, texts: list[str]) -> float:
    """Of one batch, its texts spread over all adapters."""
    names = mixed.domains
    step = max(1, len(names) // len(texts))
    domains = [names[n * step % len(names)] for n in range(len(texts))]
    began = time.perf_counter()
    mixed.encode(texts, domains, batch_tokens=STEP_TOKENS)
    return time.perf_counter() - began


def main() -> None:
    """The same batches with each number of adapters in turn; one row a number."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--batches", type=int, default=100)
    n_batches = parser.parse_args().batches
    torch.set_num_threads(1)
    mixed = encoders(TextEncoder.load())
    texts = request_texts()
    taken: dict[int, list[float]] = {n: [] for n in RESIDENT}
    for number in range(WARM_UP + n_batches):
        batch = list(islice(texts, BATCH))
        for n, encoder in mixed.items():
            took = seconds(encoder, batch)
            if number >= WARM_UP:
                taken[n].append(took)
    rates = {n: BATCH / statistics.median(times) for n, times in taken.items()}
    rows = [
        {
            "name": "resident_200",
            "value": round(rates[n], 1),
            "unit": "texts/s",
            "peer": "1 adapter resident",
            "peer_value": round(rates[1], 1),
            "ratio": round(statistics.median(_ratios(taken[1], taken[n])), 3),
            "n": n_batches,
            "seeds": [0],
            "protocol": f"{n} adapters resident, batches of {BATCH} requests of people spread over"
            " them, the same batches for each number in turn, 1 thread; ratio: median over batches",
        }
        for n in RESIDENT[1:]
    ]
    write_rows("resident", rows)


def _ratios(one: list[float], many: list[float]) -> list[float]:
    return [a / b for a, b in zip(one, many, strict=True)]


if __name__ == "__main__":
    main()
