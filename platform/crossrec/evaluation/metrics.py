"""Measures of a ranking, a rating and a classification, one value a case, and their spread.

Leaves to others: which cases and candidates there are (protocols.py).
Sizes: n cases, B cases of a batch, N items, T steps of history.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import ArrayLike, NDArray

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]


def ranks(scores: NDArray[np.float32], targets: ArrayLike, excluded: NDArray[np.int32]) -> Ints:
    """Place of each target among the candidates: 1 + others with a score >= the target's.

    Ties count against the model, so equal scores for everything earn nothing. NaN means that
    the model cannot score the item: it is placed last, and ties with what else is there. The
    target is a candidate even where it is excluded.

    Args:
        scores: (B, N), higher is better.
        targets: (B,) item_idx.
        excluded: (B, T) item_idx that are no candidates (the history), -1 for none.

    Returns:
        (B,) ranks from 1.

    >>> s = np.array([[3.0, 2.0, 2.0, 1.0]], np.float32)
    >>> ranks(s, [1], np.array([[0]], np.int32))  # item 2 ties, item 0 is no candidate
    array([2])
    """
    allowed = candidates(scores, excluded)
    rows = np.arange(len(scores))
    chosen = np.asarray(targets)
    own = np.nan_to_num(scores[rows, chosen], nan=-np.inf, posinf=np.inf, neginf=-np.inf)
    allowed[rows, chosen] = np.nan  # counts others only
    return np.asarray(1 + (allowed >= own[:, None]).sum(axis=1), np.int64)


def candidates(scores: NDArray[np.float32], excluded: NDArray[np.int32]) -> NDArray[np.float32]:
    """A copy of `scores` with NaN for what is no candidate, -inf for what had no score.

    Args:
        scores: (B, N), NaN where the model cannot score.
        excluded: (B, T) item_idx, -1 for none.
    """
    allowed = np.where(np.isnan(scores), np.float32(-np.inf), scores)
    row, column = np.nonzero(excluded >= 0)
    allowed[row, excluded[row, column]] = np.nan
    return allowed


def top_items(
    scores: NDArray[np.float32], excluded: NDArray[np.int32], k: int
) -> NDArray[np.int64]:
    """item_idx of the k best candidates, best first, (B, k); -1 where there are fewer.

    The order among equal scores is arbitrary.

    >>> top_items(np.array([[1.0, 3.0, 2.0]], np.float32), np.array([[1]], np.int32), 3)
    array([[ 2,  0, -1]])
    """
    allowed = candidates(scores, excluded)
    missing = np.isnan(allowed)
    allowed[missing] = -np.inf
    k = min(k, scores.shape[1])
    top = np.argpartition(-allowed, k - 1, axis=1)[:, :k]
    order = np.argsort(-np.take_along_axis(allowed, top, axis=1), axis=1, kind="stable")
    top = np.take_along_axis(top, order, axis=1)
    return np.where(np.take_along_axis(missing, top, axis=1), -1, top)


def recall(ranks: ArrayLike, k: int) -> Floats:
    """1 where the one target has rank <= k, else 0; (n,). Also called hit rate.

    >>> recall([1, 10, 11], 10)
    array([1., 1., 0.])
    """
    return np.asarray(np.asarray(ranks) <= k, np.float64)


def ndcg(ranks: ArrayLike, k: int) -> Floats:
    """1 / log2(rank + 1) where the one target has rank <= k, else 0; (n,).

    With one relevant item the ideal DCG is 1 / log2(2) = 1, so DCG is NDCG.
    Source: Järvelin and Kekäläinen 2002, with binary gain.

    >>> ndcg([1, 3, 11], 10)
    array([1. , 0.5, 0. ])
    """
    places = np.asarray(ranks, np.float64)
    return np.where(places <= k, 1 / np.log2(places + 1), 0.0)


def set_ndcg(
    scores: NDArray[np.float32], relevant: NDArray[np.bool_], excluded: NDArray[np.int32], k: int
) -> Floats:
    """NDCG@k where several items are equally right; with one it is `ndcg(ranks(…), k)`.

    DCG over the relevant items' places, over the DCG of a list that begins with min(k, n) of
    them. A relevant item stands behind all irrelevant candidates with a score >= its own; items
    of the history are no candidates, relevant or not. 0 where nothing is relevant.
    Source: Järvelin and Kekäläinen 2002, with binary gain.

    Args:
        scores: (B, N), NaN where the model cannot score.
        relevant: (B, N).
        excluded: (B, T) item_idx that are no candidates, -1 for none.

    >>> s, none = np.array([[4.0, 3.0, 2.0, 1.0]], np.float32), np.full((1, 1), -1, np.int32)
    >>> set_ndcg(s, np.array([[True, False, True, False]]), none, 2).round(3)  # 1 / 1.631
    array([0.613])
    """
    allowed = candidates(scores, excluded)
    result = np.zeros(len(scores))
    for row, (values, right) in enumerate(zip(allowed, relevant & ~np.isnan(allowed), strict=True)):
        others = np.sort(values[~right & ~np.isnan(values)])
        own = np.sort(values[right])[::-1]
        ahead = len(others) - np.searchsorted(others, own, side="left")
        places = 1 + np.arange(len(own)) + ahead
        ideal = (1 / np.log2(np.arange(min(k, len(own))) + 2)).sum()
        result[row] = (1 / np.log2(places[places <= k] + 1)).sum() / ideal if len(own) else 0.0
    return result


def reciprocal_rank(ranks: ArrayLike, k: int) -> Floats:
    """1 / rank where the one target has rank <= k, else 0; (n,). Its mean is MRR@k.

    >>> reciprocal_rank([1, 4, 11], 10)
    array([1.  , 0.25, 0.  ])
    """
    places = np.asarray(ranks, np.float64)
    return np.where(places <= k, 1 / places, 0.0)


def coverage(shown: NDArray[np.int64], n_items: int) -> float:
    """Distinct items in all top lists over the size of the catalogue.

    Args:
        shown: (n, k) item_idx, -1 where a list is shorter.
        n_items: size of the catalogue.

    >>> coverage(np.array([[0, 1], [1, -1]]), 4)
    0.5
    """
    return len(np.unique(shown[shown >= 0])) / n_items


def standard_error(values: ArrayLike) -> float:
    """Standard deviation (divisor n - 1) over sqrt(n), as the peers'; NaN for less than 2 cases.

    >>> standard_error([0.0, 4.0]) == (16 / 2) ** 0.5 / 2**0.5
    True
    """
    array = np.asarray(values, np.float64)
    return float(array.std(ddof=1) / np.sqrt(len(array))) if len(array) > 1 else float("nan")


def bootstrap_interval(
    values: ArrayLike, rng: np.random.Generator, n_draws: int = 1000
) -> tuple[float, float]:
    """95 % percentile interval of the mean over draws of the cases with replacement.

    Applied to the case by case difference of two models it says whether one is better.
    Source: Efron and Tibshirani 1993, section 13.3. NaN for no case.

    Args:
        values: (n,) one value a case.
        rng: makes the draws.
        n_draws: number of draws.

    >>> bootstrap_interval([0.5, 0.5, 0.5], np.random.default_rng(0))
    (0.5, 0.5)
    """
    array = np.asarray(values, np.float64)
    return interval_of(lambda rows: array[rows].mean(axis=1), len(array), rng, n_draws)


def interval_of(
    figure: Callable[[Ints], Floats], n: int, rng: np.random.Generator, n_draws: int = 1000
) -> tuple[float, float]:
    """The same of a figure that is no mean over the cases, such as an RMSE.

    Args:
        figure: (D, n) rows of the cases in D draws → (D,) figure of each draw.
        n: number of cases.
        rng: makes the draws.
        n_draws: number of draws.

    >>> error = np.array([2.0, 2.0])
    >>> interval_of(lambda rows: rmse_of_draws(error, rows), 2, np.random.default_rng(0))
    (2.0, 2.0)
    """
    if not n:
        return float("nan"), float("nan")
    # One row of counts a draw; chunks keep (draws, n) under about 8 MB.
    chunk = max(1, 1_000_000 // n)
    found = []
    for start in range(0, n_draws, chunk):
        rows = rng.integers(n, size=(min(chunk, n_draws - start), n))
        found.append(figure(rows))
    low, high = np.quantile(np.concatenate(found), [0.025, 0.975])
    return float(low), float(high)


def rmse(predicted: ArrayLike, actual: ArrayLike) -> float:
    """sqrt(mean((predicted - actual)^2)), in the unit of the rating; NaN for no rating.

    >>> rmse([1.0, 2.0], [1.0, 4.0]) == 2 ** 0.5
    True
    """
    error = np.asarray(predicted, np.float64) - np.asarray(actual, np.float64)
    return float(np.sqrt((error**2).mean())) if error.size else float("nan")


def rmse_of_draws(errors: Floats, rows: Ints) -> Floats:
    """RMSE of each draw, (D,): errors (n,), predicted less actual; rows (D, n), see `interval_of`.

    >>> rmse_of_draws(np.array([0.0, 2.0]), np.array([[0, 0], [0, 1]])) == [0, 2**0.5]
    array([ True,  True])
    """
    return np.asarray(np.sqrt((errors[rows] ** 2).mean(axis=1)))


def mae(predicted: ArrayLike, actual: ArrayLike) -> float:
    """mean(|predicted - actual|), in the unit of the rating; NaN for no rating.

    >>> mae([1.0, 2.0], [1.0, 4.0])
    1.0
    """
    error = np.asarray(predicted, np.float64) - np.asarray(actual, np.float64)
    return float(np.abs(error).mean()) if error.size else float("nan")


def macro_f1(predicted: ArrayLike, actual: ArrayLike) -> float:
    """Mean over labels of F1 = 2 TP / (2 TP + FP + FN); NaN for no example.

    Labels are those that occur in `actual` or in `predicted`, as in scikit-learn; a label that
    is only predicted therefore has F1 = 0.

    >>> macro_f1(["a", "a", "b"], ["a", "b", "b"]) == (2 / 3 + 2 / 3) / 2
    True
    """
    guess, truth = np.asarray(predicted), np.asarray(actual)
    if not len(truth):
        return float("nan")
    _, codes = np.unique(np.concatenate([guess, truth]), return_inverse=True)
    first, second = np.split(codes, 2)
    return float(macro_f1_of_draws(first, second, np.arange(len(truth))[None])[0])


def macro_f1_of_draws(predicted: Ints, actual: Ints, rows: Ints) -> Floats:
    """Macro-F1 of each draw, (D,), over the labels that occur in it; see `interval_of`.

    Args:
        predicted, actual: (n,) labels as numbers from 0.
        rows: (D, n).

    >>> guess, truth = np.array([0, 0, 1]), np.array([0, 1, 1])
    >>> macro_f1_of_draws(guess, truth, np.array([[0, 1, 2], [0, 0, 0]])).round(3)
    array([0.667, 1.   ])
    """
    n_draws, n_labels = len(rows), int(max(predicted.max(), actual.max())) + 1
    first = n_labels * np.arange(n_draws)[:, None]  # cell of label 0 of each draw

    def counts(cells: Ints) -> Ints:
        return np.bincount(cells.ravel(), minlength=n_draws * n_labels).reshape(n_draws, n_labels)

    guess, truth = first + predicted[rows], first + actual[rows]
    right, named = counts(truth[guess == truth]), counts(guess) + counts(truth)
    f1 = 2 * right / np.maximum(named, 1)
    return np.asarray(f1.sum(axis=1) / (named > 0).sum(axis=1), np.float64)
