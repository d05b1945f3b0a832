"""Contrast of the app's colours, by WCAG 2.2: text 4.5 to 1, what a chart is read by 3 to 1."""

from __future__ import annotations

import tomllib

import pytest

from crossrec.plots import _HUES
from crossrec.release_plots import BETTER, WORSE, A, B
from tests.apps.conftest import APPS

THEME = tomllib.loads((APPS / ".streamlit" / "config.toml").read_text("utf-8"))["theme"]
SCHEMES = ("light", "dark")


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
@pytest.mark.parametrize("ground", ["backgroundColor", "secondaryBackgroundColor"])
@pytest.mark.parametrize("words", ["textColor", "primaryColor"])
def test_words_are_readable(scheme: str, ground: str, words: str):
    assert contrast(THEME[scheme][words], THEME[scheme][ground]) >= 4.5


@pytest.mark.parametrize("scheme", SCHEMES)
@pytest.mark.parametrize("colour", sorted({BETTER, WORSE, A, B, *_HUES}))
def test_lines_and_points_stand_out(scheme: str, colour: str):
    assert contrast(colour, THEME[scheme]["backgroundColor"]) >= 3
