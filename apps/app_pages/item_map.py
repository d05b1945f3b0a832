"""Map: items of a domain on a plane, where what is near is alike; searchable, by category.

Leaves to others: the projection (the service, once a release), calls (service.py), the chart.
"""

from __future__ import annotations

import streamlit as st

from app_pages import controls, frames, service, view
from app_pages.chart_words import say
from app_pages.words import language, t
from crossrec import release_plots
from crossrec.serving.insight_messages import ItemMap

VIEWS = {
    "trained": "after training",
    "adapted": "texts alone, with the adapter",
    "text": "before training, texts alone",
}


def show() -> None:
    """The whole page: fetch, choose, show."""
    where, domain = service.address(), controls.domain()
    view.heading(t("Map"), t("Which items are alike, to the texts and to the trained model?"))
    with service.or_stop():
        known = service.releases(where, domain)
    with st.sidebar:
        version = controls.release(known, t("Release"), "release")
        text = st.text_input(t("Find items"), key="find", bind=controls.URL)
        category = st.text_input(t("Only this category"), key="category", bind=controls.URL)
    with service.or_stop():
        found = service.item_map(where, domain, version)
        hits = service.search(where, domain, text, 50) if text.strip() else []
    controls.subject(t("release {name}", name=version))
    if not found.views:
        view.nothing(t("This release has no item vectors to draw."))
        return
    names = {t(VIEWS[name]): name for name in VIEWS if name in found.views}
    chosen = st.segmented_control(
        t("What is near"), list(names), default=next(iter(names)), required=True, key="near",
        bind=controls.URL,
    )  # fmt: skip
    draw(found, names[str(chosen)], {item.item_id for item in hits}, category.strip())


def draw(found: ItemMap, name: str, hits: set[str], category: str) -> None:
    """The map, all that is on it as a table to open, and the found items below."""
    frame = frames.places(found, name, hits)
    if category:
        frame = frame.filter(frame["category"].str.to_lowercase() == category.lower())
    if frame.is_empty():
        view.nothing(t("No item of the map has this category."))
        return
    view.chart(release_plots.item_map(frame), t("Items on a plane, coloured by category"))
    count = t("{n} of {all} items", n=f"{len(frame):,}", all=f"{found.n_items:,}")
    moving = t("drag to move, scroll to come nearer")
    view.tell("caption", " · ".join((count, _method(found.methods[name]), moving)))
    table = frame.select("title", "category", "n_train", "item_id")
    view.numbers(table, "map", t("Items on the map"))
    seen = table.filter(frame["found"])
    if hits and seen.is_empty():
        view.nothing(t("None of the items found is on this map."))
    elif hits:
        view.table(seen, "map-found", t("Items found"))


def _method(text: str) -> str:
    return say(text) if language() == "zh" else text


show()
