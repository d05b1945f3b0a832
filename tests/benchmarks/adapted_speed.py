"""Texts a second of adapted training over an ordinary peft loop (rows `adapted_speed`).

A text counts each time it occurs in a batch of training windows, so texts a second are occurrences
a second in both. Ours encodes the unique texts of a batch through the upper layers, over cached
activations; the loop sends every occurrence through all layers of peft's own model. Same LoRA,
windows, head, loss, optimiser and precision, so that the gradients are the same but for rounding
(`tests/training/test_adapted_speed.py` holds them equal). Steps of both alternate.
"""

from __future__ import annotations

import argparse
import copy
import itertools
import statistics
import time
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from crossrec.benchmark.compare import N_DRAWS
from crossrec.config import AdapterConfig, load_config
from crossrec.data.dataset import Dataset
from crossrec.data.importing import imported
from crossrec.data.split import Split, make_split
from crossrec.models.adapters import adapt
from crossrec.models.encoder import TextEncoder, has_bf16
from crossrec.models.losses import softmax_cross_entropy
from crossrec.models.passes import BATCH_TOKENS, length_batches, mean_pool, pad
from crossrec.models.towers import UserTower
from crossrec.models.upper import LayerCache, UpperEncoder
from crossrec.schema import TEXT
from crossrec.training.windows import make_batches, make_windows
from tests.benchmarks.rows import write_rows

Row = dict[str, Any]
Ints = NDArray[np.int64]
Floats = NDArray[np.float64]
Precision = Literal["fp32", "bf16"]

BATCHES = {"travel": 128, "industrial": 128, "movies": 32}
"""Domain → windows a step: the default, fewer where a window has up to 50 texts."""
WIDTH = 128
PEER = "peft, all layers, every occurrence"


@dataclass(frozen=True)
class Batch:
    """Windows of training rows."""

    texts: Ints
    """(P,) text of each real position, window after window: every occurrence."""
    real: NDArray[np.bool_]  # (B, T)


def batches(split: Split, size: int, length: int, n: int) -> list[Batch]:
    """The first `n` batches of training, as the loop would draw them."""
    rng = np.random.default_rng(0)
    windows = make_windows(split, length, rng)
    drawn = itertools.islice(make_batches(windows, size, rng), n)
    items = split.sequences.items.astype(np.int64)
    return [Batch(items[targets[real]], real) for targets, real in drawn]


class Head(nn.Module):
    """What stands on the texts in both: the user tower, and a softmax over the batch's texts."""

    def __init__(self, text_dim: int, length: int, seed: int) -> None:
        super().__init__()
        torch.manual_seed(seed)
        self.items = nn.Linear(text_dim, WIDTH, bias=False)
        self.users = UserTower(
            dim=WIDTH,
            text_dim=text_dim,
            n_events=1,
            context_dim=0,
            n_blocks=2,
            n_heads=2,
            max_steps=length,
            dropout=0.0,
        )

    def loss(self, vectors: Tensor, batch: Batch) -> Tensor:
        """Mean -log p of each text given those before it in its window, p over the texts of the
        batch.

        Args:
            vectors: (P, E), one for each occurrence.
        """
        real = torch.from_numpy(batch.real)
        items = nn.functional.normalize(self.items(vectors), dim=-1)
        history = items.new_zeros(*real.shape, WIDTH)
        history[real] = items
        shifted = torch.zeros_like(history)
        shifted[:, 1:] = history[:, :-1]
        present = torch.zeros_like(real)
        present[:, 1:] = real[:, :-1]
        present &= real
        nothing = torch.zeros(real.shape, dtype=torch.long)
        request = vectors.new_zeros(*real.shape, vectors.shape[1])
        context = vectors.new_zeros(*real.shape, 0)
        users = self.users(
            shifted * present[..., None],
            nothing,
            nothing,
            present,
            request,
            torch.zeros_like(real),
            context,
        )[real]
        _, first, place = np.unique(batch.texts, return_index=True, return_inverse=True)
        loss = softmax_cross_entropy(
            users / 0.07,
            items[torch.from_numpy(first)],
            items.new_zeros(len(first)),
            torch.from_numpy(place),
            items.new_ones(len(place)),
        )
        return loss / len(place)


class Side:
    """One of the two: encodes the occurrences of a batch, and makes a step on them."""

    def __init__(self, parameters: list[nn.Parameter], head: Head) -> None:
        self.head = head
        self.lora = parameters
        self.optimiser = torch.optim.AdamW([*parameters, *head.parameters()], lr=5e-4, foreach=True)

    def encode(self, texts: Ints) -> Tensor:
        """(P, E) with gradients to LoRA."""
        raise NotImplementedError

    def gradients(self, batch: Batch) -> float:
        """Loss of a batch; its gradients are in the parameters."""
        self.optimiser.zero_grad(set_to_none=True)
        loss = self.head.loss(self.encode(batch.texts), batch)
        torch.autograd.backward(loss)
        return float(loss.detach())

    def step(self, batch: Batch) -> float:
        """Seconds of one step."""
        start = time.perf_counter()
        self.gradients(batch)
        self.optimiser.step()
        return time.perf_counter() - start


class Ours(Side):
    """Upper layers over cached activations, each text of the batch once."""

    def __init__(
        self, encoder: TextEncoder, texts: list[str], config: AdapterConfig, tokens: int, head: Head
    ) -> None:
        self.cache = LayerCache.build(encoder, texts, config.n_layers, tokens)
        self.upper = UpperEncoder(encoder, config, seed=0)
        super().__init__(list(self.upper.parameters()), head)

    def encode(self, texts: Ints) -> Tensor:
        """The batch knows which texts repeat."""
        unique, place = np.unique(texts, return_inverse=True)
        vectors: Tensor = self.upper(self.cache.batch(unique))
        return vectors[torch.from_numpy(place)]


class Peft(Side):
    """peft's model as it comes: all layers of every occurrence, padded among its like."""

    def __init__(
        self, encoder: TextEncoder, texts: list[str], config: AdapterConfig, tokens: int, head: Head
    ) -> None:
        self.encoder = encoder
        self.tokens = encoder.tokenize(texts, tokens)
        model = copy.deepcopy(encoder.model)
        if encoder.precision == "bf16":
            model.set_attn_implementation("eager")  # the faster one, see models/upper.py
        self.model = adapt(model, encoder.name, config, seed=0)
        super().__init__([p for p in self.model.parameters() if p.requires_grad], head)

    def encode(self, texts: Ints) -> Tensor:
        """Every occurrence, in parts of similar length that stay in the processor's cache."""
        tokens = [self.tokens[text] for text in texts]
        groups = length_batches([len(ids) for ids in tokens], BATCH_TOKENS)
        vectors = [self._run([tokens[row] for row in group]) for group in groups]
        order = np.argsort(np.concatenate(groups))
        return torch.cat(vectors)[torch.from_numpy(order)]

    def _run(self, tokens: list[list[int]]) -> Tensor:
        ids, mask = pad(tokens)
        with torch.autocast("cpu", torch.bfloat16, enabled=self.encoder.precision == "bf16"):
            hidden = self.model(input_ids=ids, attention_mask=mask).last_hidden_state
        return mean_pool(hidden, mask)


def two_sides(
    encoder: TextEncoder, texts: list[str], config: AdapterConfig, tokens: int, length: int
) -> tuple[Ours, Peft]:
    """Both with equal weights."""
    sides = Ours, Peft
    ours, peer = (
        side(encoder, texts, config, tokens, Head(encoder.dim, length, seed=0)) for side in sides
    )
    return ours, peer


def measure(dataset: Dataset, precision: Precision, runs: int) -> tuple[Row, Floats]:
    """One row, and the speeds of all steps of both, (runs, 2)."""
    name = dataset.domain.name
    config = load_config()
    model = config.model
    encoder = TextEncoder.load(device="cpu", precision=precision)
    split = make_split(dataset, "leave_one_out")
    texts = dataset.catalogue()[TEXT].to_list()
    sides = two_sides(encoder, texts, config.adapter, model.max_text_tokens, model.history_length)
    drawn = batches(split, BATCHES[name], model.history_length, runs + 1)
    times = np.array([in_turns(sides, batch, turn) for turn, batch in enumerate(drawn)])
    counts = np.array([len(batch.texts) for batch in drawn])
    speeds = (counts[:, None] / times)[1:]  # the first warms up
    repeats = statistics.mean(len(b.texts) / len(np.unique(b.texts)) for b in drawn[1:])
    lora = config.adapter
    protocol = (
        f"{name}, {precision}, {BATCHES[name]} windows a step, where a text occurs"
        f" {repeats:.1f} times; occurrences a second, 1 thread, median of steps in turns; LoRA rank"
        f" {lora.rank} on {'+'.join(lora.targets)} of the upper {lora.n_layers} layers; tokens and"
        " lower layers made before; ci95 is of the ratio"
    )
    return row(name, speeds, protocol) | {"data_hash": dataset.content_hash}, speeds


def in_turns(sides: tuple[Side, ...], batch: Batch, turn: int) -> list[float]:
    """Seconds of a step of each side; who goes first alternates."""
    seconds = [0.0] * len(sides)
    order = range(len(sides))
    for number in order if turn % 2 else reversed(order):
        seconds[number] = sides[number].step(batch)
    return seconds


def row(domain: str, speeds: Floats, protocol: str) -> Row:
    """Medians of both and their ratio."""
    ours, peer = (statistics.median(speeds[:, side].tolist()) for side in (0, 1))
    return {
        "name": "adapted_speed",
        "domain": domain,
        "value": round(ours, 1),
        "unit": "texts/s",
        "peer": PEER,
        "peer_value": round(peer, 1),
        "ratio": round(ours / peer, 2),
        "n": len(speeds),
        "ci95": [round(float(q), 2) for q in np.quantile(ratios(speeds), [0.025, 0.975])],
        "seeds": [0],
        "protocol": protocol,
    }


def ratios(speeds: Floats) -> Floats:
    """(K,) ratio of medians in bootstrap draws over the pairs of steps."""
    rows = np.random.default_rng(0).integers(0, len(speeds), (N_DRAWS, len(speeds)))
    ours, peer = np.median(speeds[rows], axis=1).T
    return np.asarray(ours / peer, np.float64)


def together(rows: list[Row], speeds: list[Floats]) -> Row:
    """Geometric means over the rows."""
    values, peers = ([one[name] for one in rows] for name in ("value", "peer_value"))
    draws = np.exp(np.mean([np.log(ratios(one)) for one in speeds], axis=0))
    ours, theirs = statistics.geometric_mean(values), statistics.geometric_mean(peers)
    return {
        "name": "adapted_speed",
        "domain": "all",
        "value": round(ours, 1),
        "unit": "texts/s",
        "peer": PEER,
        "peer_value": round(theirs, 1),
        "ratio": round(ours / theirs, 2),
        "n": len(rows),
        "ci95": [round(float(q), 2) for q in np.quantile(draws, [0.025, 0.975])],
        "seeds": [0],
        "protocol": "geometric mean of the rows of the default precision; ci95 is of the ratio",
    }


def main() -> None:
    """Measure all rows and write them."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--domains", nargs="*", default=list(BATCHES), choices=list(BATCHES))
    parser.add_argument("--runs", type=int, default=10)
    given = parser.parse_args()
    torch.set_num_threads(1)
    usual: Precision = "bf16" if has_bf16(torch.device("cpu")) else "fp32"
    found = [measure(imported(name), usual, given.runs) for name in given.domains]
    rows = [one for one, _ in found]
    rows.append(together(rows, [speeds for _, speeds in found]))
    if usual != "fp32":
        rows.append(measure(imported(given.domains[0]), "fp32", given.runs)[0])
    write_rows("adapted_speed", rows)
    for one in rows:
        print(f"{one['ratio']:.2f} {one['ci95']} {one['domain']} {one['protocol']}")


if __name__ == "__main__":
    main()
