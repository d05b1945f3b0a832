"""What is committed of the notebooks: one clean run each, small, without paths."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import nbformat
import pytest

FOLDER = Path(__file__).resolve().parents[2] / "notebooks"
NOTEBOOKS = sorted(FOLDER.glob("*.ipynb"))
MAX_BYTES = 400_000
PATHS = re.compile(r"(?<![\w.:/])/(home|root|tmp|work|Users|private|var|opt)/|[A-Z]:\\\\")
"""Of a machine: these are nobody else's."""


def code(path: Path) -> list[Any]:
    return [cell for cell in nbformat.read(path, 4).cells if cell.cell_type == "code"]


def shown(cell: Any) -> str:
    """All text of a cell's outputs."""
    texts = [output.get("text", "") for output in cell.outputs]
    data = [str(value) for output in cell.outputs for value in output.get("data", {}).values()]
    return "\n".join(texts + data)


def test_there_are_nine_and_the_page_names_each():
    page = (FOLDER / "README.md").read_text(encoding="utf-8")
    assert [path.name[:2] for path in NOTEBOOKS] == [f"{n:02d}" for n in range(1, 10)]
    assert [path.name for path in NOTEBOOKS if f"]({path.name})" not in page] == []


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
class TestEach:
    def test_it_comes_from_one_run_from_top_to_bottom(self, path: Path):
        counts = [cell.execution_count for cell in code(path)]
        assert counts == list(range(1, len(counts) + 1))

    def test_it_shows_no_error_no_warning_and_no_bar(self, path: Path):
        kinds = [output for cell in code(path) for output in cell.outputs]
        assert not [one for one in kinds if one.output_type == "error"]
        assert not [one.text for one in kinds if one.get("name") == "stderr"]
        assert not [cell for cell in code(path) if "<progress" in shown(cell)]

    def test_it_shows_no_path_of_a_machine(self, path: Path):
        found = [PATHS.search(shown(cell)) for cell in code(path)]
        assert [one.string[one.start() - 40 : one.end() + 40] for one in found if one] == []

    def test_it_is_small(self, path: Path):
        assert path.stat().st_size < MAX_BYTES

    def test_its_first_cell_has_the_small_mode_and_the_run_was_the_full_one(self, path: Path):
        first = code(path)[0]
        assert 'os.environ.get("CROSSREC_NOTEBOOK_MODE") == "small"' in first.source
        assert "full" in shown(first)
