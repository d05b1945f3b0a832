"""Charts of releases and data; as plots.py: a frame in, a chart out.

Leaves to others: making the frames (serving/insight.py, the app), what is on record of searches and
of the service (record_plots.py).
"""

from __future__ import annotations

import json
from typing import Any

import altair as alt
import polars as pl

from crossrec.chart_parts import GREY, WIDTH, Chart, check_columns, domain_colour

BETTER, WORSE, SAME = "#2fa37c", "#d1495b", GREY
A, B = "#a178c4", "#3f83c9"
"""Colours of two releases, or of two lists, that are set beside each other."""
CATEGORIES = (
    *("#3f83c9", "#da7a24", "#2fa37c", "#d1495b", "#a178c4"),
    *("#9c755f", "#cf6aa5", "#459dae", "#8a8f1f", "#7d6fc9"),
)
ROW = 22  # pixels of a row with a name


def rank_changes(frame: pl.DataFrame) -> Chart:
    """What became of each item of two lists: a line from its rank before to its rank after.

    Args:
        frame: columns `title`, `before`, `after`: ranks from 1, null where the item is not listed.

    Raises:
        DataError: a column is missing, or there is no row.
    """
    check_columns(frame, ("title", "before", "after"), "rank changes")
    last = int(frame.select(pl.max_horizontal(pl.col("before", "after").max())).item())
    change = (
        pl.when(pl.col("before").is_null() | (pl.col("after") < pl.col("before")))
        .then(pl.lit("up or new"))
        .when(pl.col("after").is_null() | (pl.col("after") > pl.col("before")))
        .then(pl.lit("down or gone"))
        .otherwise(pl.lit("same"))
    )
    table = frame.with_row_index("line").with_columns(change=change)
    long = table.unpivot(
        ["before", "after"], index=["line", "title", "change"], variable_name="side"
    ).with_columns(rank=pl.col("value").fill_null(last + 1), listed=pl.col("value").is_not_null())
    base = alt.Chart(long).encode(
        x=alt.X(
            "side:N",
            sort=["before", "after"],
            title=None,
            axis=alt.Axis(labelAngle=0, orient="top"),
        ).scale(padding=0.9),  # room for titles on both sides
        y=alt.Y("rank:Q", title="rank", axis=alt.Axis(tickMinStep=1, grid=False)).scale(
            domain=[last + 1.4, 0.4]
        ),
        detail="line:N",
        tooltip=["title:N", "side:N", alt.Tooltip("value:Q", title="rank"), "change:N"],
    )
    colour = alt.Color("change:N", title=None, legend=alt.Legend(orient="bottom")).scale(
        domain=["up or new", "same", "down or gone"], range=[BETTER, SAME, WORSE]
    )
    lines = base.mark_line(strokeWidth=2).encode(color=colour)
    listed = base.transform_filter("datum.listed")
    points = listed.mark_point(filled=True, size=50, opacity=1).encode(color=colour)
    room = alt.ExprRef("0.32 * width - 10")  # as much as there is on either side
    titles = [
        listed.transform_filter(alt.datum.side == side)
        .mark_text(align=align, dx=dx, limit=room, fontSize=11)
        .encode(text="title:N")
        for side, align, dx in (("before", "right", -8), ("after", "left", 8))
    ]
    return alt.layer(lines, points, *titles).properties(width=WIDTH, height=24 * (last + 2))


def intervals(
    frame: pl.DataFrame, title: str, *, zero: str = "", colour: str = B, sort: bool = False
) -> Chart:
    """Figures with their intervals, one row each.

    Args:
        frame: columns `label`, `value`, `low`, `high`, and where known `n`.
        title: of the axis, with its unit.
        zero: what an interval beside 0 means; empty: 0 is nothing special.
        colour: of points and lines.
        sort: largest first; else in the order of the rows.

    Raises:
        DataError: a column is missing, or there is no row.
    """
    check_columns(frame, ("label", "value", "low", "high"), "intervals")
    order: Any = alt.SortField("value", "descending") if sort else frame["label"].to_list()
    shown = [alt.Tooltip(f"{name}:Q", format=".4f") for name in ("value", "low", "high")]
    counted = ["n:Q"] if "n" in frame.columns else []
    base = alt.Chart(frame).encode(
        y=alt.Y("label:N", title=None, sort=order, axis=alt.Axis(labelLimit=170)),
        tooltip=["label:N", *shown, *counted],
    )
    spread = base.mark_rule(strokeWidth=2, color=colour).encode(
        x=alt.X("low:Q", title=title, axis=alt.Axis(tickCount=6)), x2="high:Q"
    )
    points = base.mark_point(filled=True, size=70, opacity=1, color=colour).encode(
        x=alt.X("value:Q").scale(zero=not zero)
    )
    layers = [spread, points]
    if zero:
        line = alt.Chart().mark_rule(color=GREY, strokeDash=[4, 3]).encode(x=alt.datum(0))
        layers = [line, *layers]
    return alt.layer(*layers, data=frame).properties(width=WIDTH, height={"step": ROW})


def counts(frame: pl.DataFrame, title: str, unit: str, *, flat: bool = False) -> Chart:
    """How many of each, in the order of the rows.

    Args:
        frame: columns `label`, `n`.
        title: of the axis of labels.
        unit: what is counted.
        flat: names below each other, for long ones; else columns.

    Raises:
        DataError: a column is missing, or there is no row.
    """
    check_columns(frame, ("label", "n"), "counts")
    order, labels = frame["label"].to_list(), {"title": title, "sort": frame["label"].to_list()}
    bars = alt.Chart(frame).mark_bar(cornerRadius=2, color=B)
    amount = {"title": unit, "axis": alt.Axis(tickCount=5)}
    shown = ["label:N", alt.Tooltip("n:Q", format=",")]
    if flat:
        axis = alt.Axis(labelLimit=170)
        encoded = bars.encode(
            y=alt.Y("label:N", axis=axis, **labels), x=alt.X("n:Q", **amount), tooltip=shown
        )
        return encoded.properties(width=WIDTH, height={"step": ROW})
    angle = 0 if sum(map(len, order)) < 50 else -40
    axis = alt.Axis(labelAngle=angle, labelOverlap=True)
    encoded = bars.encode(
        x=alt.X("label:O", axis=axis, **labels), y=alt.Y("n:Q", **amount), tooltip=shown
    )
    return encoded.properties(width=WIDTH, height=200)


def words(frame: pl.DataFrame) -> Chart:
    """What each word of an item's own text gives to its score, in the order of the text.

    Args:
        frame: columns `label` (the word, or a run of words), `value`.

    Raises:
        DataError: a column is missing, or there is no row.
    """
    check_columns(frame, ("label", "value"), "words")
    table = frame.with_row_index("place").with_columns(raises=pl.col("value") >= 0)
    labels = json.dumps(frame["label"].to_list())
    axis = alt.Axis(labelExpr=f"{labels}[datum.value]", labelLimit=170, ticks=False)
    bars = alt.Chart(table).mark_bar(cornerRadius=2, height={"band": 0.7})
    return bars.encode(
        y=alt.Y("place:O", title=None, axis=axis),
        x=alt.X("value:Q", title="score (no unit; higher ranks first)", axis=alt.Axis(tickCount=5)),
        color=alt.Color("raises:N", legend=None).scale(domain=[True, False], range=[B, WORSE]),
        tooltip=["label:N", alt.Tooltip("value:Q", format="+.4f")],
    ).properties(width=WIDTH, height={"step": ROW})


def popularity(frame: pl.DataFrame, domain: str) -> Chart:
    """Shares of interactions and of places in lists, the most popular items first.

    Args:
        frame: columns `items`, `interactions`, `shown`: cumulative shares.
        domain: gives its colour.

    Raises:
        DataError: a column is missing, or there is no row.
    """
    check_columns(frame, ("items", "interactions", "shown"), "popularity")
    long = frame.unpivot(["interactions", "shown"], index="items", variable_name="of")
    colours = [GREY, domain_colour(domain)]
    lines = alt.Chart(long).mark_line(strokeWidth=2.5)
    return lines.encode(
        x=alt.X("items:Q", title="share of the catalogue, most popular first", axis=_percent()),
        y=alt.Y("value:Q", title="share of all", axis=_percent()),
        color=_side("of", ["interactions", "shown"], colours),
        tooltip=[
            alt.Tooltip(
                "items:Q", title="share of the catalogue, most popular first", format=".0%"
            ),
            "of:N",
            alt.Tooltip("value:Q", title="share of all", format=".1%"),
        ],
    ).properties(width=WIDTH, height=240)


def calibration(frame: pl.DataFrame, domain: str) -> Chart:
    """How often the first item was right against how sure the scores were; on the line: honest.

    Args:
        frame: columns `n`, `predicted`, `observed`, `error` (standard error of `observed`).
        domain: gives its colour.

    Raises:
        DataError: a column is missing, or there is no row.
    """
    check_columns(frame, ("n", "predicted", "observed", "error"), "calibration")
    table = frame.with_columns(
        low=(pl.col("observed") - 1.96 * pl.col("error")).clip(0),
        high=(pl.col("observed") + 1.96 * pl.col("error")).clip(upper_bound=1),
    )
    sure, right = "how sure the scores were of the first item", "how often it was right"
    base = alt.Chart(table).encode(
        x=alt.X("predicted:Q", title=sure, axis=_percent()),
        tooltip=[
            "n:Q",
            alt.Tooltip("predicted:Q", title=sure, format=".1%"),
            alt.Tooltip("observed:Q", title=right, format=".1%"),
        ],
    )
    ends = pl.DataFrame({"x": [0.0, 1.0]})
    line = alt.Chart(ends).mark_line(color=GREY, strokeDash=[4, 3]).encode(x="x:Q", y="x:Q")
    colour = domain_colour(domain)
    spread = base.mark_rule(color=colour).encode(
        y=alt.Y("low:Q", title=right, axis=_percent()), y2="high:Q"
    )
    points = base.mark_line(point=alt.OverlayMarkDef(color=colour, size=60), color=colour)
    return (line + spread + points.encode(y="observed:Q")).properties(width=WIDTH, height=240)


def exposure(frame: pl.DataFrame) -> Chart:
    """Each provider's share of places in lists, beside its share of interactions.

    Args:
        frame: columns `provider`, `interactions`, `shown`: shares.

    Raises:
        DataError: a column is missing, or there is no row.
    """
    check_columns(frame, ("provider", "interactions", "shown"), "exposure")
    long = frame.unpivot(["interactions", "shown"], index="provider", variable_name="of")
    base = alt.Chart(frame).encode(
        y=alt.Y(
            "provider:N", sort=frame["provider"].to_list(), title=None,
            axis=alt.Axis(labelLimit=170),
        )
    )  # fmt: skip
    rules = base.mark_rule(color=GREY).encode(
        x=alt.X("interactions:Q", title="share", axis=_percent()), x2="shown:Q"
    )
    points = alt.Chart(long).mark_point(filled=True, size=70, opacity=1)
    shown = points.encode(
        y=alt.Y("provider:N", sort=frame["provider"].to_list()),
        x="value:Q",
        color=_side("of", ["interactions", "shown"], [GREY, B]),
        tooltip=["provider:N", "of:N", alt.Tooltip("value:Q", title="share", format=".1%")],
    )
    return (rules + shown).properties(width=WIDTH, height={"step": ROW})


def item_map(frame: pl.DataFrame) -> Chart:
    """Items on a plane, coloured by category; found ones stand out.

    Args:
        frame: columns `x`, `y`, `title`, `category`, `found` (boolean), and `item_id`.
            The ten most frequent categories have a colour of their own.

    Raises:
        DataError: a column is missing, or there is no row.
    """
    check_columns(frame, ("x", "y", "title", "category", "found"), "map")
    top = frame["category"].value_counts(sort=True)["category"].head(len(CATEGORIES)).to_list()
    named = pl.when(pl.col("category").is_in(top)).then("category").otherwise(pl.lit("others"))
    table = frame.with_columns(group=named)
    some = bool(table["found"].any())
    base = alt.Chart(table).encode(
        x=alt.X("x:Q", axis=None).scale(zero=False),
        y=alt.Y("y:Q", axis=None).scale(zero=False),
        tooltip=["title:N", "category:N", "item_id:N"],
    )
    legend = alt.Legend(orient="bottom", columns=3, title=None, labelLimit=110)
    shown = [*top, "others"] if len(top) < frame["category"].n_unique() else top
    colours = [*CATEGORIES[: len(top)], GREY][: len(shown)]
    points = base.mark_point(filled=True, size=28).encode(
        color=alt.Color("group:N", legend=legend).scale(domain=shown, range=colours),
        opacity=alt.value(0.25 if some else 0.75),
    )
    found = base.transform_filter("datum.found").mark_point(
        size=140, strokeWidth=2.5, color=WORSE, fill=WORSE, fillOpacity=0.5, opacity=1
    )
    return (points + found).properties(width=WIDTH, height=460).interactive()


def _percent() -> alt.Axis:
    return alt.Axis(format=".0%", tickCount=5)


def _side(field: str, domain: list[str], colours: list[str]) -> Any:
    legend = alt.Legend(title=None, orient="top")
    return alt.Color(f"{field}:N", legend=legend).scale(domain=domain, range=colours)
