"""Messages of the API as frames for charts and tables, and as text that is safe to show.

Leaves to others: asking (service.py), drawing (crossrec.plots), laying out (the pages).
"""

from __future__ import annotations

import re
from typing import Any

import polars as pl

from crossrec.serving.explanation_messages import Contrast
from crossrec.serving.messages import Explanation, Recommendation, UserHistoryItem

# Positions in a history are small numbers; seconds since 1970 passed this before 1971.
FIRST_CLOCK_TIME = 10_000_000


def plain(text: str) -> str:
    r"""The text with every sign escaped that Markdown would take for itself.

    >>> print(plain("*batteries not included: $5"))
    \*batteries not included\: \$5
    """
    return re.sub(r"([\\`*_{}\[\]()#+!|<>~$:])", r"\\\1", text)


def parts(explanation: Explanation) -> pl.DataFrame:
    """Columns kind, label, value: one row a part; values sum to the score."""
    return pl.DataFrame(
        [part.model_dump(include={"kind", "label", "value"}) for part in explanation.parts]
    )


def differences(contrast: Contrast) -> pl.DataFrame:
    """The same columns: one row a part of one item less that of another; they sum to the gap."""
    return pl.DataFrame(
        [part.model_dump(include={"kind", "label", "value"}) for part in contrast.parts]
    )


def signals(items: list[Recommendation]) -> pl.DataFrame:
    """Columns rank, title, signal, value: one row an item and signal."""
    rows = [
        {"rank": item.rank, "title": item.title, "signal": name, "value": value}
        for item in items
        for name, value in item.signals.items()
    ]
    return pl.DataFrame(
        rows, schema={"rank": pl.Int64, "title": str, "signal": str, "value": float}
    )


def ranking(items: list[Recommendation]) -> pl.DataFrame:
    """One row an item: rank, title, categories, score, signals, reason, further columns."""
    rows = [
        {
            "rank": item.rank,
            "item_id": item.item_id,
            "title": item.title,
            "category": ", ".join(item.category),
            "score": item.score,
            **item.signals,
            "reason": item.explanation.sentence if item.explanation else "",
            **{name: _flat(value) for name, value in item.item.items()},
        }
        for item in items
    ]
    return pl.DataFrame(rows, infer_schema_length=None, strict=False)


def history(items: list[UserHistoryItem]) -> pl.DataFrame:
    """Columns title, event, timestamp, source, item_id; newest first."""
    return pl.DataFrame([item.model_dump() for item in items])


def ordered_only(items: list[UserHistoryItem]) -> bool:
    """Whether the timestamps are positions in the history, no clock times."""
    return all(item.timestamp < FIRST_CLOCK_TIME for item in items if item.source == "training")


def facts(item: Recommendation, n_facts: int = 2) -> str:
    """Categories and the first few short columns of an item in one line."""
    short = [
        f"{name.replace('_', ' ')} {_short(value)}"
        for name, value in item.item.items()
        if value not in (None, "", []) and len(str(value)) <= 40
    ]
    return " · ".join([", ".join(item.category[:4]), *short[:n_facts]]).strip(" ·")


def movements(before: list[str], items: list[Recommendation]) -> dict[str, str]:
    """Item id → how it moved against an earlier list: `new`, `▲2`, `▼1`; nothing if it stayed."""
    ranks = {item_id: rank for rank, item_id in enumerate(before, start=1)}
    moved = {}
    for item in items:
        up = ranks.get(item.item_id, 0) - item.rank
        if item.item_id not in ranks:
            moved[item.item_id] = "new"
        elif up:
            moved[item.item_id] = f"▲{up}" if up > 0 else f"▼{-up}"
    return moved


def _flat(value: Any) -> Any:
    return ", ".join(map(str, value)) if isinstance(value, list) else value


def _short(value: Any) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(_flat(value))
