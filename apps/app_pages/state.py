"""State that pages share; widgets carry their key into the page's address, to send a view.

Leaves to others: the widgets themselves (controls.py).
"""

from __future__ import annotations

import streamlit as st

EMPTY_CHOICES = {
    "user": None, "wish": "", "wish2": "", "filters": [], "item": None, "out": [], "add": [],
    "find": "", "category": "", "had": [], "find_had": "", "find_user": "", "weigh": False,
}  # fmt: skip
"""Widgets whose choice means nothing in another domain → their value without a choice."""

URL = "query-params"
"""Where a widget keeps its choice: `bind=URL`."""
OTHER_CHOICES = ("a", "b", "release", "who", "one", "trait", "dist0", "dist1")
"""Widgets with a choice of their own in each domain: they begin anew."""
OF_CHOICES = ("filter.", "objective.")
"""How keys begin of widgets that are shown by a choice above."""

HANDED_OVER = "state.handed_over"
"""Choices that another page is to begin with: key → value, and key → what the address says."""
TAKE = "take"
"""In the address: begin with them."""
KEPT = "state.kept"
"""What this run shows by choices that the address may lack: key → value."""


def forget_choices() -> None:
    """Empty what belongs to the former domain. Deleting it would bring it back from the address,
    unless the widget knows no such option, which is then left out, or is not shown any more.
    Context begins anew where it is shown (moments.py).
    """
    st.session_state.update(EMPTY_CHOICES)
    shown = [str(key) for key in st.session_state if str(key).startswith(OF_CHOICES)]
    for key in (*OTHER_CHOICES, *shown):
        st.session_state.pop(key, None)


def keep(key: str, value: str) -> None:
    """Note a choice for the link: Streamlit (1.67) leaves out of the address what is as it would
    be by itself, but a view that is sent must not become another once the default is another.
    """
    st.session_state.setdefault(KEPT, {})[key] = value


def hand_over() -> dict[str, str]:
    """Keep user, wish and context for the page that a link with these parameters leads to.

    Streamlit (1.67) takes out of such an address what a widget of this page keeps there, although
    the other page has one of the same key; to another tab the address brings all of it.
    """
    chosen = {key: st.session_state[key] for key in st.session_state if _of_question(str(key))}
    named = {key: st.query_params[key] for key in st.query_params if _of_question(key)}
    st.session_state[HANDED_OVER] = (chosen, named)
    return named | {TAKE: "true"}


def take_over() -> None:
    """Choose what was handed over, once, where the address says so; before any widget."""
    address = st.query_params.to_dict()
    if address.pop(TAKE, None):
        chosen, named = st.session_state.pop(HANDED_OVER, ({}, {}))
        st.session_state.update(chosen)
        st.query_params.from_dict(address | named)


def _of_question(key: str) -> bool:
    return key in ("user", "wish") or key.startswith("context.")
