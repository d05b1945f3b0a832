"""Experiments: searches for settings: which settings matter, what the best one cost.

Leaves to others: searching (`crossrec tune`), calls (service.py), charts (plots, record_plots).
"""

from __future__ import annotations

import streamlit as st

from app_pages import controls, frames, service, view
from app_pages.sentences import said
from app_pages.words import t
from crossrec import plots, record_plots
from crossrec.serving.insight_messages import Experiment


def show() -> None:
    """The whole page: fetch, choose, show."""
    where = service.address()
    view.heading(t("Experiments"), t("Which settings were tried, which were best, at what cost?"))
    with service.or_stop():
        known = service.experiments(where).experiments
    if not known:
        command = "crossrec tune movies --trials 20"
        view.nothing(t("No search is on record; run: {command}", command=command))
        return
    names = {f"{one.domain} · {one.run}": one for one in known}
    with st.sidebar:
        chosen = names[str(st.selectbox(t("Search"), list(names), key="search", bind=controls.URL))]
    with service.or_stop():
        found = service.experiment(where, chosen.run, chosen.domain)
        simulated = controls.simulated(where, {chosen.domain})
    with st.container(horizontal=True, gap="small"):
        view.badges([chosen.domain, chosen.run], simulated=simulated)
    frame = frames.trials(found)
    judged = frame.drop_nulls("value")
    if judged.is_empty():
        view.nothing(t("No trial gave a figure: {reason}", reason=frames.first_error(found)))
        return
    view.figures(
        [
            (t("Trials"), str(len(frame)), ""),
            (t("Best"), f"{judged['value'].max():.4f}", said(found.judged)),
            (t("Seconds"), f"{frame['seconds'].sum():,.0f}", t("of training")),
        ]
    )
    charts(found)
    view.section(t("Trials"))
    view.table(
        frame.sort("value", descending=True, nulls_last=True), f"{found.run}-trials", t("Trials")
    )


def charts(found: Experiment) -> None:
    """Settings, order, cost and learning."""
    frame, metric = frames.trials(found), t("validation figure")
    judged = frame.drop_nulls("value")
    view.section(t("Settings"), t("One line a trial; the more orange, the better."))
    settings = judged.drop("state", "epochs", "seconds", "error")
    view.chart(record_plots.parallel(settings, metric), t("Trials across their settings"))
    left, right = st.columns(2, gap="medium")
    with left:
        view.section(t("Best against cost"), t("Dashed: the best so far."))
        drawn = record_plots.cost(frame.select("trial", "value", "seconds"), metric)
        view.chart(drawn, t("Best figure so far against seconds of training"))
    with right:
        view.section(t("In the order of start"), t("Dashed: the best so far."))
        view.chart(plots.trials(frame, t("figure")), t("Figure of each trial in order"))
    curves = frames.curves(found)
    if not curves.is_empty():
        view.section(t("Learning curves"), t("Validation figure of each trial after each epoch."))
        view.chart(record_plots.trial_curves(curves, metric), t("Figure of each trial by epoch"))
        view.numbers(curves, "learning-curves", t("Figure of each trial by epoch"))


show()
