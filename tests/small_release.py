"""A small domain with everything a release needs, made in milliseconds from real parts.

Twenty-four films in three genres; each of twenty people watches one genre; the model mixes
cosine neighbours, texts, requests and popularity. Words are encoded by counting genre words.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import polars as pl
from numpy.typing import NDArray

from crossrec.config import RunConfig
from crossrec.data.dataset import CARD, Dataset
from crossrec.data.sequences import load_sequences
from crossrec.data.split import Sequences
from crossrec.data.vocabulary import Vocabulary
from crossrec.domains.spec import ContextField, Domain, Objective
from crossrec.models.domain_model import DomainModel
from crossrec.models.fusion import FEATURES, Fusion
from crossrec.models.neighbour_signals import NeighbourSignal
from crossrec.models.signals import PopularitySignal
from crossrec.models.text_signals import RequestSignal, TextSignal, unit
from crossrec.releases.store import Release, ReleaseStore

GENRES = ("comedy", "space", "horror")
N_ITEMS = 24
N_USERS = 20
DATA_START = 1_000_000_000
WIDTH = 8  # E
ENCODER = "word-counts"
FINGERPRINT = "f" * 64

DOMAIN = Domain(
    name="films",
    title="Films",
    description="A small world of films.",
    context=[
        ContextField(name="weather", kind="category", description="Outside, now."),
        ContextField(name="hour", kind="cycle", period=24, derive="hour"),
    ],
    dropped_events=["shown"],
    card_columns=["year", "studio"],
)

PLACES = DOMAIN.model_copy(
    update={
        "name": "places",
        "title": "Places",
        "context": [
            *DOMAIN.context,
            ContextField(name="weekday", kind="cycle", period=7, derive="weekday"),
            ContextField(name="temperature", kind="number", description="degrees Celsius"),
            ContextField(
                name="location",
                kind="place",
                columns=["latitude", "longitude"],
                item_columns=["latitude", "longitude"],
            ),
        ],
        "objectives": [
            Objective(name="distance"),
            Objective(name="price", column="price", unit="EUR", higher_is_better=False),
        ],
    }
)
"""The same world, with every kind of context."""


@dataclass(frozen=True)
class SmallDomain:
    """A data set, what it holds, and a model of it."""

    dataset: Dataset
    sequences: Sequences
    model: DomainModel

    def publish(
        self, store: ReleaseStore, encoder: str = ENCODER, fingerprint: str = FINGERPRINT
    ) -> Release:
        """A release of it."""
        metrics = {"protocol": "leave_one_out", "metrics": {"ndcg@10": 0.5, "recall@10": 0.7}}
        return store.publish(
            self.model, self.dataset, self.sequences, metrics, encoder, fingerprint, seed=0
        )


def genre_of(item_idx: int) -> str:
    """Items 0, 3, 6, … are comedies, and so on."""
    return GENRES[item_idx % 3]


def encode_words(texts: list[str]) -> NDArray[np.float32]:
    """(n, WIDTH): how often each genre is named, and a constant."""
    rows = [[*(text.lower().count(genre) for genre in GENRES), 0.1] for text in texts]
    padded = np.pad(np.array(rows, np.float32), ((0, 0), (0, WIDTH - 4)))
    return unit(padded)


Encode = Callable[[list[str]], NDArray[np.float32]]


def make_small_domain(
    folder: Path, name: str = "films", encode: Encode = encode_words, like: Domain = DOMAIN
) -> SmallDomain:
    """Write the data set into `folder` and fit the model on texts as `encode` reads them."""
    domain = like.model_copy(update={"name": name})
    folder.mkdir(parents=True, exist_ok=True)
    _placed(_items(), domain).write_parquet(folder / "items.parquet")
    _placed(_interactions(), domain).write_parquet(folder / "interactions.parquet")
    card = {"domain": domain.model_dump(mode="json"), "content_hash": "c" * 64}
    (folder / CARD).write_text(json.dumps(card), encoding="utf-8")
    dataset = Dataset.open(folder.name, folder.parent)
    sequences = load_sequences(dataset)
    return SmallDomain(dataset, sequences, _model(domain, sequences, encode))


def _items() -> pl.DataFrame:
    numbers = range(N_ITEMS)
    return pl.DataFrame(
        {
            "item_id": [f"film-{n}" for n in numbers],
            "title": [f"The {genre_of(n)} number {n}" for n in numbers],
            "text": [f"A {genre_of(n)} from {1980 + n}, café scenes" for n in numbers],
            "category": [[genre_of(n), "film"] for n in numbers],
            "year": [1980 + n for n in numbers],
            "price": [None if n == 5 else n / 2 for n in numbers],
            "studio": ["north" if n < 12 else "south" for n in numbers],
            "tags": [["new"] if n >= 20 else [] for n in numbers],
        }
    )


def _placed(frame: pl.DataFrame, domain: Domain) -> pl.DataFrame:
    """With what the fields of numbers and places read, where the domain has them."""
    row = pl.int_range(pl.len())
    columns = {
        "temperature": (row % 30).cast(pl.Float64),
        "latitude": 48 + row % 24 / 100,
        "longitude": 16 + row % 24 / 50,
    }
    kinds = {field.kind for field in domain.context}
    return frame.with_columns(**columns) if {"number", "place"} <= kinds else frame


def _interactions() -> pl.DataFrame:
    rng = np.random.default_rng(0)
    rows = []
    for user in range(N_USERS):
        own = [n for n in range(N_ITEMS) if n % 3 == user % 3]
        # user-19 is new: one film only
        watched = rng.choice(own, 1 if user == N_USERS - 1 else 5, replace=False)
        for step, item in enumerate(watched):
            moment = DATA_START + user * 100 + step
            weather = "rain" if (user + step) % 2 else "sun"
            rows.append((f"user-{user}", f"film-{item}", moment, "watch", weather))
    columns = ["user_id", "item_id", "timestamp", "event", "weather"]
    return pl.DataFrame(rows, schema=columns, orient="row")


def _model(domain: Domain, sequences: Sequences, encode: Encode) -> DomainModel:
    vectors = encode([genre_of(n) for n in range(N_ITEMS)])
    centre = vectors.mean(axis=0)
    centred = unit(vectors - centre)
    counts = np.bincount(sequences.items, minlength=N_ITEMS)
    signals = {
        "neighbours": _neighbours(sequences),
        "text": TextSignal(centred, 0.9, np.zeros((centred.shape[1], 0), np.float32)),
        "request": RequestSignal(centred, centre),
        "popularity": PopularitySignal(np.log1p(counts).astype(np.float32)),
    }
    return DomainModel(domain, RunConfig(), _vocabulary(sequences), signals, _equal(list(signals)))


def _vocabulary(sequences: Sequences) -> Vocabulary:
    values = dict(sequences.context_values)
    return Vocabulary(sequences.item_ids, sequences.event_names, values)


def _equal(names: list[str]) -> Fusion:
    """The signals with equal weights: everything learned is zero."""
    n_signals, n_features = len(names), len(FEATURES)
    return Fusion(
        names=names,
        weights=np.zeros((n_signals, n_features), np.float32),
        evidence_weights=np.zeros(n_signals, np.float32),
        cold_lifts=np.zeros(n_signals, np.float32),
        cold_weights=np.zeros(n_features, np.float32),
        evidence=np.zeros(N_ITEMS, np.float32),
        cold=np.zeros(N_ITEMS, np.float32),
        clock=True,
    )


def _neighbours(sequences: Sequences) -> NeighbourSignal:
    users = np.repeat(np.arange(sequences.n_users), np.diff(sequences.offsets))
    seen = np.zeros((sequences.n_users, N_ITEMS), np.float32)
    seen[users, sequences.items] = 1
    weights = seen.T @ seen
    np.fill_diagonal(weights, 0)
    rows, columns = np.nonzero(weights)
    starts = np.concatenate([[0], np.cumsum(np.bincount(rows, minlength=N_ITEMS))])
    values = weights[rows, columns].astype(np.float16)
    return NeighbourSignal(starts, columns.astype(np.int32), values, 0.9)
