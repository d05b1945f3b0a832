"""Peer of the task `rate`: matrix factorisation with biases, SVD of scikit-surprise (Koren, Bell &
Volinsky 2009, eq. 4), in an environment of its own.

`python surprise_ratings.py TASK ANSWER SEED...`: TASK is an .npz of `users`, `items`, `ratings`
(one row a rating), and row numbers `train`, `validation`, `test`; the ratings of test rows are NaN.
The settings with the lowest validation RMSE on the first seed are used for all; with them a model
is fitted on the training and validation ratings, for these are known when test is asked. ANSWER
gets its `test` predictions, (seeds, n), and the settings in words.

Leaves to others: judging (tests/benchmarks/tasks.py).
"""

from __future__ import annotations

import itertools
import sys
from collections import defaultdict
from typing import Any

import numpy as np
from surprise import SVD, Trainset

GRID = {
    "n_factors": [20, 50, 100, 200],
    "reg_all": [0.05, 0.1, 0.15],
    "n_epochs": [20, 40, 80],
    "lr_all": [0.005, 0.01],
}


def trainset(task: Any, known: np.ndarray) -> Trainset:
    """Surprise's own form of the ratings in the `known` rows; inner ids are ours."""
    by_user, by_item = defaultdict(list), defaultdict(list)
    for row in known:
        user, item = int(task["users"][row]), int(task["items"][row])
        by_user[user].append((item, float(task["ratings"][row])))
        by_item[item].append((user, float(task["ratings"][row])))
    n_users, n_items = (int(task[name].max()) + 1 for name in ("users", "items"))
    ratings = task["ratings"][known]
    for rows, n in ((by_user, n_users), (by_item, n_items)):
        for one in range(n):
            rows[one]  # everybody is known, with no rating at least
    raw = [{str(n): n for n in range(size)} for size in (n_users, n_items)]
    scale = (float(ratings.min()), float(ratings.max()))
    return Trainset(by_user, by_item, n_users, n_items, len(ratings), scale, *raw)


def predict(model: SVD, task: Any, part: str) -> np.ndarray:
    rows = task[part]
    pairs = zip(task["users"][rows], task["items"][rows], strict=True)
    return np.array([model.predict(str(u), str(i), clip=False).est for u, i in pairs])


def main() -> None:
    task = np.load(sys.argv[1])
    seeds = [int(seed) for seed in sys.argv[3:]]
    data, given = trainset(task, task["train"]), task["ratings"][task["validation"]]
    tried = []
    for values in itertools.product(*GRID.values()):
        settings = dict(zip(GRID, values, strict=True))
        model = SVD(random_state=seeds[0], **settings).fit(data)
        error = ((predict(model, task, "validation") - given) ** 2).mean()
        tried.append((float(error) ** 0.5, settings))
    best = min(tried, key=lambda one: one[0])[1]
    whole = trainset(task, np.union1d(task["train"], task["validation"]))
    models = [SVD(random_state=seed, **best).fit(whole) for seed in seeds]
    test = np.array([predict(model, task, "test") for model in models])
    np.savez(sys.argv[2], settings=str(best), test=test)


if __name__ == "__main__":
    main()
