"""Charts: each function takes a frame and gives an Altair chart; nothing is kept between calls.

Leaves to others: making the frames (evaluation/, tuning/, serving/) and showing them (apps/).
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import altair as alt
import polars as pl

from crossrec.chart_parts import (
    GREY,
    KIND_COLOURS,
    SIGNAL_COLOURS,
    SOURCE_COLOURS,
    STATE_COLOURS,
    WIDTH,
    Chart,
    check_columns,
    domain_colour,
    known_first,
    with_missing,
)
from crossrec.errors import ConfigError


def explanation(parts: pl.DataFrame, n_parts: int = 10) -> Chart:
    """Waterfall of the parts of one item's score; the bars add up to the bar `score`.

    Args:
        parts: columns `kind`, `label`, `value`, as in `messages.Part`.
        n_parts: bars before the rest is put together as one; base and popularity come first,
            then the largest in size.

    Raises:
        DataError: a column is missing, or there is no part.
    """
    check_columns(parts, ("kind", "label", "value"), "explanation")
    steps = _waterfall(parts, n_parts)
    labels = json.dumps(steps["label"].to_list())
    kinds = [kind for kind in KIND_COLOURS if kind in set(steps["kind"])]
    base = alt.Chart(steps).encode(
        y=alt.Y(
            "row:O",
            title=None,
            axis=alt.Axis(labelExpr=f"{labels}[datum.value]", labelLimit=150, ticks=False),
        ),
        tooltip=[
            alt.Tooltip("label:N", title="part"),
            alt.Tooltip("kind:N"),
            alt.Tooltip("value:Q", format="+.4f"),
        ],
    )
    bars = base.mark_bar(cornerRadius=2, height={"band": 0.7}).encode(
        x=alt.X("start:Q", title="score (no unit; higher ranks first)").scale(padding=48),
        x2="end:Q",
        color=_colour("kind", kinds, [KIND_COLOURS[kind] for kind in kinds], "Part", 2),
    )
    figures = base.mark_text(align="left", dx=4, fontSize=10).encode(
        x="right:Q", text=alt.Text("value:Q", format="+.3f")
    )
    return (bars + figures).properties(width=WIDTH, height={"step": 21})


def _waterfall(parts: pl.DataFrame, n_parts: int) -> pl.DataFrame:
    """Rows in drawing order with `row`, `start`, `end` and `right`, the last one the total."""
    ranked = parts.select("kind", "label", pl.col("value").cast(pl.Float64)).sort(
        pl.col("kind").replace_strict({"base": 0, "popularity": 1}, default=2),
        -pl.col("value").abs(),
    )
    shown, rest = ranked.head(n_parts), ranked.slice(n_parts)
    rows = shown.rows(named=True)
    if len(rest):
        rows.append({"kind": "other", "label": f"{len(rest)} more", "value": rest["value"].sum()})
    steps, total = [], 0.0
    for row in rows:
        steps.append({**row, "start": total, "end": total + row["value"]})
        total += row["value"]
    steps.append({"kind": "score", "label": "score", "value": total, "start": 0.0, "end": total})
    return (
        pl.DataFrame(steps)
        .with_row_index("row")
        .with_columns(right=pl.max_horizontal("start", "end"))
    )


def signals(frame: pl.DataFrame) -> Chart:
    """What each signal gives to each item of a ranking, one stacked bar an item.

    Args:
        frame: columns `rank`, `title`, `signal`, `value`; values of an item sum to its score.

    Raises:
        DataError: a column is missing, or there is no row.
    """
    check_columns(frame, ("rank", "title", "signal", "value"), "signals")
    titles = frame.sort("rank").unique("rank", maintain_order=True)
    labels = {row["rank"]: f"{row['rank']}  {row['title']}" for row in titles.rows(named=True)}
    names = known_first(frame["signal"], SIGNAL_COLOURS)
    axis = alt.Axis(labelExpr=f"{json.dumps(labels)}[datum.value]", labelLimit=160, ticks=False)
    bars = alt.Chart(frame).mark_bar(height={"band": 0.7})
    return bars.encode(
        y=alt.Y("rank:O", title=None, axis=axis),
        x=alt.X("value:Q", title="score (no unit; higher ranks first)", stack="zero"),
        color=_colour("signal", names, [SIGNAL_COLOURS.get(n, GREY) for n in names], "Signal", 2),
        tooltip=["title:N", "signal:N", alt.Tooltip("value:Q", format="+.4f")],
    ).properties(width=WIDTH, height={"step": 21})


def metrics(
    frame: pl.DataFrame, metric: str = "NDCG@10", *, lower_is_better: bool = False
) -> Chart:
    """A metric of our model against baselines and peers, the best first, with 95 % intervals over
    users where they are known.

    Args:
        frame: columns `domain`, `model`, `kind` (`ours`, `baseline`, `published`), `value`, and
            where known `low`, `high` (bounds of the interval) and `n_users`. One panel a domain.
        metric: name of the metric, for the axis.
        lower_is_better: as of an error; said on the axis.

    Raises:
        DataError: a column is missing, or there is no row.
    """
    check_columns(frame, ("domain", "model", "kind", "value"), "metrics")
    table = with_missing(frame, {"low": pl.Float64, "high": pl.Float64, "n_users": pl.Int64})
    panels = [_metric_panel(part, metric, lower_is_better) for part in table.partition_by("domain")]
    # Each panel keeps its own colours: "ours" has the colour of the panel's domain.
    return (
        panels[0] if len(panels) == 1 else alt.vconcat(*panels).resolve_scale(color="independent")
    )


def _metric_panel(table: pl.DataFrame, metric: str, lower_is_better: bool) -> alt.LayerChart:
    domain = str(table["domain"][0])
    n_users = table["n_users"].drop_nulls()
    users = f"{n_users[0]:,} users" if len(n_users) else "number of users not stated"
    kinds = known_first(table["kind"], ("ours", "baseline", "published"))
    shapes = {"ours": "circle", "baseline": "square", "published": "diamond"}
    colours = {"ours": domain_colour(domain), "baseline": GREY, "published": "#ab8c1e"}
    best, order = ("lower", "ascending") if lower_is_better else ("higher", "descending")
    spread_said = ", 95 % intervals" if len(table["low"].drop_nulls()) else ""
    base = alt.Chart(table).encode(
        y=alt.Y("model:N", title=None, sort=alt.SortField("value", order)),
        color=_colour("kind", kinds, [colours.get(kind, GREY) for kind in kinds], "Model"),
    )
    spread = base.mark_rule(strokeWidth=2).encode(
        x=alt.X(
            "low:Q",
            title=f"{metric} ({best} is better){spread_said}",
            axis=alt.Axis(tickCount=6),
        ),
        x2="high:Q",
    )
    points = base.mark_point(filled=True, size=70, opacity=1).encode(
        x=alt.X("value:Q", axis=alt.Axis(tickCount=6)).scale(zero=True),
        shape=alt.Shape("kind:N", legend=None).scale(
            domain=kinds, range=[shapes.get(kind, "circle") for kind in kinds]
        ),
        tooltip=["model:N", "kind:N", *_figures("value", "low", "high"), "n_users:Q"],
    )
    title = f"{domain}, {users}"
    return (spread + points).properties(title=title, width=WIDTH, height={"step": 20})


def trials(frame: pl.DataFrame, metric: str = "NDCG@10") -> Chart:
    """Trials of a search in the order they started, and the best figure so far.

    Args:
        frame: columns `trial` (number) and `value` (the metric on validation, null where the
            trial gave none), and where known `state` (`complete`, `stopped early`, `failed`)
            and `epochs`.
        metric: name of the metric, for the axis.

    Raises:
        DataError: a column is missing, or there is no row.
    """
    check_columns(frame, ("trial", "value"), "trials")
    table = with_missing(frame, {"state": pl.String, "epochs": pl.Int64}).sort("trial")
    table = table.with_columns(
        pl.col("state").fill_null("complete"),
        best=pl.col("value").fill_nan(None).cum_max().forward_fill(),
    )
    states = known_first(table["state"], STATE_COLOURS)
    base = alt.Chart(table).encode(
        x=alt.X("trial:O", title="trial (in order of start)", axis=alt.Axis(labelAngle=0))
    )
    best = base.mark_line(interpolate="step-after", color=GREY, strokeDash=[4, 3]).encode(
        y=alt.Y("best:Q")
    )
    points = base.mark_point(filled=True, size=80, opacity=1).encode(
        y=alt.Y("value:Q", title=f"validation {metric} (dashed: best so far)").scale(zero=False),
        color=_colour("state", states, [STATE_COLOURS.get(s, GREY) for s in states], "Trial"),
        tooltip=["trial:O", *_figures("value"), "state:N", "epochs:Q"],
    )
    # A trial without a figure has no height of its own: a cross at the foot shows it happened.
    lost = base.transform_filter("!isValid(datum.value)").mark_point(shape="cross", size=60)
    crosses = lost.encode(
        y=alt.value(252), color=alt.Color("state:N"), tooltip=["trial:O", "state:N"]
    )
    return (best + points + crosses).properties(width=WIDTH, height=260)


def learning_curves(frame: pl.DataFrame, metric: str = "NDCG@10") -> Chart:
    """Training loss above, validation metric below, by epoch; one colour a domain.

    Args:
        frame: columns `domain`, `epoch`, `loss`, `metric`, and where known `seed`. Several
            seeds give their mean as a line and their range as a band.
        metric: name of the metric, for the axis.

    Raises:
        DataError: a column is missing, or there is no row.
    """
    check_columns(frame, ("domain", "epoch", "loss", "metric"), "learning curves")
    seeds = frame["seed"].n_unique() if "seed" in frame.columns else 1
    spread = f"mean and range of {seeds} seeds" if seeds > 1 else "one seed"
    loss = _curve(frame, "loss", "training loss (nats)")
    quality = _curve(frame, "metric", f"validation {metric}")
    return alt.vconcat(loss, quality).properties(title=f"Learning curves, {spread}")


def _curve(frame: pl.DataFrame, column: str, title: str) -> alt.LayerChart:
    domains = sorted(frame["domain"].unique())
    base = alt.Chart(frame).encode(
        x=alt.X("epoch:O", title="epoch", axis=alt.Axis(labelAngle=0)),
        color=_colour("domain", domains, [domain_colour(d) for d in domains], "Domain"),
    )
    band = base.mark_area(opacity=0.2).encode(y=f"min({column}):Q", y2=f"max({column}):Q")
    line = base.mark_line(point=True).encode(
        y=alt.Y(f"mean({column}):Q", title=title).scale(zero=False),
        tooltip=["domain:N", "epoch:O", alt.Tooltip(f"mean({column}):Q", format=".4f")],
    )
    return (band + line).properties(width=WIDTH, height=150)


def timeline(history: pl.DataFrame, n_items: int = 20, ordered_only: bool = False) -> Chart:
    """What a user did and when, newest at the top.

    Args:
        history: columns `title`, `event`, `timestamp`, `source` (`training`, `feedback`), as
            in `messages.UserHistoryItem`.
        n_items: newest interactions shown.
        ordered_only: `timestamp` is a position, not seconds since 1970 (Domain.time_kind).

    Raises:
        DataError: a column is missing, or there is no row.
    """
    check_columns(history, ("title", "event", "timestamp", "source"), "timeline")
    newest = history.sort("timestamp", descending=True, maintain_order=True).head(n_items)
    table = newest.with_row_index("row").with_columns(when=pl.col("timestamp") * 1000)
    labels = json.dumps(table["title"].to_list())
    sources = known_first(table["source"], SOURCE_COLOURS)
    when = (
        alt.X("timestamp:Q", title="position in the history").scale(padding=12)
        if ordered_only
        else alt.X("when:T", title="time (UTC)").scale(type="utc", padding=12)
    )
    time = (
        alt.Tooltip("timestamp:Q", title="position in the history")
        if ordered_only
        else alt.Tooltip("when:T", title="time (UTC)")
    )
    axis = alt.Axis(labelExpr=f"{labels}[datum.value]", labelLimit=160, ticks=False, grid=True)
    points = alt.Chart(table).mark_point(filled=True, size=70, opacity=1)
    return points.encode(
        x=when,
        y=alt.Y("row:O", title=None, axis=axis),
        color=_colour("source", sources, [SOURCE_COLOURS[s] for s in sources], "Known from"),
        tooltip=["title:N", "event:N", "source:N", time],
    ).properties(width=WIDTH, height={"step": 18})


def activity(frame: pl.DataFrame, column: str = "n_interactions", each: str = "user") -> Chart:
    """How many users (or items) have how many interactions; one colour a domain.

    Args:
        frame: columns `domain` and `column`, one row a user (or an item).
        column: the count to draw; its name without `n_` titles the axis.
        each: what a row is, for the axes.

    Raises:
        DataError: a column is missing, or there is no row.
    """
    check_columns(frame, ("domain", column), "activity")
    domains = sorted(frame["domain"].unique())
    # Bins that double (1, 2, 4, …): counts have a long tail, and equal bins would hide it.
    power = pl.col(column).clip(1).log(2).floor().cast(pl.Int64)
    binned = (
        frame.with_columns(low=pl.lit(2).pow(power).cast(pl.Int64))
        .group_by("domain", "low")
        .agg(n_rows=pl.len())
        .sort("domain", "low")
    )
    labels = {low: f"{low}" if low == 1 else f"{low}-{2 * low - 1}" for low in binned["low"]}
    axis = alt.Axis(labelExpr=f"{json.dumps(labels)}[datum.value]", labelAngle=0)
    what = column.removeprefix("n_").replace("_", " ")
    return (
        alt.Chart(binned)
        .mark_bar(cornerRadius=2)
        .encode(
            x=alt.X("low:O", title=f"{what} per {each}", axis=axis),
            y=alt.Y("n_rows:Q", title=f"{each}s ({len(frame):,} in all)"),
            xOffset="domain:N",
            color=_colour("domain", domains, [domain_colour(d) for d in domains], "Domain"),
            tooltip=["domain:N", "low:O", "n_rows:Q"],
        )
        .properties(width=WIDTH, height=220)
    )


def save(chart: Chart, path: Path | str, scale: float = 2.0) -> Path:
    """Write a chart as PNG or SVG, by the ending of `path`; no browser is needed.

    Args:
        scale: pixels of a PNG per unit of the chart.

    Raises:
        ConfigError: another ending.
    """
    path = Path(path)
    kind = path.suffix.lower()
    if kind not in (".png", ".svg"):
        raise ConfigError(f"cannot save a chart as '{path.name}'; expected .png or .svg")
    chart.save(str(path), scale_factor=scale)
    return path


def _colour(field: str, domain: list[str], colours: list[str], title: str, columns: int = 4) -> Any:
    legend = alt.Legend(title=title, orient="top", columns=columns, labelLimit=110, symbolOpacity=1)
    return alt.Color(f"{field}:N", legend=legend).scale(domain=domain, range=colours)


def _figures(*names: str) -> list[alt.Tooltip]:
    return [alt.Tooltip(f"{name}:Q", format=".4f") for name in names]
