"""Fits the signals that need no gradient: all but the towers.

Leaves to others: the towers (loop.py), mixing (blend.py). Each picks its few parameters on
validation cases, by NDCG@10 under the protocol's rules.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from itertools import chain
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from crossrec.data.batches import queries_for
from crossrec.data.split import Split
from crossrec.evaluation.metrics import ndcg, ranks
from crossrec.evaluation.protocols import candidates_only
from crossrec.models.collaborative import KEPT_PER_ROW, lend, prune, text_lenders
from crossrec.models.linear_weights import (
    ease_weights,
    following_weights,
    history_matrix,
    knn_weights,
    training_matrix,
)
from crossrec.models.neighbour_signals import CollaborativeSignal, NeighbourSignal, WordingSignal
from crossrec.models.signal import Signal
from crossrec.models.signals import PopularitySignal
from crossrec.models.text_signals import RequestSignal, TextSignal, unit
from crossrec.training.lending import lending_vectors
from crossrec.training.lexicon import fit_lexical
from crossrec.training.prepare import Prepared
from crossrec.training.wording import wording_weights

Floats = NDArray[np.float32]
T = TypeVar("T")

# Of equals the first is taken, so without any case to tune on: the middle comes first.
TEXT_POWERS = (0.25, 0.0, 0.5)
N_COMMON = 128
DECAYS = (0.8, 1.0, 0.95, 0.9, 0.6, 0.3)
WORDING_DECAYS = (0.9, 1.0, 0.95, 0.8, 0.6, 0.3)
"""Beside the text of .8, half as much wording is best at .9 on validation of six domains."""
EASE_LAMBDAS = (3.0, 50.0, 200.0, 1000.0)
EASE_LAMBDA_LARGE = (200.0,)
"""Above LARGE items a fit takes half a minute: one value, the best on most data."""
LARGE = 6_000
MAX_EASE_ITEMS = 20_000
KNN_SHRINKS = (0.0, 50.0)
FOLLOWING_SHRINKS = (0.0, 10.0)
HALF_LIVES = (None, 0.25, 0.05, 0.01)
"""Of popularity, as a share of the training part's time span."""
MAX_TUNING_CASES = 1000


class Tuning:
    """Validation cases drawn once, and the score of a scoring function on them."""

    def __init__(self, split: Split, seed: int) -> None:
        cases = split.validation
        if len(cases) > MAX_TUNING_CASES:
            rows = np.random.default_rng(seed).permutation(len(cases))[:MAX_TUNING_CASES]
            cases = cases.take(rows)
        self.split = split
        self.queries = queries_for(split.sequences, cases, 0)
        self.targets = split.targets(cases)

    def best(self, options: Iterable[tuple[T, Floats]]) -> T:
        """The option whose scores have the highest NDCG@10; of equals the first."""
        scored = [(self.ndcg(scores), option) for option, scores in options]
        return max(scored, key=lambda pair: pair[0])[1]

    def ndcg(self, scores: Floats) -> float:
        """Mean NDCG@10 of (n, N) scores."""
        if not len(self.targets):
            return 0.0
        scores = candidates_only(scores, self.split, self.targets, "validation")
        return float(ndcg(ranks(scores, self.targets, self.queries.items), 10).mean())


def fit_closed_form(
    prepared: Prepared, text: Floats, report: Callable[[str], None]
) -> list[Signal]:
    """All closed-form signals of a domain.

    Args:
        text: (N, E) item texts that requests are compared with (adapted, in adapted mode).
        report: told the name of each step.
    """
    split = prepared.split
    tuning = Tuning(split, prepared.config.training.seed)
    centred = unit(prepared.text - prepared.text.mean(axis=0))
    matrix = training_matrix(split)
    without = prepared.config.model.without
    if "lending" in without:
        lenders = sparse.csr_array(matrix.shape[1:] * 2, dtype=np.float32)
    else:
        lenders = text_lenders(lending_vectors(prepared, centred, matrix, tuning), split.warm)
    signals: list[Signal] = []
    together = bool((np.diff(matrix.indptr) > 1).any())  # somebody has had two items
    if together and split.sequences.n_items <= MAX_EASE_ITEMS:
        report("collaborative")
        signals.append(_collaborative(matrix, lenders, tuning))
    if together:
        report("neighbours")
        signals.append(_neighbours(matrix, lenders, tuning, "follows" not in without))
    report("text, popularity")
    signals.append(_text(centred, tuning))
    if "wording" not in without and not prepared.requested:  # those have `lexical`
        signals.append(_wording(prepared.texts, tuning))
    centre = text.mean(axis=0)
    asked = centred if text is prepared.text else unit(text - centre)  # stored once if the same
    signals.append(RequestSignal(asked, centre))
    report("words")
    signals += fit_lexical(prepared)
    signals.append(_popularity(prepared, tuning))
    return signals


def _collaborative(
    matrix: sparse.csr_matrix, lenders: sparse.csr_array, tuning: Tuning
) -> CollaborativeSignal:
    n_items = matrix.shape[1]
    lambdas = EASE_LAMBDAS if n_items <= LARGE else EASE_LAMBDA_LARGE
    candidates = (prune(ease_weights(matrix, lam)) for lam in lambdas)
    return CollaborativeSignal(*_with_decay(candidates, lenders, tuning))


def _neighbours(
    matrix: sparse.csr_matrix, lenders: sparse.csr_array, tuning: Tuning, follows: bool
) -> NeighbourSignal:
    """Cosine neighbours or (`follows`) what follows what, whichever validation prefers."""
    cosines = (prune(knn_weights(matrix, shrink, KEPT_PER_ROW)) for shrink in KNN_SHRINKS)
    following = (
        prune(sparse.csr_array(following_weights(tuning.split, shrink)))
        for shrink in FOLLOWING_SHRINKS
    )
    return NeighbourSignal(
        *_with_decay(chain(cosines, following if follows else ()), lenders, tuning)
    )


def _with_decay(
    candidates: Iterable[sparse.csr_array], lenders: sparse.csr_array, tuning: Tuning
) -> tuple[NDArray[np.int64], NDArray[np.int32], NDArray[np.float16], float]:
    """The best weights and decay on validation, as the arrays of a NeighbourSignal."""

    def options() -> Iterable[tuple[tuple[sparse.csr_array, float], Floats]]:
        for weights in candidates:
            for decay in DECAYS:
                history = history_matrix(tuning.queries.items, weights.shape[0], decay)
                yield (weights, decay), (history @ weights).toarray()

    weights, decay = tuning.best(options())
    lent = sparse.csr_array(prune(lend(weights, lenders)))
    lent.sort_indices()
    return *_arrays(lent), decay


def _arrays(
    weights: sparse.csr_array,
) -> tuple[NDArray[np.int64], NDArray[np.int32], NDArray[np.float16]]:
    """As a NeighbourSignal has them."""
    return (
        weights.indptr.astype(np.int64),
        weights.indices.astype(np.int32),
        weights.data.astype(np.float16),
    )


def _text(centred: Floats, tuning: Tuning) -> TextSignal:
    signals = (
        TextSignal(centred, decay, common)
        for common in (common_directions(centred, power) for power in TEXT_POWERS)
        for decay in DECAYS
    )
    return tuning.best((signal, signal.score(tuning.queries)) for signal in signals)


def _wording(texts: list[str], tuning: Tuning) -> WordingSignal:
    weights = wording_weights(texts)

    def options() -> Iterable[tuple[float, Floats]]:
        for decay in WORDING_DECAYS:
            history = history_matrix(tuning.queries.items, len(texts), decay)
            yield decay, (history @ weights).toarray()

    return WordingSignal(*_arrays(weights), tuning.best(options()))


def common_directions(text: Floats, power: float) -> Floats:
    """C of TextSignal, (E, K): along the first K principal directions the metric scales texts by
    (variance of the K-th / own variance)^power; 0 leaves them as they are.

    Args:
        text: (N, E) centred unit vectors.
    """
    n_common = min(N_COMMON, text.shape[1] // 2, len(text) // 4) if power else 0
    if not n_common:
        return np.zeros((text.shape[1], 0), np.float32)
    variances, axes = np.linalg.eigh((text.T @ text).astype(np.float64) / len(text))
    first = slice(None, -n_common - 1, -1)
    variances, axes = np.maximum(variances[first], 1e-9), axes[:, first]
    return np.asarray(axes * np.sqrt(1 - (variances[-1] / variances) ** (2 * power)), np.float32)


def _popularity(prepared: Prepared, tuning: Tuning) -> PopularitySignal:
    options = HALF_LIVES if prepared.domain.time_kind == "unix_seconds" else (None,)
    return tuning.best(
        (signal, np.array(signal.score(tuning.queries)))
        for signal in (PopularitySignal(popularity(prepared.split, half)) for half in options)
    )


def popularity(split: Split, half_life: float | None) -> Floats:
    """log(1 + count) of each item in training, (N,).

    With a half-life (share of the time span) old interactions count less.
    """
    sequences = split.sequences
    items, times = sequences.items[split.train], sequences.times[split.train]
    weights = np.ones(len(items))
    if half_life is not None and len(times):
        span = max(1, int(times.max() - times.min()))
        weights = 0.5 ** ((times.max() - times) / (half_life * span))
    counts = np.bincount(items, weights, sequences.n_items)
    return np.log1p(counts).astype(np.float32)
