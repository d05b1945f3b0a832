"""The sidebar: widgets that pages share, and those that are built from a domain's card.

Leaves to others: context (moments.py), asking the service (service.py), showing
its answer (the pages).
"""

from __future__ import annotations

from typing import Any

import streamlit as st

from app_pages import frames, moments, people, service, state, view
from app_pages.words import t
from crossrec.domains.spec import LIST_WISE
from crossrec.serving.insight_messages import ReleaseCard
from crossrec.serving.messages import (
    MAX_REQUEST_CHARS,
    DomainCard,
    DomainSummary,
    HistoryItem,
    ObjectiveCard,
    RecommendRequest,
)

URL = state.URL
OWN = "weigh"
"""Key of the switch between the weights of the domain and the visitor's own."""
SHOWN = "state.summary"
"""Key of the summary of the chosen domain."""
MAX_WEIGHT = 3.0
"""As far as sliders of weights go, where the domain declares no larger one."""


def choose_domain(served: list[DomainSummary]) -> None:
    """The domain that pages look at; another choice forgets what belonged to the last one."""
    names = [domain.name for domain in served]
    wanted = st.query_params.get("domain")  # read first: the widget replaces what it does not know
    if "domain" not in st.session_state and wanted is not None and wanted not in names:
        st.session_state["state.missing"] = wanted
    st.sidebar.selectbox(t("Domain"), names, key="domain", bind=URL)
    st.session_state[SHOWN] = served[names.index(domain())]
    if st.session_state.get("state.domain", domain()) != domain():  # chosen, or by a link
        state.forget_choices()
        st.session_state.pop("state.missing", None)
    if missing := st.session_state.get("state.missing"):
        st.sidebar.warning(
            t(
                "The address names the domain “{name}”, which this service does not serve.",
                name=frames.plain(missing),
            )
        )
    st.session_state["state.domain"] = domain()
    state.keep("domain", domain())


def domain() -> str:
    """The name of the chosen domain."""
    return str(st.session_state["domain"])


def subject(*facts: str) -> None:
    """What a page is of, below its heading: the domain, and facts such as its release."""
    shown: DomainSummary = st.session_state[SHOWN]
    with st.container(horizontal=True, gap="small"):
        view.badges([shown.title, *facts], simulated=shown.simulated)


def simulated(where: service.Address, names: set[str]) -> bool:
    """Whether one of these domains, as far as they are served, holds simulated data."""
    return any(one.simulated for one in service.domains(where) if one.name in names)


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
    """One of the releases whose evaluation was kept, named below the heading; None, and a hint,
    where there is none.
    """
    with service.or_stop():
        known = [one for one in service.releases(where, name) if one.evaluated]
    if not known:
        subject()
        command = f"crossrec evaluate {name}"
        view.nothing(t("No release was evaluated here; run: {command}", command=command))
        return None
    with st.sidebar:
        version = release(known, t("Release"), "release")
    subject(t("release {name}", name=version))
    return version


def question(card: DomainCard) -> RecommendRequest:
    """What the visitor asks for, as a request with reasons."""
    with st.sidebar:
        described = people.described()
        user_id = None if described else people.user(card)
        had = people.had(card) if described else []
        text = wish(t("The user, or a wish, in words") if described else t("Wish in words"), "wish")
        given = moments.context(card.context)
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
    """All weights, or none: a request that names one has no learned weights for the others."""
    offered = _beside_relevance(objectives)
    if not offered:
        return {}
    with st.expander(t("What matters beside relevance"), expanded=OWN in st.query_params):
        own = st.toggle(
            t("Weights of my own"),
            key=OWN,
            bind=URL,
            help=t(
                "They begin at those of this list. Off: the domain's own rank it, or what it has"
                " learned."
            ),
        )
        return {one.name: _weight(one) for one in offered} if own else {}


def _beside_relevance(objectives: list[ObjectiveCard]) -> list[ObjectiveCard]:
    return [one for one in objectives if one.name != "relevance"]


def _weight(objective: ObjectiveCard) -> float:
    """A weight of 1 counts like typical differences in relevance."""
    says = "higher {column} is better" if objective.higher_is_better else "lower {column} is better"
    reads = t(says, column=objective.column) if objective.column else ""
    key = f"objective.{objective.name}"
    weight = st.slider(
        moments.label(objective),
        *_bounds(objective),
        objective.weight,
        0.01,
        key=key,
        bind=URL,
        help=reads or None,
    )
    state.keep(key, f"{weight:g}")
    return weight


def _bounds(objective: ObjectiveCard) -> tuple[float, float]:
    """Learned weights may be negative, but for those of what depends on the whole list."""
    least = 0.0 if objective.name in LIST_WISE else -MAX_WEIGHT
    return min(least, objective.weight), max(MAX_WEIGHT, objective.weight)


def begin_at(objectives: list[ObjectiveCard], weights: dict[str, float]) -> None:
    """Let sliders that are not shown now begin at the weights of this list, once they are."""
    if st.session_state.get(OWN):
        return
    for one in _beside_relevance(objectives):
        low, high = _bounds(one)
        weight = round(weights.get(one.name, 0.0), 2)
        st.session_state[f"objective.{one.name}"] = min(max(weight, low), high)
