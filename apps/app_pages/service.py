"""The one place of the app that talks to the service, through the package's client.

Leaves to others: what to ask (controls.py) and what to show (the pages).
"""

from __future__ import annotations

import itertools
import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import NamedTuple, TypeVar

import streamlit as st

from app_pages.sentences import said
from app_pages.words import t
from crossrec.config import DEFAULT_URL
from crossrec.errors import AuthError, CrossrecError, ServiceError
from crossrec.serving import client as api
from crossrec.serving.explanation_messages import ExplainRequest, ExplainResponse
from crossrec.serving.insight_client import InsightClient
from crossrec.serving.insight_messages import (
    ArmList,
    Comparison,
    DataProfile,
    Experiment,
    ExperimentList,
    FoundUser,
    ItemComparison,
    ItemMap,
    LiveState,
    ReleaseCard,
    ReleaseReport,
    TransferList,
)
from crossrec.serving.learning_messages import LearnerStatus
from crossrec.serving.messages import (
    MAX_HISTORY,
    DomainCard,
    DomainSummary,
    FeedbackEvent,
    FeedbackResponse,
    ItemCard,
    RecommendRequest,
    RecommendResponse,
    UserCard,
)

Picture = TypeVar("Picture", ItemMap, DataProfile)

AGAIN_S = 4.0
"""How soon a page that could not be shown tries again by itself."""


class Address(NamedTuple):
    """Where the service is, and the key it asks for; the argument of every cached call."""

    url: str
    key: str | None


class BeingMadeError(Exception):
    """The service computes it for the first time: nothing to keep, ask again."""


def address() -> Address:
    """`CROSSREC_API` and `CROSSREC_API_KEY`, from the environment, else from the secrets."""
    secrets = st.secrets if st.secrets.load_if_toml_exists() else {}
    url = os.environ.get("CROSSREC_API") or secrets.get("CROSSREC_API") or DEFAULT_URL
    key = os.environ.get("CROSSREC_API_KEY") or secrets.get("CROSSREC_API_KEY")
    return Address(str(url), str(key) if key else None)


@st.cache_resource(show_spinner=False)
def _client(where: Address) -> api.Client:
    return api.Client(where.url, where.key)


@st.cache_resource(show_spinner=False)
def _insight(where: Address) -> InsightClient:
    return InsightClient(where.url, where.key)


@st.cache_data(ttl="30s", show_spinner=False)
def domains(where: Address) -> list[DomainSummary]:
    """Every served domain; asked again after half a minute, so that a new one appears."""
    return _client(where).domains()


@st.cache_data(ttl="30s", max_entries=50, show_spinner=False)
def card(where: Address, domain: str) -> DomainCard:
    """What a domain is and what it serves."""
    return _client(where).card(domain)


@st.cache_data(ttl="30s", max_entries=100, show_spinner=False)
def recommend(
    where: Address, domain: str, release: str, request: RecommendRequest
) -> RecommendResponse:
    """The ranking; `release` only makes the answer of a former one out of date."""
    return _client(where).recommend(domain, request)


@st.cache_data(ttl="30s", max_entries=100, show_spinner=False)
def explain(where: Address, domain: str, release: str, asked: ExplainRequest) -> ExplainResponse:
    """Why an item is in the answer; `release` as for `recommend`."""
    return _client(where).explain(domain, asked)


@st.cache_data(ttl="30s", max_entries=50, show_spinner=False)
def user(where: Address, domain: str, user_id: str) -> UserCard:
    """What is stored of a user, newest first."""
    return _client(where).user(domain, user_id)


@st.cache_data(ttl="30s", max_entries=20, show_spinner=False)
def whole_history(where: Address, domain: str, user_id: str) -> UserCard:
    """The same, as much as a request may hold."""
    return _client(where).user(domain, user_id, limit=MAX_HISTORY)


@st.cache_data(ttl="30s", max_entries=50, show_spinner=False)
def search(where: Address, domain: str, text: str, limit: int = 20) -> list[ItemCard]:
    """Items that hold the words, best first."""
    return _client(where).search(domain, text, limit)


@st.cache_data(ttl="30s", max_entries=50, show_spinner=False)
def item(where: Address, domain: str, item_id: str) -> ItemCard:
    """One item of the catalogue."""
    return _client(where).item(domain, item_id)


@st.cache_data(ttl="30s", max_entries=50, show_spinner=False)
def find_users(where: Address, domain: str, text: str) -> list[FoundUser]:
    """Users by a part of their id, or by what they had."""
    return _insight(where).find_users(domain, text, 10).users


@st.cache_data(ttl="10s", max_entries=20, show_spinner=False)
def arms(where: Address, domain: str) -> ArmList:
    """Arms of the experiment that runs, or ran last."""
    return _insight(where).arms(domain)


@st.cache_data(ttl="10s", max_entries=50, show_spinner=False)
def releases(where: Address, domain: str) -> list[ReleaseCard]:
    """Releases of a domain, newest first."""
    return _insight(where).releases(domain).releases


@st.cache_data(ttl="30s", max_entries=20, show_spinner=False)
def report(where: Address, domain: str, version: str) -> ReleaseReport:
    """What the evaluation of a release found."""
    return _insight(where).report(domain, version)


@st.cache_data(ttl="30s", max_entries=20, show_spinner=False)
def compare(where: Address, domain: str, a: str, b: str) -> Comparison:
    """Release `b` against release `a`."""
    return _insight(where).compare(domain, a, b)


@st.cache_data(ttl="30s", max_entries=50, show_spinner=False)
def compare_item(where: Address, domain: str, a: str, b: str, item_id: str) -> ItemComparison:
    """One item in two releases."""
    return _insight(where).compare_item(domain, a, b, item_id)


@st.cache_data(ttl="5m", max_entries=5, show_spinner=False)
def item_map(where: Address, domain: str, version: str) -> ItemMap:
    """Items of a release on a plane.

    Raises:
        BeingMadeError: not yet.
    """
    return _ready(_insight(where).item_map(domain, version))


@st.cache_data(ttl="30s", max_entries=5, show_spinner=False)
def data(where: Address, domain: str) -> DataProfile:
    """What was imported of a domain.

    Raises:
        BeingMadeError: not yet.
    """
    return _ready(_insight(where).data(domain))


def _ready(found: Picture) -> Picture:
    if found.state != "ready":
        raise BeingMadeError
    return found


@st.cache_data(ttl="10s", show_spinner=False)
def experiments(where: Address) -> ExperimentList:
    """Searches for settings, newest first."""
    return _insight(where).experiments()


@st.cache_data(ttl="10s", max_entries=20, show_spinner=False)
def experiment(where: Address, run: str, domain: str) -> Experiment:
    """One search with its trials."""
    return _insight(where).experiment(run, domain)


@st.cache_data(ttl="30s", show_spinner=False)
def transfers(where: Address) -> TransferList:
    """What domains gained from others, newest first."""
    return _insight(where).transfers()


def live(where: Address) -> LiveState:
    """What the service is doing now; never from a cache."""
    return _insight(where).live()


@st.cache_data(ttl="5s", max_entries=20, show_spinner=False)
def learner(where: Address, domain: str) -> LearnerStatus:
    """What was learned of the objectives' weights."""
    return _insight(where).learner(domain)


def send(where: Address, domain: str, event: FeedbackEvent) -> FeedbackResponse:
    """Store what the user did; it is on disk when this returns, and every answer is asked anew."""
    response = _client(where).feedback(domain, [event])
    for cached in (recommend, explain, user, whole_history):
        cached.clear()
    return response


@contextmanager
def or_stop() -> Iterator[None]:
    """Run calls to the service; where they fail, show one sentence, end the page there, and try
    again after a while.
    """
    try:
        with st.spinner(t("Asking the service …")):
            yield
        return
    except AuthError as err:
        text = f"{said(str(err))} " + t("Set CROSSREC_API_KEY to a key of this service.")
        st.error(text, icon=":material/key:")
    except ServiceError as err:
        st.error(said(str(err)), icon=":material/cloud_off:")
    except CrossrecError as err:
        st.error(said(str(err)), icon=":material/error:")
    except BeingMadeError:
        text = t("The service computes this for the first time; it appears here by itself.")
        st.info(text, icon=":material/hourglass_top:")
    try_again()
    st.stop()


def try_again() -> None:
    """A button, and a clock that presses it; once on a page."""
    ticks = itertools.count()
    st.button(t("Try again"), icon=":material/refresh:", key="try_again")

    @st.fragment(run_every=AGAIN_S)
    def clock() -> None:
        if next(ticks):  # the first time is this very run
            st.rerun()

    clock()
