"""Charts of the benchmark: quality of each model warm and cold, and quality against cost.

Leaves to others: making the frames (report.py), colours and files (crossrec.plots).
"""

from __future__ import annotations

import altair as alt
import polars as pl

from crossrec.chart_parts import GREY, WIDTH, Chart, domain_colour


def warm_and_cold(frame: pl.DataFrame, metric: str = "NDCG@10") -> Chart:
    """A metric of every model on one domain, warm and cold targets side by side.

    Args:
        frame: columns `domain`, `model`, `kind` (`ours`, `peer`), `targets` (`warm`, `cold`),
            `value`, `low`, `high` (95 % interval over users), `n_cases`.
        metric: name of the metric, for the axis.
    """
    order = frame.filter(pl.col("targets") == frame["targets"][0]).sort("value", descending=True)
    panels = [
        _panel(part, order["model"].to_list(), metric) for part in frame.partition_by("targets")
    ]
    return panels[0] if len(panels) == 1 else alt.vconcat(*panels)


def _panel(part: pl.DataFrame, order: list[str], metric: str) -> alt.LayerChart:
    base = alt.Chart(part).encode(
        y=alt.Y("model:N", title=None, sort=order), color=_colour(part["domain"][0])
    )
    title = f"{metric} (0 to 1, higher is better; line: 95 % interval)"
    spread = base.mark_rule(strokeWidth=2).encode(x=alt.X("low:Q", title=title), x2="high:Q")
    points = base.mark_point(filled=True, size=70, opacity=1).encode(
        x=alt.X("value:Q").scale(zero=True),
        tooltip=["model:N", *(alt.Tooltip(f"{n}:Q", format=".4f") for n in _FIGURES)],
    )
    name = f"{part['domain'][0]}, {part['targets'][0]} targets, {part['n_cases'][0]:,} cases"
    return (spread + points).properties(title=name, width=WIDTH, height={"step": 18})


_FIGURES = ("value", "low", "high")


def _colour(domain: str) -> alt.Color:
    colours = [domain_colour(domain.split()[0]), GREY]
    legend = alt.Legend(title="Model", orient="top")
    return alt.Color("kind:N", legend=legend).scale(domain=["ours", "peer"], range=colours)


def cost(frame: pl.DataFrame, metric: str = "NDCG@10") -> Chart:
    """Quality against training time, one panel a domain, both axes its own.

    Args:
        frame: columns `domain`, `model`, `kind` (`ours`, `peer`), `value`, `seconds` (training
            with the parameters chosen, above 0).
        metric: name of the metric, for the axis.
    """
    panels = [_cost_panel(part, metric) for part in frame.partition_by("domain")]
    return alt.concat(*panels, columns=2).resolve_scale(color="independent")


def _cost_panel(part: pl.DataFrame, metric: str) -> alt.LayerChart:
    base = alt.Chart(part).encode(
        x=alt.X("seconds:Q", title="training (seconds, one fit)").scale(type="log", padding=20),
        y=alt.Y("value:Q", title=metric).scale(zero=True),
    )
    points = base.mark_point(filled=True, size=60, opacity=1).encode(
        color=_colour(part["domain"][0]),
        tooltip=["model:N", alt.Tooltip("value:Q", format=".4f"), "seconds:Q"],
    )
    names = base.mark_text(align="left", dx=6, fontSize=9, color=GREY).encode(text="model:N")
    return (points + names).properties(title=part["domain"][0], width=320, height=220)
