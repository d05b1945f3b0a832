"""Peer `implicit_als`: ALS of the library implicit, users folded in exactly from their history.

Leaves to others: the task's files (exchange.py), judging (crossrec.benchmark).
"""

from __future__ import annotations

import time
from typing import Any

import numpy as np
from exchange import Histories, coordinate_search, folders, ndcg_at_10, read_task, write_answer
from implicit.cpu.als import AlternatingLeastSquares
from scipy import sparse

GRID: dict[str, list[Any]] = {
    "factors": [64, 128],
    "alpha": [10.0, 1.0],
    "regularization": [1.0, 0.01],
}


def matrix(histories: Histories, n_items: int) -> sparse.csr_matrix:
    """(n, N) 1 where a sequence has the item."""
    rows, items = histories.pairs()
    shape = (len(histories), n_items)
    found = sparse.csr_matrix((np.ones(len(items), np.float32), (rows, items)), shape)
    found.data[:] = 1
    return found


def main() -> None:
    """Search, train, answer."""
    source, target = folders()
    task = read_task(source)
    train, validation, test = (
        matrix(part, task.n_items) for part in (task.train, task.validation, task.test)
    )
    started = time.perf_counter()
    best: dict[str, Any] = {"value": -1.0}

    def run(params: dict[str, Any]) -> float:
        began = time.perf_counter()
        model = AlternatingLeastSquares(**params, random_state=task.seed, num_threads=1)
        model.fit(train, show_progress=False)
        seconds = time.perf_counter() - began
        users = folded(model, validation)
        value = ndcg_at_10(
            users, model.item_factors, task.validation, task.validation_targets, task.warm
        )
        if value > best["value"]:
            best.update(value=value, model=model, users=users, seconds=seconds)
        return value

    params = coordinate_search(GRID, run)
    model = best["model"]
    write_answer(
        target,
        best["users"],
        folded(model, test),
        model.item_factors,
        params=params,
        epochs=None,
        fit_seconds=best["seconds"],
        tune_seconds=time.perf_counter() - started,
        converged=None,
    )


def folded(model: AlternatingLeastSquares, histories: sparse.csr_matrix) -> np.ndarray:
    """(n, D) user vectors that the model would give to these histories, one exact solve each."""
    return model.recalculate_user(np.arange(histories.shape[0]), histories)


if __name__ == "__main__":
    main()
