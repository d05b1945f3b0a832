"""What charts say, in Chinese: titles of axes and legends, names of parts and signals.

Charts are drawn by the package, in English; here the words of the drawn one are exchanged. Leaves
to others: the Chinese itself (zh.yaml), names that come from data, which stay as they are.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from functools import cache
from typing import Any

import altair as alt

from app_pages.words import chinese
from crossrec.chart_parts import Chart

TITLES = [
    "score (no unit; higher ranks first)", "Part", "Signal", "Model", "Trial", "Known from",
    "{name} (higher is better), 95 % intervals", "{name}, {n} users",
    "trial (in order of start)", "validation {name} (dashed: best so far)", "epoch",
    "position in the history", "time (UTC)", "rank", "share of the catalogue, most popular first",
    "share of all", "how sure the scores were of the first item", "how often it was right", "share",
    "smallest to largest", "seconds of training, all trials so far", "weight (relevance: 1)", "to",
    "begins with", "day (UTC)", "events",
    "PCA to {n} directions, then t-SNE (perplexity {p})", "mean milliseconds in a replica",
]  # fmt: skip
"""Titles that charts give to axes and legends; `{…}` stands for what is from data."""
LABELS = [
    "base", "popularity", "history", "request", "context", "objective", "other", "score",
    "sequence", "collaborative", "neighbours", "text", "wording",
    "lexical", "asked", "profile", "newness",
    "training", "feedback", "complete", "stopped early", "failed", "ours", "baseline", "published",
    "up or new", "same", "down or gone", "before", "after", "interactions", "shown", "{n} more",
    "{n} earlier items", "others", "new in the first 10", "up", "down", "out of the first 10",
    "like", "dislike", "click", "view", "purchase", "impression", "rating", "scratch",
    "admit", "filter", "queue", "tokenise", "encode", "log", "read", "search", "rank", "explain",
    "answer", "RUNNING", "DEPLOYING", "DEPLOY_FAILED", "UNHEALTHY",
]  # fmt: skip
"""Names on axes and in legends that are no data."""
OWN_WORDS = ("event", "stage")
"""Fields of colours whose names are the app's own."""
_LIST = re.compile(r"^(\[.*\]|\{.*\})\[datum\.value\]$", re.DOTALL)


def in_chinese(drawn: Chart) -> Chart:
    """The same chart with what it says in Chinese."""
    spec: dict[str, Any] = drawn.to_dict()
    data = {name: spec.pop(name) for name in ("datasets", "data") if name in spec}
    chart: Chart = alt.Chart.from_dict(_said(spec) | data)
    return chart


def say(text: str) -> str:
    """One title or name, or as it is where it is no word of the app's."""
    return filled_in(text, (*TITLES, *LABELS))


def filled_in(text: str, known: tuple[str, ...]) -> str:
    """The Chinese of a text that is one of `known`, or one of them filled in; else the text."""
    if text in known and text in chinese():
        return chinese()[text]
    for pattern, template in _templates(known):
        if found := pattern.fullmatch(text):
            return template(**found.groupdict())
    return text


def _said(part: Any) -> Any:
    if isinstance(part, list):
        return [_said(one) for one in part]
    if not isinstance(part, dict):
        return part
    said = {name: _field(name, value) for name, value in part.items()}
    if _names_what_is_no_data(part):
        said.setdefault("legend", {})
        said["legend"] = said["legend"] | {"labelExpr": _lookup()}
    if part.get("type") in ("nominal", "ordinal") and isinstance(said.get("axis"), dict):
        said["axis"].setdefault("labelExpr", _lookup())
    return said


def _field(name: str, value: Any) -> Any:
    if name == "title" and isinstance(value, str):
        return say(value)
    if name == "labelExpr" and (found := _LIST.match(value)):
        names = json.loads(found[1])
        if isinstance(names, list):  # else titles of items by their rank, which are data
            return f"{json.dumps([say(one) for one in names])}[datum.value]"
        return value
    said = _said(value)
    if name == "color" and isinstance(said, dict) and said.get("field") in OWN_WORDS:
        said["legend"] = (said.get("legend") or {}) | {"labelExpr": _lookup()}
    return said


def _names_what_is_no_data(part: dict[str, Any]) -> bool:
    """Whether a channel has a legend whose names are those of LABELS."""
    scale = part.get("scale")
    names = scale.get("domain", []) if isinstance(scale, dict) else []
    return part.get("legend", {}) is not None and any(one in LABELS for one in names)


@cache
def _lookup() -> str:
    """An expression of Vega: a name's Chinese, or the name."""
    return f"{json.dumps({name: chinese()[name] for name in LABELS})}[datum.label] || datum.label"


@cache
def _templates(known: tuple[str, ...]) -> list[tuple[re.Pattern[str], Callable[..., str]]]:
    """Those of the texts that hold what is from data."""
    found = []
    for text in known:
        if "{" in text:
            pattern = re.sub(r"\\\{(\w+)\\\}", r"(?P<\1>.+)", re.escape(text))
            found.append((re.compile(pattern), chinese()[text].format))
    return found
