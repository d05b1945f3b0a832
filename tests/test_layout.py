"""The rules of the layout: arrows point one way, importing is light, nothing hides `platform`."""

from __future__ import annotations

import ast
import platform
import subprocess
import sys
from pathlib import Path

import pytest

SOURCE = Path(__file__).resolve().parent.parent / "platform"
PACKAGE = SOURCE / "crossrec"

BASE = {"errors", "schema", "config", "domains", "serving.messages"}
"""`serving.messages` is the contract of every answer: models of values that import no room."""
CORE = {"data", "models", "ranking", "evaluation", "explanation"}
"""Rooms that run in a test with nothing started; they may use each other and what lies below."""

FORBIDDEN = {
    "training": {"serving", "tuning", "benchmark", "monitoring"},
    "tuning": {"serving", "benchmark", "monitoring"},
    "releases": {"serving", "tuning", "benchmark", "monitoring"},
    "serving": {"tuning", "training", "benchmark", "monitoring"},
    "benchmark": {"serving", "tuning", "releases", "monitoring"},
    "monitoring": {"serving", "tuning", "training", "benchmark"},
}
EDGE = {"cli", "commands", "verbs", "shown", "diagnosis"}


def _modules() -> list[tuple[str, Path]]:
    paths = sorted(PACKAGE.rglob("*.py"))
    return [(".".join(path.relative_to(PACKAGE).with_suffix("").parts), path) for path in paths]


def _imports(path: Path) -> set[str]:
    """Modules of the package that a file imports anywhere, without the leading `crossrec.`."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            found |= {f"{node.module}.{alias.name}" for alias in node.names}
    return {name.removeprefix("crossrec.") for name in found if name.startswith("crossrec.")}


def _within(module: str, allowed: set[str]) -> bool:
    return any(module == name or module.startswith(f"{name}.") for name in allowed)


def test_platform_is_a_source_root_and_no_package():
    assert not (SOURCE / "__init__.py").exists()
    assert hasattr(platform, "python_version")


@pytest.mark.parametrize("room", sorted(CORE))
def test_core_rooms_import_nothing_from_above(room: str):
    upward = {
        f"{name} imports {module}"
        for name, path in _modules()
        if name.startswith(f"{room}.")
        for module in _imports(path)
        if not _within(module, BASE | CORE)
    }
    assert not upward


def test_messages_import_no_room():
    assert _imports(PACKAGE / "serving" / "messages.py") == set()


@pytest.mark.parametrize("room", sorted(FORBIDDEN))
def test_upper_rooms_do_not_import_sideways(room: str):
    sideways = {
        f"{name} imports {module}"
        for name, path in _modules()
        if name.startswith(f"{room}.")
        for module in _imports(path)
        if _within(module, FORBIDDEN[room])
    }
    assert not sideways


def test_only_the_edge_imports_the_edge():
    inward = {
        f"{name} imports {module}"
        for name, path in _modules()
        if name.split(".")[0] not in EDGE | {"__init__", "__main__", "cluster"}
        for module in _imports(path)
        if _within(module, EDGE)
    }
    assert not inward


HEAVY = ["torch", "ray", "transformers", "peft", "streamlit", "pandas", "optuna"]


@pytest.mark.parametrize("module", ["crossrec", "crossrec.cli", "crossrec.verbs"])
def test_importing_the_edge_loads_nothing_heavy(module: str, tmp_path: Path):
    code = f"import sys, {module}; print([m for m in {HEAVY} if m in sys.modules])"
    command = [sys.executable, "-c", code]
    answer = subprocess.run(command, capture_output=True, text=True, check=True, cwd=tmp_path)
    assert answer.stdout.strip() == "[]"


def test_importing_the_package_writes_nothing(tmp_path: Path):
    command = [sys.executable, "-c", "import crossrec, crossrec.cli, crossrec.verbs"]
    environment = {"CROSSREC_HOME": str(tmp_path / "home"), "HOME": str(tmp_path)}
    subprocess.run(command, check=True, cwd=tmp_path, env=environment)
    assert list(tmp_path.iterdir()) == []
