"""The sidebar of the Explore page: widgets built from a domain's card, read as one request.

Leaves to others: asking the service (service.py) and showing its answer (explore.py).
"""

from __future__ import annotations

import calendar
from typing import Any

import streamlit as st

from app_pages import state
from crossrec.serving.messages import (
    MAX_REQUEST_CHARS,
    ContextCard,
    DomainCard,
    DomainSummary,
    ObjectiveCard,
    RecommendRequest,
)

NOT_GIVEN = "any"
URL = "query-params"
MAX_SLIDER = 3.0


def choose_domain(served: list[DomainSummary]) -> str:
    """The name of the chosen domain; another choice forgets what belonged to the last one."""
    return st.sidebar.selectbox(
        "Domain",
        [domain.name for domain in served],
        key="domain",
        bind=URL,
        on_change=state.forget_choices,
    )


def question(card: DomainCard) -> RecommendRequest:
    """What the visitor asks for, as a request with reasons."""
    with st.sidebar:
        user_id = st.selectbox(
            "User",
            card.example_users,
            index=None,
            placeholder="Pick one, or type an id",
            accept_new_options=True,
            key="user",
            bind=URL,
            help="Leave empty for a visitor of whom nothing is known.",
        )
        text = st.text_input(
            "Wish in words",
            placeholder="what the user is after",
            max_chars=MAX_REQUEST_CHARS,
            key="wish",
            bind=URL,
        )
        context = _context(card.context)
        filters = _filters(card.filter_columns)
        objectives = _objectives(card.objectives)
        k = st.slider("Number of items", 1, 50, 10, key="k", bind=URL)
        fresh = st.toggle("Only items new to the user", value=True, key="fresh", bind=URL)
        st.caption("The address of this page holds the whole view: copy it to send it.")
    return RecommendRequest(
        user_id=user_id or None,
        text=text.strip() or None,
        context=context,
        k=k,
        filters=filters,
        objectives=objectives,
        exclude_seen=fresh,
        explain=True,
    )


def _context(fields: list[ContextCard]) -> dict[str, str | float | list[float]]:
    if not fields:
        return {}
    with st.expander("Context", expanded=True, icon=":material/schedule:"):
        given = {field.name: WIDGETS[field.kind](field) for field in fields}
    return {name: value for name, value in given.items() if value is not None}


def _category(field: ContextCard) -> str | None:
    """One of the known values; a field that restricts candidates says so."""
    only = f"only items of this {field.restricts} are recommended" if field.restricts else ""
    return st.selectbox(
        _label(field),
        field.values,
        index=None,
        placeholder=NOT_GIVEN,
        key=f"context.{field.name}",
        bind=URL,
        help="; ".join(filter(None, [field.description, only])) or None,
    )


def _cycle(field: ContextCard) -> float | None:
    """A step of the cycle, `any` before the first: a plain slider could not say "not given"."""
    steps = [NOT_GIVEN, *_steps(field)]
    value = st.select_slider(
        _label(field),
        steps,
        key=f"context.{field.name}",
        bind=URL,
        help=field.description or None,
    )
    return None if value == NOT_GIVEN else float(steps.index(value) - 1)


def _steps(field: ContextCard) -> list[str]:
    """Names of the steps of a cycle, from 0; weekdays start with Monday, as in the data."""
    if field.name == "weekday":
        return list(calendar.day_name)
    return [str(step) for step in range(int(field.period or 0))]


def _number(field: ContextCard) -> float | None:
    return st.number_input(
        _label(field),
        value=None,
        placeholder=NOT_GIVEN,
        key=f"context.{field.name}",
        bind=URL,
        help=field.description or None,
    )


def _place(field: ContextCard) -> list[float] | None:
    """Latitude and longitude in degrees; half a place is no place."""
    halves = []
    for column, (half, limit) in zip(
        st.columns(2), (("latitude", 90.0), ("longitude", 180.0)), strict=True
    ):
        halves.append(
            column.number_input(
                f"{_label(field)}, {half}",
                -limit,
                limit,
                value=None,
                format="%.4f",
                placeholder=NOT_GIVEN,
                key=f"context.{field.name}.{half}",
                bind=URL,
            )
        )
    return None if None in halves else halves


WIDGETS = {"category": _category, "cycle": _cycle, "number": _number, "place": _place}


def _filters(columns: dict[str, str]) -> dict[str, Any]:
    if not columns:
        return {}
    with st.expander("Filters", expanded="filters" in st.query_params):
        chosen = st.multiselect(
            "Filter by", list(columns), placeholder="no filter", key="filters", bind=URL
        )
        given = {name: _filter(name, columns[name]) for name in chosen}
    return {name: value for name, value in given.items() if value}


def _filter(name: str, kind: str) -> Any:
    """A range for a number, a list of allowed values for anything else; empty: no filter yet."""
    if kind != "number":
        text = st.text_input(
            f"{name}: one of",
            placeholder="values, separated by commas",
            key=f"filter.{name}",
            bind=URL,
        )
        return [value.strip() for value in text.split(",") if value.strip()]
    low, high = st.columns(2)
    bounds = {
        "min": low.number_input(f"{name} from", value=None, key=f"filter.{name}.min", bind=URL),
        "max": high.number_input(f"{name} to", value=None, key=f"filter.{name}.max", bind=URL),
    }
    return {bound: value for bound, value in bounds.items() if value is not None}


def _objectives(objectives: list[ObjectiveCard]) -> dict[str, float]:
    """Weights that differ from the domain's own."""
    offered = [one for one in objectives if one.name != "relevance"]
    if not offered:
        return {}
    with st.expander("What matters beside relevance"):
        given = {one.name: _weight(one) for one in offered}
    return {one.name: given[one.name] for one in offered if given[one.name] != one.weight}


def _weight(objective: ObjectiveCard) -> float:
    """A weight of 1 counts like typical differences in relevance."""
    better = "higher" if objective.higher_is_better else "lower"
    reads = f"{better} {objective.column} is better" if objective.column else ""
    return st.slider(
        _label(objective),
        min(0.0, objective.weight),
        max(MAX_SLIDER, objective.weight),
        objective.weight,
        0.1,
        key=f"objective.{objective.name}",
        bind=URL,
        help=reads or None,
    )


def _label(field: ContextCard | ObjectiveCard) -> str:
    return field.name.replace("_", " ").capitalize()
