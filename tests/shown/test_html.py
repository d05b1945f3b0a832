from __future__ import annotations

import polars as pl
import pytest

from crossrec import plots
from crossrec.shown import html

WICKED = "<script>alert('1')</script>"


@pytest.mark.parametrize(
    "shown",
    [
        html.heading(WICKED),
        html.facts({WICKED: WICKED}),
        html.sentences([WICKED]),
        html.table(pl.DataFrame({WICKED: [WICKED], "many": [[WICKED]]})),
    ],
)
def test_what_is_shown_is_escaped(shown: str):
    assert "<script" not in shown
    assert "&lt;script&gt;" in shown


def test_a_chart_is_an_image_that_runs_nothing():
    table = pl.DataFrame({"kind": ["history"], "label": [WICKED], "value": [1.0]})
    shown = html.picture(plots.explanation(table), "'it' <b>")
    alt = "chart: &#x27;it&#x27; &lt;b&gt;"
    assert shown.startswith(f"<img alt='{alt}' src='data:image/svg+xml;base64,")
    assert "<script" not in shown


def test_a_long_table_says_how_many_rows_are_left():
    shown = html.table(pl.DataFrame({"n": range(25)}), n_rows=10)
    assert shown.count("<tr>") == 11
    assert "15 more rows" in shown


def test_numbers_stand_to_the_right_and_none_is_a_dash():
    shown = html.table(pl.DataFrame({"n": [1200, None], "word": ["a", None]}))
    assert "<th style='text-align:right'>n</th><th style='text-align:left'>word</th>" in shown
    assert "<td style='text-align:right'>1,200</td><td style='text-align:left'>a</td>" in shown
    assert shown.count("–") == 2


def test_long_text_is_cut():
    assert len(html.cell("x" * 500)) == html.MAX_CELL_CHARS


def test_floats_of_a_column_have_the_same_decimals():
    shown = html.table(pl.DataFrame({"small": [0.06, 0.12345, None], "large": [1234.5, 2.0, 0.0]}))
    found = [cell.split("</td>")[0] for cell in shown.split("<td style='text-align:right'>")[1:]]
    assert found == ["0.0600", "1,234", "0.1235", "2", "–", "0"]
