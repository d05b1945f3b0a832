"""The candidates of a case: its target, the best of each signal, draws that stand for the rest."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray
from scipy.special import logsumexp

from crossrec.models.query import Queries
from crossrec.training.candidates import BEST_OF_EACH, DRAWN, gather

N_CASES, N_ITEMS = 6, 3000


@dataclass(frozen=True)
class Fixed:
    """Scores that are the same for every query."""

    values: NDArray[np.float32]
    name: ClassVar[str] = "fixed"

    def score(self, queries: Queries) -> NDArray[np.float32]:
        return np.tile(self.values, (len(queries), 1))

    def arrays(self) -> dict[str, NDArray[Any]]:
        return {"values": self.values}

    def settings(self) -> dict[str, Any]:
        return {}

    @classmethod
    def restore(cls, arrays: Any, settings: dict[str, Any]) -> Fixed:
        return cls(arrays["values"])


def some_queries() -> Queries:
    return Queries(
        items=np.full((N_CASES, 1), -1, np.int32),
        times=np.zeros((N_CASES, 1), np.int64),
        events=np.full((N_CASES, 1), -1, np.int16),
        now=np.zeros(N_CASES, np.int64),
        request=np.zeros((N_CASES, 4), np.float32),
    )


def everything(queries: Queries, targets: NDArray[np.int64]) -> NDArray[np.bool_]:
    return np.ones((len(queries), N_ITEMS), bool)


def test_the_target_comes_first_then_the_best_of_each_signal() -> None:
    rng = np.random.default_rng(0)
    first, second = (Fixed(rng.normal(size=N_ITEMS).astype(np.float32)) for _ in range(2))
    targets = np.arange(N_CASES)
    found = gather([first, second], some_queries(), targets, everything, N_ITEMS, seed=0)
    np.testing.assert_array_equal(found.items[:, 0], targets)
    for case, row in enumerate(found.items):
        kept = row[row >= 0]
        assert len(kept) == len(set(kept.tolist()))
        for signal in (first, second):
            best = np.argsort(-signal.values)[: BEST_OF_EACH - 1]
            assert set(best.tolist()) - {case} <= set(kept.tolist())
    shown = np.maximum(found.items, 0)
    expected = (first.values - first.values.mean()) / first.values.std()
    given = found.items >= 0
    np.testing.assert_allclose(found.scores[given][:, 0], expected[shown][given], atol=1e-4)


def test_what_is_not_allowed_is_no_candidate_but_for_the_target() -> None:
    def even_only(queries: Queries, targets: NDArray[np.int64]) -> NDArray[np.bool_]:
        return np.tile(np.arange(N_ITEMS) % 2 == 0, (len(queries), 1))

    signal = Fixed(np.arange(N_ITEMS, dtype=np.float32))
    found = gather([signal], some_queries(), np.full(N_CASES, 7), even_only, N_ITEMS, seed=0)
    assert (found.items[:, 0] == 7).all()
    others = found.items[:, 1:]
    assert (others[others >= 0] % 2 == 0).all()


def test_a_signal_that_is_silent_names_nothing() -> None:
    found = gather(
        [Fixed(np.zeros(N_ITEMS, np.float32))],
        some_queries(),
        np.zeros(N_CASES, np.int64),
        everything,
        N_ITEMS,
        seed=0,
    )
    n_found = (found.items[:, 1:] >= 0).sum(axis=1)
    assert (n_found < DRAWN + 6 * DRAWN**0.5).all()  # only draws, 64 on average


def test_the_weighted_softmax_estimates_that_over_the_whole_catalogue() -> None:
    rng = np.random.default_rng(1)
    values = rng.gumbel(size=N_ITEMS).astype(np.float32)
    targets = rng.integers(0, N_ITEMS, N_CASES)
    whole = logsumexp((values - values.mean()) / values.std())
    estimates = []
    for seed in range(20):
        found = gather([Fixed(values)], some_queries(), targets, everything, N_ITEMS, seed)
        estimates += logsumexp(found.scores[..., 0] + found.log_weights, axis=1).tolist()
    assert abs(np.mean(estimates) - whole) < 0.05
