"""Contrast of the app's colours, by WCAG 2.2: text 4.5 to 1, what a chart is read by 3 to 1."""

from __future__ import annotations

import re
import tomllib

import polars as pl
import pytest

from crossrec import chart_parts, plots, record_plots, release_plots, study_plots
from tests.apps.conftest import APPS

THEME = tomllib.loads((APPS / ".streamlit" / "config.toml").read_text("utf-8"))["theme"]
SCHEMES = ("light", "dark")
GROUNDS = ("backgroundColor", "secondaryBackgroundColor", "sidebar")
CAPTION = 0.6
"""Opacity of `st.caption` (Streamlit 1.67)."""
DRAWN = {
    *chart_parts._HUES, chart_parts.GREY, *chart_parts.KIND_COLOURS.values(),
    *chart_parts.SIGNAL_COLOURS.values(),
    *chart_parts.SOURCE_COLOURS.values(), *chart_parts.STATE_COLOURS.values(),
    *release_plots.CATEGORIES,
    release_plots.BETTER, release_plots.WORSE, release_plots.A, release_plots.B,
    *study_plots.TARGET_COLOURS.values(), *study_plots.LINES,
}  # fmt: skip


def ground(scheme: str, name: str) -> str:
    found = THEME[scheme][name]
    return found["backgroundColor"] if isinstance(found, dict) else found


def mixed(colour: str, ground: str, share: float) -> str:
    """What is seen of a colour that lets the ground through."""
    pairs = ((int(colour[i : i + 2], 16), int(ground[i : i + 2], 16)) for i in (1, 3, 5))
    return "#" + "".join(f"{round(share * a + (1 - share) * b):02x}" for a, b in pairs)


def luminance(colour: str) -> float:
    """Relative luminance of `#rrggbb` (WCAG 2.2, definition of contrast ratio)."""
    parts = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
    red, green, blue = (c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in parts)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def contrast(one: str, other: str) -> float:
    high, low = sorted((luminance(one), luminance(other)), reverse=True)
    return (high + 0.05) / (low + 0.05)


def test_black_on_white_is_21_to_1():
    assert contrast("#000000", "#ffffff") == pytest.approx(21)


@pytest.mark.parametrize("scheme", SCHEMES)
@pytest.mark.parametrize("name", GROUNDS)
def test_words_are_readable(scheme: str, name: str):
    below = ground(scheme, name)
    text, primary = (THEME[scheme][words] for words in ("textColor", "primaryColor"))
    for words in (text, primary, mixed(text, below, CAPTION)):
        assert contrast(words, below) >= 4.5


@pytest.mark.parametrize("scheme", SCHEMES)
@pytest.mark.parametrize("colour", sorted(DRAWN))
def test_lines_and_points_stand_out(scheme: str, colour: str):
    assert contrast(colour, THEME[scheme]["backgroundColor"]) >= 3


@pytest.mark.parametrize("scheme", SCHEMES)
def test_text_of_charts_is_readable(scheme: str, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.syspath_prepend(str(APPS))
    from app_pages.view import INK, UNKNOWN_INK

    assert contrast(INK[scheme], THEME[scheme]["backgroundColor"]) >= 4.5
    assert contrast(UNKNOWN_INK, THEME[scheme]["backgroundColor"]) >= 3
    for cell in record_plots.CELLS:
        assert contrast(record_plots.IN_CELLS, cell) >= 4.5


def test_text_of_a_report_is_readable():
    style = (APPS / "app_pages" / "report.py").read_text("utf-8")
    colours = set(re.findall(r"[ {]color: (#[0-9a-f]{6})", style))
    assert colours
    for colour in colours:
        assert contrast(colour, "#ffffff") >= 4.5


def test_no_text_of_a_chart_has_a_colour_of_its_own():
    """Only the page knows its ground: what is drawn says nothing, and `view.chart` does."""
    parts = pl.DataFrame([("base", "base", 1.0)], ["kind", "label", "value"], orient="row")
    ranks = pl.DataFrame([("Heat", 1, 2)], ["title", "before", "after"], orient="row")
    for drawn in (plots.explanation(parts), release_plots.rank_changes(ranks)):
        texts = [one for one in drawn.to_dict()["layer"] if one["mark"]["type"] == "text"]
        assert texts
        for one in texts:
            assert "color" not in one["mark"]
            assert "color" not in one["encoding"]
