"""Makes one HTML file of what a page has shown, or a ZIP of its charts as SVG: standard input to
standard output, a process of its own, because drawing takes more memory than the app may have.

Leaves to others: collecting the parts (view.py).
"""

from __future__ import annotations

import io
import json
import re
import sys
import zipfile
from datetime import UTC, datetime
from html import escape
from typing import Any

import vl_convert

STYLE = """
body {font: 15px/1.5 system-ui, sans-serif; max-width: 60rem; margin: 2rem auto; padding: 0 1rem;
 color: #1d2733; background: #fff}
h1 {font-size: 1.5rem} h2 {font-size: 1.15rem; margin-top: 2rem} figure {margin: 1rem 0}
svg {max-width: 100%; height: auto} figcaption, .note, .caption {color: #5d6b7e; font-size: .85rem}
table {border-collapse: collapse; font-size: .85rem; display: block; overflow-x: auto}
td, th {border-bottom: 1px solid #dbe2e8; padding: .25rem .6rem; text-align: left}
dl {display: flex; flex-wrap: wrap; gap: 2rem} dt {color: #5d6b7e} dd {margin: 0; font-size: 1.4rem}
.info, .success, .warning, .error {border-left: 3px solid #9aa7b4; padding-left: .6rem}
.warning, .error {border-color: #c8500a}
@media print {figure, table {break-inside: avoid}}
"""
CHART_WIDTH = 640


def svg(spec: dict[str, Any]) -> str:
    """A chart, drawn."""
    if isinstance(spec.get("width"), int):
        spec["width"] = CHART_WIDTH
    spec["background"] = "white"
    drawn: str = vl_convert.vegalite_to_svg(spec)
    return drawn


def chart(title: str, spec: dict[str, Any]) -> str:
    """The chart as SVG, so that the file needs nothing from elsewhere."""
    return f"<figure>{svg(spec)}<figcaption>{escape(title)}</figcaption></figure>"


def table(content: dict[str, Any], said: str) -> str:
    """The first rows, and how many there are: `said`, with `{n}` and `{all}`."""
    head = "".join(f"<th>{escape(name)}</th>" for name in content["columns"])
    rows = "".join(
        "<tr>" + "".join(f"<td>{escape(_cell(value))}</td>" for value in row) + "</tr>"
        for row in content["rows"]
    )
    count = said.format(n=len(content["rows"]), all=content["n"])
    note = ": ".join(filter(None, (content["title"], count)))
    return f"<table><tr>{head}</tr>{rows}</table><p class=note>{escape(note)}</p>"


def figures(_: str, content: list[list[str]]) -> str:
    """Large figures."""
    cells = (
        f"<div><dt>{escape(label)}</dt><dd>{escape(value)}</dd>"
        f"<span class=note>{escape(below)}</span></div>"
        for label, value, below in content
    )
    return f"<dl>{''.join(cells)}</dl>"


KINDS = {
    "heading": lambda title, text: f"<h1>{escape(title)}</h1><p>{escape(text)}</p>",
    "section": lambda title, text: f"<h2>{escape(title)}</h2><p class=note>{escape(text)}</p>",
    "told": lambda _, told: f"<p class={told['kind']}>{escape(told['text'])}</p>",
    "chart": chart,
    "figures": figures,
}


def _cell(value: Any) -> str:
    if value is None:
        return ""
    return f"{value:.4f}" if isinstance(value, float) else str(value)


def page(parts: list[dict[str, Any]], address: str, language: str, rows: str) -> str:
    """The whole file, in a language (en or zh); `rows` is what tables say of their rows."""
    kinds = KINDS | {"table": lambda _, content: table(content, rows)}
    body = "".join(kinds[part["kind"]](part["title"], part["content"]) for part in parts)
    made = f"{datetime.now(UTC):%Y-%m-%d %H:%M} UTC"
    title = next((part["title"] for part in parts if part["kind"] == "heading"), "crossrec")
    link = f'<a href="{escape(address)}">{escape(address)}</a>' if address else ""
    return (
        f"<!doctype html><html lang={language}><meta charset=utf-8>"
        f"<title>{escape(title)} · crossrec</title>"
        '<meta name=viewport content="width=device-width, initial-scale=1">'
        f"<style>{STYLE}</style>{body}<p class=note>crossrec · {made} · {link}</p></html>"
    )


def charts(parts: list[dict[str, Any]]) -> bytes:
    """A ZIP with an SVG of each chart."""
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        for part in parts:
            if part["kind"] == "chart":
                name = re.sub(r"\W+", "-", part["title"]).strip("-").lower()
                archive.writestr(f"{name}.svg", svg(part["content"]))
    return file.getvalue()


if __name__ == "__main__":
    asked = json.loads(sys.stdin.buffer.read())
    if asked["form"] == "svg":
        sys.stdout.buffer.write(charts(asked["parts"]))
    else:
        told = {name: asked[name] for name in ("parts", "address", "language", "rows")}
        sys.stdout.buffer.write(page(**told).encode())
