"""Data: what was imported of a domain, what was not and why, and how it is distributed.

Leaves to others: counting (the service), calls (service.py), charts (release_plots).
"""

from __future__ import annotations

from itertools import groupby
from operator import itemgetter

import polars as pl
import streamlit as st

from app_pages import controls, frames, service, view
from app_pages.sentences import said
from app_pages.words import t
from crossrec import release_plots
from crossrec.chart_parts import Chart
from crossrec.serving.insight_messages import DataProfile

LARGE = ["items", "users", "interactions", "requests", "exposures"]
"""Tables whose size is told in large figures, in this order; those of others stand below."""
UNITS = {"interactions per user": "users", "interactions per item": "items"}
"""Distribution → what its bars count; else the rows of its table."""


def show() -> None:
    """The whole page: fetch, show."""
    where, domain = service.address(), controls.domain()
    view.heading(t("Data"), t("What was imported, what was rejected, and why?"))
    with service.or_stop():
        found = service.data(where, domain)
    controls.subject(t("data {hash}", hash=str(found.card.get("content_hash", ""))[:12]))
    imported(found)
    rejected(found, domain)
    distributions(found)
    view.section(t("Columns"), t("Share of missing values, and distinct values (about)."))
    view.table(pl.DataFrame(found.columns), f"{domain}-columns", t("Columns"))


def imported(found: DataProfile) -> None:
    """Rows of each table, and where they came from."""
    tables: dict[str, int] = found.card.get("tables", {})
    large = [name for name in LARGE if name in tables]
    if large:
        view.figures([(t(name), f"{tables[name]:,}", "") for name in large])
    facts = {
        t("further tables"): ", ".join(
            f"{name} {n:,}" for name, n in tables.items() if name not in large
        ),
        t("from"): said(str(found.card.get("source") or "")),
        t("imported"): str(found.card.get("imported_at", ""))[:16].replace("T", " "),
        t("data hash"): str(found.card.get("content_hash", ""))[:12],
        t("left aside"): ", ".join(found.card.get("not_imported") or []),
    }
    told = " · ".join(f"{name} {value}" for name, value in facts.items() if value)
    view.tell("caption", told)


def rejected(found: DataProfile, domain: str) -> None:
    """Rows that were not taken, by reason."""
    view.section(t("Rejected"), t("Rows that were set aside; the numbers are rows of the source."))
    if not found.rejected:
        view.tell("success", t("No row was rejected."), "check_circle")
    else:
        view.table(frames.listed(found.rejected), f"{domain}-rejected", t("Rejected"))
    repaired = found.card.get("repaired") or {}
    if repaired:
        rows = [
            {"table": table, "what": what, "n": n}
            for table, counts in repaired.items()
            for what, n in counts.items()
        ]
        view.tell("caption", t("Repaired on the way in:"))
        view.table(pl.DataFrame(rows), f"{domain}-repaired", t("Repaired"))


def distributions(found: DataProfile) -> None:
    """One at a time large, chosen by name."""
    if not found.distributions:
        return
    view.section(t("Distributions"))
    grouped = groupby(found.distributions, key=itemgetter("name"))
    by_name = {t(name): (name, list(rows)) for name, rows in grouped}
    first, second = st.columns(2, gap="medium")
    for position, column in enumerate((first, second)):
        with column:
            names = list(by_name)
            chosen = st.selectbox(
                t("Show"),
                names,
                index=min(position, len(names) - 1),
                key=f"dist{position}",
                bind=controls.URL,
            )
            name, rows = by_name[str(chosen)]
            frame = pl.DataFrame(rows).select("label", "n")
            view.chart(_drawn(name, frame, words=rows[0]["low"] is None), str(chosen))
            view.numbers(frame, f"distribution-{position + 1}", str(chosen))


def _drawn(name: str, frame: pl.DataFrame, *, words: bool) -> Chart:
    return release_plots.counts(frame, t(name), t(UNITS.get(name, "rows")), flat=words)


show()
