"""What charts share: the colours, one for each thing throughout, and the check of their frames.

Leaves to others: the charts (plots.py and its neighbours).
"""

from __future__ import annotations

import zlib
from collections.abc import Iterable, Sequence
from typing import Any, TypeAlias

import altair as alt
import polars as pl

from crossrec.errors import DataError, suggest

Chart: TypeAlias = alt.Chart | alt.LayerChart | alt.VConcatChart | alt.FacetChart

# Middle lightness throughout: the same colours must stand out, 3 to 1, on a white and on a
# near-black page. No colour is read as text on both: text is left to the page's theme.
KIND_COLOURS = {
    "base": "#7b8491",
    "popularity": "#a178c4",
    "history": "#3f83c9",
    "request": "#da7a24",
    "context": "#2fa37c",
    "objective": "#c2527f",
    "other": "#8b95a1",
    "score": "#5d6b7e",
}
"""Kinds of a part of an explanation (messages.Part), and the rest and total of the chart."""

SIGNAL_COLOURS = {
    "sequence": "#3f83c9",
    "collaborative": "#2fa37c",
    "neighbours": "#459dae",
    "text": "#ab8c1e",
    "wording": "#7f9630",
    "request": "#da7a24",
    "lexical": "#b5543c",
    "asked": "#8c6d3f",
    "popularity": "#a178c4",
    "profile": "#6b7fa8",
    "newness": "#cf6aa5",
}
"""Signals that relevance is made of (models.signals.SIGNALS)."""

SOURCE_COLOURS = {"training": "#3f83c9", "feedback": "#da7a24"}
STATE_COLOURS = {"complete": "#3f83c9", "stopped early": "#858e9b", "failed": "#d1495b"}
GREY = "#858e9b"
WIDTH = 420  # pixels, where the page gives no width of its own

_HUES = ("#3f83c9", "#da7a24", "#2fa37c", "#d1495b", "#a178c4", "#9c755f", "#cf6aa5", "#459dae")
_HUE_SALT = "crossrec7"  # tried so that the domains of the demo get different colours


def domain_colour(domain: str) -> str:
    """The colour of a domain, the same in every chart, process and release.

    >>> domain_colour("movies") == domain_colour("movies")
    True
    """
    return _HUES[zlib.crc32(f"{_HUE_SALT}{domain}".encode()) % len(_HUES)]


def check_columns(frame: pl.DataFrame, columns: Sequence[str], chart: str) -> None:
    """That a frame can be drawn.

    Raises:
        DataError: it lacks one of the columns, or has no row.
    """
    for column in columns:
        if column not in frame.columns:
            raise DataError(
                f"the {chart} chart needs a column '{column}': {suggest(column, frame.columns)}"
            )
    if frame.is_empty():
        raise DataError(f"the {chart} chart got a frame without rows; expected at least one")


def with_missing(frame: pl.DataFrame, columns: dict[str, Any]) -> pl.DataFrame:
    """The frame with null columns added where it lacks them."""
    lacking = {name: kind for name, kind in columns.items() if name not in frame.columns}
    return frame.with_columns(
        pl.lit(None, dtype=kind).alias(name) for name, kind in lacking.items()
    )


def known_first(values: Iterable[str], known: Iterable[str]) -> list[str]:
    """Distinct values: the known ones in their order, then the others sorted."""
    found = set(values)
    first = [name for name in known if name in found]
    return first + sorted(found.difference(first))
