"""The sidebar: widgets that pages share, and those that are built from a domain's card.

Leaves to others: asking the service (service.py) and showing its answer (the pages).
"""

from __future__ import annotations

import calendar
from typing import Any

import streamlit as st

from app_pages import people, service, state, view
from app_pages.words import t
from crossrec.serving.insight_messages import ReleaseCard
from crossrec.serving.messages import (
    MAX_REQUEST_CHARS,
    ContextCard,
    DomainCard,
    DomainSummary,
    HistoryItem,
    ObjectiveCard,
    RecommendRequest,
)

NOT_GIVEN = "any"
URL = state.URL
MAX_SLIDER = 3.0
FIELDS = [
    "Hour", "Weekday", "Month", "Weather", "Temperature", "Company", "Location", "City",
    "Popularity", "Novelty", "Newness", "Price", "Distance", "Diversity", "Exposure",
]  # fmt: skip
"""Names of context fields and objectives that are told in the visitor's language; a domain's others
stay as they are."""


def choose_domain(served: list[DomainSummary]) -> None:
    """The domain that pages look at; another choice forgets what belonged to the last one."""
    st.sidebar.selectbox(
        t("Domain"),
        [domain.name for domain in served],
        key="domain",
        bind=URL,
        on_change=state.forget_choices,
    )
    state.keep("domain", domain())


def domain() -> str:
    """The name of the chosen domain."""
    return str(st.session_state["domain"])


def wish(label: str, key: str, default: str = "") -> str:
    """A request in words."""
    text = st.text_input(
        label,
        default,
        placeholder=t("what the user is after"),
        max_chars=MAX_REQUEST_CHARS,
        key=key,
        bind=URL,
    )
    return text.strip()


def n_items() -> int:
    """How long the list is."""
    return st.slider(t("Number of items"), 1, 50, 10, key="k", bind=URL)


def metric(names: dict[str, str]) -> tuple[str, str]:
    """Name and key of one of the metrics, the first of them at first."""
    chosen = st.segmented_control(
        t("Metric"), list(names), default=next(iter(names)), required=True, key="metric", bind=URL
    )
    return str(chosen), names[str(chosen)]


def release(known: list[ReleaseCard], label: str, key: str, position: int = 0) -> str:
    """One of the releases, newest first; what it is stands below."""
    versions = [one.version for one in known]
    chosen = st.selectbox(label, versions, index=min(position, len(known) - 1), key=key, bind=URL)
    one = known[versions.index(str(chosen))]
    state.keep(key, one.version)
    ndcg = one.metrics.get("ndcg@10")
    facts = [
        t("current") if one.current else "",
        f"{one.created[:16].replace('T', ' ')} UTC",
        "" if ndcg is None else f"NDCG@10 {ndcg:.4f}",
        t("seed {n}", n=one.seed),
        t("protocol {name}", name=one.protocol),
        t("data {hash}", hash=one.data_hash[:12]),
    ]
    st.caption(" · ".join(fact for fact in facts if fact))
    return one.version


def evaluated_release(where: service.Address, name: str) -> str | None:
    """One of the releases whose evaluation was kept; None, and a hint, where there is none."""
    with service.or_stop():
        known = [one for one in service.releases(where, name) if one.evaluated]
    if not known:
        command = f"crossrec evaluate {name}"
        view.nothing(t("No release was evaluated here; run: {command}", command=command))
        return None
    with st.sidebar:
        return release(known, t("Release"), "release")


def question(card: DomainCard) -> RecommendRequest:
    """What the visitor asks for, as a request with reasons."""
    with st.sidebar:
        described = people.described()
        user_id = None if described else people.user(card)
        had = people.had(card) if described else []
        text = wish(t("The user, or a wish, in words") if described else t("Wish in words"), "wish")
        given = context(card.context)
        filters = _filters(card.filter_columns)
        objectives = _objectives(card.objectives)
        k = n_items()
        fresh = st.toggle(t("Only items new to the user"), value=True, key="fresh", bind=URL)
    return RecommendRequest(
        user_id=user_id or None,
        history=[HistoryItem(item_id=item_id) for item_id in had],
        text=text or None,
        context=given,
        k=k,
        filters=filters,
        objectives=objectives,
        exclude_seen=fresh,
        explain=True,
    )


def context(fields: list[ContextCard]) -> dict[str, str | float | list[float]]:
    """What is true of the moment, as far as it is given."""
    if not fields:
        return {}
    with st.expander(t("Context"), expanded=True, icon=":material/schedule:"):
        given = {field.name: WIDGETS[field.kind](field) for field in fields}
    return {name: value for name, value in given.items() if value is not None}


def _category(field: ContextCard) -> str | None:
    """One of the known values; a field that restricts candidates says so."""
    only = t("only items of this {column} are recommended", column=field.restricts or "")
    return st.selectbox(
        _label(field),
        field.values,
        index=None,
        placeholder=t("any"),
        key=f"context.{field.name}",
        bind=URL,
        help="; ".join(filter(None, [field.description, only if field.restricts else ""])) or None,
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
        placeholder=t("any"),
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
                placeholder=t("any"),
                key=f"context.{field.name}.{half}",
                bind=URL,
            )
        )
    return None if None in halves else halves


WIDGETS = {"category": _category, "cycle": _cycle, "number": _number, "place": _place}


def _filters(columns: dict[str, str]) -> dict[str, Any]:
    if not columns:
        return {}
    with st.expander(t("Filters"), expanded="filters" in st.query_params):
        chosen = st.multiselect(
            t("Filter by"), list(columns), placeholder=t("no filter"), key="filters", bind=URL
        )
        given = {name: _filter(name, columns[name]) for name in chosen}
    return {name: value for name, value in given.items() if value}


def _filter(name: str, kind: str) -> Any:
    """A range for a number, a list of allowed values for anything else; empty: no filter yet."""
    if kind != "number":
        text = st.text_input(
            t("{name}: one of", name=name),
            placeholder=t("values, separated by commas"),
            key=f"filter.{name}",
            bind=URL,
        )
        return [value.strip() for value in text.split(",") if value.strip()]
    low, high = st.columns(2)
    bounds = {
        "min": low.number_input(
            t("{name} from", name=name), value=None, key=f"filter.{name}.min", bind=URL
        ),
        "max": high.number_input(
            t("{name} to", name=name), value=None, key=f"filter.{name}.max", bind=URL
        ),
    }
    return {bound: value for bound, value in bounds.items() if value is not None}


def _objectives(objectives: list[ObjectiveCard]) -> dict[str, float]:
    """Weights that differ from the domain's own."""
    offered = [one for one in objectives if one.name != "relevance"]
    if not offered:
        return {}
    with st.expander(t("What matters beside relevance")):
        given = {one.name: _weight(one) for one in offered}
    return {one.name: given[one.name] for one in offered if given[one.name] != one.weight}


def _weight(objective: ObjectiveCard) -> float:
    """A weight of 1 counts like typical differences in relevance."""
    says = "higher {column} is better" if objective.higher_is_better else "lower {column} is better"
    reads = t(says, column=objective.column) if objective.column else ""
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
    return t(field.name.replace("_", " ").capitalize())
