"""Small pieces of HTML for notebooks: tables, facts, pictures; whatever they show is escaped.

Leaves to others: what is shown (the other modules here), how charts are drawn (plots.py).
"""

from __future__ import annotations

import base64
import math
from collections.abc import Iterable, Mapping, Sequence
from html import escape
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import polars as pl

    from crossrec.chart_parts import Chart

MAX_ROWS = 10
MAX_CELL_CHARS = 240
NOTHING = "–"


def heading(text: str) -> str:
    """One line above the rest."""
    return f"<p style='margin:0 0 4px'><strong>{escape(text)}</strong></p>"


def facts(pairs: Mapping[str, Any]) -> str:
    """Names and values in one paragraph; what is None is left out."""
    said = [f"{escape(name)}: {escape(cell(v))}" for name, v in pairs.items() if v is not None]
    return f"<p style='margin:0 0 4px'>{' · '.join(said)}</p>" if said else ""


def sentences(lines: Iterable[str]) -> str:
    """A list of sentences; nothing where there is none."""
    items = "".join(f"<li>{escape(line)}</li>" for line in lines)
    return f"<ul style='margin:0 0 4px'>{items}</ul>" if items else ""


def table(frame: pl.DataFrame, n_rows: int = MAX_ROWS) -> str:
    """The first rows of a frame, numbers to the right; says how many more there are."""
    if not frame.width:
        return ""
    sides = ["right" if kind.is_numeric() else "left" for kind in frame.dtypes]
    columns = [_column(column) for column in frame.head(n_rows)]
    head = _cells(frame.columns, sides, "th")
    rows = "".join(f"<tr>{_cells(row, sides)}</tr>" for row in zip(*columns, strict=True))
    more = f"<p>{frame.height - n_rows:,} more rows</p>" if frame.height > n_rows else ""
    return f"<table><thead><tr>{head}</tr></thead><tbody>{rows}</tbody></table>{more}"


def _column(values: pl.Series) -> list[str]:
    """Values as people read them; floats with as many decimals as the largest needs."""
    if not values.dtype.is_float():
        return [cell(value) for value in values]
    known = [abs(value) for value in values if value is not None and math.isfinite(value)]
    largest = max(known, default=0.0)
    decimals = min(4, max(0, 3 - math.floor(math.log10(largest)))) if largest else 0
    return [
        NOTHING if value is None or not math.isfinite(value) else f"{value:,.{decimals}f}"
        for value in values
    ]


def _cells(row: Sequence[str], sides: list[str], tag: str = "td") -> str:
    return "".join(
        f"<{tag} style='text-align:{side}'>{escape(text)}</{tag}>"
        for side, text in zip(sides, row, strict=True)
    )


def cell(value: Any) -> str:
    """A value as people read it: four digits, entries of a list parted by commas, long text cut.

    >>> cell(0.123456), cell(12345), cell(["a", "b"]), cell(None)
    ('0.1235', '12,345', 'a, b', '–')
    """
    if value is None:
        return NOTHING
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int):
        return f"{value:,}"
    if isinstance(value, float):
        return f"{value:.4g}" if math.isfinite(value) else NOTHING
    if isinstance(value, str):
        return value if len(value) <= MAX_CELL_CHARS else value[: MAX_CELL_CHARS - 1] + "…"
    if isinstance(value, Iterable):
        return cell(", ".join(cell(one) for one in value))
    return cell(str(value))


def picture(chart: Chart, alt: str) -> str:
    """A chart as a picture; nothing where the libraries that draw are not installed.

    Args:
        chart: what is drawn.
        alt: what it is of, for those who cannot see it.
    """
    try:
        import vl_convert
    except ModuleNotFoundError:
        return ""
    svg = vl_convert.vegalite_to_svg(chart.to_json())
    # As an image of its own: several drawings inside one page would share the ids of their parts.
    encoded = base64.b64encode(svg.encode()).decode()
    return f"<img alt='chart: {escape(alt, quote=True)}' src='data:image/svg+xml;base64,{encoded}'>"
