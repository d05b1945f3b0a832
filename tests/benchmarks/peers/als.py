"""Peer `implicit_als`: ALS of the library implicit, users folded in exactly from their history.

Leaves to others: the task's files (exchange.py), judging (crossrec.benchmark).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from exchange import Histories, Task, Trained, ndcg_at_10, take_part
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


def training(task: Task) -> Callable[[dict[str, Any]], Trained]:
    """What trains on the task."""
    train = matrix(task.train, task.n_items)

    def run(params: dict[str, Any]) -> Trained:
        model = AlternatingLeastSquares(**params, random_state=task.seed, num_threads=1)
        model.fit(train, show_progress=False)

        def vectors(histories: Histories) -> tuple[np.ndarray, np.ndarray]:
            """Users folded in, one exact solve each, and items."""
            rows = np.arange(len(histories))
            users = model.recalculate_user(rows, matrix(histories, task.n_items))
            return users, model.item_factors

        found = vectors(task.validation)
        value = ndcg_at_10(*found, task.validation, task.validation_targets, task.warm)
        return Trained(value, vectors)

    return run


if __name__ == "__main__":
    take_part(GRID, training)
