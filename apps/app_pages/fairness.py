"""Fairness: whether some users are served worse, and some providers shown less than asked for.

Groups come from columns that are kept for audits alone, and are large enough that nobody is
singled out. Leaves to others: measuring (`crossrec evaluate`), calls (service.py), charts.
"""

from __future__ import annotations

import streamlit as st

from app_pages import controls, frames, service, view
from app_pages.words import t
from crossrec import chart_parts, release_plots
from crossrec.serving.insight_messages import ReleaseReport

METRICS = {"NDCG@10": "ndcg@10", "Recall@10": "recall@10"}


def show() -> None:
    """The whole page: fetch, choose, show."""
    where, domain = service.address(), controls.domain()
    view.heading(t("Fairness"), t("Are some users served worse, some providers shown too little?"))
    version = controls.evaluated_release(where, domain)
    if version is None:
        return
    with service.or_stop():
        found = service.report(where, domain, version)
    users(found)
    providers(found)


def users(found: ReleaseReport) -> None:
    """Metrics and gaps of the groups of one trait."""
    text = t("Groups of at least {n} users; smaller ones are put together.", n=found.min_group)
    view.section(t("Users"), text)
    traits = list(dict.fromkeys(row["trait"] for row in found.groups if row["audit"]))
    if not traits:
        text = t("'{domain}' names no audit_columns, so there are no groups of users to compare.")
        view.nothing(text.format(domain=found.domain))
        return
    left, right = st.columns(2)
    names = {t(trait): trait for trait in traits}
    chosen = left.selectbox(t("Groups by"), list(names), key="trait", bind=controls.URL)
    trait = names[str(chosen)]
    with right:
        metric, name = controls.metric(METRICS)
    rows = [row for row in found.groups if row["trait"] == trait]
    colour = chart_parts.domain_colour(found.domain)
    one, two = st.columns(2, gap="medium")
    with one:
        frame = frames.spread(rows, name)
        drawn = release_plots.intervals(frame, f"{metric}, 95 %", colour=colour)
        view.chart(drawn, t("Metric of each group of users"))
    with two:
        frame = frames.spread(rows, f"{name}_gap")
        if frame.is_empty():
            view.nothing(t("There is one group alone, so there is no gap."))
        else:
            title = t("gap to all other users, 95 %")
            drawn = release_plots.intervals(frame, title, zero="equal", colour=colour)
            view.chart(drawn, t("Gap of each group to all other users"))
    verdict(rows, name)
    view.table(frames.groups(rows), f"{found.domain}-{trait}", str(chosen))


def verdict(rows: list[dict[str, object]], name: str) -> None:
    """Which gaps are more than noise, in a sentence."""
    apart = [
        f"{row['value']} ({gap[0]:+.3f})"
        for row in rows
        if (gap := row[f"{name}_gap"]) and (gap[1] > 0 or gap[2] < 0)  # type: ignore[index]
    ]
    if apart:
        text = t(
            "More than noise, each by itself: {groups}. Of {n} groups without any difference"
            " one in twenty would look so.",
            groups=", ".join(apart),
            n=len(rows),
        )
        view.tell("warning", text, "balance")
    else:
        view.tell("success", t("No gap is more than the noise of these users."), "balance")


def providers(found: ReleaseReport) -> None:
    """Shares of places in lists beside shares of interactions."""
    text = t("Item column '{column}'; share of places in first-10 lists, and of interactions.")
    view.section(t("Providers"), text.format(column=found.provider_column))
    rows = [row for row in found.providers if row["provider"]]
    if not rows:
        view.nothing(t("The items have no such column."))
        return
    frame = frames.groups(rows)
    drawn = release_plots.exposure(frame.select("provider", "interactions", "shown"))
    view.chart(drawn, t("Share of places and of interactions by provider"))
    if "gap" in frame.columns:  # evaluations that were kept before have none
        gaps = frame.select(label="provider", value="gap", low="gap_low", high="gap_high")
        title = t("places less interactions, 95 %")
        drawn = release_plots.intervals(gaps, title, zero="equal")
        view.chart(drawn, t("Gap between places and interactions of each provider"))
    view.table(frame, f"{found.domain}-providers", t("Providers"))


show()
