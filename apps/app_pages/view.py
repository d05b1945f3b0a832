"""What pages show with: headings, charts, tables with downloads, and the view as one HTML file.

Leaves to others: what is shown (the pages), frames (frames.py), the file itself (report.py).
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from io import BytesIO
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import polars as pl
import streamlit as st

from app_pages import frames, headings, state
from app_pages.drawn import in_chinese
from app_pages.words import language, t
from crossrec.chart_parts import Chart
from crossrec.errors import CrossrecError

PARTS = "view.parts"
"""What the page shows, in order, for the report: (kind, title) → content."""
REPORT = Path(__file__).with_name("report.py")
REPORT_TIMEOUT_S = 60
INK = {"light": "#5d6b7e", "dark": "#9aa3af"}
"""Text of charts; after a visitor exchanged the theme one run is still drawn in the other's."""
UNKNOWN_INK = "#7b8491"
ROWS_IN_REPORT = 200


def begin() -> None:
    """Forget what the run before has shown."""
    st.session_state[PARTS] = {}
    st.session_state[state.KEPT] = {}


@contextmanager
def again() -> Iterator[None]:
    """What runs again by itself (a fragment): all that it shows takes the place of what it showed
    before, once it has shown all; the heading above it stays.
    """
    page = st.session_state[PARTS]
    st.session_state[PARTS] = {}
    try:
        yield
    finally:
        shown = {part: content for part, content in page.items() if part[0] == "heading"}
        shown |= st.session_state[PARTS]
        page.clear()
        page.update(shown)
        st.session_state[PARTS] = page


def say_what_failed() -> None:
    """Streamlit (1.67) tells below a button that a file could not be made, in words of its own;
    these take their place.
    """
    text = t("This file could not be made; try again, or ask whoever runs the app for its log.")
    st.html(f"""<style>
[data-testid=stDownloadButtonError] {{font-size: 0}}
[data-testid=stDownloadButtonError]::after {{font-size: .875rem; content: "{text}"}}
</style>""")


def heading(title: str, question: str) -> None:
    """What the page is, and the question that it answers."""
    st.subheader(title, anchor=False)
    st.caption(question)
    note("heading", title, question)


def badges(facts: list[str], *, simulated: bool) -> None:
    """What the figures of a page are of; those of simulated data say so."""
    for position, fact in enumerate(facts):
        st.badge(frames.plain(fact), color="gray" if position else "primary")
    label = [t("simulated data")] if simulated else []
    for text in label:
        st.badge(text, icon=":material/science:", color="orange")
    note_text("caption", " · ".join([*facts, *label]))


def tell(kind: str, text: str, icon: str = "") -> None:
    """A sentence on the page and in its report, as it is written: no sign of it is Markdown.

    Args:
        kind: markdown, caption, info, success, warning or error, as Streamlit calls them.
        icon: name of a Material symbol.
    """
    sign, written, show = f":material/{icon}:", frames.plain(text), getattr(st, kind)
    if kind in ("markdown", "caption"):
        show(f"{sign} {written}" if icon else written)
    else:
        show(written, icon=sign if icon else None)
    note_text(kind, text)


def note_text(kind: str, text: str) -> None:
    """Put a sentence into the report, which may hold it more than once; see `tell`."""
    place = len(st.session_state.get(PARTS, {}))
    note("told", str(place), {"kind": kind, "text": text})


def section(title: str, help: str = "") -> None:
    """A part of a page."""
    st.markdown(f"#### {frames.plain(title)}")
    if help:
        st.caption(frames.plain(help))
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
    st.altair_chart(_inked(drawn), width="stretch", alt=alt)
    note("chart", alt, drawn)


def _inked(drawn: Chart) -> Chart:
    """The chart with text that is read on this page: Vega's own is black in the dark, and
    Streamlit's labels on white are 3.7 to 1 (1.67). In a file the ground is white.
    """
    scheme = st.context.theme.type or ""
    drawn = drawn.configure_text(color=INK.get(scheme, UNKNOWN_INK))
    if scheme != "light":
        return drawn
    both = {"labelColor": INK[scheme], "titleColor": INK[scheme]}
    return drawn.configure_axis(**both).configure_legend(**both).configure_header(**both)


def table(frame: pl.DataFrame, name: str, title: str = "") -> None:
    """A table that can be sorted, and taken home as CSV or Parquet, with the names that
    code reads.

    Args:
        frame: the rows.
        name: of the files, without ending.
        title: what it is, in the report; empty: the section above it says that.
    """
    heads = {column: headings.heading(column) for column in frame.columns}
    shown = headings.in_words(frame)
    st.dataframe(shown, hide_index=True, column_config=heads, placeholder="–")
    with st.container(horizontal=True, gap="small"):
        for kind, data in (("CSV", frame.write_csv), ("Parquet", lambda: _parquet(frame))):
            file = f"{name}.{kind.lower()}"
            _download(kind, file, data, key=f"download.{file}")
    note_table(frame, name, title)


def note_table(frame: pl.DataFrame, name: str, title: str = "") -> None:
    """Put the first rows of a table into the report, in the visitor's language; see `table`."""
    heads = {column: headings.heading(column) for column in frame.columns}
    first = headings.in_words(frame.head(ROWS_IN_REPORT)).rename(_apart(heads))
    note("table", name, {"title": title, "frame": first, "n": len(frame)})


def numbers(frame: pl.DataFrame, name: str, title: str) -> None:
    """What a chart is drawn from, as a table that is made once somebody opens it; see `table`."""
    label = t("Numbers: {title}", title=title)
    fold = st.expander(frames.plain(label), key=f"numbers.{name}", on_change="rerun")
    if fold.open:
        with fold:
            table(frame, name, title)


def _apart(heads: dict[str, str]) -> dict[str, str]:
    """The headings, where two are alike with the column's own name behind."""
    said = list(heads.values())
    return {n: h if said.count(h) == 1 else f"{h} ({n})" for n, h in heads.items()}


def figures(values: list[tuple[str, str, str]], of: str = "") -> None:
    """Large figures beside each other.

    Args:
        values: label, value, and the line below (an interval) of each.
        of: what they are of, where a page has several with the same labels.
    """
    for column, (label, value, below) in zip(st.columns(len(values)), values, strict=True):
        column.metric(label, value)
        if below:
            column.caption(below)
    note("figures", of or values[0][0], values)


def nothing(text: str) -> None:
    """What there is not, and what to do about it."""
    tell("info", text, "inbox")


def share() -> None:
    """The end of every page: the view and its charts as files, and how to send it."""
    parts = st.session_state.get(PARTS, {})  # what it holds at the click: a fragment goes on
    if not parts:
        return
    st.divider()
    with st.container(horizontal=True, vertical_alignment="center", gap="small"):
        address = link()
        name = f"crossrec-{datetime.now(UTC):%Y%m%d-%H%M}"
        html, charts = t("This view as HTML"), t("Charts as SVG")
        # What a click makes is made outside of a run, where no language is known.
        words = {"language": language(), "rows": t("{n} of {all} rows")}

        def made(form: str) -> bytes:
            return _made(form, dict(parts), address, words)

        _download(html, f"{name}.html", lambda: made("html"), "download.report")
        if any(kind == "chart" for kind, _ in parts):
            _download(charts, f"{name}.zip", lambda: made("svg"), "download.svg")
        st.markdown(f":material/link: [{t('Link to this view')}]({address})", width="content")


def link() -> str:
    """The address of this view: what was chosen (`st.context.url` leaves it out), and domain and
    releases also where nobody chose them.
    """
    query = {name: st.query_params.get_all(name) for name in st.query_params}
    query |= {name: [value] for name, value in st.session_state.get(state.KEPT, {}).items()}
    return f"{st.context.url or ''}?{urlencode(query, doseq=True)}".removesuffix("?")


def to_explore(**query: str) -> None:
    """A link to Explore at an address: `st.switch_page` cannot leave a page that keeps choices in
    the address (Streamlit 1.67).
    """
    st.page_link(
        "app_pages/explore.py",
        label=t("Explore"),
        icon=":material/search:",
        query_params=query,
    )


def to_whatif(domain: str) -> None:
    """A link to What if with the user, the wish and the context of this page."""
    st.page_link(
        "app_pages/whatif.py",
        label=t("What if for this user"),
        icon=":material/alt_route:",
        query_params=state.hand_over() | {"domain": domain},
    )


def tabs(names: list[str], key: str) -> list[Any]:
    """Tabs, the open one in the address by its English name: a bound `st.tabs` falls out of it
    when its content takes another widget with it (Streamlit 1.67).
    """
    said = {t(name): name for name in names}
    if st.session_state.get(key) not in said:
        named = st.query_params.get(key)
        st.session_state[key] = t(named) if named in names else t(names[0])
    shown = st.tabs(list(said), key=key, on_change="rerun")
    chosen = said[st.session_state[key]]
    mirror(key, None if chosen == names[0] else chosen)
    return list(shown)


def mirror(key: str, item_id: str | None) -> None:
    """Keep a chosen item in the address: its id, where a bound widget would put its label.

    Only a change is written: each write sends the whole address, and one sent while the visitor
    is choosing something else takes that choice out again (Streamlit 1.67).
    """
    if item_id == st.query_params.get(key):
        return
    if item_id is None:
        del st.query_params[key]
    else:
        st.query_params[key] = item_id


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
        kind: heading, section, told, chart, table or figures.
        title: of it, of a table its name; the same again replaces it.
        content: text, chart, the values of `figures`, or what `note_text` and `note_table` make.
    """
    st.session_state.setdefault(PARTS, {})[kind, title] = content


def _made(
    form: str, parts: dict[tuple[str, str], Any], address: str, words: dict[str, str]
) -> bytes:
    """The file (`html`, or `svg`: a ZIP of the charts), made by a process of its own: what draws
    SVG takes 100 MiB and more.

    Args:
        form, parts: what is made of what.
        address: of the view.
        words: `language`, and what is said of `rows`.

    Raises:
        CrossrecError: it could not be made. The sentence is for the log; see `say_what_failed` for
            what the visitor reads.
    """
    told = [
        {"kind": kind, "title": title, "content": _plain(kind, content)}
        for (kind, title), content in parts.items()
    ]
    sent = {"form": form, "parts": told, "address": address, **words}
    asked = json.dumps(sent, default=str)
    try:
        made = subprocess.run(
            [sys.executable, str(REPORT)], input=asked.encode(), capture_output=True,
            timeout=REPORT_TIMEOUT_S, check=True,
        )  # fmt: skip
    except subprocess.TimeoutExpired as err:
        text = f"the file of this view was not ready within {REPORT_TIMEOUT_S} s; try again"
        raise CrossrecError(text) from err
    except subprocess.CalledProcessError as err:
        lines = err.stderr.decode(errors="replace").strip().splitlines() or [str(err)]
        raise CrossrecError(f"the file of this view could not be made: {lines[-1]}") from err
    return made.stdout


def _plain(kind: str, content: Any) -> Any:
    if kind == "chart":
        return content.to_dict()
    if kind == "table":
        frame = content["frame"]
        told = {"title": content["title"], "n": content["n"]}
        return told | {"columns": frame.columns, "rows": frame.rows()}
    return content
