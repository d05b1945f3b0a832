"""State that pages share; widgets carry their key into the page's address, to send a view.

Leaves to others: the widgets themselves (controls.py).
"""

from __future__ import annotations

import streamlit as st

EMPTY_CHOICES = {"user": None, "wish": "", "filters": [], "item": None}
"""Widgets whose choice means nothing in another domain → their value without a choice."""


def forget_choices() -> None:
    """Empty what belongs to the former domain. Deleting it would bring it back from the address."""
    st.session_state.update(EMPTY_CHOICES)
