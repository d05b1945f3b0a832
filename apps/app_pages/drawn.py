"""A chart of the package with what it says in Chinese.

Charts are drawn in English; here the words of the drawn one are exchanged. Leaves to others: the
words (chart_words.py, headings.py, zh.yaml), names that come from data, which stay as they are.
"""

from __future__ import annotations

import json
import re
from functools import cache
from typing import Any

import altair as alt

from app_pages.chart_words import LABELS, say
from app_pages.headings import WORDS, heading
from app_pages.words import chinese
from crossrec.chart_parts import Chart

OWN_WORDS = ("event", "stage")
"""Fields of colours whose names are the app's own."""
CELLS = (*WORDS, "label", "change", "side", "of", "provider")
"""Fields of tooltips whose words may be the app's own."""
NAMES = ("nominal", "ordinal")
_LIST = re.compile(r"^(\[.*\]|\{.*\})\[datum\.value\]$", re.DOTALL)


def in_chinese(drawn: Chart) -> Chart:
    """The same chart with what it says in Chinese."""
    spec: dict[str, Any] = drawn.to_dict()
    data = {name: spec.pop(name) for name in ("datasets", "data") if name in spec}
    words = _words(data.get("datasets", {}))
    said = _with_cells(_said(spec), words) if words else _said(spec)
    chart: Chart = alt.Chart.from_dict(said | data)
    return chart


def _words(tables: dict[str, list[dict[str, Any]]]) -> dict[str, str]:
    """What tooltips of these data say in the app's own words → its Chinese."""
    rows = (row for table in tables.values() for row in table)
    told = {text for row in rows for name in CELLS if isinstance(text := row.get(name), str)}
    return {text: other for text in sorted(told) if (other := say(text)) != text}


def _with_cells(part: Any, words: dict[str, str]) -> Any:
    """Tooltips with these words exchanged: in a field of its own, as colours and places go by the
    English ones.
    """
    if isinstance(part, list):
        return [_with_cells(one, words) for one in part]
    if not isinstance(part, dict):
        return part
    part = {name: _with_cells(value, words) for name, value in part.items()}
    tooltip = part.get("encoding", {}).get("tooltip")
    rows = tooltip if isinstance(tooltip, list) else []
    for one in (row for row in rows if row.get("field") in CELLS and row["type"] in NAMES):
        told = f"{json.dumps(words)}[datum.{one['field']}] || datum.{one['field']}"
        one["field"] += "_said"
        part.setdefault("transform", []).append({"calculate": told, "as": one["field"]})
    return part


def _said(part: Any) -> Any:
    if isinstance(part, list):
        return [_said(one) for one in part]
    if not isinstance(part, dict):
        return part
    said = {name: _field(name, value) for name, value in part.items()}
    if _names_what_is_no_data(part):
        said.setdefault("legend", {})
        said["legend"] = said["legend"] | {"labelExpr": _lookup()}
    if part.get("type") in NAMES and isinstance(said.get("axis"), dict):
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
    if name == "tooltip":
        return _named(said)
    if name == "color" and isinstance(said, dict) and said.get("field") in OWN_WORDS:
        said["legend"] = (said.get("legend") or {}) | {"labelExpr": _lookup()}
    return said


def _named(tooltip: Any) -> Any:
    """Rows of a tooltip with names: one without a title would be called by its field."""
    if not isinstance(tooltip, list):
        return tooltip
    return [{"title": heading(one["field"]), **one} if "field" in one else one for one in tooltip]


def _names_what_is_no_data(part: dict[str, Any]) -> bool:
    """Whether a channel has a legend whose names are those of LABELS."""
    scale = part.get("scale")
    names = scale.get("domain", []) if isinstance(scale, dict) else []
    return part.get("legend", {}) is not None and any(one in LABELS for one in names)


@cache
def _lookup() -> str:
    """An expression of Vega: a name's Chinese, or the name."""
    return f"{json.dumps({name: chinese()[name] for name in LABELS})}[datum.label] || datum.label"
