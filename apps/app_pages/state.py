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
