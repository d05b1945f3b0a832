"""What pages show with: headings, charts, tables with downloads, and the view as one HTML file.

Leaves to others: what is shown (the pages), frames (frames.py), the file itself (report.py).
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from datetime import UTC, datetime
from io import BytesIO
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import polars as pl
import streamlit as st

from app_pages import state
from app_pages.chart_words import in_chinese
from app_pages.words import language, t
from crossrec.plots import Chart

PARTS = "view.parts"
"""What the page shows, in order, for the report: (kind, title) → content. What runs again by
itself (a fragment) replaces its own."""
REPORT = Path(__file__).with_name("report.py")
REPORT_TIMEOUT_S = 60
ROWS_IN_REPORT = 200


def begin() -> None:
    """Forget what the run before has shown."""
    st.session_state[PARTS] = {}
    st.session_state[state.KEPT] = {}


def heading(title: str, question: str) -> None:
    """What the page is, and the question that it answers."""
    st.subheader(title, anchor=False)
    st.caption(question)
    note("heading", title, question)


def section(title: str, help: str = "") -> None:
    """A part of a page."""
    st.markdown(f"#### {title}")
    if help:
        st.caption(help)
    note("section", title, help)


def chart(drawn: Chart, alt: str) -> None:
    """A chart as wide as there is room; its own menu saves it as PNG.

    Args:
        drawn: the chart.
        alt: what it shows, for those who cannot see it.
    """
    # Streamlit's theme moves the first name of an axis away from its row (1.67).
    drawn = drawn.configure_axisY(labelFlush=False)
    if language() == "zh":
        drawn = in_chinese(drawn)
    st.altair_chart(drawn, width="stretch", alt=alt)
    note("chart", alt, drawn)


def table(frame: pl.DataFrame, name: str, **options: Any) -> None:
    """A table that can be sorted, and taken home as CSV or Parquet.

    Args:
        frame: the rows.
        name: of the files, without ending.
        options: of `st.dataframe`.
    """
    st.dataframe(frame, hide_index=True, **options)
    with st.container(horizontal=True, gap="small"):
        for kind, data in (("CSV", frame.write_csv), ("Parquet", lambda: _parquet(frame))):
            file = f"{name}.{kind.lower()}"
            _download(kind, file, data, key=f"download.{file}")
    note("table", name, frame)


def figures(values: list[tuple[str, str, str]]) -> None:
    """Large figures beside each other: label, value, and the line below (an interval)."""
    for column, (label, value, below) in zip(st.columns(len(values)), values, strict=True):
        column.metric(label, value)
        if below:
            column.caption(below)
    note("figures", values[0][0], values)


def nothing(text: str) -> None:
    """What there is not, and what to do about it."""
    st.info(text, icon=":material/inbox:")
    note("section", text, "")


def share() -> None:
    """The end of every page: the view and its charts as files, and how to send it."""
    parts = dict(st.session_state.get(PARTS, {}))
    if not parts:
        return
    st.divider()
    with st.container(horizontal=True, vertical_alignment="center", gap="small"):
        address = link()
        name = f"crossrec-{datetime.now(UTC):%Y%m%d-%H%M}"
        html, charts = t("This view as HTML"), t("Charts as SVG")
        _download(html, f"{name}.html", lambda: _made("html", parts, address), "download.report")
        if any(kind == "chart" for kind, _ in parts):
            _download(charts, f"{name}.zip", lambda: _made("svg", parts, address), "download.svg")
        st.markdown(f":material/link: [{t('Link to this view')}]({address})", width="content")


def link() -> str:
    """The address of this view: what was chosen (`st.context.url` leaves it out), and domain and
    releases also where nobody chose them.
    """
    query = {name: st.query_params.get_all(name) for name in st.query_params}
    query |= {name: [value] for name, value in st.session_state.get(state.KEPT, {}).items()}
    return f"{st.context.url or ''}?{urlencode(query, doseq=True)}".removesuffix("?")


def _download(label: str, file: str, data: Callable[[], Any], key: str) -> None:
    """Made when somebody clicks, and the page does not run again for it."""
    st.download_button(
        label,
        data,
        file,
        key=key,
        icon=":material/download:",
        type="tertiary",
        on_click="ignore",
    )


def _parquet(frame: pl.DataFrame) -> bytes:
    file = BytesIO()
    frame.write_parquet(file)
    return file.getvalue()


def note(kind: str, title: str, content: Any) -> None:
    """Put into the report what a page shows in its own way.

    Args:
        kind: heading, section, chart, table or figures.
        title: of it; the same again replaces it.
        content: text, chart, frame, or the values of `figures`.
    """
    st.session_state.setdefault(PARTS, {})[kind, title] = content


def _made(form: str, parts: dict[tuple[str, str], Any], address: str) -> bytes:
    """The file (`html`, or `svg`: a ZIP of the charts), made by a process of its own: what draws
    SVG takes 100 MiB and more.
    """
    told = [
        {"kind": kind, "title": title, "content": _plain(kind, content)}
        for (kind, title), content in parts.items()
    ]
    asked = json.dumps({"form": form, "parts": told, "address": address}, default=str)
    made = subprocess.run(
        [sys.executable, str(REPORT)], input=asked.encode(), capture_output=True,
        timeout=REPORT_TIMEOUT_S, check=True,
    )  # fmt: skip
    return made.stdout


def _plain(kind: str, content: Any) -> Any:
    if kind == "chart":
        return content.to_dict()
    if kind == "table":
        head = content.head(ROWS_IN_REPORT)
        return {"columns": head.columns, "rows": head.rows(), "n": len(content)}
    return content
