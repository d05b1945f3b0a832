"""Charts of what is on record: searches, transfers, feedback, requests; a frame in, a chart out.

Leaves to others: making the frames (serving/insight.py, the app), releases (release_plots.py).
"""

from __future__ import annotations

import altair as alt
import polars as pl

from crossrec.chart_parts import GREY, WIDTH, Chart, check_columns, with_missing
from crossrec.config import setting_titles
from crossrec.release_plots import B

CELLS = ("#e38391", "#eef1f4", "#62bd9f")
"""Worse, the same, better: light enough for the figures that stand in them."""
IN_CELLS = "#1d2733"


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
    axes = [*setting_titles(settings), metric]
    long = pl.concat(
        part.with_columns(axis=pl.lit(name)) for part, name in zip(parts, axes, strict=True)
    )
    best = alt.Color("value:Q", title=metric, legend=alt.Legend(orient="top")).scale(
        range=[GREY, "#da7a24"]
    )
    base = alt.Chart(long).encode(
        x=alt.X("axis:N", sort=axes, title=None, axis=alt.Axis(labelAngle=-25, labelLimit=120)),
        y=alt.Y("place:Q", axis=alt.Axis(title="smallest to largest", labels=False, ticks=False)),
        color=best,
        detail="trial:N",
        tooltip=[
            "trial:N", alt.Tooltip("axis:N", title="setting"),
            alt.Tooltip("shown:N", title="value"),
            alt.Tooltip("value:Q", title=metric, format=".4f"),
        ],
    )  # fmt: skip
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
    spent = alt.Tooltip("spent:Q", title="seconds of training, all trials so far", format=",.0f")
    figure = alt.Tooltip("value:Q", title=metric, format=".4f")
    base = alt.Chart(table).encode(x=x, tooltip=["trial:N", spent, figure])
    best = base.mark_line(interpolate="step-after", color=GREY, strokeDash=[4, 3])
    points = base.mark_point(filled=True, size=70, opacity=1, color=B)
    y = alt.Y("value:Q", title=metric).scale(zero=False)
    return (best.encode(y="best:Q") + points.encode(y=y)).properties(width=WIDTH, height=240)


def trial_curves(frame: pl.DataFrame, metric: str) -> Chart:
    """Each trial's figure after each epoch.

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
        color=alt.Color("trial:N", legend=alt.Legend(title="Trial", orient="top", columns=8)),
        tooltip=["trial:N", "epoch:O", alt.Tooltip("value:Q", title=metric, format=".4f")],
    ).properties(width=WIDTH, height=240)


def weights(frame: pl.DataFrame) -> Chart:
    """Weights of objectives as they were learned, version after version.

    Args:
        frame: columns `at` (seconds since 1970 UTC), `version`, `objective`, `weight`.

    Raises:
        DataError: a column is missing, or there is no row.
    """
    check_columns(frame, ("at", "version", "objective", "weight"), "weights")
    table = frame.with_columns(when=pl.col("at") * 1000)
    lines = alt.Chart(table).mark_line(interpolate="step-after", point=True)
    return lines.encode(
        x=alt.X("when:T", title="time (UTC)").scale(type="utc"),
        y=alt.Y("weight:Q", title="weight (relevance: 1)"),
        color=alt.Color("objective:N", legend=alt.Legend(orient="top", title=None, columns=3)),
        tooltip=[
            "objective:N", "version:Q",
            alt.Tooltip("weight:Q", title="weight (relevance: 1)", format=".3f"),
            alt.Tooltip("when:T", title="time (UTC)", format="%Y-%m-%d %H:%M"),
        ],
    ).properties(width=WIDTH, height=200)  # fmt: skip


def matrix(frame: pl.DataFrame, title: str) -> Chart:
    """What each domain gains from each start: one cell a pair, green above 0, red below; a figure
    whose interval holds 0 stands in brackets: it may be noise.

    Args:
        frame: columns `source`, `target`, `gain`, and where known `low`, `high` (bounds of its
            interval; null: not known).
        title: of the colours.

    Raises:
        DataError: a column is missing, or there is no row.
    """
    check_columns(frame, ("source", "target", "gain"), "matrix")
    most = max(1e-9, float(frame["gain"].abs().to_numpy().max()))
    known = with_missing(frame, {"low": pl.Float64, "high": pl.Float64})
    noise = ((pl.col("low") <= 0) & (pl.col("high") >= 0)).fill_null(False)
    base = alt.Chart(known.with_columns(noise=noise)).encode(
        x=alt.X("target:N", title="to", axis=alt.Axis(labelAngle=0, orient="top")),
        y=alt.Y("source:N", title="begins with"),
        tooltip=[
            alt.Tooltip("source:N", title="begins with"),
            alt.Tooltip("target:N", title="to"),
            *(alt.Tooltip(f"{name}:Q", format="+.4f") for name in ("gain", "low", "high")),
        ],
    )
    scale = alt.Scale(domain=[-most, 0, most], range=list(CELLS))
    cells = base.mark_rect(cornerRadius=3).encode(
        color=alt.Color("gain:Q", title=title, scale=scale, legend=alt.Legend(orient="bottom")),
    )
    signed = alt.expr.format(alt.datum.gain, "+.4f")
    told = base.transform_calculate(told=alt.expr.if_(alt.datum.noise, "(" + signed + ")", signed))
    figures = told.mark_text(fontSize=12, color=IN_CELLS).encode(text="told:N")
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
        x=alt.X("day:O", title="day (UTC)", axis=alt.Axis(labelAngle=0, labelOverlap=True)),
        y=alt.Y("sum(n):Q", title="events"),
        color=alt.Color("event:N", legend=alt.Legend(orient="top", title=None)),
        tooltip=["day:O", "event:N", alt.Tooltip("sum(n):Q", title="events", format=",")],
    ).properties(width=WIDTH, height=200)


def course(frame: pl.DataFrame, column: str, title: str) -> Chart:
    """A figure of the service over time.

    Args:
        frame: columns `at` (seconds since 1970 UTC) and `column` (null where there is none).
        column: of the figure.
        title: of its axis, with its unit.

    Raises:
        DataError: a column is missing, or there is no row.
    """
    check_columns(frame, ("at", column), "course")
    table = frame.select(when=pl.col("at") * 1000, value=column)
    return alt.Chart(table).mark_line(point=True, color=B).encode(
        x=alt.X("when:T", title="time (UTC)").scale(type="utc"),
        y=alt.Y("value:Q", title=title),
        tooltip=[
            alt.Tooltip("when:T", title="time (UTC)", format="%H:%M:%S"),
            alt.Tooltip("value:Q", title=title, format=".2f"),
        ],
    ).properties(width=WIDTH, height=120)  # fmt: skip


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
        color=alt.Color("stage:N", legend=alt.Legend(orient="top", title=None, columns=3)),
        tooltip=[
            "route:N", "stage:N",
            alt.Tooltip("ms:Q", title="mean milliseconds in a replica", format=".2f"),
            alt.Tooltip("asked:Q", title="requests", format=","),
        ],
    ).properties(width=WIDTH, height={"step": 28})  # fmt: skip
