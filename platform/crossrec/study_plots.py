"""Charts of studies: warm against cold, gain against cost, settings, rounds, what a deletion costs.

Each takes a frame and gives an Altair chart, in the colours of chart_parts.py. Leaves to others:
the frames (verbs, notebooks), charts of one answer, one training or one report (plots.py).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import altair as alt
import polars as pl

from crossrec.chart_parts import GREY, KIND_COLOURS, STATE_COLOURS, WIDTH, Chart, check_columns
from crossrec.config import setting_titles

TARGET_COLOURS = {"all": GREY, "warm": "#da7a24", "cold": "#3f83c9"}
"""Items that training has seen, and items that it has not."""
LINES = ("#3f83c9", "#da7a24", "#2fa37c", "#a178c4", "#c2527f", "#9c755f")


def targets(frame: pl.DataFrame, metric: str = "NDCG@10") -> Chart:
    """A metric by what the case asks for: all items, warm ones, cold ones; one row a model.

    Args:
        frame: columns `model`, `targets` (all, warm, cold), `value`, `n` (cases), and where known
            `low` and `high`.
        metric: name of the metric, for the axis.

    Raises:
        DataError: a column is missing, or there is no row.
    """
    check_columns(frame, ("model", "targets", "value", "n"), "targets")
    known = frame if "low" in frame.columns else frame.with_columns(low=None, high=None)
    wanted = pl.concat_str(pl.col("targets"), pl.format(" ({} cases)", pl.col("n")))
    table = known.with_columns(pl.col("low", "high").cast(pl.Float64), label=wanted)
    named = table.unique("targets", maintain_order=True)
    order = [one for one in TARGET_COLOURS if one in set(named["targets"])]
    labels = dict(zip(named["targets"], named["label"], strict=True))
    colour = alt.Color("label:N", title="target", legend=alt.Legend(orient="top")).scale(
        domain=[labels[one] for one in order], range=[TARGET_COLOURS[one] for one in order]
    )
    place = alt.YOffset("label:N").scale(domain=[labels[one] for one in order])
    base = alt.Chart(table).encode(
        y=alt.Y("model:N", title=None, sort=alt.EncodingSortField("value", "max", "descending")),
        yOffset=place,
        color=colour,
    )
    line = "; line: 95 % interval" if table["low"].drop_nulls().len() else ""
    axis = alt.Axis(tickCount=6)
    points = base.mark_point(filled=True, size=70, opacity=1).encode(
        x=alt.X("value:Q", title=f"{metric} (0 to 1{line})", axis=axis).scale(zero=True),
        tooltip=["model:N", "label:N", alt.Tooltip("value:Q", format=".4f")],
    )
    lines = base.transform_filter("isValid(datum.low)").mark_rule(strokeWidth=2)
    spread = lines.encode(x=alt.X("low:Q", axis=axis), x2="high:Q")
    return (spread + points).properties(width=WIDTH, height={"step": 14})


def tradeoff(frame: pl.DataFrame, x_title: str, y_title: str) -> Chart:
    """What each way costs and what it gives, a point a way, joined in the order of the rows.

    Args:
        frame: columns `way`, `x`, `y`, and where known `low` and `high` of `y`.
        x_title: of the cost, with its unit.
        y_title: of the gain, with its unit.

    Raises:
        DataError: a column is missing, or there is no row.
    """
    check_columns(frame, ("way", "x", "y"), "trade-off")
    table = frame if "low" in frame.columns else frame.with_columns(low=None, high=None)
    ways = frame["way"].unique(maintain_order=True).to_list()
    base = alt.Chart(table.with_row_index("step")).encode(
        x=alt.X("x:Q", title=x_title).scale(zero=False, padding=16)
    )
    path = base.mark_line(color=GREY, strokeDash=[2, 3]).encode(y="y:Q", order="step:O")
    points = base.mark_point(filled=True, size=110, opacity=1).encode(
        y=alt.Y("y:Q", title=y_title).scale(zero=False, padding=16),
        color=_line_colour("way", ways, ""),
        tooltip=["way:N", alt.Tooltip("x:Q", format=".4g"), alt.Tooltip("y:Q", format=".4g")],
    )
    lines = base.transform_filter("isValid(datum.low)").mark_rule(strokeWidth=2)
    spread = lines.encode(y="low:Q", y2="high:Q", color=_line_colour("way", ways, ""))
    return (path + spread + points).properties(width=WIDTH, height=240)


def agreement(frame: pl.DataFrame, x_title: str, y_title: str) -> Chart:
    """What is true beside what is said of it, a named point each.

    Args:
        frame: columns `label`, `x`, `y`.
        x_title: of what is true, with its unit.
        y_title: of what is said, with its unit.

    Raises:
        DataError: a column is missing, or there is no row.
    """
    check_columns(frame, ("label", "x", "y"), "agreement")
    points = alt.Chart(frame).encode(x=alt.X("x:Q", title=x_title), y=alt.Y("y:Q", title=y_title))
    names = points.mark_text(dy=-10, fontSize=10, color=GREY).encode(text="label:N")
    return (points.mark_point(filled=True, size=70) + names).properties(width=WIDTH, height=260)


def settings(frame: pl.DataFrame, names: Sequence[str], metric: str = "NDCG@10") -> Chart:
    """Trials of a search by each setting that varied: one small panel a setting.

    Args:
        frame: columns `value`, `state`, and those of `names`, as `Tuned.to_polars()` has them.
        names: settings; one with text values gets an axis of categories.
        metric: name of the metric, for the axis.

    Raises:
        DataError: a column is missing, or there is no row.
    """
    check_columns(frame, ("value", "state", *names), "settings")
    table = frame.drop_nulls("value")
    states = [one for one in STATE_COLOURS if one in set(table["state"])]
    panels = [
        _setting(table, name, title, states, metric)
        for name, title in zip(names, setting_titles(names), strict=True)
    ]
    rows = [alt.hconcat(*panels[start : start + 2]) for start in range(0, len(panels), 2)]
    return alt.vconcat(*rows)


def _setting(
    table: pl.DataFrame, name: str, title: str, states: list[str], metric: str
) -> alt.Chart:
    drawn = table.select("value", "state", x=pl.col(name))
    number = drawn["x"].dtype.is_numeric()
    wide = number and drawn["x"].min() > 0 and drawn["x"].max() / drawn["x"].min() > 20  # type: ignore[operator]
    scale: dict[str, Any] = {"type": "log"} if wide else {"zero": False}
    ticks = alt.Axis(tickCount=4, format="~g", labelOverlap=True)
    x = (
        alt.X("x:Q", title=title, axis=ticks, scale=alt.Scale(**scale, nice=False, padding=8))
        if number
        else alt.X("x:N", title=title, axis=alt.Axis(labelAngle=0))
    )
    colours = [STATE_COLOURS[one] for one in states]
    legend = alt.Legend(title="trial", orient="top")
    return (
        alt.Chart(drawn)
        .mark_point(filled=True, size=60, opacity=0.9)
        .encode(
            x=x,
            y=alt.Y("value:Q", title=f"validation {metric}").scale(zero=False),
            color=alt.Color("state:N", legend=legend).scale(domain=states, range=colours),
        )
        .properties(width=WIDTH // 2 - 35, height=150)
    )


def rounds(
    frame: pl.DataFrame, title: str, best: float | None = None, steps: str = "round"
) -> Chart:
    """A figure over rounds, a line an arm, with its 95 % interval where it is known.

    Args:
        frame: columns `round`, `arm`, `value`, and where known `low` and `high`.
        title: of the figure, with its unit.
        best: a level to draw as dashes (what could be had at most); None: none.
        steps: what a round is called.

    Raises:
        DataError: a column is missing, or there is no row.
    """
    check_columns(frame, ("round", "arm", "value"), "rounds")
    table = frame if "low" in frame.columns else frame.with_columns(low=None, high=None)
    arms = frame["arm"].unique(maintain_order=True).to_list()
    base = alt.Chart(table).encode(
        x=alt.X("round:Q", title=steps, axis=alt.Axis(tickMinStep=1, format="d")),
        color=_line_colour("arm", arms, ""),
    )
    band = base.transform_filter("isValid(datum.low)").mark_area(opacity=0.15)
    spread = band.encode(y=alt.Y("low:Q"), y2="high:Q")
    lines = base.mark_line(point=True).encode(y=alt.Y("value:Q", title=title).scale(zero=False))
    layers = [spread, lines]
    if best is not None:
        level = alt.Chart(pl.DataFrame({"y": [best]})).mark_rule(strokeDash=[4, 3], color=GREY)
        layers.append(level.encode(y="y:Q"))
    return alt.layer(*layers).properties(width=WIDTH, height=220)


def kinds(frame: pl.DataFrame) -> Chart:
    """How much each kind of part weighs in explanations: the parts of a kind are summed in each
    item, and the sizes of these sums, without their signs, averaged over all items. So what raises
    one item and lowers another is large, not nothing.

    Args:
        frame: columns `rank`, `kind`, `value`, and `list` where there are several lists, as
            `Recommendations.parts()` has them.

    Raises:
        DataError: a column is missing, or there is no row.
    """
    check_columns(frame, ("rank", "kind", "value"), "kinds")
    item = ["list", "rank"] if "list" in frame.columns else ["rank"]
    summed = frame.group_by(*item, "kind").agg(pl.col("value").sum())
    n_items = summed.select(item).n_unique()
    table = summed.group_by("kind").agg(pl.col("value").abs().sum() / n_items)
    shown = [kind for kind in KIND_COLOURS if kind in set(table["kind"])]
    colour = alt.Color("kind:N", legend=None).scale(
        domain=shown, range=[KIND_COLOURS[kind] for kind in shown]
    )
    return (
        alt.Chart(table)
        .mark_bar(cornerRadius=2, height={"band": 0.7})
        .encode(
            x=alt.X("value:Q", title=f"mean size in the score ({n_items} recommended items)"),
            y=alt.Y("kind:N", title=None, sort="-x"),
            color=colour,
        )
        .properties(width=WIDTH, height={"step": 24})
    )


def deletion(frame: pl.DataFrame) -> Chart:
    """The score while reasons are taken away, in the order of an explanation and in others.

    Args:
        frame: columns `removed` (reasons taken away), `order`, `score` (mean score of the items,
            in its own unit).

    Raises:
        DataError: a column is missing, or there is no row.
    """
    check_columns(frame, ("removed", "order", "score"), "deletion")
    orders = frame["order"].unique(maintain_order=True).to_list()
    return (
        alt.Chart(frame)
        .mark_line(point=True)
        .encode(
            x=alt.X("removed:Q", title="history items taken away", axis=alt.Axis(tickMinStep=1)),
            y=alt.Y("score:Q", title="score of the item").scale(zero=False),
            color=_line_colour("order", orders, "taken away"),
        )
        .properties(width=WIDTH, height=220)
    )


def _line_colour(field: str, names: list[str], title: str) -> alt.Color:
    legend = alt.Legend(
        title=title or None, orient="top", columns=3, labelLimit=160, symbolOpacity=1
    )
    colours = [LINES[n % len(LINES)] for n in range(len(names))]
    return alt.Color(f"{field}:N", legend=legend).scale(domain=names, range=colours)
