from __future__ import annotations

from importlib import import_module
from pathlib import Path
from typing import Any

import pytest

from tests.benchmarks import rows as rows_module
from tests.benchmarks.rows import COLUMNS, RESULTS, write_rows
from tests.benchmarks.tables import (
    FIGURES,
    OPERATORS,
    README,
    Bar,
    bar_table,
    figure_table,
    figures_with_tables,
    read_bars,
    read_rows,
    readme_with_tables,
)


def _row(**values: Any) -> dict[str, Any]:
    return dict.fromkeys(COLUMNS) | {"name": "speed", "value": 2.0, "unit": "ms"} | values


def test_a_bar_is_met_not_met_or_not_measured():
    bar = Bar("speed", "time of an answer", "ratio", "<= 1.5")
    assert "| met |" in bar_table([bar], [_row(ratio=1.5)])
    assert "**not met**" in bar_table([bar], [_row(ratio=1.51)])
    assert "**not met**" in bar_table([bar], [_row(ratio=None)])
    assert "**not measured**" in bar_table([bar], [_row(name="memory", ratio=1.0)])
    many = Bar("speed", "time of an answer", "ratio", "<= 1.5", rows_wanted=2)
    assert "met by 1 of 2, **others not measured**" in bar_table([many], [_row(ratio=1.5)])
    assert "| met |" in bar_table([many], [_row(ratio=1.5, domain=d) for d in "ab"])


def test_a_bar_speaks_of_the_rows_its_where_picks():
    bar = Bar("speed", "time", "value", "< 4.0", {"protocol": "SMOKE=1"})
    smoke, full = _row(protocol="make demo SMOKE=1", value=3.0), _row(protocol="make demo")
    assert bar.rows([smoke, full]) == [smoke]


def test_several_rows_of_a_bar_are_told_apart_by_their_protocol():
    bar = Bar("speed", "time", "ratio", "< 2.0")
    table = bar_table([bar], [_row(protocol="batch 8", ratio=1.0), _row(protocol="batch 32")])
    assert "time: batch 8 |" in table
    assert "time: batch 32 |" in table


def test_rows_of_several_domains_are_told_apart_by_their_domain():
    bar = Bar("speed", "time", "ratio", "< 2.0")
    table = bar_table([bar], [_row(domain="movies", ratio=1.0), _row(domain="travel", ratio=1.0)])
    assert "time: `movies` |" in table
    assert "time: `travel` |" in table


def test_every_bar_of_the_project_can_be_read():
    for bar in read_bars():
        compare, limit = bar.bar.split()
        assert compare in OPERATORS
        assert float(limit) >= 0
        assert bar.of in ("value", "ratio")


def test_every_committed_row_has_all_fields():
    for row in read_rows():
        assert tuple(row) == COLUMNS
        assert row["command"]
        assert row["hardware"]


def test_the_readme_and_the_figures_have_a_place_for_each_table():
    for path, fresh in ((README, readme_with_tables), (FIGURES, figures_with_tables)):
        assert read_bars()[0].title in fresh(path.read_text(encoding="utf-8"))


@pytest.mark.parametrize(("bar", "worst"), [("< 2.0", 1.5), (">= 1.0", 0.5)])
def test_of_several_rows_the_readme_has_the_one_that_decides(bar: str, worst: float):
    rows = [_row(domain=str(ratio), ratio=ratio) for ratio in (1.0, 1.5, 0.5)]
    table = bar_table([Bar("speed", "time", "ratio", bar)], rows, whole=False)
    assert f"`{worst}`" in table
    assert len(table.splitlines()) == 3
    rows.append(_row(domain="unknown", ratio=None))
    assert "`unknown`" in bar_table([Bar("speed", "time", "ratio", bar)], rows, whole=False)


def test_a_table_of_no_row_is_empty():
    assert figure_table(["speed"], []) == ""
    assert "2.00 ms" in figure_table(["speed"], [_row()])


def test_an_interval_stands_with_what_it_is_of():
    row = _row(ratio=1.5, ci95=[1.4, 1.6])
    assert "2.00 ms [1.40, 1.60]" in figure_table(["speed"], [row])
    of_ratio = row | {"protocol": "ci95 is of the ratio"}
    assert "ratio **1.50** [1.40, 1.60]" in figure_table(["speed"], [of_ratio])


def test_rows_are_written_whole_with_command_and_machine(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(rows_module, "RESULTS", tmp_path)
    monkeypatch.setattr("sys.argv", ["speed.py", "--quick"])
    write_rows("speed", [{"name": "speed", "value": 1.0, "unit": "ms", "seeds": [0]}])
    [row] = read_rows(tmp_path)
    assert row["command"] == "python -m tests.benchmarks.speed --quick"
    assert "cores" in row["hardware"]
    assert row["ratio"] is None


@pytest.mark.parametrize("row", [{"name": "x", "value": 1.0}, {"name": "x", "vlaue": 1.0}])
def test_a_row_that_lacks_or_misspells_a_field_is_refused(row: dict[str, Any]):
    with pytest.raises(ValueError, match=r"unit|vlaue"):
        write_rows("speed", [row])


@pytest.mark.parametrize("path", sorted(RESULTS.parent.glob("*.py")), ids=lambda path: path.stem)
def test_every_benchmark_can_be_imported(path: Path):
    """They are run by hand, so nothing else would notice what was moved away below them."""
    import_module(f"tests.benchmarks.{path.stem}")
