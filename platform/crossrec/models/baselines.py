"""Strong simple recommenders that every figure of ours stands beside: popularity, ItemKNN and
EASE with and without recency, frozen text. Only numpy and scipy.

Leaves to others: how they are judged (evaluation/), the served signals (collaborative.py).
Sizes: U users, N items, B queries, T steps of history, E dimensions of the encoder.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field, fields, replace
from typing import Any, ClassVar, Self

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from crossrec.data.split import Split
from crossrec.errors import ConfigError, DataError, suggest
from crossrec.evaluation.protocols import judge
from crossrec.models.linear_weights import (
    ease_weights,
    history_matrix,
    knn_weights,
    training_matrix,
)
from crossrec.models.query import Queries

Floats = NDArray[np.float32]
Params = dict[str, float | int | bool | None]

COLD_SCORE = np.float32(-np.inf)
"""Score of an item without training interactions in models that know items by id only."""


@dataclass
class Baseline(ABC):
    """What all baselines have in common; fields of the constructor are hyperparameters."""

    family: ClassVar[str]

    @property
    def name(self) -> str:
        """Name in tables."""
        return self.family

    @property
    def params(self) -> Params:
        """Hyperparameters."""
        return {f.name: getattr(self, f.name) for f in fields(self) if f.init}

    def fit(self, split: Split, text_vectors: Floats | None = None) -> Self:
        """Learn from the training part; returns itself.

        Args:
            split: only its rows marked `train` are read.
            text_vectors: (N, E) unit-length vectors of the item texts, for models of text.
        """
        self._fit(split, text_vectors)
        return self

    @abstractmethod
    def _fit(self, split: Split, text_vectors: Floats | None) -> None: ...

    @abstractmethod
    def score(self, queries: Queries) -> Floats:
        """Scores of the whole catalogue, (B, N), higher is better; history is not excluded."""


@dataclass
class Popularity(Baseline):
    """Score = number of training interactions."""

    counts: Floats = field(init=False, repr=False)
    family = "popularity"

    def _fit(self, split: Split, text_vectors: Floats | None) -> None:
        items = split.sequences.items[split.train]
        self.counts = np.bincount(items, minlength=split.sequences.n_items).astype(np.float32)

    def score(self, queries: Queries) -> Floats:
        """The same counts for everybody."""
        return np.tile(self.counts, (len(queries), 1))


@dataclass
class _ItemItem(Baseline):
    """Score = history weighted by decay^age, times item-item weights; cold items last."""

    decay: float = 1.0
    weights: Any = field(default=None, init=False, repr=False)  # (N, N) array or csr_matrix
    cold: NDArray[np.bool_] = field(init=False, repr=False)  # (N,)

    @property
    def name(self) -> str:
        """The family's name, with `_recency` where newer steps weigh more."""
        return self.family if self.decay == 1 else f"{self.family}_recency"

    @abstractmethod
    def _weights(self, matrix: sparse.csr_matrix) -> Any:
        """Item-item weights of the training matrix."""

    def _fit(self, split: Split, text_vectors: Floats | None) -> None:
        self.weights = self._weights(training_matrix(split))
        self.cold = ~split.warm

    def with_decay(self, decay: float) -> Self:
        """The same fitted weights with another decay of the history."""
        other = replace(self, decay=decay)
        other.weights, other.cold = self.weights, self.cold
        return other

    def score(self, queries: Queries) -> Floats:
        """Sum over the history of decay^age times the weight from that item to each item."""
        history = history_matrix(queries.items, len(self.cold), self.decay)
        product = history @ self.weights
        scores = product.toarray() if sparse.issparse(product) else np.asarray(product)
        scores[:, self.cold] = COLD_SCORE
        return np.asarray(scores, np.float32)


@dataclass
class ItemKNN(_ItemItem):
    """Cosine neighbours of the history's items: see `knn_weights`."""

    shrink: float = 10.0
    topk: int | None = 100
    family = "itemknn"

    def _weights(self, matrix: sparse.csr_matrix) -> Any:
        weights = knn_weights(matrix, self.shrink, self.topk)
        # Above a tenth of all cells a dense product is faster and no larger.
        dense = weights.nnz > 0.1 * weights.shape[0] ** 2
        return weights.toarray() if dense else weights


@dataclass
class Ease(_ItemItem):
    """Closed-form linear autoencoder: see `ease_weights`."""

    lam: float = 200.0
    family = "ease"

    def _weights(self, matrix: sparse.csr_matrix) -> Any:
        return ease_weights(matrix, self.lam)


@dataclass
class FrozenText(Baseline):
    """Cosine of an item's text with the decay-weighted mean of the history's texts.

    Where there is a request, its vector is added to that mean, both of unit length.
    """

    decay: float = 0.8
    centre: bool = True
    """Take the catalogue's mean vector off first: it holds what all items have in common."""
    vectors: Floats = field(init=False, repr=False)  # (N, E) unit length
    mean: Floats = field(init=False, repr=False)  # (E,) taken off
    family = "frozen_text"

    def _fit(self, split: Split, text_vectors: Floats | None) -> None:
        if text_vectors is None:
            raise ConfigError("the baseline frozen_text got no text_vectors; expected (N, E)")
        if len(text_vectors) != split.sequences.n_items:
            raise DataError(
                f"got {len(text_vectors)} text vectors for {split.sequences.n_items} items;"
                " expected one an item, in catalogue order"
            )
        self.mean = np.asarray(text_vectors.mean(axis=0) * self.centre, np.float32)
        self.vectors = _unit(text_vectors - self.mean)

    def score(self, queries: Queries) -> Floats:
        """Cosines in [-1, 1]; 0 everywhere without history and request."""
        history = history_matrix(queries.items, len(self.vectors), self.decay)
        user = _unit(history @ self.vectors)
        asked = queries.request.any(axis=1)
        if asked.any():
            user[asked] += _unit(queries.request[asked] - self.mean)
        return np.asarray(_unit(user) @ self.vectors.T, np.float32)


def _unit(vectors: Floats) -> Floats:
    lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
    return np.asarray(vectors / np.maximum(lengths, 1e-12), np.float32)


SHRINKS = (0.0, 10.0, 50.0)
TOPKS = (20, 100, None)
LAMBDAS = (10.0, 50.0, 200.0, 500.0, 1000.0, 3000.0)
LARGE_CATALOGUE = 6000
LARGE_LAMBDAS = (50.0, 200.0, 1000.0)
"""Above LARGE_CATALOGUE items, where ItemKNN keeps 100 neighbours."""
DECAYS = (0.5, 0.6, 0.7, 0.8, 0.9, 0.95)
TEXT_DECAYS = (0.3, 0.6, 0.8, 0.9, 1.0)
"""The grids of the published peers."""


NAMES = ("popularity", "itemknn", "itemknn_recency", "ease", "ease_recency", "frozen_text")
"""All baselines; frozen_text needs text vectors."""


def tune(name: str, split: Split, text_vectors: Floats | None = None) -> Baseline:
    """The baseline called `name`, fitted, with the best NDCG@10 on validation: see `tune_all`."""
    return tune_all(split, text_vectors, (name,))[name]


def tune_all(
    split: Split,
    text_vectors: Floats | None = None,
    names: Sequence[str] = NAMES,
    *,
    requests: Floats | None = None,
    on_fitted: Callable[[str], None] | None = None,
) -> dict[str, Baseline]:
    """Fitted baselines by name, each the best of its grid by NDCG@10 on validation.

    A recency variant takes the weights that were best without recency, then the best decay.

    Args:
        split: fitted on its training part, tuned on its validation cases.
        text_vectors: (N, E) for frozen_text.
        names: which baselines.
        requests: (R, E) encoded request of each row of the sequences, where there are any.
        on_fitted: called with each name when it is done.

    Raises:
        ConfigError: no baseline has that name, or frozen_text got no vectors.
    """
    found: dict[str, Any] = {}
    for name in names:
        if name not in NAMES:
            raise ConfigError(f"no baseline is called '{name}': {suggest(name, NAMES)}")
        family = name.removesuffix("_recency")
        if family not in found:
            found[family] = _best(_GRIDS[family](split, text_vectors), split, requests)
        if name != family:
            found[name] = tune_decay(found[family], split, requests)
        if on_fitted is not None:
            on_fitted(name)
    return {name: found[name] for name in names}


def tune_decay(model: Any, split: Split, requests: Floats | None = None) -> Baseline:
    """A fitted ItemKNN or EASE with the decay of DECAYS that is best by NDCG@10 on validation."""
    best: Baseline = _best((model.with_decay(decay) for decay in DECAYS), split, requests)
    return best


def _popularity(split: Split, text_vectors: Floats | None) -> Iterator[Baseline]:
    yield Popularity().fit(split)


def _itemknn(split: Split, text_vectors: Floats | None) -> Iterator[Baseline]:
    topks = (100,) if split.sequences.n_items > LARGE_CATALOGUE else TOPKS
    return (ItemKNN(shrink=s, topk=k).fit(split) for s in SHRINKS for k in topks)


def _ease(split: Split, text_vectors: Floats | None) -> Iterator[Baseline]:
    large = split.sequences.n_items > LARGE_CATALOGUE
    return (Ease(lam=lam).fit(split) for lam in (LARGE_LAMBDAS if large else LAMBDAS))


def _frozen_text(split: Split, text_vectors: Floats | None) -> Iterator[Baseline]:
    return (
        FrozenText(decay, centre).fit(split, text_vectors)
        for centre in (True, False)
        for decay in TEXT_DECAYS
    )


_GRIDS: dict[str, Callable[[Split, Floats | None], Iterator[Baseline]]] = {
    "popularity": _popularity,
    "itemknn": _itemknn,
    "ease": _ease,
    "frozen_text": _frozen_text,
}


def _best(models: Iterable[Any], split: Split, requests: Floats | None) -> Any:
    """The model with the highest NDCG@10 on validation, the first among equals."""
    best, best_value = None, -1.0
    for model in models:  # lazily: one set of weights beside the best at a time
        value = judge(model.score, split, "validation", requests=requests).mean("ndcg@10")
        if best is None or value > best_value:
            best, best_value = model, value
    return best
