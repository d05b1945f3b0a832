"""Compare: two releases of a domain, case by case: what changed, for whom, on which items.

Leaves to others: the arms of an experiment (arms.py), pairing and intervals (the service), calls
(service.py), charts (release_plots).
"""

from __future__ import annotations

import polars as pl
import streamlit as st

from app_pages import arms, controls, frames, service, view
from app_pages.figures import named
from app_pages.words import t
from crossrec import release_plots
from crossrec.serving.insight_messages import Comparison, MetricGap, ReleaseCard

WHO = ["Gain", "Lose"]


def show() -> None:
    """The whole page: fetch, choose, show."""
    where, domain = service.address(), controls.domain()
    view.heading(t("Compare"), t("Is one release better than the other, for whom, and where?"))
    with service.or_stop():
        known = [one for one in service.releases(where, domain) if one.evaluated]
        tried = service.arms(where, domain)
    if len(known) < 2:
        controls.subject()
        text = t("Comparing needs two evaluated releases of '{domain}'; run: {command}")
        command = f"crossrec evaluate {domain} --release VERSION"
        view.nothing(text.format(domain=domain, command=command))
        arms.section(tried, known)
        return
    with st.sidebar:
        b = controls.release(known, t("This release (B)"), "b")
        alike = comparable(known, b)
        a = controls.release(alike, t("against this one (A)"), "a", position=_other(alike, b))
        if len(alike) < len(known):
            left_out = len(known) - len(alike)
            st.caption(t("{n} left out: judged by another protocol or data.", n=left_out))
    named = {"B": b, "A": a}
    controls.subject(*(f"{side}: {t('release {name}', name=one)}" for side, one in named.items()))
    arms.section(tried, known)
    if len(alike) < 2:
        view.nothing(t("Nothing else was judged as this release was; choose another one."))
        return
    with service.or_stop():
        found = service.compare(where, domain, a, b)
    if not found.n:
        view.nothing(t("The two releases were judged on other cases; no user is common to both."))
        return
    metrics(found)
    lists(found)
    users(found, domain)
    items(found)


def comparable(known: list[ReleaseCard], b: str) -> list[ReleaseCard]:
    """Releases that were judged as `b` was: by the same protocol, on the same data."""
    judged = {one.version: (one.protocol, one.data_hash) for one in known}
    return [one for one in known if judged[one.version] == judged[b]]


def _other(alike: list[ReleaseCard], b: str) -> int:
    """The one before `b`, else the newest that is not `b`."""
    versions = [one.version for one in alike]
    place = versions.index(b)
    return place + 1 if place + 1 < len(versions) else 0


def metrics(found: Comparison) -> None:
    """Means, and gaps with their intervals, over common cases."""
    view.section(
        t("Metrics"),
        t(
            "B less A over {n} users that both were judged on; an interval clear of 0 is more than"
            " the noise of these users.",
            n=f"{found.n:,}",
        ),
    )
    view.figures([(named(one.metric), f"{one.b:.4f}", gap(one)) for one in found.metrics])
    if without := [named(one.metric) for one in found.metrics if one.low is None]:
        text = t(
            "{metrics}: no interval, because an evaluation of before kept no errors of single"
            " ratings; the figures are of all cases of each release. Run {command} for both.",
            metrics=", ".join(without),
            command=f"crossrec evaluate {found.domain} --release VERSION",
        )
        view.tell("caption", text)
    rows = [
        {"label": named(m.metric), "value": m.gap, "low": m.low, "high": m.high, "n": found.n}
        for m in found.metrics
        if m.low is not None
    ]
    frame, title = pl.DataFrame(rows), t("Gap of each metric with its interval")
    drawn = release_plots.intervals(frame, t("B less A, 95 % interval"), zero="equal")
    view.chart(drawn, title)
    view.numbers(frame, "gaps", title)


def gap(one: MetricGap) -> str:
    """B less A, with its interval where there is one."""
    if one.low is None or one.high is None:
        return f"{one.gap:+.4f}"
    return f"{one.gap:+.4f} ({one.low:+.4f} … {one.high:+.4f})"


def lists(found: Comparison) -> None:
    """How alike the lists are, and what became of the targets."""
    left, right = st.columns(2, gap="medium")
    with left:
        view.section(t("Overlap of the lists"), t("Users by items that both lists share."))
        shared = pl.DataFrame(found.overlap)
        frame = shared.select(label=pl.col("shared").cast(pl.String), n="n")
        drawn = release_plots.counts(frame, t("items in common, of 10"), t("users"))
        view.chart(drawn, t("Users by items that both lists share"))
        view.numbers(shared, "overlap", t("Users by items that both lists share"))
    with right:
        view.section(t("Rank of what the user chose"), t("What became of its rank."))
        moves = pl.DataFrame(found.moves)
        drawn = release_plots.counts(moves.rename({"move": "label"}), "", t("cases"), flat=True)
        view.chart(drawn, t("Cases by what became of the rank of their target"))
        view.numbers(moves, "moves", t("Cases by what became of the rank of their target"))


def users(found: Comparison, domain: str) -> None:
    """Who gains and who loses most, each a way to look closer."""
    view.section(t("Users who gain and lose most"), t("By NDCG@10 of what they then chose."))
    tabs = view.tabs(WHO, "tab")
    both = (("winners", found.winners), ("losers", found.losers))
    titles = dict(zip(("winners", "losers"), map(t, WHO), strict=True))
    for tab, (name, rows) in zip(tabs, both, strict=True):
        if not tab.open:
            continue
        with tab:
            if rows:
                view.table(pl.DataFrame(rows), f"{domain}-{name}", titles[name])
            else:
                view.tell("caption", t("Nobody."))
    ids = [row["user_id"] for row in [*found.winners, *found.losers]]
    if not ids:
        return
    with st.container(horizontal=True, vertical_alignment="bottom"):
        who = st.selectbox(t("Look closer at"), ids, key="who", bind=controls.URL)
        view.to_explore(domain=domain, user=str(who))


def items(found: Comparison) -> None:
    """Items whose places changed most, and one of them in both releases."""
    view.section(t("Items"), t("Places in first-10 lists of these users; what changed most."))
    frame = pl.DataFrame(found.items)
    if frame.is_empty():
        return
    labels = {
        frames.unique(row["title"], row["item_id"], found.items): row["item_id"]
        for row in found.items
    }
    left, right = st.columns([6, 5], gap="medium")
    with left:
        view.table(frame, f"{found.domain}-items", t("Items"))
    with right:
        chosen = st.selectbox(t("One item in both"), list(labels), key="one", bind=controls.URL)
        with service.or_stop():
            one = service.compare_item(
                service.address(), found.domain, found.a, found.b, labels[chosen]
            )
        view.figures(
            [
                (t("Shown"), f"{one.shown_b:,}", t("{n} in A", n=f"{one.shown_a:,}")),
                (t("Chosen by"), f"{one.n_targets:,}", t("users of the test")),
                (t("Found"), f"{one.hits_b:,}", t("{n} in A", n=f"{one.hits_a:,}")),
            ]
        )
        if one.cases:
            view.table(pl.DataFrame(one.cases), f"{found.domain}-item", str(chosen))
        else:
            view.tell("caption", t("No user of the test chose it."))


show()
