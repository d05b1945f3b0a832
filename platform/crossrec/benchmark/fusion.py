"""`peer_fusion`: the peers' own scores, z-scored and added with five weights tuned on validation.
The honest baseline of a fused model.

Leaves to others: the peers themselves (contestants.py), our own fusion (training/blend.py).
Sizes: n cases, N items, S signals.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from crossrec.data.batches import queries_for
from crossrec.data.split import Cases, Split
from crossrec.evaluation.metrics import ndcg
from crossrec.evaluation.protocols import ScoreCases
from crossrec.models.fusion import standardise
from crossrec.models.query import Queries

Floats = NDArray[np.float32]

SIGNALS = ("itemknn_recency", "ease_recency", "frozen_text", "popularity", "sasrec_own")

MAX_CELLS = 24_000_000
"""Validation cases times items that the weights are tuned on; a draw of the cases above that."""
STEPS = (0.0, 0.25, 0.5, 0.7, 0.85, 1.2, 1.4, 2.0, 4.0)
"""Multiples of a weight that the coordinate search tries."""
ROUNDS = 4


def fused(signals: list[ScoreCases], weights: NDArray[np.float64]) -> ScoreCases:
    """Cases → sum over s of weight_s times the z-scores of signal s over the catalogue."""

    def score(rows: NDArray[np.int64], queries: Queries) -> Floats:
        total = np.float32(weights[0]) * finite_z(signals[0](rows, queries))
        for weight, signal in zip(weights[1:], signals[1:], strict=True):
            if weight:
                total += np.float32(weight) * finite_z(signal(rows, queries))
        return total

    return score


def finite_z(scores: Floats) -> Floats:
    """z-scores by row; what a model cannot score stands where its lowest score stands."""
    known = np.isfinite(scores)
    lowest = np.where(known, scores, np.inf).min(axis=1, keepdims=True)
    lowest = np.where(np.isfinite(lowest), lowest, 0)
    return standardise(np.where(known, scores, lowest))


def tune_weights(
    signals: list[ScoreCases], split: Split, seed: int = 0
) -> tuple[NDArray[np.float64], dict[str, Any]]:
    """Weights with the best NDCG@10 on validation: a softmax's (L-BFGS), or a search's.

    The search starts from the softmax's weights and from the best signal alone, and moves one
    weight at a time. Returns the weights and the figures of both ways on the tuning cases.
    """
    scores, hidden, targets = _cases(signals, split, seed)
    ways = {"softmax": _softmax_weights(scores, hidden, targets)}

    def value(weights: NDArray[np.float64]) -> float:
        return _ndcg(weights, scores, hidden, targets)

    alone = np.eye(len(signals))[int(np.argmax([value(w) for w in np.eye(len(signals))]))]
    start = max((ways["softmax"], alone), key=value)
    ways["search"] = _search(start, value)
    values = {name: value(weights) for name, weights in ways.items()}
    best = max(values, key=lambda name: values[name])
    about = {f"tuned_{name}_ndcg@10": round(v, 5) for name, v in values.items()}
    return ways[best], {"way": best, "n_tuning_cases": len(targets), **about}


def _cases(
    signals: list[ScoreCases], split: Split, seed: int
) -> tuple[Floats, NDArray[np.bool_], NDArray[np.int64]]:
    """(S, n, N) z-scores of validation cases, (n, N) what is no candidate, (n,) targets."""
    n = min(len(split.validation), max(1, MAX_CELLS // split.sequences.n_items))
    rows = np.sort(np.random.default_rng(seed).permutation(len(split.validation))[:n])
    cases = Cases(split.validation.users[rows], split.validation.cuts[rows])
    targets = split.targets(cases).astype(np.int64)
    scores = np.empty((len(signals), n, split.sequences.n_items), np.float32)
    hidden = np.zeros(scores.shape[1:], bool)
    for start in range(0, n, 256):
        some = slice(start, start + 256)
        part = Cases(cases.users[some], cases.cuts[some])
        queries = queries_for(split.sequences, part, 0)
        for signal, place in zip(signals, scores, strict=True):
            place[some] = finite_z(signal(rows[some], queries))
        case, step = np.nonzero(queries.items >= 0)
        hidden[start + case, queries.items[case, step]] = True
    hidden[np.arange(n), targets] = False
    return scores, hidden, targets


def _softmax_weights(
    scores: Floats, hidden: NDArray[np.bool_], targets: NDArray[np.int64]
) -> NDArray[np.float64]:
    """Minimise the mean of -log softmax(sum of weighted z-scores)[target] with L-BFGS."""
    import torch

    signals, masks = torch.from_numpy(scores), torch.from_numpy(hidden)
    goals = torch.from_numpy(targets)
    weights = torch.full((len(scores),), 0.5, requires_grad=True)
    optimiser = torch.optim.LBFGS([weights], max_iter=60, line_search_fn="strong_wolfe")

    def closure() -> Any:
        optimiser.zero_grad()
        total = torch.zeros(())
        for start in range(0, len(targets), 256):
            rows = slice(start, start + 256)
            mixed = torch.einsum("s,sni->ni", weights, signals[:, rows])
            mixed = mixed.masked_fill(masks[rows], float("-inf"))
            loss = torch.nn.functional.cross_entropy(mixed, goals[rows], reduction="sum")
            torch.autograd.backward(loss / len(targets))
            total += loss.detach() / len(targets)
        return total

    optimiser.step(closure)  # type: ignore[no-untyped-call]
    return weights.detach().numpy().astype(np.float64)


def _ndcg(
    weights: NDArray[np.float64],
    scores: Floats,
    hidden: NDArray[np.bool_],
    targets: NDArray[np.int64],
) -> float:
    total = 0.0
    for start in range(0, len(targets), 256):
        rows = slice(start, start + 256)
        mixed = np.tensordot(weights.astype(np.float32), scores[:, rows], axes=1)
        mixed[hidden[rows]] = -np.inf
        own = mixed[np.arange(len(mixed)), targets[rows]]
        total += float(ndcg((mixed >= own[:, None]).sum(axis=1), 10).sum())
    return total / max(len(targets), 1)


def _search(
    start: NDArray[np.float64], value: Callable[[NDArray[np.float64]], float]
) -> NDArray[np.float64]:
    """Move one weight at a time to the best of STEPS, until a whole round changes nothing.

    A weight of 0 is tried at multiples of half the largest one.
    """
    best, best_value = start.copy(), value(start)
    for _ in range(ROUNDS):
        before = best_value
        for n in range(len(best)):
            unit = best[n] if best[n] else best.max() / 2
            for step in STEPS:
                tried = best.copy()
                tried[n] = unit * step
                found = value(tried)
                if found > best_value:
                    best, best_value = tried, found
        if best_value == before:
            break
    return best
