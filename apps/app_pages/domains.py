"""Domains: what is served, by which release, and how well it measured.

Leaves to others: calls (service.py). Figures stand beside their protocol and data hash.
"""

from __future__ import annotations

from typing import Any

import streamlit as st

from app_pages import frames, moments, service, view
from app_pages.figures import known, named
from app_pages.sentences import said
from app_pages.words import t
from crossrec.errors import CrossrecError
from crossrec.serving.messages import DomainCard, DomainSummary

LEFT_OUT = {"mrr@10"}
N_FIGURES = 3
"""Beside each other in a card: as many as can be read."""


def show() -> None:
    """A card for every served domain, two in a row."""
    where = service.address()
    with service.or_stop():
        served = service.domains(where)
    view.heading(
        t("Served domains"),
        t("One shared text encoder answers for all of them; each has its own release."),
    )
    columns = st.columns(2, gap="medium")
    for position, summary in enumerate(served):
        with columns[position % 2], st.container(border=True):
            domain(where, summary)


def domain(where: service.Address, summary: DomainSummary) -> None:
    """One domain; if only its card cannot be had, the others are still shown."""
    st.markdown(f"#### {frames.plain(summary.title)}")
    try:
        card = service.card(where, summary.name)
    except CrossrecError as err:
        view.tell("error", said(str(err)), "error")
        return
    view.note("section", card.title, "")
    badges(card)
    view.tell("markdown", card.description)
    figures(card)
    view.tell("caption", provenance(card))
    view.to_explore(domain=card.name)


def badges(card: DomainCard) -> None:
    """Kind and size of the domain in a line."""
    facts = [
        card.name,
        t("{n} items", n=f"{card.n_items:,}"),
        t("{n} users", n=f"{card.n_users:,}"),
        *(
            [f"{t('Context')}: {', '.join(map(moments.label, card.context))}"]
            if card.context
            else []
        ),
    ]
    with st.container(horizontal=True, gap="small"):
        view.badges(facts, simulated=card.simulated)


def figures(card: DomainCard) -> None:
    """Test metrics of the release, its task's own first, with their 95 % interval over users."""
    metrics = card.metrics
    values = {**metrics.get("metrics", {}), **metrics.get("coverage", {})}
    some = {name for name, value in values.items() if value is not None}
    names = known(some - LEFT_OUT)[:N_FIGURES]
    if not names:
        view.tell("info", t("This release was published without an evaluation."))
        return
    told = [(named(name), f"{values[name]:.3f}", _interval(metrics, name)) for name in names]
    view.figures(told, card.name)


def _interval(metrics: dict[str, Any], name: str) -> str:
    found = metrics.get("ci95", {}).get(name)
    return f"{found[0]:.3f} … {found[1]:.3f}" if found else ""


def provenance(card: DomainCard) -> str:
    """What the figures were measured on, in one line."""
    metrics = card.metrics
    facts = [
        t("protocol {name}", name=metrics.get("protocol", t("not stated"))),
        t("{n} test users", n=f"{metrics['n']:,}") if "n" in metrics else "",
        t("data {hash}", hash=str(metrics.get("data_hash", t("not stated")))[:12]),
        t("release {name}", name=card.release),
        t("encoder {name}", name=card.encoder),
    ]
    return " · ".join(fact for fact in facts if fact)


show()
