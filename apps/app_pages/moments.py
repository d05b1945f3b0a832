"""Context in the sidebar: what is true of the moment of a question, and of another one beside it.

Leaves to others: the rest of the question (controls.py), asking (service.py).
"""

from __future__ import annotations

import math
from collections.abc import Callable
from datetime import UTC, datetime
from typing import NamedTuple

import streamlit as st

from app_pages.state import URL
from app_pages.words import t
from crossrec.serving.messages import ContextCard, ObjectiveCard

FIELDS = [
    "Hour", "Weekday", "Month", "Weather", "Temperature", "Company", "Location", "City",
    "Relevance", "Popularity", "Novelty", "Newness", "Price", "Distance", "Diversity", "Exposure",
]  # fmt: skip
"""Names of context fields and objectives that are told in the visitor's language; a domain's others
stay as they are."""
WEEKDAYS = ["Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday"]
MONTHS = [
    "January", "February", "March", "April", "May", "June", "July", "August", "September",
    "October", "November", "December",
]  # fmt: skip
HALVES = ["latitude", "longitude"]
NOT_GIVEN = "any"
NOW = "now"
"""In place of `any`, where the service takes the field from its clock."""
FROM_LAST = "from the last item"
"""The same, where it takes the field from what the user had last."""
AS_BEFORE = "as before"

Value = str | float | list[float]
Context = dict[str, Value]


class Side(NamedTuple):
    """Which of the questions a widget belongs to."""

    prefix: str
    """Of the keys."""
    follows: bool = False
    """What is not chosen is as in the other question."""

    def empty(self, field: ContextCard) -> str:
        """What the widget says while nothing is chosen."""
        return AS_BEFORE if self.follows else _not_given(field)

    def extra(self, field: ContextCard) -> list[str]:
        """Choices beside the values of the field."""
        return [t(_not_given(field))] if self.follows else []


ONE = Side("context")
OTHER = Side("context2", follows=True)


def _not_given(field: ContextCard) -> str:
    if field.derive == "last_item":
        return FROM_LAST
    return NOW if _has_clock(field) else NOT_GIVEN


def _has_clock(field: ContextCard) -> bool:
    return field.derive in ("hour", "weekday", "month")


def _now(field: ContextCard) -> Value:
    """What the service's clock says now of a field that it derives."""
    at = datetime.now(UTC)
    value = {"hour": at.hour, "weekday": at.weekday(), "month": at.month}[str(field.derive)]
    return str(value) if field.kind == "category" else float(value % (field.period or math.inf))


def context(fields: list[ContextCard], title: str = "") -> Context:
    """What is true of the moment, as far as it is given."""
    given = _given(fields, title or t("Context"), ONE)
    return {name: value for name, value in given.items() if value is not None}


def other_context(fields: list[ContextCard], title: str, before: Context, days: int = 0) -> Context:
    """What is true of another moment: as before (weekdays move along with the clock), but for
    what is chosen here. `any` takes away what was given before; so do `now` and `from the last
    item`, and then the service takes its clock, or what the user had last.

    Args:
        fields: of the domain.
        title: of the widgets' group.
        before: the context of the first moment.
        days: by which the clock is moved.
    """
    after: Context = dict(before)
    weekday = before.get("weekday")
    if weekday is None and days:
        weekday = next((_now(one) for one in fields if one.derive == one.name == "weekday"), None)
    if isinstance(weekday, float):
        after["weekday"] = (weekday + days) % len(WEEKDAYS)
    for name, value in _given(fields, title, OTHER).items():
        if value == NOT_GIVEN:
            after.pop(name, None)
        elif value is not None:
            after[name] = value
    return after


def told(fields: list[ContextCard], given: Context, after_items: bool = False) -> list[str]:
    """The context in words, one for each field that is given, or that the clock or the last item
    gives.

    Args:
        fields: of the domain.
        given: with the question.
        after_items: the question is somebody's who had items, so that there is a last one.
    """
    said = []
    for one in fields:
        if one.name in given:
            said.append(f"{label(one)} {_said(one, given[one.name])}")
        elif _has_clock(one):
            said.append(
                t("{name} now ({value}, UTC)", name=label(one), value=_said(one, _now(one)))
            )
        elif one.derive == "last_item" and after_items:
            said.append(t("{name} from the last item", name=label(one)))
    return said


def by_clock(fields: list[ContextCard], *given: Context) -> list[str]:
    """Names of the fields that the clock gives to one of the questions."""
    return [
        label(one)
        for one in fields
        if _has_clock(one) and not all(one.name in context for context in given)
    ]


def label(field: ContextCard | ObjectiveCard) -> str:
    """A field's or an objective's name."""
    return named(field.name)


def named(name: str) -> str:
    """The name of a field or an objective, as it is read."""
    return t(name.replace("_", " ").capitalize())


def _given(fields: list[ContextCard], title: str, side: Side) -> dict[str, Value | None]:
    _begin_anew(fields, side)
    if not fields:
        return {}
    with st.expander(title, expanded=True, icon=":material/schedule:"):
        return {field.name: WIDGETS[field.kind](field, side) for field in fields}


def _begin_anew(fields: list[ContextCard], side: Side) -> None:
    """Forget what was chosen in another domain, of whose fields some may be called alike. Widgets
    that are deleted would take it from the address again (Streamlit 1.67).
    """
    domain, before = st.session_state["domain"], f"state.{side.prefix}"
    if st.session_state.get(before, domain) != domain:
        for field in fields:
            empty = t(side.empty(field)) if field.kind == "cycle" else None
            ends = [f".{half}" for half in HALVES] if field.kind == "place" else [""]
            st.session_state.update({f"{side.prefix}.{field.name}{e}": empty for e in ends})
    st.session_state[before] = domain


def _category(field: ContextCard, side: Side) -> Value | None:
    """One of the known values; a field that restricts candidates says so."""
    only = t("only items of this {column} are recommended", column=field.restricts or "")
    extra = side.extra(field)
    chosen = st.selectbox(
        label(field),
        [*extra, *field.values],
        index=None,
        placeholder=t(side.empty(field)),
        key=f"{side.prefix}.{field.name}",
        bind=URL,
        help="; ".join(filter(None, [field.description, only if field.restricts else ""])) or None,
    )
    return NOT_GIVEN if chosen in extra else chosen


def _cycle(field: ContextCard, side: Side) -> Value | None:
    """A step of the cycle, what holds without one before the first: a plain slider could not say
    that nothing is given.
    """
    before = [t(side.empty(field)), *side.extra(field)]
    steps = _steps(field)
    value = st.select_slider(
        label(field),
        [*before, *steps],
        key=f"{side.prefix}.{field.name}",
        bind=URL,
        help=field.description or None,
    )
    if value in before:
        return None if value == before[0] else NOT_GIVEN
    return steps[str(value)]


def _steps(field: ContextCard) -> dict[str, float]:
    """Name of each step of a cycle → its number in the data: Monday is 0, January 1, December 0."""
    if field.name == "weekday":
        return {t(name): float(day) for day, name in enumerate(WEEKDAYS)}
    if field.name == "month":
        return {t(name): float(month % 12) for month, name in enumerate(MONTHS, 1)}
    return {str(n): float(n) for n in range(int(field.period or 0))}


def _number(field: ContextCard, side: Side) -> Value | None:
    return st.number_input(
        label(field),
        value=None,
        placeholder=t(side.empty(field)),
        key=f"{side.prefix}.{field.name}",
        bind=URL,
        help=field.description or None,
    )


def _place(field: ContextCard, side: Side) -> Value | None:
    """Latitude and longitude in degrees; half a place is no place."""
    halves = []
    for column, half, limit in zip(st.columns(2), HALVES, (90.0, 180.0), strict=True):
        halves.append(
            column.number_input(
                f"{label(field)}, {t(half)}",
                -limit,
                limit,
                value=None,
                format="%.4f",
                placeholder=t(side.empty(field)),
                key=f"{side.prefix}.{field.name}.{half}",
                bind=URL,
            )
        )
    return None if None in halves else halves


def _said(field: ContextCard, value: Value) -> str:
    if field.kind == "cycle" and isinstance(value, float):
        return next((name for name, step in _steps(field).items() if step == value), f"{value:g}")
    return ", ".join(f"{one:g}" for one in value) if isinstance(value, list) else str(value)


WIDGETS: dict[str, Callable[[ContextCard, Side], Value | None]] = {
    "category": _category, "cycle": _cycle, "number": _number, "place": _place,
}  # fmt: skip
