"""Transfer: what a domain with little data gains when it begins with the weights of another.

Leaves to others: trying (`crossrec transfer`), calls (service.py), charts (record_plots).
"""

from __future__ import annotations

from datetime import UTC, datetime

import polars as pl
import streamlit as st

from app_pages import controls, frames, service, view
from app_pages.words import t
from crossrec import record_plots


def show() -> None:
    """The whole page: fetch, choose, show."""
    where = service.address()
    view.heading(t("Transfer"), t("Which domain helps which, and how little data must there be?"))
    with service.or_stop():
        known = service.transfers(where).transfers
    if not known:
        command = "crossrec transfer --from music --to movies"
        view.nothing(t("No transfer is on record; run: {command}", command=command))
        return
    frame = frames.transfers(known)
    shares = sorted(frame["share"].unique().to_list())
    with st.sidebar:
        names = [f"{share:.0%}" for share in shares]
        chosen = st.selectbox(
            t("Share of the users who are learned from"),
            names,
            index=len(names) - 1,
            key="share",
            bind=controls.URL,
        )
    one = frame.filter(pl.col("share") == shares[names.index(str(chosen))])
    with service.or_stop():
        simulated = controls.simulated(where, {*one["target"], *one["start"]})
    with st.container(horizontal=True, gap="small"):
        share = f"{t('Share of the users who are learned from')}: {chosen}"
        view.badges([share], simulated=simulated)
    view.section(
        t("From domain to domain"),
        t("NDCG@10 on test less that of random weights, newest run of each pair."),
    )
    gains = one.filter(pl.col("start") != "scratch").select(
        source="start", target="target", gain="gain", low="gain_low", high="gain_high"
    )
    if gains.is_empty():
        view.nothing(t("No start was tried at this share."))
        return
    view.chart(record_plots.matrix(gains, t("gain in NDCG@10")), t("Gain of each pair of domains"))
    if gains["low"].count():
        view.tell(
            "caption", t("In brackets: the 95 % interval over users holds 0, so it may be noise.")
        )
    if gains["low"].null_count():
        view.tell(
            "caption", t("Transfers of before intervals were kept have none: run them again.")
        )
    view.section(t("All figures"))
    view.table(frame, "transfers", t("All figures"))
    newest = datetime.fromtimestamp(max(row.get("at", 0) for row in known), UTC)
    view.tell("caption", t("newest run: {when}", when=f"{newest:%Y-%m-%d %H:%M} UTC"))


show()
