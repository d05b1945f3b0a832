"""The script that factorises ratings, with a stand-in for the library, which is not ours."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import numpy as np
import pytest

SCRIPT = Path(__file__).parents[1] / "benchmarks" / "peers" / "surprise_ratings.py"


class Mean:
    """Says the mean of what it was fitted on, plus its number of factors."""

    def __init__(self, n_factors: int, **settings: Any) -> None:
        self.n_factors = n_factors

    def fit(self, ratings: dict[int, list[tuple[int, float]]]) -> Mean:
        self.mean = np.mean([value for row in ratings.values() for _, value in row])
        return self

    def predict(self, user: str, item: str, clip: bool) -> SimpleNamespace:
        return SimpleNamespace(est=self.mean + self.n_factors)


def test_settings_are_chosen_on_training_and_the_model_judged_knows_validation_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    library = ModuleType("surprise")
    library.SVD, library.Trainset = Mean, lambda by_user, *rest: by_user  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "surprise", library)
    spec = importlib.util.spec_from_file_location("surprise_ratings", SCRIPT)
    assert spec is not None
    assert spec.loader is not None
    script = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(script)
    task = {
        "users": np.array([0, 0, 0, 1, 1, 1]),
        "items": np.array([0, 1, 2, 0, 1, 2]),
        "ratings": np.array([1, 52, np.nan, 3, 54, np.nan]),
        "train": np.array([0, 3]),
        "validation": np.array([1, 4]),
        "test": np.array([2, 5]),
    }
    np.savez(tmp_path / "task.npz", **task)
    argv = ["script", str(tmp_path / "task.npz"), str(tmp_path / "answer.npz"), "0", "1"]
    monkeypatch.setattr(sys, "argv", argv)
    script.main()
    with np.load(tmp_path / "answer.npz") as answer:
        assert "'n_factors': 50" in str(answer["settings"])  # 2 + 50 lies nearest 53
        assert answer["test"].tolist() == [[77.5, 77.5]] * 2  # 27.5, the mean of all four, and 50
