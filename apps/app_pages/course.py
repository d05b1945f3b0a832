"""The course of requests while the page Live is open, from what its own refreshes have seen.

Kept in the visitor's session, for the last hour at most. Leaves to others: longer times
(Prometheus), the totals (live.py).
"""

from __future__ import annotations

from itertools import pairwise

import polars as pl
import streamlit as st

from app_pages import frames, view
from app_pages.words import t
from crossrec import record_plots
from crossrec.serving.insight_messages import LiveState

SEEN = "live.seen"
"""(seconds since 1970, domain → requests and their milliseconds so far) of each refresh."""
MAX_SEEN = 360  # an hour of refreshes, one every ten seconds

Sums = dict[str, tuple[int, float]]


def note(found: LiveState) -> None:
    """Keep the sums of a refresh; a service that began again starts a new course."""
    sums: Sums = {}
    for row in found.requests:
        n, spent = sums.get(row["domain"], (0, 0.0))
        sums[row["domain"]] = (n + row["n"], spent + row["n"] * row["mean_ms"])
    seen = st.session_state.get(SEEN, [])
    if seen and _total(seen[-1][1], None)[0] > _total(sums, None)[0]:
        seen = []
    st.session_state[SEEN] = [*seen, (found.at, sums)][-MAX_SEEN:]


def frame(seen: list[tuple[float, Sums]], domain: str | None) -> pl.DataFrame:
    """Columns at, per_second, mean_ms (null where nobody asked): one row from refresh to refresh.

    Args:
        seen: of each refresh, see SEEN.
        domain: one of them; None: all together.
    """
    rows = []
    for (before, first), (at, second) in pairwise(seen):
        (n, spent), (n_before, spent_before) = _total(second, domain), _total(first, domain)
        asked = n - n_before
        if at > before:
            rows.append(
                (at, asked / (at - before), (spent - spent_before) / asked if asked else None)
            )
    kinds = {"at": pl.Float64, "per_second": pl.Float64, "mean_ms": pl.Float64}
    return pl.DataFrame(rows, kinds, orient="row")


def show(domain: str | None) -> None:
    """Requests a second and their mean time, since the page was opened."""
    found = frame(st.session_state.get(SEEN, []), domain)
    view.section(t("Course"), t("Since this page was opened, from refresh to refresh."))
    if found.is_empty():
        view.tell("caption", t("It begins with the next refresh."))
        return
    drawn = record_plots.course(found, "per_second", "requests a second")
    view.chart(drawn, t("Requests a second"))
    if found["mean_ms"].count():
        drawn = record_plots.course(found, "mean_ms", "mean milliseconds in a replica")
        view.chart(drawn, t("Mean time of a request"))
    view.numbers(frames.dated(found), "course", t("Course"))


def _total(sums: Sums, domain: str | None) -> tuple[int, float]:
    rows = [row for name, row in sums.items() if domain in (None, name)]
    return sum(n for n, _ in rows), sum(spent for _, spent in rows)
