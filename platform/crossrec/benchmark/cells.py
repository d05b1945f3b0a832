"""Cells of the benchmark (domain x split x model x seed), their plan, and one file for each.

Leaves to others: filling a cell (contestants.py), going through the plan (run.py).
"""

from __future__ import annotations

import ast
import hashlib
import json
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from crossrec.evaluation.protocols import Evaluation, Part

DOMAINS = (
    "movies",
    "travel",
    "industrial",
    "movies_recent",
    "restaurants",
    "grocery",
    "music",
    "fashion",
    "books",
)
TEMPORAL = ("grocery", "fashion", "music", "travel", "movies", "restaurants")
"""Domains whose times leave enough cases for the split `temporal`."""
COLD = ("movies", "industrial")
"""Domains with too few cold targets of their own: there items are withheld (`cold_items`)."""

OURS = "crossrec"
BLIND = "crossrec_blind"
"""Ours again, told of the request what peers are told: the history before it, no more."""
MINE = (OURS, BLIND)
FUSION = "peer_fusion"
TEXT = "frozen_text"

PARTS: tuple[Part, Part] = ("validation", "test")


@dataclass(frozen=True, order=True)
class Cell:
    """One model on one split of one domain with one seed."""

    domain: str
    split: str
    model: str
    seed: int = 0

    def __str__(self) -> str:
        return f"{self.domain} {self.split} {self.model} seed {self.seed}"


@dataclass(frozen=True)
class Result:
    """What is known of a cell that was run."""

    cell: Cell
    key: str
    data_hash: str
    evaluations: dict[Part, Evaluation]
    """`validation` and `test`."""
    params: dict[str, Any]
    fit_seconds: float
    """Training with the parameters that were chosen."""
    tune_seconds: float
    """All training, with the search for them."""
    converged: bool | None = None
    """Whether training ended by itself; None: not applicable."""
    epochs: int | None = None
    factors: dict[str, NDArray[np.float32]] = field(default_factory=dict)
    """Of a peer whose score is a product: `items` (N, D), `validation` and `test` (n, D)."""

    def summary(self) -> dict[str, Any]:
        """Plain values for JSON: everything but the cases."""
        return {
            **asdict(self.cell),
            "key": self.key,
            "data_hash": self.data_hash,
            "params": self.params,
            "fit_seconds": round(self.fit_seconds, 2),
            "tune_seconds": round(self.tune_seconds, 2),
            "converged": self.converged,
            "epochs": self.epochs,
            **{part: evaluation.to_dict() for part, evaluation in self.evaluations.items()},
        }


def plan(
    domains: Sequence[str],
    splits: Sequence[str],
    seeds: int,
    peers: Sequence[str],
    neural: Iterable[str],
    *,
    ours: bool = True,
) -> list[Cell]:
    """All cells, domain after domain, quick peers first, each where it makes sense.

    `temporal` and `cold_items` are planned for the domains they suit (TEMPORAL, COLD) and for
    domains this file does not know. With `cold_items` each seed withholds other items, and only
    ours and frozen text run. Peers without randomness have one seed. What the moment and context
    of the request are worth is asked with `leave_one_out` (BLIND).

    Args:
        peers: names in the order they run.
        neural: those of them that differ by seed.
    """
    random = {*neural, FUSION}
    cells = []
    for domain in domains:
        for split in splits:
            if not _suits(domain, split):
                continue
            cold = split == "cold_items"
            for peer in [p for p in peers if not cold or p == TEXT]:
                n = seeds if cold or peer in random else 1
                cells += [Cell(domain, split, peer, seed) for seed in range(n)]
            if ours:
                models = MINE if split == "leave_one_out" else (OURS,)
                cells += [Cell(domain, split, m, seed) for m in models for seed in range(seeds)]
    return cells


def _suits(domain: str, split: str) -> bool:
    fitting = {"temporal": TEMPORAL, "cold_items": COLD}.get(split)
    return fitting is None or domain in fitting or domain not in DOMAINS


class CellStore:
    """The folder of cells: one `.npz` each, named by the cell and the hash of what made it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder / "cells"

    def path(self, cell: Cell, key: str) -> Path:
        """Where that cell lies or would lie."""
        name = f"{cell.domain}-{cell.split}-{cell.model}-{cell.seed}-{key}.npz"
        return self.folder / name

    def load(self, cell: Cell, key: str) -> Result | None:
        """The cell if it was made by exactly what `key` stands for."""
        path = self.path(cell, key)
        if not path.is_file():
            return None
        with np.load(path) as arrays:
            about = json.loads(str(arrays["about"]))
            evaluations = {part: _evaluation(about[part], arrays, part) for part in PARTS}
            factors = {n.removeprefix("f_"): arrays[n] for n in arrays.files if n[:2] == "f_"}
        fields = {name: about[name] for name in _PLAIN}
        return Result(cell, key, evaluations=evaluations, factors=factors, **fields)

    def save(self, result: Result) -> None:
        """Write the cell whole or not at all."""
        arrays: dict[str, Any] = {f"f_{name}": array for name, array in result.factors.items()}
        about: dict[str, Any] = {name: getattr(result, name) for name in _PLAIN}
        for part, one in result.evaluations.items():
            about[part] = {"protocol": one.protocol, "fingerprint": one.fingerprint}
            about[part] |= {"n_items": one.n_items, "coverage": one.coverage[10]}
            arrays |= {f"{part}_{name}": getattr(one, name) for name in _PER_CASE}
        self.folder.mkdir(parents=True, exist_ok=True)
        path = self.path(result.cell, result.key)
        part_file = path.with_suffix(".part.npz")
        np.savez_compressed(part_file, about=np.array(json.dumps(about)), **arrays)
        part_file.replace(path)


_PLAIN = ("data_hash", "params", "fit_seconds", "tune_seconds", "converged", "epochs")
_PER_CASE = ("users", "ranks", "warm")


def _evaluation(about: dict[str, Any], arrays: Any, part: Part) -> Evaluation:
    cases = {name: arrays[f"{part}_{name}"] for name in _PER_CASE}
    coverage = {10: about["coverage"]}
    return Evaluation(
        about["protocol"],
        part,
        about["fingerprint"],
        about["n_items"],
        (10,),
        coverage=coverage,
        **cases,
    )


def digest(*values: Any) -> str:
    """First 12 hex digits of the SHA-256 of values that JSON can write."""
    text = json.dumps(values, sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:12]


@cache
def code_hash(*paths: Path) -> str:
    """Of the meaning of Python files: comments, docstrings and layout do not count."""
    return digest([_meaning(path) for path in paths])


@cache
def definitions_hash(path: Path, *names: str) -> str:
    """The same of some functions and classes of a file with what they use of that file, so that
    a change elsewhere in it makes no cell anew.
    """
    found: dict[str, ast.stmt] = {}
    for statement in _tree(path).body:
        for name in _names(statement):
            found[name] = statement
    used, wanted = set[str](), list(names)
    while wanted:
        name = wanted.pop()
        if name in found and name not in used:
            used.add(name)
            wanted += [one.id for one in ast.walk(found[name]) if isinstance(one, ast.Name)]
    missing = set(names) - used
    assert not missing, f"{path.name} has no {missing}"
    return digest([[name, ast.dump(found[name])] for name in sorted(used)])


def _names(statement: ast.stmt) -> list[str]:
    """What a statement at the top of a file defines."""
    if isinstance(statement, ast.FunctionDef | ast.ClassDef):
        return [statement.name]
    if isinstance(statement, ast.Assign):
        return [one.id for one in statement.targets if isinstance(one, ast.Name)]
    if isinstance(statement, ast.AnnAssign) and isinstance(statement.target, ast.Name):
        return [statement.target.id]
    return []


def _meaning(path: Path) -> str:
    return ast.dump(_tree(path)) if path.suffix == ".py" else path.read_text(encoding="utf-8")


def _tree(path: Path) -> ast.Module:
    """A file's syntax without docstrings."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    for node in ast.walk(tree):
        body = getattr(node, "body", None)
        if isinstance(body, list) and body:
            node.body = [one for one in body if not _is_text(one)] or [ast.Pass()]  # type: ignore[attr-defined]
    return tree


def _is_text(statement: ast.stmt) -> bool:
    value = getattr(statement, "value", None)
    return isinstance(statement, ast.Expr) and isinstance(value, ast.Constant)
