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


def t(text: str, **values: Any) -> str:
    """The text in the visitor's language, filled in."""
    said = chinese().get(text, text) if language() == "zh" else text
    return said.format(**values) if values else said


@cache
def chinese() -> dict[str, str]:
    """English → Chinese."""
    found: dict[str, str] = yaml.safe_load(CHINESE.read_text(encoding="utf-8"))
    return found
