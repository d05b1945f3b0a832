"""Live: what the service is doing now: applications, requests and their time by stage, feedback,
learned weights, drift, alerts; asked for again every few seconds.

Leaves to others: counting (the service; over longer times Prometheus), calls (service.py), charts.
"""

from __future__ import annotations

import time
from datetime import UTC, datetime

import polars as pl
import streamlit as st

from app_pages import controls, course, frames, moments, service, view
from app_pages.sentences import said
from app_pages.words import t
from crossrec import record_plots, release_plots
from crossrec.errors import CrossrecError
from crossrec.serving.insight_messages import LiveState, Row
from crossrec.serving.messages import DomainSummary

EVERY_S = 10.0
CHOSEN = "live.chosen"
"""Key of the domain that the link of the page names."""


def show() -> None:
    """The whole page; it asks again by itself."""
    view.heading(t("Live"), t("Is everything running, and what do users do?"))
    with st.sidebar:
        follow = st.toggle(t("Ask again every {n} s", n=int(EVERY_S)), True, key="follow",
                           bind=controls.URL)  # fmt: skip
    st.fragment(now, run_every=EVERY_S if follow else None)()


def now() -> None:
    """What is known at this moment."""
    where = service.address()
    start = time.perf_counter()
    with service.or_stop():
        found = service.live(where)
        served = service.domains(where)
    answered_ms = (time.perf_counter() - start) * 1000
    with view.again():
        shown(found, served, answered_ms)


def shown(found: LiveState, served: list[DomainSummary], answered_ms: float) -> None:
    """What the service said, and how long it took."""
    at = datetime.fromtimestamp(found.at, UTC)
    running = sum(one == "RUNNING" for one in found.applications.values())
    today = [row["n"] for row in found.feedback if row["day"] == f"{at:%Y-%m-%d}"]
    view.figures(
        [
            (t("Applications running"), f"{running} / {len(found.applications)}", ""),
            (t("Feedback today"), f"{sum(today):,}", t("events")),
            (t("This answer took"), f"{answered_ms:.0f} ms", f"{at:%H:%M:%S} UTC"),
        ]
    )
    alerts(found)
    course.note(found)
    of_all = t("all")
    told = {row["domain"] for row in [*found.requests, *found.feedback]} - {""}
    domains = sorted({*(one.name for one in served), *told})  # also those that nobody asked yet
    names = [of_all, *domains]
    chosen = str(st.selectbox(t("Domain"), names, key="live.domain", bind=controls.URL))
    only = None if chosen == of_all else chosen
    _follow(only)
    simulated = any(one.simulated for one in served if one.name == chosen)
    with st.container(horizontal=True, gap="small"):
        view.badges([f"{t('Domain')}: {chosen}"], simulated=simulated)
    left, right = st.columns(2, gap="medium")
    with left:
        requests(_of(found.requests, only))
        if found.requests:
            course.show(only)
        given(_of(found.feedback, only))
    with right:
        stages(_of(found.stages, only))
        learned(only)
        drift(_of(found.drift, only))
    applications(found)


def _follow(domain: str | None) -> None:
    """The link below stands outside of what runs by itself, so another choice runs the page."""
    before = st.session_state.get(CHOSEN, domain)
    st.session_state[CHOSEN] = domain
    if before != domain:
        st.rerun()


def _of(rows: list[Row], domain: str | None) -> list[Row]:
    return [row for row in rows if domain is None or row["domain"] == domain]


def requests(rows: list[Row]) -> None:
    """How many of each kind, and how long they take."""
    view.section(t("Requests"), t("Since the service began; milliseconds in a replica."))
    if not rows:
        view.nothing(t("Nobody has asked anything yet."))
        return
    frame = pl.DataFrame(rows).with_columns(pl.col("mean_ms", "p50_ms", "p95_ms").round(2))
    view.table(frame, "requests", t("Requests"))


def stages(rows: list[Row]) -> None:
    """Where the time of a request goes."""
    view.section(t("Time by stage"), t("Mean of the requests so far; the parts sum to the whole."))
    if not rows:
        view.nothing(t("Nobody has asked anything yet."))
        return
    frame, title = pl.DataFrame(rows), t("Mean time of each route by stage")
    view.chart(record_plots.stages(frame), title)
    view.numbers(frame, "stages", title)


def learned(domain: str | None) -> None:
    """Weights of objectives as feedback has taught them, with what is believed of them."""
    view.section(t("Learned weights"))
    if domain is None:
        view.tell("caption", t("Choose a domain to see what was learned of its objectives."))
        return
    try:
        found = service.learner(service.address(), domain)
    except CrossrecError as err:
        view.tell("caption", said(str(err)))
        return
    state = t("learning") if found.learning else t("not learning")
    if not found.live:
        state += " · " + t("on trial: the declared weights answer")
    version = t("version {n}, {why}", n=found.version, why=said(found.why))
    view.tell("caption", f"{state} · {version}")
    rows = [
        {"label": moments.named(name), "value": one.weight, "low": one.low, "high": one.high}
        for name, one in found.weights.items()
    ]
    if not rows:
        view.nothing(t("This domain has no objective beside relevance."))
        return
    frame, title = pl.DataFrame(rows), t("Learned weight of each objective")
    axis = t("weight, 95 % of what is believed")
    view.chart(release_plots.intervals(frame, axis, zero="no weight"), title)
    view.numbers(frame, "learned-weights", title)
    over_time = [
        {"at": one.at, "version": one.version, "objective": moments.named(name), "weight": weight}
        for one in found.versions
        for name, weight in one.weights.items()
    ]
    title = t("Learned weights over time")
    if len(found.versions) > 1 and over_time:
        frame = pl.DataFrame(over_time)
        view.chart(record_plots.weights(frame), title)
        view.numbers(frames.dated(frame), "weights-over-time", title)
    kept = [{"version": one.version, "at": one.at, "why": one.why} for one in found.versions]
    view.table(frames.dated(pl.DataFrame(kept)), "learned-versions", title)


def drift(rows: list[Row]) -> None:
    """Whether requests still are what the release was made for."""
    view.section(
        t("Drift"),
        t("Stability index: best scores against the release's own; above .25 much has changed."),
    )
    if not rows:
        view.nothing(t("Nobody has asked anything yet."))
        return
    view.table(pl.DataFrame(rows, infer_schema_length=None), "drift", t("Drift"))


def applications(found: LiveState) -> None:
    """Each with its state in words."""
    view.section(t("Applications"))
    rows = [{"application": n, "state": s} for n, s in sorted(found.applications.items())]
    view.table(pl.DataFrame(rows), "applications", t("Applications"))


def alerts(found: LiveState) -> None:
    """What is wrong, or that nothing is."""
    for sentence in found.alerts:
        view.tell("error", said(sentence), "warning")
    if not found.alerts:
        view.tell("success", t("Nothing is wrong."), "check_circle")


def given(rows: list[Row]) -> None:
    """Feedback of the last weeks."""
    view.section(t("Feedback"), t("Events of the last 30 days, by the day they came."))
    if not rows:
        view.nothing(t("No feedback came in the last 30 days."))
        return
    frame = pl.DataFrame(rows)
    view.chart(record_plots.feedback(frame), t("Feedback events by day and kind"))
    view.table(frame, "feedback", t("Feedback"))


show()
