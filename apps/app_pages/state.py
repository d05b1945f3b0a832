"""State that pages share; widgets carry their key into the page's address, to send a view.

Leaves to others: the widgets themselves (controls.py).
"""

from __future__ import annotations

from collections.abc import Sequence

import streamlit as st

EMPTY_CHOICES = {
    "user": None, "wish": "", "wish2": "", "filters": [], "item": None, "out": [], "add": [],
    "find": "", "category": "", "had": [], "find_had": "", "find_user": "",
}  # fmt: skip
"""Widgets whose choice means nothing in another domain → their value without a choice."""

URL = "query-params"
"""Where a widget keeps its choice: `bind=URL`."""
OTHER_CHOICES = ("a", "b", "release", "who", "one", "trait", "dist0", "dist1")
"""Widgets with a choice of their own in each domain: they begin anew."""

KEPT = "state.kept"
"""What this run has chosen or found chosen by `keep`, for a link that names all of it."""


def forget_choices() -> None:
    """Empty what belongs to the former domain. Deleting it would bring it back from the address,
    unless the widget knows no such option, which is then left out.
    """
    st.session_state.update(EMPTY_CHOICES)
    for key in OTHER_CHOICES:
        st.session_state.pop(key, None)


def keep(key: str, options: Sequence[str], default: str) -> None:
    """Choose the default for a widget that has none of its own (`index=None`), where nothing is
    chosen or it is no option.

    Streamlit (1.67) leaves out of the address what a widget has by itself, also where the visitor
    chose it; but a view that is sent must not become another once the default is another.
    """
    chosen = st.session_state.get(key) or st.query_params.get(key)
    st.session_state[key] = chosen if chosen in options else default
    st.session_state.setdefault(KEPT, {})[key] = st.session_state[key]
