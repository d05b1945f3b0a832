"""Makes the tables from `results/*.json` and says of each bar whether it is met: the README has a
line for each bar with the row that decides it, FIGURES.md has all rows.

Run by `make tables`. Leaves to others: measuring (the other modules here).
"""

from __future__ import annotations

import json
import operator
import re
import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from tests.benchmarks.rows import RESULTS

README = Path(__file__).resolve().parents[2] / "README.md"
FIGURES = Path(__file__).with_name("FIGURES.md")
BARS = Path(__file__).with_name("bars.yaml")
OPERATORS: dict[str, Callable[[float, float], bool]] = {
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
}
OF_RATIO = "of the ratio"
"""What the protocol of a row says whose `ci95` is not of its value."""

Row = dict[str, Any]


@dataclass(frozen=True)
class Bar:
    """One demand on the rows of a name."""

    name: str
    title: str
    of: str
    bar: str
    where: dict[str, str] = field(default_factory=dict)
    rows_wanted: int = 1
    """How many rows it is to be held against; fewer are no answer yet."""

    def rows(self, rows: list[Row]) -> list[Row]:
        """The rows it speaks of."""
        return [row for row in rows if row["name"] == self.name and self._picks(row)]

    def _picks(self, row: Row) -> bool:
        return all(str(text) in str(row.get(key) or "") for key, text in self.where.items())

    def met(self, row: Row) -> bool:
        """Whether this row clears the bar; a row without the figure does not."""
        compare, limit = self.bar.split()
        figure = row.get(self.of)
        return figure is not None and OPERATORS[compare](float(figure), float(limit))

    def worst(self, rows: list[Row]) -> Row:
        """Of its rows the one that decides whether the bar is met."""
        bad = float("inf") if self.bar.startswith("<") else float("-inf")
        figures = [bad if row.get(self.of) is None else float(row[self.of]) for row in rows]
        pick = max if self.bar.startswith("<") else min
        return rows[figures.index(pick(figures))]


def read_bars(path: Path = BARS) -> list[Bar]:
    """The bars, in the file's order."""
    return [Bar(**values) for values in yaml.safe_load(path.read_text(encoding="utf-8"))]


def read_rows(folder: Path = RESULTS) -> list[Row]:
    """All rows of all benchmarks, by file name."""
    paths = sorted(folder.glob("*.json"))
    return [row for path in paths for row in json.loads(path.read_text(encoding="utf-8"))]


def bar_table(bars: list[Bar], rows: list[Row], *, whole: bool = True) -> str:
    """One line a bar and row: figure, bar, met or not; a bar without a row says so.

    Args:
        whole: False: of each bar only the row that decides it.
    """
    lines = ["| figure | measured | bar | |", "| --- | --- | --- | --- |"]
    for bar in bars:
        found = bar.rows(rows)
        for row in found if whole or not found else [bar.worst(found)]:
            verdict = "met" if bar.met(row) else "**not met**"
            if len(found) < bar.rows_wanted and bar.met(row):
                verdict = f"met by {len(found)} of {bar.rows_wanted}, **others not measured**"
            title = _title(bar, row, found)
            if not whole and len(found) > 1:
                title = f"{title} (worst of {len(found)})"
            lines.append(f"| {title} | {_measured(row)} | {bar.bar} | {verdict} |")
        if not found:
            lines.append(f"| {bar.title} | | {bar.bar} | **not measured** |")
    return "\n".join(lines)


def _title(bar: Bar, row: Row, found: list[Row]) -> str:
    """The bar's title; of several rows each with its domain, or what its protocol says first."""
    if len(found) == 1:
        return bar.title
    if len({one["domain"] for one in found}) == len(found):
        return f"{bar.title}: `{row['domain']}`"
    return f"{bar.title}: {', '.join(row['protocol'].split(', ')[:3])}"


def _measured(row: Row) -> str:
    known = row["ci95"] and row["ci95"][0] != row["ci95"][1]  # of one seed there is none
    interval = f" [{', '.join(_number(x) for x in row['ci95'])}]" if known else ""
    of_ratio = OF_RATIO in (row["protocol"] or "")
    text = f"{_number(row['value'])} {row['unit']}{'' if of_ratio else interval}"
    if row["peer"]:
        peer_value = "" if row["peer_value"] is None else f" {_number(row['peer_value'])}"
        text += f"; {row['peer']}{peer_value}"
    if row["ratio"] is not None:
        text += f"; ratio **{_number(row['ratio'])}**{interval if of_ratio else ''}"
    return text


def _number(value: float) -> str:
    """Three digits that say something, never 1.2e+03.

    >>> [_number(x) for x in (0.01234, 1.5, 12345.6, 32)]
    ['0.0123', '1.50', '12,346', '32.0']
    """
    if abs(value) >= 100:
        return f"{value:,.0f}"
    text = f"{value:#.3g}"
    return text if "e" not in text else f"{value:.6f}"


def figure_table(names: list[str], rows: list[Row]) -> str:
    """All rows of some names, with how they were measured; nothing where there is no row."""
    if not any(row["name"] in names for row in rows):
        return ""
    lines = [
        "| name | domain | measured | n | seeds | how |",
        "| --- | --- | --- | --- | --- | --- |",
    ]
    for row in rows:
        if row["name"] in names:
            seeds = ", ".join(map(str, row["seeds"])) if row["seeds"] else ""
            n = "" if row["n"] is None else f"{row['n']:,}"
            cells = [row["name"], row["domain"] or "", _measured(row), n, seeds]
            lines.append("| " + " | ".join([*cells, row["protocol"] or ""]) + " |")
    return "\n".join(lines)


def replace(text: str, mark: str, table: str) -> str:
    """`text` with the lines between `<!-- table:mark -->` and `<!-- end -->` exchanged.

    >>> replace("a <!-- table:x -->old<!-- end --> b", "x", "new")
    'a <!-- table:x -->\\nnew\\n<!-- end --> b'
    """
    pattern = re.compile(rf"(<!-- table:{mark} -->).*?(<!-- end -->)", re.DOTALL)
    if not pattern.search(text):
        raise ValueError(f"no marker <!-- table:{mark} --> … <!-- end --> in the text")
    return pattern.sub(lambda match: f"{match[1]}\n{table}\n{match[2]}", text)


def readme_with_tables(text: str) -> str:
    """The README's text with a fresh table of the bars."""
    return replace(text, "bars", bar_table(read_bars(), read_rows(), whole=False))


def figures_with_tables(text: str) -> str:
    """FIGURES.md with all rows: those that a bar speaks of, then the others."""
    rows, bars = read_rows(), read_bars()
    others = sorted({row["name"] for row in rows} - {bar.name for bar in bars})
    text = replace(text, "bars", bar_table(bars, rows))
    return replace(text, "figures", figure_table(others, rows))


def main() -> int:
    """Rewrite both files, print the bars; 1 if one is not met."""
    for path, fresh in ((README, readme_with_tables), (FIGURES, figures_with_tables)):
        path.write_text(fresh(path.read_text(encoding="utf-8")), encoding="utf-8")
    table = bar_table(read_bars(), read_rows())
    print(table)
    return 1 if "**not met**" in table or "not measured**" in table else 0


if __name__ == "__main__":
    sys.exit(main())
