"""Quality: how good a release is beside its peers, for whom, and what its scores are worth.

Leaves to others: judging (`crossrec evaluate`), calls (service.py), charts (plots, release_plots).
"""

from __future__ import annotations

from typing import Any

import polars as pl
import streamlit as st

from app_pages import controls, figures, frames, service, view
from app_pages.headings import heading
from app_pages.sentences import said
from app_pages.words import t
from crossrec import chart_parts, plots, release_plots
from crossrec.serving.insight_messages import ReleaseReport


def show() -> None:
    """The whole page: fetch, choose, show."""
    where, domain = service.address(), controls.domain()
    view.heading(t("Quality"), t("How good is this release, beside what else one could use?"))
    version = controls.evaluated_release(where, domain)
    if version is None:
        return
    with service.or_stop():
        found = service.report(where, domain, version)
    peers(found)
    apart(found)
    groups(found)
    left, right = st.columns(2, gap="medium")
    with left:
        popularity(found)
    with right:
        calibration(found)
    deletion(found)


def peers(found: ReleaseReport) -> None:
    """Ours, baselines fitted now, published peers, by a figure of the task or of the ranking."""
    report = found.report
    text = t(
        "{n} test users, {protocol}, data {data}; baselines were fitted on the same data.",
        n=f"{report['n']:,}",
        protocol=report["protocol"],
        data=report["data_hash"][:12],
    )
    view.section(t("Beside peers"), text)
    names = {heading(name): name for name in offered(report)}
    if st.session_state.get("metric", "") not in names:  # of a release of another task
        st.session_state.pop("metric", None)
    metric, name = controls.metric(names)
    frame = frames.models(report, name)
    lower = name in figures.LOWER_IS_BETTER
    drawn = plots.metrics(frame.drop_nulls("value"), metric, lower_is_better=lower)
    view.chart(drawn, t("Metric of each model with its interval"))
    if lacking := frame.filter(pl.col("value").is_null())["model"].to_list():
        text = t("Not shown, as they have no such figure: {models}.", models=", ".join(lacking))
        view.tell("caption", text)
    for note in report["notes"]:
        view.tell("caption", said(note))


def offered(report: dict[str, Any]) -> list[str]:
    """Figures that some model of the report has, in the order of FIGURES, but for coverage."""
    rows = [row["figures"] for row in report["rows"]]
    some = {name for row in rows for name, value in row.items() if value is not None}
    return figures.known(some - {"coverage@10"})


def apart(found: ReleaseReport) -> None:
    """Warm and cold targets, coverage, the gap of ours to each: the table of all figures."""
    view.section(
        t("Warm and cold, coverage"),
        t("Cold: the item the user chose had no interaction in training ({n} cases).",
          n=found.report["n_cold"]),
    )  # fmt: skip
    view.table(frames.figures_of(found.report), f"{found.domain}-report", t("All figures"))


def groups(found: ReleaseReport) -> None:
    """By length of the history."""
    rows = [row for row in found.groups if row["trait"] == "history"]
    view.section(
        t("By length of the history"),
        t("NDCG@10 of users by how much is known of them, with 95 % intervals."),
    )
    if not rows:
        view.nothing(t("No group has the {n} users that it needs.", n=found.min_group))
        return
    frame = frames.spread(rows, "ndcg@10")
    view.chart(
        release_plots.intervals(frame, "NDCG@10", colour=chart_parts.domain_colour(found.domain)),
        t("NDCG@10 by length of the history"),
    )
    view.numbers(frame, "history-groups", t("NDCG@10 by length of the history"))


def popularity(found: ReleaseReport) -> None:
    """Whether the popular are shown more than they are asked for."""
    view.section(
        t("Popularity"),
        t("Above the grey line the popular are shown more than they were ever asked for."),
    )
    title = t("Share of interactions and of places in lists by popularity")
    frame = pl.DataFrame(found.popularity)
    view.chart(release_plots.popularity(frame, found.domain), title)
    view.numbers(frame.rename({"items": "catalogue"}), "popularity", title)


def calibration(found: ReleaseReport) -> None:
    """Whether sure scores are right more often."""
    view.section(
        t("Calibration"),
        t("How often the first item was right, against the softmax of the scores; below the dashed"
          " line the scores are too sure of themselves."),
    )  # fmt: skip
    if not found.calibration:
        view.nothing(t("There are too few cases."))
        return
    title = t("Observed against predicted share of right first items")
    frame = pl.DataFrame(found.calibration)
    view.chart(release_plots.calibration(frame, found.domain), title)
    view.numbers(frame.rename({"error": "standard_error"}), "calibration", title)


def deletion(found: ReleaseReport) -> None:
    """Whether the reasons given for an item are what carries its score."""
    run: dict[str, Any] | None = found.deletion
    view.section(
        t("Deletion test"),
        t("Reasons are taken away, the largest first: the smaller the area under the score, against"
          " random orders, the better the reasons."),
    )  # fmt: skip
    if run is None:
        command = f"crossrec evaluate {found.domain} --release {found.version} --reasons 100"
        view.nothing(t("It was not run for this release; run: {command}", command=command))
        return
    low, high = run["ci95"]
    view.figures([(t("Area over random orders"), f"{run['ratio']:.2f}", f"{low:.2f} … {high:.2f}")])
    view.tell("caption", t("{n} users; 1: no better than random, smaller is better.", n=run["n"]))


show()
