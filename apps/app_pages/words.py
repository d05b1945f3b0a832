"""The interface's language: pages write `t("…")` with the English text; `{…}` is filled in.

Leaves to others: the Chinese of each (zh.yaml; a test fails where one lacks), sentences of
explanations (crossrec.explanation.phrases).
"""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Any

import streamlit as st
import yaml

CHINESE = Path(__file__).with_name("zh.yaml")
LANGUAGES = {"en": "English", "zh": "中文"}
CHOICES = [
    "Cards", "Table", "A stored user", "Described", "all", "any", "now", "from the last item",
    "as before", "after training", "texts alone, with the adapter", "before training, texts alone",
    "Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday",
    "January", "February", "March", "April", "May", "June", "July", "August", "September",
    "October", "November", "December",
    "interactions per user", "interactions per item", "events", "ratings", "interactions over time",
    "categories", "gender", "age", "age_group", "occupation",
    "accuracy", "macro-F1", "NDCG@10, all right answers",
]  # fmt: skip
"""Words of the app that widgets offer, and keep in the address."""
CHOSEN_BY = ("view", "asker", "near", "trait", "dist0", "dist1", "live.domain", "metric")
"""Keys of these widgets, beside those of the context."""


def language() -> str:
    """Of this visitor: chosen, else in the address, else what the browser prefers."""
    chosen = st.session_state.get("lang") or st.query_params.get("lang")
    if chosen in LANGUAGES.values():
        return next(code for code, name in LANGUAGES.items() if name == chosen)
    return preferred()


def preferred() -> str:
    """What the visitor's browser asks for."""
    return "zh" if (st.context.locale or "").startswith("zh") else "en"


def choose_language() -> None:
    """The widget, and the address with it: a chosen language stays there, as it is no default."""
    st.sidebar.segmented_control(
        "Language · 语言",
        list(LANGUAGES.values()),
        default=LANGUAGES[preferred()],
        required=True,
        key="lang",
        bind="query-params",
        label_visibility="collapsed",
    )


def follow_language() -> None:
    """Choices that are words of the app become those of the language that is read now: they may
    be from another visitor's link, or from before the switch.
    """
    said = {name: chinese()[name] for name in CHOICES}
    if language() == "en":
        said = {there: here for here, there in said.items()}
    shown = [str(key) for key in st.session_state if _is_word(str(key))]
    # The address of a widget that was shown before is that widget's own affair.
    named = [key for key in st.query_params if _is_word(key) and key not in shown]
    for choices, keys in ((st.session_state, shown), (st.query_params, named)):
        for key in keys:
            if isinstance(choices[key], str) and choices[key] in said:
                choices[key] = said[choices[key]]


def _is_word(key: str) -> bool:
    return key in CHOSEN_BY or key.startswith(("context.", "context2."))


def t(text: str, **values: Any) -> str:
    """The text in the visitor's language, filled in."""
    said = chinese().get(text, text) if language() == "zh" else text
    return said.format(**values) if values else said


@cache
def chinese() -> dict[str, str]:
    """English → Chinese."""
    found: dict[str, str] = yaml.safe_load(CHINESE.read_text(encoding="utf-8"))
    return found
