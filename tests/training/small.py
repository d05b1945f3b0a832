"""A small simulated city, prepared in a second with a tiny encoder."""

from __future__ import annotations

from pathlib import Path

from crossrec.config import RunConfig, load_config
from crossrec.data.dataset import Dataset
from crossrec.data.importing import import_domain
from crossrec.domains.registry import load_domain
from crossrec.models.encoder import TextEncoder
from crossrec.training.prepare import Prepared, prepare

SETTINGS = [
    "model.dim=16",
    "model.n_blocks=1",
    "model.history_length=12",
    "model.max_text_tokens=16",
    "training.learning_rate=0.01",
    "training.max_epochs=4",
    "training.batch_size=32",
    "adapter.rank=2",
    "adapter.n_layers=1",
    "adapter.texts_per_step=8",
]


def settings(*overrides: str) -> RunConfig:
    """Epochs of a tenth of a second."""
    return load_config(overrides=[*SETTINGS, *overrides])


def make_city(root: Path, n_users: int = 60, n_items: int = 100) -> Dataset:
    """An imported city of that size."""
    domain = load_domain("restaurants_sim")
    options = {"n_users": n_users, "n_items": n_items, "seed": 0}
    small = domain.model_copy(
        update={"source": domain.source.model_copy(update={"options": options})}
    )
    return import_domain(small, root, progress=False)


def prepare_city(city: Dataset, encoder: TextEncoder, *overrides: str) -> Prepared:
    """Ready for the loop, without dropout unless asked for."""
    still = ["model.dropout=0", "model.id_dropout=0"]
    return prepare(city, settings(*still, *overrides), encoder=encoder)
