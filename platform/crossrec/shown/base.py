"""What all shown results have: a line, a table, a chart, and frames of polars and pandas.

Leaves to others: what these are of a certain result (the other modules here), HTML (html.py).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import fields
from typing import TYPE_CHECKING, Any, TypeVar

from crossrec.errors import ConfigError
from crossrec.shown import html

if TYPE_CHECKING:
    import polars as pl

    from crossrec.chart_parts import Chart

Kind = TypeVar("Kind")


class Shown:
    """Mixed in before a plain result: shows it in Jupyter, and turns it into frames.

    A class says what its line, facts, rows and chart are; nothing is drawn or read before asked.
    """

    def headline(self) -> str:
        """What it is, in one line."""
        raise NotImplementedError

    def facts(self) -> dict[str, Any]:
        """What stands between line and table: name → value; None is left out."""
        return {}

    def sentences(self) -> list[str]:
        """What is said in words beside the table."""
        return []

    def to_polars(self) -> pl.DataFrame:
        """Its rows as a polars frame."""
        raise NotImplementedError

    def to_pandas(self) -> Any:
        """Its rows as a pandas frame.

        Raises:
            ConfigError: pandas is not installed.
        """
        return as_pandas(self.to_polars())

    def chart(self) -> Chart | None:
        """Its chart; None where there is nothing to draw."""
        return None

    def rows_shown(self) -> pl.DataFrame | None:
        """The table in a notebook; None: none."""
        return self.to_polars()

    def _repr_html_(self) -> str:
        rows, chart = self.rows_shown(), drawn(self.chart)
        return "".join(
            (
                html.heading(self.headline()),
                html.facts(self.facts()),
                html.sentences(self.sentences()),
                "" if rows is None else html.table(rows),
                "" if chart is None else html.picture(chart, self.headline()),
            )
        )

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.headline()}>"

    def __str__(self) -> str:
        known = [f"{n}: {html.cell(v)}" for n, v in self.facts().items() if v is not None]
        rows = self.rows_shown()
        lines = [self.headline(), " · ".join(known), *self.sentences()]
        lines.append("" if rows is None else str(rows))
        return "\n".join(line for line in lines if line)


def drawn(chart: Callable[[], Chart | None]) -> Chart | None:
    """A chart, where charts can be drawn: a table needs no altair."""
    try:
        return chart()
    except ModuleNotFoundError:
        return None


def as_pandas(frame: pl.DataFrame) -> Any:
    """The same frame in pandas.

    Raises:
        ConfigError: pandas is not installed.
    """
    try:
        import pandas  # noqa: F401
    except ModuleNotFoundError as err:
        raise ConfigError(
            "pandas is not installed; run: pip install pandas, or use to_polars()"
        ) from err
    return frame.to_pandas()


def shown_as(kind: type[Kind], found: Any) -> Kind:
    """A dataclass as the subclass of it that shows itself; its values are the same objects."""
    if isinstance(found, kind):
        return found
    return kind(**{one.name: getattr(found, one.name) for one in fields(found)})
