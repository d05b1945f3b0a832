"""A catalogue of 3,000 things around 300 kinds, large enough for an index to leave most unread.

Texts are vectors around those of kinds; people have things of a few kinds. Nothing is trained: what
the fusion makes of evidence and newness is set by hand, so that both count.
"""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import polars as pl
from numpy.typing import NDArray

from crossrec.config import RunConfig, SearchConfig
from crossrec.data.dataset import CARD, Dataset
from crossrec.data.sequences import load_sequences
from crossrec.data.split import Sequences
from crossrec.data.vocabulary import Vocabulary
from crossrec.domains.spec import Domain, Objective
from crossrec.models.domain_model import DomainModel
from crossrec.models.fusion import FEATURES, Fusion
from crossrec.models.neighbour_signals import NeighbourSignal
from crossrec.models.signal import Signal
from crossrec.models.signals import PopularitySignal
from crossrec.models.text_signals import RequestSignal, TextSignal, unit
from tests.small_release import SmallDomain

N_THINGS, N_KINDS, N_PEOPLE, WIDTH = 3000, 300, 200, 24
FEW = 500
SEARCH = SearchConfig(exact_up_to=FEW, n_candidates=150, effort=0.4)
RARE = (1501, 1802, 2103, 2404)
"""Things that others than the large maker make."""
DOMAIN = Domain(
    name="things",
    title="Things",
    description="Many things of many kinds.",
    objectives=[Objective(name="relevance", weight=1.0), Objective(name="price", column="price")],
)
_KINDS = unit(np.random.default_rng(1).normal(size=(N_KINDS, WIDTH)).astype(np.float32))


def kind_of(thing: int) -> int:
    return thing % N_KINDS


def read(texts: list[str]) -> NDArray[np.float32]:
    """The encoder: a text is its kind, and a little that is its own."""
    rows = []
    for text in texts:
        kind, own = ([int(word) for word in text.split() if word.isdecimal()] + [0, 0])[:2]
        noise = np.random.default_rng(own).normal(size=WIDTH)
        rows.append(_KINDS[kind] + 0.6 * noise / np.linalg.norm(noise))
    return unit(np.array(rows, np.float32))


def make_crowd(folder: Path, search: SearchConfig = SEARCH) -> SmallDomain:
    """Write the data set into `folder`, and its model."""
    folder.mkdir(parents=True, exist_ok=True)
    things = range(N_THINGS)
    texts = [f"kind {kind_of(n)} number {n}" for n in things]
    pl.DataFrame(
        {
            "item_id": [f"thing-{n}" for n in things],
            "title": [f"Thing {n}" for n in things],
            "text": texts,
            "category": [["even" if n % 2 == 0 else "odd"] for n in things],
            "price": [float(n * 7919 % 100) for n in things],
            "maker": [f"small {n}" if n in RARE else "large" for n in things],
        }
    ).write_parquet(folder / "items.parquet")
    _had().write_parquet(folder / "interactions.parquet")
    card = {"domain": DOMAIN.model_dump(mode="json"), "content_hash": "d" * 64}
    (folder / CARD).write_text(json.dumps(card), encoding="utf-8")
    dataset = Dataset.open(folder.name, folder.parent)
    sequences = load_sequences(dataset)
    return SmallDomain(dataset, sequences, _model(sequences, read(texts), search))


def _had() -> pl.DataFrame:
    rng = np.random.default_rng(2)
    rows = []
    for person in range(N_PEOPLE):
        kinds = rng.choice(N_KINDS, 3, replace=False)
        for step in range(9):
            # things of the first 1,500 only: the others are new
            thing = int(kinds[step % 3] + N_KINDS * rng.integers(5))
            rows.append((f"person-{person}", f"thing-{thing}", 1_000 + person * 50 + step, "had"))
    frame = pl.DataFrame(rows, schema=["user_id", "item_id", "timestamp", "event"], orient="row")
    return frame.unique(["user_id", "item_id"], maintain_order=True)


def _model(sequences: Sequences, vectors: NDArray[np.float32], search: SearchConfig) -> DomainModel:
    centre = vectors.mean(axis=0)
    texts = unit(vectors - centre)
    counts = np.bincount(sequences.items, minlength=N_THINGS)
    signals: dict[str, Signal] = {
        "neighbours": _neighbours(sequences),
        "text": TextSignal(texts, 0.9, np.zeros((WIDTH, 0), np.float32)),
        "request": RequestSignal(texts, centre),
        "popularity": PopularitySignal(np.log1p(counts).astype(np.float32)),
    }
    n, newness = len(signals), np.zeros(len(FEATURES), np.float32)
    newness[0] = 0.3
    fusion = Fusion(
        names=list(signals),
        weights=np.zeros((n, len(FEATURES)), np.float32),
        evidence_weights=np.array([-0.3, -0.6, 0.4, 0.3], np.float32),
        cold_lifts=np.array([0.0, -0.3, 0.1, 0.0], np.float32),
        cold_weights=newness,
        evidence=(2 * counts / counts.max() - 1).astype(np.float32),
        cold=(counts == 0).astype(np.float32),
        clock=False,
    )
    vocabulary = Vocabulary(sequences.item_ids, sequences.event_names)
    config = RunConfig(search=search)
    return DomainModel(DOMAIN, config, vocabulary, signals, fusion)


def _neighbours(sequences: Sequences) -> NeighbourSignal:
    people = np.repeat(np.arange(sequences.n_users), np.diff(sequences.offsets))
    seen = np.zeros((sequences.n_users, N_THINGS), np.float32)
    seen[people, sequences.items] = 1
    weights = seen.T @ seen
    np.fill_diagonal(weights, 0)
    rows, columns = np.nonzero(weights)
    starts = np.concatenate([[0], np.cumsum(np.bincount(rows, minlength=N_THINGS))])
    return NeighbourSignal(
        starts, columns.astype(np.int32), weights[rows, columns].astype(np.float16), 0.9
    )


def exact(crowd: SmallDomain) -> SmallDomain:
    """The same, all of whose items are scored."""
    config = crowd.model.config.model_copy(update={"search": SearchConfig(kind="exact")})
    return replace(crowd, model=replace(crowd.model, config=config))
