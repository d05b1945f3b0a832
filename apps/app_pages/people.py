"""Whom a page asks for: somebody stored, found or typed, or somebody whom the visitor describes.

Leaves to others: the rest of the question (controls.py), calls (service.py).
"""

from __future__ import annotations

from contextlib import suppress

import streamlit as st

from app_pages import frames, service
from app_pages.state import URL
from app_pages.words import t
from crossrec.errors import UnknownItemError
from crossrec.serving.messages import DomainCard, ItemCard

ASKERS = ["A stored user", "Described"]


def described() -> bool:
    """Whether the list is for somebody whom the visitor describes, not for one who is stored."""
    names = [t(name) for name in ASKERS]
    chosen = st.segmented_control(
        t("Who"), names, default=names[0], required=True, key="asker", bind=URL
    )
    return chosen == names[1]


def had(card: DomainCard) -> list[str]:
    """What somebody had of whom nothing is stored: ids of items."""
    return items(card, t("They had"), "had", "find_had", t("Find items they had"))


def user(card: DomainCard) -> str | None:
    """Somebody's id, out of a few examples, typed, or found."""
    chosen = st.selectbox(
        t("User"),
        card.example_users,
        index=None,
        placeholder=t("Pick one, or type an id"),
        accept_new_options=True,
        key="user",
        bind=URL,
        help=t("Leave empty for a visitor of whom nothing is known."),
    )
    with st.popover(t("Find users"), icon=":material/person_search:", width="stretch"):
        _search_users(card)
    return chosen


def _search_users(card: DomainCard) -> None:
    """Users by a part of their id or by what they had; one click takes one."""
    text = st.text_input(t("Part of an id, or of what they had"), key="find_user", bind=URL)
    text = text.strip()
    if not text:
        st.caption(t("For example a title: whoever had it is listed."))
        return
    with service.or_stop():
        found = service.find_users(service.address(), card.name, text)
    if not found:
        st.caption(t("Nobody was found."))
    for one in found:
        facts = [one.user_id, t("{n} entries", n=one.n_history), ", ".join(one.had[:2])]
        st.button(
            frames.plain(" · ".join(fact for fact in facts if fact)),
            key=f"found.{one.user_id}",
            type="tertiary",
            on_click=_take_user,
            args=(one.user_id,),
        )


def _take_user(user_id: str) -> None:
    st.session_state["user"] = user_id


def items(card: DomainCard, label: str, key: str, find: str, find_label: str) -> list[str]:
    """Ids of items that are searched for and chosen.

    Args:
        label, key: of the widget that holds the chosen ones.
        find, find_label: key and label of the search.
    """
    where = service.address()
    text = st.text_input(find_label, key=find, bind=URL)
    with service.or_stop():
        found = service.search(where, card.name, text) if text.strip() else []
        found += _in_address(where, card.name, key)
    # With the id, always: what is chosen must be named alike whatever else is found beside it.
    options = {f"{one.title} ({one.item_id})": one.item_id for one in found}
    chosen = st.multiselect(label, list(options), placeholder=t("nothing"), key=key, bind=URL)
    return [options[one] for one in chosen]


def _in_address(where: service.Address, domain: str, key: str) -> list[ItemCard]:
    """Items that the address names, by the id at the end of a label; unknown ones are left out."""
    found = []
    for label in st.query_params.get_all(key):
        item_id = label.rpartition(" (")[2].removesuffix(")")
        with suppress(UnknownItemError):
            found += [service.item(where, domain, item_id)] if item_id else []
    return found
