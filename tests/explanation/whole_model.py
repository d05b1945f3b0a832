"""A model with every signal of a ranking and random weights: nothing in it is zero or simple."""

from __future__ import annotations

import numpy as np
import torch

from crossrec.config import RunConfig
from crossrec.data.vocabulary import Vocabulary
from crossrec.domains.spec import ContextField, Domain
from crossrec.models.context import ContextEncoder
from crossrec.models.domain_model import DomainModel
from crossrec.models.fusion import FEATURES, Fusion
from crossrec.models.neighbour_signals import CollaborativeSignal, NeighbourSignal
from crossrec.models.query import Queries
from crossrec.models.sequence import SequenceTower
from crossrec.models.sequence_signal import SequenceSignal
from crossrec.models.signals import PopularitySignal
from crossrec.models.text_signals import RequestSignal, TextSignal, unit
from crossrec.models.towers import UserTower

N, E, D, WINDOW = 60, 12, 16, 8
FIELDS = [
    ContextField(name="weather", kind="category"),
    ContextField(name="here", kind="place", columns=["a", "b"], item_columns=["a", "b"]),
]


def whole_model(rng: np.random.Generator, *, clock: bool = True) -> DomainModel:
    """N items; histories longer than WINDOW reach beyond the tower's window."""
    domain = Domain(name="whole", title="Whole", context=FIELDS)
    vocabulary = Vocabulary(
        [f"i{n}" for n in range(N)], ["view", "buy"], {"weather": ["sun", "rain"]}
    )
    text = unit(rng.normal(size=(N, E)).astype(np.float32))
    signals = {
        "sequence": _sequence(rng, clock),
        "collaborative": _sparse(CollaborativeSignal, rng, 0.9),
        "neighbours": _sparse(NeighbourSignal, rng, 0.7),
        "text": TextSignal(text, 0.8, 0.5 * np.linalg.qr(rng.normal(size=(E, 2)))[0].astype("f4")),
        "request": RequestSignal(text, rng.normal(size=E).astype(np.float32) / 9),
        "popularity": PopularitySignal(rng.random(N).astype(np.float32)),
    }
    fusion = Fusion(
        names=list(signals),
        weights=rng.normal(size=(len(signals), len(FEATURES))).astype(np.float32),
        evidence_weights=rng.normal(size=len(signals)).astype(np.float32) / 3,
        cold_lifts=rng.normal(size=len(signals)).astype(np.float32) / 3,
        cold_weights=rng.normal(size=len(FEATURES)).astype(np.float32),
        evidence=rng.uniform(-1, 1, N).astype(np.float32),
        cold=(rng.random(N) < 0.2).astype(np.float32),
        clock=clock,
    )
    return DomainModel(domain, RunConfig(), vocabulary, signals, fusion)


def query(rng: np.random.Generator, n_steps: int, *, asked: bool = True) -> Queries:
    """One question with everything in it, or without words."""
    return Queries(
        items=rng.choice(N, max(n_steps, 1), replace=False).astype(np.int32)[None]
        if n_steps
        else np.array([[-1]], np.int32),
        times=np.sort(rng.integers(1, 9_000_000, max(n_steps, 1)))[None],
        events=rng.integers(-1, 2, max(n_steps, 1)).astype(np.int16)[None],
        now=np.array([9_000_500]),
        request=(rng.normal(size=(1, E)) * asked).astype(np.float32),
        context={
            "weather": np.array([1], np.float32),
            "here": np.array([[50.0, 8.0]], np.float32),
        },
        words=("a wish",) if asked else None,
    )


def _sequence(rng: np.random.Generator, clock: bool) -> SequenceSignal:
    here = rng.normal(size=(3, 2)).astype(np.float32) + np.array([50, 8], np.float32)
    context = ContextEncoder.fit(FIELDS, {"weather": ["sun", "rain"]}, {"here": here}, clock)
    torch.manual_seed(int(rng.integers(99)))
    tower = UserTower(
        dim=D, text_dim=E, n_events=3, context_dim=context.dim, n_blocks=2, n_heads=2,
        max_steps=WINDOW, dropout=0.0,
    )  # fmt: skip
    for parameter in tower.parameters():
        torch.nn.init.normal_(parameter, std=0.3)
    weights = {name: value.numpy() for name, value in tower.eval().exported().items()}
    return SequenceSignal(
        tower=SequenceTower(weights, 2),
        vectors=unit(rng.normal(size=(N, D)).astype(np.float32)),
        bias=rng.normal(size=N).astype(np.float32),
        context=context,
        temperature=0.3,
        history_length=WINDOW,
        clock=clock,
        places=(rng.normal(size=(N, 2)) + np.array([50, 8], np.float32)).astype(np.float32),
        place_weight=0.4,
    )


def _sparse(kind: type[NeighbourSignal], rng: np.random.Generator, decay: float) -> NeighbourSignal:
    weights = np.where(rng.random((N, N)) < 0.3, rng.normal(size=(N, N)), 0)
    rows, columns = np.nonzero(weights)
    starts = np.concatenate([[0], np.cumsum(np.bincount(rows, minlength=N))])
    values = weights[rows, columns].astype(np.float16)
    return kind(starts, columns.astype(np.int32), values, decay)
