"""State that pages share; widgets carry their key into the page's address, to send a view.

Leaves to others: the widgets themselves (controls.py).
"""

from __future__ import annotations

import streamlit as st

OF_ONE_DOMAIN = ("user", "wish", "filters", "item")


def forget_answers() -> None:
    """Leave out what means nothing in another domain: its users, words, context and filters."""
    for key in list(st.session_state):
        name = str(key)
        if name in OF_ONE_DOMAIN or name.startswith(("context.", "filter.", "explore.")):
            del st.session_state[key]


def n_feedback() -> int:
    """How often this visitor sent feedback: an answer from before that is out of date."""
    return int(st.session_state.get("n_feedback", 0))
