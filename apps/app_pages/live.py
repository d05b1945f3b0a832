"""Live: what the service is doing now: applications, alerts, feedback; seen every few seconds.

Leaves to others: counting (the service), calls (service.py), charts (release_plots).
"""

from __future__ import annotations

import time
from datetime import UTC, datetime

import polars as pl
import streamlit as st

from app_pages import controls, frames, service, view
from app_pages.words import t
from crossrec import release_plots
from crossrec.serving.insight_messages import LiveState

EVERY_S = 10.0


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
    answered_ms = (time.perf_counter() - start) * 1000
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
    left, right = st.columns([6, 5], gap="medium")
    with left:
        given(found)
    with right:
        view.section(t("Applications"))
        rows = [{"application": n, "state": s} for n, s in sorted(found.applications.items())]
        view.table(pl.DataFrame(rows), "applications")


def alerts(found: LiveState) -> None:
    """What is wrong, or that nothing is."""
    for sentence in found.alerts:
        st.error(frames.plain(sentence), icon=":material/warning:")
    if not found.alerts:
        st.success(t("Nothing is wrong."), icon=":material/check_circle:")


def given(found: LiveState) -> None:
    """Feedback of the last weeks, of one domain or of all."""
    view.section(t("Feedback"), t("Events of the last 30 days, by the day they came."))
    if not found.feedback:
        view.nothing(t("No feedback came in the last 30 days."))
        return
    frame = pl.DataFrame(found.feedback)
    names = [t("all"), *sorted(frame["domain"].unique())]
    chosen = st.selectbox(t("Domain"), names, key="live.domain", bind=controls.URL)
    if chosen != names[0]:
        frame = frame.filter(pl.col("domain") == chosen)
    view.chart(release_plots.feedback(frame), t("Feedback events by day and kind"))
    view.table(frame, "feedback")


show()
