"""Messages of the API as frames for charts and tables, and as text that is safe to show.

Leaves to others: asking (service.py), drawing (crossrec.plots), laying out (the pages).
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any

import polars as pl

from crossrec.explanation.phrases import Language
from crossrec.explanation.text import part_label, rating_sentence, sentence
from crossrec.serving.explanation_messages import Contrast, ExplainResponse
from crossrec.serving.insight_messages import ArmList, Experiment, ItemMap
from crossrec.serving.messages import (
    DomainCard,
    Explanation,
    ItemCard,
    Recommendation,
    UserHistoryItem,
)

CARD_CHARS = 60
"""Of one column on the card of an item; the panel *Item* has it whole."""


def plain(text: str) -> str:
    r"""The text with every sign escaped that Markdown would take for itself.

    >>> print(plain("*batteries not included: $5"))
    \*batteries not included\: \$5
    """
    return re.sub(r"([\\`*_{}\[\]()#+!|<>~$:])", r"\\\1", text)


def reason(explanation: Explanation | None, language: Language, *, rated: bool) -> str:
    """Why, in a sentence of this language; a service gives English ones with its lists.

    Args:
        rated: scores are ratings.
    """
    if explanation is None:
        return ""
    if language == "en" or not explanation.parts:
        return explanation.sentence
    return (rating_sentence if rated else sentence)(explanation.parts, language)


def parts(explanation: Explanation, language: Language = "en") -> pl.DataFrame:
    """Columns kind, label, value: one row a part; values sum to the score."""
    rows = [(part.kind, part_label(part, language), part.value) for part in explanation.parts]
    return pl.DataFrame(rows, ["kind", "label", "value"], orient="row")


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


def ranking(
    items: list[Recommendation], language: Language = "en", *, rated: bool = False
) -> pl.DataFrame:
    """One row an item: rank, title, categories, score, signals, reason, further columns."""
    rows = [
        {
            "rank": item.rank,
            "item_id": item.item_id,
            "title": item.title,
            "category": ", ".join(item.category),
            "score": item.score,
            **item.signals,
            "reason": reason(item.explanation, language, rated=rated),
            **{name: _flat(value) for name, value in item.item.items()},
        }
        for item in items
    ]
    return pl.DataFrame(rows, infer_schema_length=None, strict=False)


def history(items: list[UserHistoryItem], *, clock: bool) -> pl.DataFrame:
    """Columns title, event, timestamp, source, item_id; newest first.

    Args:
        items: newest first.
        clock: the domain's times are a clock's. Where they are not, `timestamp` is the number of
            the row, the oldest is 1: feedback has seconds, which no position can stand beside.
    """
    frame = pl.DataFrame([item.model_dump() for item in items])
    numbers = pl.int_range(pl.len(), 0, -1).alias("timestamp")
    return frame if clock else frame.with_columns(numbers)


def dated(frame: pl.DataFrame) -> pl.DataFrame:
    """The frame with `at`, seconds since 1970, as a date and time (UTC)."""
    at = pl.from_epoch(pl.col("at").cast(pl.Int64))
    return frame.with_columns(at.dt.strftime("%Y-%m-%d %H:%M:%S"))


def has_clock(card: DomainCard) -> bool:
    """Whether the times of the domain's histories are a clock's."""
    return card.time_kind == "unix_seconds"


def facts(item: Recommendation) -> str:
    """Categories and all columns that the domain puts on a card, long ones cut, in one line."""
    known = [
        f"{name.replace('_', ' ')} {_cut(_short(value))}"
        for name, value in item.item.items()
        if value not in (None, "", [])
    ]
    return " · ".join(filter(None, [", ".join(item.category[:4]), *known]))


def allowed(column: str, values: Any) -> str:
    """A filter in words: a range, or some of the values.

    >>> allowed("year", {"min": 1985}), allowed("studio", ["north", "south"])
    ('year 1985 …', 'studio north, south')
    """
    if isinstance(values, dict):
        ends = [_short(values[end]) if end in values else "" for end in ("min", "max")]
        return f"{column} {' … '.join(ends).strip()}"
    return f"{column} {_short(values)}"


def _cut(text: str) -> str:
    return text if len(text) <= CARD_CHARS else text[: CARD_CHARS - 1].rstrip() + "…"


def fields(card: ItemCard, item: Recommendation) -> pl.DataFrame:
    """Columns field, value: all columns of an item, then what the ranking measured of it."""
    told = {"item_id": card.item_id, "category": card.category, **card.columns, **item.measures}
    rows = [(name, "" if value is None else _short(value)) for name, value in told.items()]
    return pl.DataFrame(rows, {"field": pl.String, "value": pl.String}, orient="row")


def words(found: ExplainResponse) -> pl.DataFrame:
    """Columns label, value: what each word of the item's own text gives, in the text's order."""
    rows = [(one.word, one.value) for one in found.text_parts]
    return pl.DataFrame(rows, {"label": pl.String, "value": float}, orient="row")


def rank_changes(before: list[Recommendation], after: list[Recommendation]) -> pl.DataFrame:
    """Columns item_id, title, before, after: ranks, null where an item is not in that list."""
    titles = {item.item_id: item.title for item in [*before, *after]}
    ranks = [{item.item_id: item.rank for item in items} for items in (before, after)]
    rows = [(i, title, ranks[0].get(i), ranks[1].get(i)) for i, title in titles.items()]
    kinds = {"item_id": pl.String, "title": pl.String, "before": pl.Int64, "after": pl.Int64}
    frame = pl.DataFrame(rows, kinds, orient="row")
    return frame.sort("after", "before", nulls_last=True)


def unique(title: str, item_id: str, among: Iterable[Any]) -> str:
    """The title, with the id where another item of `among` (messages or rows) has the same."""
    same = {
        one["item_id"] if isinstance(one, dict) else one.item_id
        for one in among
        if (one["title"] if isinstance(one, dict) else one.title) == title
    }
    return f"{title} ({item_id})" if len(same) > 1 else title


def models(report: dict[str, Any], metric: str) -> pl.DataFrame:
    """Rows of a report as `plots.metrics` takes them; intervals only of NDCG@10."""
    rows = [
        {
            "domain": report["domain"],
            "model": row["model"],
            "kind": row["origin"],
            "value": row["figures"].get(metric),
            "low": row["ci95"][0] if metric == "ndcg@10" else None,
            "high": row["ci95"][1] if metric == "ndcg@10" else None,
            "n_users": report["n"],
        }
        for row in report["rows"]
    ]
    return pl.DataFrame(rows, infer_schema_length=None)


def figures_of(report: dict[str, Any]) -> pl.DataFrame:
    """One row a model: all figures, and what ours has more in NDCG@10 with its interval."""
    rows = []
    for row in report["rows"]:
        gap = row["ours_minus"] or [None, None, None]
        more = dict(zip(("ours_minus", "low", "high"), gap, strict=True))
        rows.append({"model": row["model"], "kind": row["origin"], **row["figures"], **more})
    return pl.DataFrame(rows, infer_schema_length=None)


def spread(rows: list[dict[str, Any]], name: str) -> pl.DataFrame:
    """Columns label, value, low, high, n of a figure with its interval, of rows that have one."""
    found = [
        {"label": group_name(row["value"]), "n": row["n"],
         **dict(zip(("value", "low", "high"), row[name], strict=True))}
        for row in rows
        if row[name]
    ]  # fmt: skip
    return pl.DataFrame(found)


def groups(rows: list[dict[str, Any]]) -> pl.DataFrame:
    """One row a group with single figures in place of lists."""
    flat = []
    for row in rows:
        one = {}
        for name, value in row.items():
            if isinstance(value, list):
                one |= dict(zip((name, f"{name}_low", f"{name}_high"), value, strict=True))
            elif name not in ("audit", "trait"):
                one[name] = value
        flat.append(one)
    return pl.DataFrame(flat, infer_schema_length=None)


def group_name(value: str) -> str:
    """Names that were padded so that they sort, without it.

    >>> group_name("0004-0007"), group_name("18-29"), group_name("others")
    ('4-7', '18-29', 'others')
    """
    if not re.fullmatch(r"\d{4}(-\d{4})?", value):
        return value
    return "-".join(str(int(end)) for end in value.split("-"))


def listed(rows: list[dict[str, Any]]) -> pl.DataFrame:
    """Rows with lists as words, for a table that is also a CSV file."""
    return pl.DataFrame(
        [{name: _flat(value) for name, value in row.items()} for row in rows],
        infer_schema_length=None,
    )


def places(found: ItemMap, name: str, hits: set[str]) -> pl.DataFrame:
    """One row an item of a map: x, y, title, category, n_train, item_id, found."""
    xs, ys = zip(*found.views[name], strict=True)
    frame = pl.DataFrame(
        {
            "x": xs,
            "y": ys,
            "title": found.titles,
            "category": found.categories,
            "n_train": found.n_train,
            "item_id": found.item_ids,
        }
    )
    return frame.with_columns(found=pl.col("item_id").is_in(list(hits)))


def arms(found: ArmList) -> pl.DataFrame:
    """One row an arm: arm, release, share, and what was counted; null where nothing was."""
    rows = []
    for one in found.arms:
        counted = one.results.model_dump(exclude={"arm"}) if one.results else {}
        for name in ("rate", "lift"):
            ends = counted.pop(f"{name}_ci95", None) or (None, None)
            counted |= dict(zip((f"{name}_low", f"{name}_high"), ends, strict=True))
        rows.append({"arm": one.name, "release": one.release, "share": one.share, **counted})
    figures = ("rate", "rate_low", "rate_high", "lift", "lift_low", "lift_high")
    kinds = dict.fromkeys(figures, pl.Float64) | {"n_users": pl.Int64}
    frame = pl.DataFrame(rows, schema_overrides=kinds, infer_schema_length=None)
    missing = [pl.lit(None, kind).alias(n) for n, kind in kinds.items() if n not in frame.columns]
    return frame.with_columns(missing)


def trials(found: Experiment) -> pl.DataFrame:
    """One row a trial: trial, value, state, epochs, seconds, error, and a column a setting."""
    rows = [
        {**{n: v for n, v in one.items() if n not in ("point", "figures", "curve")}, **one["point"]}
        for one in found.trials
    ]
    kinds = {"value": pl.Float64, "error": pl.String}
    return pl.DataFrame(rows, schema_overrides=kinds, infer_schema_length=None)


def curves(found: Experiment) -> pl.DataFrame:
    """Columns trial, epoch, value; empty for searches of before figures of epochs were kept."""
    rows = [
        (one["trial"], epoch, value)
        for one in found.trials
        for epoch, value in enumerate(one.get("figures", []), start=1)
    ]
    return pl.DataFrame(rows, {"trial": pl.Int64, "epoch": pl.Int64, "value": float}, orient="row")


def first_error(found: Experiment) -> str:
    """What the first failed trial said."""
    return next((str(one["error"]) for one in found.trials if one.get("error")), "?")


def transfers(found: list[dict[str, Any]]) -> pl.DataFrame:
    """One row a target, share and start: test, validation, gain over scratch with the ends of its
    interval (null where none was kept), chosen, peer.

    Of pairs that were tried again the newest run counts.
    """
    rows: dict[tuple[Any, ...], dict[str, Any]] = {}
    for run in sorted(found, key=lambda one: one.get("at", 0)):
        for share in run["shares"]:
            scratch = share["starts"]["scratch"]["test"]
            for start, figures in share["starts"].items():
                low, high = figures.get("gain_ci95") or (None, None)
                # What several sources give together is another start for each set of them.
                joint = start in ("average", "shared")
                name = f"{start} of {', '.join(run['sources'])}" if joint else start
                rows[run["target"], share["share"], name] = {
                    "target": run["target"],
                    "start": name,
                    "share": share["share"],
                    "n_users": share["n_users"],
                    "test": figures["test"],
                    "validation": figures["validation"],
                    "gain": figures["test"] - scratch,
                    "gain_low": low,
                    "gain_high": high,
                    "chosen": share["chosen"] == start,
                    "nearness": run["nearness"].get(start),
                    "best_peer": share["peers"][share["best_peer"]]["test"],
                }
    kinds = {"gain_low": pl.Float64, "gain_high": pl.Float64}
    return pl.DataFrame(list(rows.values()), schema_overrides=kinds, infer_schema_length=None)


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
