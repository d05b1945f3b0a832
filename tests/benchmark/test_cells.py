"""Cells: the plan, the key that says what made a cell, and its file."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from crossrec.benchmark.cells import (
    BLIND,
    OURS,
    Cell,
    CellStore,
    Result,
    code_hash,
    definitions_hash,
    plan,
)
from crossrec.evaluation.protocols import Evaluation


def evaluation(part: str, ranks: list[int]) -> Evaluation:
    n = len(ranks)
    warm = np.arange(n) > 0  # the first target is cold
    return Evaluation(
        "leave_one_out", part, "f" * 64, 50, (10,), np.arange(n), np.array(ranks), warm, {10: 0.5}
    )


def result(model: str, ranks: list[int], seed: int = 0, validation: list[int] | None = None):
    parts = {"validation": evaluation("validation", validation or ranks)}
    parts["test"] = evaluation("test", ranks)
    cell = Cell("films", "leave_one_out", model, seed)
    return Result(cell, "abc", "d" * 64, parts, {"lam": 200.0}, 1.5, 3.0, True, 7)


def test_a_cell_comes_back_as_it_was_kept(tmp_path: Path):
    store = CellStore(tmp_path)
    kept = result("ease", [1, 5, 20])
    kept.factors["items"] = np.ones((4, 2), np.float32)
    store.save(kept)
    found = store.load(kept.cell, "abc")
    assert found is not None
    assert found.summary() == kept.summary()
    assert found.evaluations["test"].ranks.tolist() == [1, 5, 20]
    assert found.factors["items"].shape == (4, 2)
    assert [path.suffix for path in (tmp_path / "cells").iterdir()] == [".npz"]


def test_a_cell_made_by_something_else_is_not_taken(tmp_path: Path):
    store = CellStore(tmp_path)
    kept = result("ease", [1])
    store.save(kept)
    assert store.load(kept.cell, "abd") is None
    assert store.load(Cell("films", "temporal", "ease"), "abc") is None


def test_the_hash_of_code_sees_what_it_does_and_not_how_it_is_told(tmp_path: Path):
    def of(text: str) -> str:
        path = tmp_path / f"{abs(hash(text))}.py"
        path.write_text(text)
        return code_hash(path)

    said = of('def f():\n    """Old words."""\n    return 1  # one\n')
    assert of('def f():\n    """New words."""\n    return 1\n') == said
    assert of('def f():\n    """Old words."""\n    return 2\n') != said


def test_the_hash_of_a_function_sees_what_it_uses_and_nothing_else(tmp_path: Path):
    def of(text: str) -> str:
        path = tmp_path / f"{abs(hash(text))}.py"
        path.write_text(text)
        return definitions_hash(path, "f")

    text = "A = 1\n\n\ndef g():\n    return A\n\n\ndef f():\n    return g()\n"
    assert of(text + "\n\ndef other():\n    return 3\n") == of(text)
    assert of(text.replace("A = 1", "A = 2")) != of(text)


def test_only_what_has_randomness_runs_with_several_seeds():
    cells = plan(["movies"], ["leave_one_out"], 3, ["ease", "sasrec_own"], ["sasrec_own"])
    assert [cell.seed for cell in cells if cell.model == "ease"] == [0]
    assert [cell.seed for cell in cells if cell.model == "sasrec_own"] == [0, 1, 2]
    assert [cell.seed for cell in cells if cell.model == OURS] == [0, 1, 2]
    assert [cell.seed for cell in cells if cell.model == BLIND] == [0, 1, 2]


@pytest.mark.parametrize(
    ("domain", "split", "models"),
    [
        ("books", "temporal", set()),  # it has no clock
        ("movies", "temporal", {"ease", "frozen_text", OURS}),
        ("fashion", "cold_items", set()),  # it has cold targets of its own
        ("movies", "cold_items", {"frozen_text", OURS}),
        ("shop", "cold_items", {"frozen_text", OURS}),
    ],
)
def test_splits_are_planned_where_they_make_sense(domain: str, split: str, models: set[str]):
    cells = plan([domain], [split], 2, ["ease", "frozen_text"], [])
    assert {cell.model for cell in cells} == models
    assert {cell.seed for cell in cells} == ({0, 1} if models else set())
