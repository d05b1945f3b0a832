"""A release of a million items, made out of a real one: every further item is near a real one.

A made-up item has the text vector of a real one and as much again of noise as tells neighbours of
one kind apart, the towers' vector likewise, a share of its popularity, and the neighbours of its
model's, each replaced by one of those made up after it; real histories are spread likewise. So what
the signals give is distributed as in the real release, which is trained; nothing else is. Leaves to
others: measuring (million_items.py).
"""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from crossrec.config import SearchConfig
from crossrec.data.dataset import CARD, Dataset
from crossrec.data.sequences import load_sequences
from crossrec.data.vocabulary import Vocabulary
from crossrec.models.fusion import Fusion
from crossrec.models.neighbour_signals import NeighbourSignal
from crossrec.models.sequence_signal import SequenceSignal
from crossrec.models.signal import Signal
from crossrec.models.signals import PopularitySignal
from crossrec.models.text_signals import RequestSignal, TextSignal, unit
from crossrec.releases.store import LoadedRelease, Release, ReleaseStore

Floats = NDArray[np.float32]
NAME = "million"
N_NEIGHBOURS = 32
"""Of each item: the largest weights."""
OWN_TEXT, OWN_TASTE = (0.3, 0.9), (0.2, 0.6)
"""Length of the noise beside a unit vector, from least to most."""
ROWS = 100_000


class _Grown:
    """Which real item each item is made after."""

    def __init__(self, n_real: int, n_items: int, rng: np.random.Generator) -> None:
        self.rng = rng
        later = rng.integers(0, n_real, n_items - n_real)
        self.parents = np.concatenate([np.arange(n_real), later])
        self._order = np.argsort(self.parents, kind="stable")
        self._counts = np.bincount(self.parents, minlength=n_real)
        self._starts = np.cumsum(self._counts) - self._counts

    def child(self, parents: NDArray[Any]) -> NDArray[np.int32]:
        """One of those made after each real item, itself among them."""
        place = (self.rng.random(parents.shape) * self._counts[parents]).astype(np.int64)
        return self._order[self._starts[parents] + place].astype(np.int32)

    def near(self, vectors: Floats, own: tuple[float, float]) -> Floats:
        """(N, E) unit vectors near those of the parents; real items keep theirs."""
        n_real, found = len(vectors), np.empty((len(self.parents), vectors.shape[1]), np.float32)
        spread = vectors.std(axis=0)
        for start in range(0, len(found), ROWS):
            of = self.parents[start : start + ROWS]
            noise = unit(self.rng.normal(size=(len(of), len(spread))).astype(np.float32) * spread)
            length = self.rng.uniform(*own, (len(of), 1)).astype(np.float32)
            found[start : start + ROWS] = unit(vectors[of] + length * noise)
        found[:n_real] = vectors
        return found

    def share(self, values: Floats) -> Floats:
        """Between nothing and all of the parents' values."""
        found = values[self.parents] * self.rng.random(len(self.parents)).astype(np.float32)
        found[: len(values)] = values
        return found


def publish(store: ReleaseStore, real: LoadedRelease, n_items: int, folder: Path) -> Release:
    """Write the data below `folder`, publish the release; needs about 5 GiB for a million items."""
    grown = _Grown(len(real.model.vocabulary.item_ids), n_items, np.random.default_rng(0))
    dataset = _dataset(real, grown, folder / NAME)
    sequences = load_sequences(dataset)
    signals: dict[str, Signal] = {}
    for name, signal in real.model.signals_by_name.items():
        signals[name] = _signal(signal, grown, signals)
    fusion, popularity = real.model.fusion, signals["popularity"]
    assert isinstance(fusion, Fusion)
    assert isinstance(popularity, PopularitySignal)
    evidence = (2 * popularity.values / popularity.values.max() - 1).astype(np.float32)
    evidence[: len(fusion.evidence)] = fusion.evidence
    cold = np.zeros(n_items, np.float32)
    cold[: len(fusion.cold)] = fusion.cold
    model = replace(
        real.model,
        domain=dataset.domain,
        config=real.model.config.model_copy(update={"search": SearchConfig()}),
        vocabulary=Vocabulary(
            sequences.item_ids, real.model.vocabulary.events, real.model.vocabulary.context_values
        ),
        signals_by_name=signals,
        fusion=replace(fusion, evidence=evidence, cold=cold),
    )
    manifest = real.release.manifest
    return store.publish(
        model, dataset, sequences, real.release.metrics,
        manifest.encoder, manifest.encoder_fingerprint, manifest.seed,
    )  # fmt: skip


def _dataset(real: LoadedRelease, grown: _Grown, folder: Path) -> Dataset:
    source = Dataset.open(real.model.domain.name)
    folder.mkdir(parents=True, exist_ok=True)
    ids, n = pl.Series([f"item-{n}" for n in range(len(grown.parents))]), len(grown.parents)
    items = source.catalogue()[grown.parents].with_columns(
        ids.alias("item_id"), pl.format("{} · {}", "title", pl.int_range(n)).alias("title")
    )
    items.write_parquet(folder / "items.parquet")
    known = real.model.vocabulary.item_idx
    had = source.scan("interactions").filter(pl.col("item_id").is_in(list(known))).collect()
    rows = grown.child(np.array([known[item_id] for item_id in had["item_id"]]))
    had.with_columns(ids[rows].alias("item_id")).write_parquet(folder / "interactions.parquet")
    domain = real.model.domain.model_copy(update={"name": NAME})
    card = {"domain": domain.model_dump(mode="json"), "content_hash": source.content_hash}
    (folder / CARD).write_text(json.dumps(card), encoding="utf-8")
    return Dataset.open(NAME, folder.parent)


def _signal(signal: Signal, grown: _Grown, before: dict[str, Signal]) -> Signal:
    match signal:
        case SequenceSignal():
            bias = signal.bias[grown.parents]
            return replace(signal, vectors=grown.near(signal.vectors, OWN_TASTE), bias=bias)
        case TextSignal():
            return replace(signal, vectors=grown.near(signal.vectors, OWN_TEXT))
        case RequestSignal():
            text = before["text"]
            assert isinstance(text, TextSignal)  # without an adapter both read the same
            return replace(signal, vectors=text.vectors)
        case NeighbourSignal():
            return _neighbours(signal, grown)
        case PopularitySignal():
            return PopularitySignal(grown.share(signal.values))
    raise SystemExit(f"items cannot be made up for the signal '{signal.name}'")


def _neighbours(signal: NeighbourSignal, grown: _Grown) -> NeighbourSignal:
    """The largest weights of the parents, between those made after them."""
    lengths = np.minimum(np.diff(signal.starts), N_NEIGHBOURS)
    columns = np.zeros((len(lengths), N_NEIGHBOURS), np.int32)
    values = np.zeros(columns.shape, np.float16)
    for row, length in enumerate(lengths):
        entries = slice(signal.starts[row], signal.starts[row + 1])
        best = np.argsort(-signal.values[entries])[:length]
        columns[row, :length] = signal.columns[entries][best]
        values[row, :length] = signal.values[entries][best]
    there = np.arange(N_NEIGHBOURS) < lengths[:, None]
    blocks = [grown.parents[start : start + ROWS] for start in range(0, len(grown.parents), ROWS)]
    return replace(
        signal,
        starts=np.concatenate([[0], np.cumsum(lengths[grown.parents])]).astype(np.int64),
        columns=np.concatenate([grown.child(columns[of])[there[of]] for of in blocks]),
        values=np.concatenate([values[of][there[of]] for of in blocks]),
    )
