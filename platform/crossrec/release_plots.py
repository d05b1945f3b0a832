"""Charts of releases, data, searches and transfers; as plots.py: a frame in, a chart out.

Leaves to others: making the frames (serving/insight.py, the app), showing and saving them.
"""

from __future__ import annotations

from typing import Any

import altair as alt
import polars as pl

from crossrec.plots import GREY, WIDTH, Chart, check_columns, domain_colour

BETTER, WORSE, SAME = "#2fa37c", "#d1495b", GREY
A, B = "#a178c4", "#3f83c9"
"""Colours of two releases, or of two lists, that are set beside each other."""
CATEGORIES = (
    *("#4e79a7", "#f28e2b", "#59a14f", "#e15759", "#b07aa1"),
    *("#76b7b2", "#edc948", "#ff9da7", "#9c755f", "#6b4fa0"),
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
        color=alt.Color("change:N", title=None, legend=alt.Legend(orient="bottom")).scale(
            domain=["up or new", "same", "down or gone"], range=[BETTER, SAME, WORSE]
        ),
        detail="line:N",
        tooltip=["title:N", "side:N", alt.Tooltip("value:Q", title="rank"), "change:N"],
    )
    lines = base.mark_line(strokeWidth=2)
    listed = base.transform_filter("datum.listed")
    points = listed.mark_point(filled=True, size=50, opacity=1)
    titles = [
        listed.transform_filter(alt.datum.side == side)
        .mark_text(align=align, dx=dx, limit=125, fontSize=11)
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
            alt.Tooltip("items:Q", format=".0%"),
            "of:N",
            alt.Tooltip("value:Q", format=".1%"),
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
    base = alt.Chart(table).encode(
        x=alt.X("predicted:Q", title="how sure the scores were of the first item", axis=_percent()),
        tooltip=["n:Q", *(alt.Tooltip(f"{c}:Q", format=".1%") for c in ("predicted", "observed"))],
    )
    ends = pl.DataFrame({"x": [0.0, 1.0]})
    line = alt.Chart(ends).mark_line(color=GREY, strokeDash=[4, 3]).encode(x="x:Q", y="x:Q")
    colour = domain_colour(domain)
    spread = base.mark_rule(color=colour).encode(
        y=alt.Y("low:Q", title="how often it was right", axis=_percent()), y2="high:Q"
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
        tooltip=["provider:N", "of:N", alt.Tooltip("value:Q", format=".1%")],
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
    legend = alt.Legend(orient="bottom", columns=4, title=None, labelLimit=110)
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


def parallel(frame: pl.DataFrame, metric: str) -> Chart:
    """Trials as lines across their settings, each from its smallest to its largest value.

    Args:
        frame: columns `trial`, `value`, and one a setting, of numbers or words.
        metric: name of `value`.

    Raises:
        DataError: a column is missing, or there is no row.
    """
    check_columns(frame, ("trial", "value"), "parallel coordinates")
    settings = [name for name in frame.columns if name not in ("trial", "value")]
    parts = [_axis(frame, name) for name in [*settings, "value"]]
    axes = [name.split(".")[-1].replace("_", " ") for name in settings] + [metric]
    long = pl.concat(
        part.with_columns(axis=pl.lit(name)) for part, name in zip(parts, axes, strict=True)
    )
    best = alt.Color("value:Q", title=metric, legend=alt.Legend(orient="top")).scale(
        scheme="viridis"
    )
    base = alt.Chart(long).encode(
        x=alt.X("axis:N", sort=axes, title=None, axis=alt.Axis(labelAngle=-25, labelLimit=120)),
        y=alt.Y("place:Q", axis=alt.Axis(title="smallest to largest", labels=False, ticks=False)),
        color=best,
        detail="trial:N",
        tooltip=["trial:N", "axis:N", "shown:N", alt.Tooltip("value:Q", format=".4f")],
    )
    lines = base.mark_line(strokeWidth=2, opacity=0.8)
    return (lines + base.mark_point(filled=True, size=45)).properties(width=WIDTH, height=260)


def _axis(frame: pl.DataFrame, name: str) -> pl.DataFrame:
    """trial, value, shown, place (0 to 1) of one setting; words by their order in the alphabet."""
    column = frame[name]
    numbers = column if column.dtype.is_numeric() else column.rank("dense")
    numbers = numbers.cast(pl.Float64)
    values = numbers.to_numpy()
    span = float(values.max() - values.min())
    place = pl.Series((values - values.min()) / span if span else values * 0 + 0.5)
    shown = pl.Series([f"{one:.4g}" if isinstance(one, float) else str(one) for one in column])
    return frame.select("trial", "value").with_columns(shown=shown, place=place)


def cost(frame: pl.DataFrame, metric: str) -> Chart:
    """Best figure so far against the seconds that the search had spent.

    Args:
        frame: columns `trial`, `value` (null where a trial gave none), `seconds`, in their order.
        metric: name of `value`.

    Raises:
        DataError: a column is missing, or there is no row.
    """
    check_columns(frame, ("trial", "value", "seconds"), "cost")
    table = frame.with_columns(
        spent=pl.col("seconds").cum_sum(), best=pl.col("value").cum_max().forward_fill()
    )
    x = alt.X("spent:Q", title="seconds of training, all trials so far")
    base = alt.Chart(table).encode(x=x, tooltip=["trial:N", "spent:Q", "value:Q"])
    best = base.mark_line(interpolate="step-after", color=GREY, strokeDash=[4, 3])
    points = base.mark_point(filled=True, size=70, opacity=1, color=B)
    y = alt.Y("value:Q", title=metric).scale(zero=False)
    return (best.encode(y="best:Q") + points.encode(y=y)).properties(width=WIDTH, height=240)


def trial_curves(frame: pl.DataFrame, metric: str) -> Chart:
    """Each trial's best figure up to each epoch.

    Args:
        frame: columns `trial`, `epoch`, `value`.
        metric: name of `value`.

    Raises:
        DataError: a column is missing, or there is no row.
    """
    check_columns(frame, ("trial", "epoch", "value"), "learning curves")
    lines = alt.Chart(frame).mark_line(point=True)
    return lines.encode(
        x=alt.X("epoch:O", title="epoch", axis=alt.Axis(labelAngle=0)),
        y=alt.Y("value:Q", title=metric).scale(zero=False),
        color=alt.Color("trial:N", legend=alt.Legend(orient="top", columns=8)),
        tooltip=["trial:N", "epoch:O", alt.Tooltip("value:Q", format=".4f")],
    ).properties(width=WIDTH, height=240)


def matrix(frame: pl.DataFrame, title: str) -> Chart:
    """What each domain gains from each start: one cell a pair, green above 0, red below.

    Args:
        frame: columns `source`, `target`, `gain`.
        title: of the colours.

    Raises:
        DataError: a column is missing, or there is no row.
    """
    check_columns(frame, ("source", "target", "gain"), "matrix")
    most = max(1e-9, float(frame["gain"].abs().to_numpy().max()))
    base = alt.Chart(frame).encode(
        x=alt.X("target:N", title="to", axis=alt.Axis(labelAngle=0, orient="top")),
        y=alt.Y("source:N", title="begins with"),
        tooltip=["source:N", "target:N", alt.Tooltip("gain:Q", format="+.4f")],
    )
    scale = alt.Scale(domain=[-most, 0, most], range=[WORSE, "#eef1f4", BETTER])
    cells = base.mark_rect(cornerRadius=3).encode(
        color=alt.Color("gain:Q", title=title, scale=scale, legend=alt.Legend(orient="bottom"))
    )
    figures = base.mark_text(fontSize=12, color="#1d2733").encode(
        text=alt.Text("gain:Q", format="+.4f")
    )
    return (cells + figures).properties(width=WIDTH, height={"step": 44})


def feedback(frame: pl.DataFrame) -> Chart:
    """Events by day, stacked by their kind.

    Args:
        frame: columns `day` (ISO), `event`, `n`.

    Raises:
        DataError: a column is missing, or there is no row.
    """
    check_columns(frame, ("day", "event", "n"), "feedback")
    bars = alt.Chart(frame).mark_bar(cornerRadius=2)
    return bars.encode(
        x=alt.X("day:O", title="day (UTC)", axis=alt.Axis(labelAngle=-40, labelOverlap=True)),
        y=alt.Y("sum(n):Q", title="events"),
        color=alt.Color("event:N", legend=alt.Legend(orient="top", title=None)),
        tooltip=["day:O", "event:N", alt.Tooltip("sum(n):Q", format=",")],
    ).properties(width=WIDTH, height=200)


def stages(frame: pl.DataFrame) -> Chart:
    """Mean time of each route, in the stages that sum to it.

    Args:
        frame: columns `domain`, `route`, `stage`, `n`, `mean_ms`; means of several domains are
            weighed by their number of requests.

    Raises:
        DataError: a column is missing, or there is no row.
    """
    check_columns(frame, ("domain", "route", "stage", "n", "mean_ms"), "stages")
    spent = pl.col("n") * pl.col("mean_ms")
    # Not every request goes through every stage: the whole is divided by all that came in.
    came = frame.group_by("domain", "route").agg(pl.col("n").max())
    asked = came.group_by("route").agg(asked=pl.col("n").sum())
    table = frame.group_by("route", "stage", maintain_order=True).agg(ms=spent.sum())
    table = table.join(asked, "route").with_columns(ms=pl.col("ms") / pl.col("asked"))
    bars = alt.Chart(table).mark_bar(cornerRadius=2)
    return bars.encode(
        y=alt.Y("route:N", title=None, sort="-x"),
        x=alt.X("ms:Q", title="mean milliseconds in a replica"),
        color=alt.Color("stage:N", legend=alt.Legend(orient="top", title=None, columns=4)),
        tooltip=["route:N", "stage:N", alt.Tooltip("ms:Q", format=".2f"), "asked:Q"],
    ).properties(width=WIDTH, height={"step": 28})


def _percent() -> alt.Axis:
    return alt.Axis(format=".0%", tickCount=5)


def _side(field: str, domain: list[str], colours: list[str]) -> Any:
    legend = alt.Legend(title=None, orient="top")
    return alt.Color(f"{field}:N", legend=legend).scale(domain=domain, range=colours)
