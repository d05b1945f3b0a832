"""Texts a second of adapted training over an ordinary peft loop (rows `adapted_speed`).

Ours is the trainer that `crossrec train` runs, in `adapted` mode: an epoch is all its steps, the
refresh of all texts and validation. The ordinary loop is that trainer with other texts: each
occurrence in a batch, and each text of the refresh (once), goes through all layers of peft's model.
Same LoRA, windows, loss, optimiser, precision and threads; a text counts each time it occurs in a
training window. The cache of lower layers is built anew, and its seconds are shared over the
epochs measured. Epochs alternate.

`adapted_speed`: all texts of a batch carry gradients in ours too, so that the gradients are the
same but for rounding (`tests/training/test_adapted_speed.py` holds them equal).
`adapted_speed_shipped`: as many as `adapter.texts_per_step` has by default; the protocol says what
both reach on validation. An epoch of the peer takes a minute (travel), 4 or 16 (movies).
Leaves to others: the trainer (crossrec.training.loop), its texts (crossrec.training.adapted).
"""

from __future__ import annotations

import argparse
import copy
import os
import statistics
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from crossrec.config import AdapterConfig, Placement, RunConfig, load_config
from crossrec.data.dataset import Dataset
from crossrec.data.importing import imported
from crossrec.models.adapters import adapt
from crossrec.models.encoder import TextEncoder, unique_texts
from crossrec.models.passes import BATCH_TOKENS, length_batches, mean_pool, pad
from crossrec.models.upper import LayerCache
from crossrec.training.adapted import AdaptedTexts
from crossrec.training.loop import Trainer
from crossrec.training.optimiser import make_optimiser
from crossrec.training.prepare import Prepared, prepare
from tests.benchmarks.rows import write_rows

Row = dict[str, Any]
Ints = NDArray[np.int64]

BATCHES = {"travel": 128, "industrial": 128, "movies": 32}
"""Domain → windows a step: the default, fewer where a window has up to 50 texts."""
ALL = 10**6
"""Texts of a step that carry gradients: whatever a batch has."""
PEER = "peft, all layers, every occurrence"
CPU = Placement(use_gpu=False)


@dataclass(frozen=True)
class TokenBatch:
    """Tokens of texts, and which of them each of n texts is."""

    tokens: list[list[int]]
    places: Ints  # (n,)


class Tokens:
    """Tokens of all texts, made once; what the peer has in place of the cached layers."""

    def __init__(self, encoder: TextEncoder, texts: list[str], max_tokens: int) -> None:
        unique, self.text_idx = unique_texts(texts)
        made = encoder.tokenize(unique, max_tokens)
        self.of = [ids if text.strip() else [] for ids, text in zip(made, unique, strict=True)]

    def every(self, indices: Ints) -> TokenBatch:
        """Of the texts at `indices`, each as often as it occurs: a step of the peer."""
        return TokenBatch([self.of[n] for n in self.text_idx[indices]], np.arange(len(indices)))

    def batch(self, indices: Ints) -> TokenBatch:
        """Each once: the refresh, where an ordinary loop would not repeat itself either."""
        rows, places = np.unique(self.text_idx[indices], return_inverse=True)
        return TokenBatch([self.of[row] for row in rows], places)


class AllLayers(nn.Module):
    """peft's model as it comes; the encoder's own dropout stays off, as in ours."""

    def __init__(self, encoder: TextEncoder, config: AdapterConfig, seed: int) -> None:
        super().__init__()
        model = copy.deepcopy(encoder.model)
        self.bf16, self.dim = encoder.precision == "bf16", encoder.dim
        if self.bf16:
            model.set_attn_implementation("eager")  # the faster one, see models/upper.py
        self.model = adapt(model, encoder.name, config, seed)

    def train(self, mode: bool = True) -> AllLayers:
        """LoRA's dropout is 0 by default, and there is no other."""
        super().train(mode)
        self.model.eval()
        return self

    def forward(self, batch: TokenBatch) -> Tensor:
        """(n, E), in parts of similar length that stay in the processor's cache; zeros for a blank
        text.
        """
        groups = length_batches([len(ids) for ids in batch.tokens], BATCH_TOKENS)
        vectors = [self._run([batch.tokens[row] for row in group]) for group in groups]
        places = np.full(len(batch.tokens), -1)
        order = np.concatenate(groups)
        places[order] = np.arange(len(order))
        whole = torch.cat([*vectors, torch.zeros(1, self.dim)])  # place -1
        return whole[torch.from_numpy(places[batch.places])]

    def _run(self, tokens: list[list[int]]) -> Tensor:
        ids, mask = pad(tokens)
        with torch.autocast("cpu", torch.bfloat16, enabled=self.bf16):
            hidden = self.model(input_ids=ids, attention_mask=mask).last_hidden_state
        return mean_pool(hidden, mask)


class PeftTexts(AdaptedTexts):
    """Texts as an ordinary loop has them: nothing cached, nothing encoded once for many."""

    def __init__(self, prepared: Prepared, device: torch.device) -> None:
        super().__init__(prepared, device)
        config, encoder = prepared.config, prepared.encoder
        texts = [*prepared.texts, *prepared.wishes]
        self.upper = AllLayers(encoder, config.adapter, config.training.seed)  # type: ignore[assignment]
        self._tokens = Tokens(encoder, texts, config.model.max_text_tokens)
        self._cache = self._tokens  # type: ignore[assignment]
        self.occurring = np.empty(0, np.int64)
        """(P,) items of the batch at work, each as often as it occurs."""

    def table(
        self, items: Ints, generator: torch.Generator, requests: Ints | None = None
    ) -> Tensor:
        """(N, E) whitened; an item's vector is the mean of its occurrences, which are equal, so
        that each gets its share of the gradient.
        """
        if not self.training:
            return self._table
        order = torch.randperm(len(items), generator=generator).numpy()  # drawn as ours draws
        self._drawn = items[order]
        place = torch.from_numpy(np.argsort(order)[np.searchsorted(items, self.occurring)])
        vectors = self._whiten(self.upper(self._tokens.every(self.occurring)))
        total = vectors.new_zeros(len(items), vectors.shape[1]).index_add(0, place, vectors)
        self._own = total / torch.bincount(place)[:, None]
        self._fresh = self._own.detach().requires_grad_()
        fresh, places = self._fresh_items()
        return self._table.index_copy(0, places, fresh)


class PeftTrainer(Trainer):
    """The same trainer, with `PeftTexts`."""

    def __init__(self, prepared: Prepared, placement: Placement) -> None:
        super().__init__(prepared, placement)
        self.texts = PeftTexts(prepared, self.network.device)
        self.network.texts = self.texts
        self.optimiser = make_optimiser([self.network], self.config)
        self.best_state = self.network.trained_state()

    def step(
        self, targets: Ints, real: NDArray[np.bool_], rng: np.random.Generator
    ) -> tuple[float, int]:
        """As the trainer's; the texts are told all that occurs."""
        items = self.prepared.split.sequences.items
        self.texts.occurring = items[targets[real]].astype(np.int64)
        return super().step(targets, real, rng)


def with_all_texts(config: RunConfig) -> RunConfig:
    """The config in which every text of a batch carries gradients."""
    adapter = config.adapter.model_copy(update={"texts_per_step": ALL})
    return config.model_copy(update={"adapter": adapter})


def measure(dataset: Dataset, epochs: int) -> list[Row]:
    """Rows of one domain: of the same gradient, and as shipped."""
    batch = f"training.batch_size={BATCHES[dataset.domain.name]}"
    config = load_config(overrides=["training.mode=adapted", batch])
    shipped = prepare(dataset, config, encoder=TextEncoder.load(device="cpu"))
    exact = replace(shipped, config=with_all_texts(config))
    with empty_home():
        cache_s = build_cache(shipped)
        peer = PeftTrainer(exact, CPU)
        ours = {
            "adapted_speed": ("all texts of a batch carry gradients", Trainer(exact, CPU)),
            "adapted_speed_shipped": (
                f"{config.adapter.texts_per_step} texts of a batch carry gradients",
                Trainer(shipped, CPU),
            ),
        }
        sides = [peer, *(trainer for _, trainer in ours.values())]
        for turn in range(epochs):
            for trainer in sides if turn % 2 else reversed(sides):
                trainer.epoch()
        return [row(name, told, one, peer, cache_s) for name, (told, one) in ours.items()]


@contextmanager
def empty_home() -> Iterator[None]:
    """Nothing that an earlier run cached is found."""
    before = os.environ.get("CROSSREC_HOME")
    with tempfile.TemporaryDirectory() as folder:
        os.environ["CROSSREC_HOME"] = folder
        try:
            yield
        finally:
            del os.environ["CROSSREC_HOME"]
            if before is not None:
                os.environ["CROSSREC_HOME"] = before


def build_cache(prepared: Prepared) -> float:
    """Seconds it takes to compute the lower layers of all texts, once for all epochs."""
    config, texts = prepared.config, [*prepared.texts, *prepared.wishes]
    started = time.perf_counter()
    LayerCache.build(prepared.encoder, texts, config.adapter.n_layers, config.model.max_text_tokens)
    return time.perf_counter() - started


def row(name: str, told: str, ours: Trainer, peer: Trainer, cache_s: float) -> Row:
    """Occurrences a second of both over the median epoch, ours with its share of the cache."""
    prepared, lora = ours.prepared, ours.config.adapter
    share = cache_s / len(ours.history)
    mine = np.array([epoch["seconds"] for epoch in ours.history]) + share
    theirs = np.array([epoch["seconds"] for epoch in peer.history])
    n, ratios = int(prepared.split.train.sum()), theirs / mine
    value, other = float(n / np.median(mine)), float(n / np.median(theirs))
    protocol = (
        f"{prepared.domain.name}, {prepared.encoder.precision},"
        f" {ours.config.training.batch_size} windows a step, where a text occurs"
        f" {repeats(ours):.1f} times; {told}; occurrences a second, {torch.get_num_threads()}"
        f" thread, median of {len(mine)} whole epochs in turns, with refresh and validation; LoRA"
        f" rank {lora.rank} on {'+'.join(lora.targets)} of the upper {lora.n_layers} layers; an"
        f" epoch takes {np.median(mine):.1f} s, of which {share:.1f} s are its share of the lower"
        f" layers, cached once in {cache_s:.1f} s; the peer's {np.median(theirs):.1f} s;"
        f" {quality(ours, peer)}; ci95 holds the ratios of all epochs"
    )
    return {
        "name": name,
        "domain": prepared.domain.name,
        "value": round(value, 1),
        "unit": "texts/s",
        "peer": PEER,
        "peer_value": round(other, 1),
        "ratio": round(value / other, 2),
        "n": len(mine),
        "ci95": [round(float(ratios.min()), 2), round(float(ratios.max()), 2)],
        "seeds": [ours.config.training.seed],
        "protocol": protocol,
        "data_hash": prepared.data_hash,
    }


def repeats(trainer: Trainer) -> float:
    """How often a text of a batch occurs in it, mean over the batches of an epoch."""
    items = trainer.prepared.split.sequences.items
    occurring = [
        items[targets[real]] for targets, real in trainer.batches(np.random.default_rng(0))
    ]
    return statistics.mean(len(one) / len(np.unique(one)) for one in occurring)


def quality(ours: Trainer, peer: Trainer) -> str:
    """What both reach on the same validation cases, in words."""
    mine, theirs = ours.each_case(), peer.each_case()
    gain = mine - theirs
    half = 1.96 * gain.std() / np.sqrt(len(gain))
    return (
        f"validation NDCG@10 {mine.mean():.4f}, the peer's {theirs.mean():.4f}, difference"
        f" {gain.mean() - half:+.4f} to {gain.mean() + half:+.4f} (95 %)"
    )


def together(rows: list[Row]) -> Row:
    """Geometric means over the domains of rows of one name."""
    value, other, low, high = (
        statistics.geometric_mean(column)
        for column in zip(*((r["value"], r["peer_value"], *r["ci95"]) for r in rows), strict=True)
    )
    return {
        "name": rows[0]["name"],
        "domain": "all",
        "value": round(value, 1),
        "unit": "texts/s",
        "peer": PEER,
        "peer_value": round(other, 1),
        "ratio": round(value / other, 2),
        "n": len(rows),
        "ci95": [round(low, 2), round(high, 2)],
        "seeds": rows[0]["seeds"],
        "protocol": f"geometric mean of {', '.join(r['domain'] for r in rows)}; ci95 is that of"
        " the ends of the ratio",
    }


def main() -> None:
    """Measure all rows and write them."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--domains", nargs="*", default=list(BATCHES), choices=list(BATCHES))
    parser.add_argument("--epochs", type=int, default=3)
    given = parser.parse_args()
    torch.set_num_threads(1)
    rows = [row for name in given.domains for row in measure(imported(name), given.epochs)]
    names = dict.fromkeys(row["name"] for row in rows)
    rows += [together([row for row in rows if row["name"] == name]) for name in names]
    write_rows("adapted_speed", rows)
    for one in rows:
        print(f"{one['ratio']:.2f} {one['ci95']} {one['domain']} {one['protocol']}")


if __name__ == "__main__":
    main()
