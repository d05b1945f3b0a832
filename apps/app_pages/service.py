"""The one place of the app that talks to the service, through the package's client.

Leaves to others: what to ask (controls.py) and what to show (the pages).
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import NamedTuple

import streamlit as st

from crossrec.config import DEFAULT_URL
from crossrec.errors import AuthError, CrossrecError, ServiceError
from crossrec.serving import client as api
from crossrec.serving.explanation_messages import ExplainRequest, ExplainResponse
from crossrec.serving.messages import (
    DomainCard,
    DomainSummary,
    FeedbackEvent,
    FeedbackResponse,
    RecommendRequest,
    RecommendResponse,
    UserCard,
)


class Address(NamedTuple):
    """Where the service is, and the key it asks for; the argument of every cached call."""

    url: str
    key: str | None


def address() -> Address:
    """`CROSSREC_API` and `CROSSREC_API_KEY`, from the environment, else from the secrets."""
    secrets = st.secrets if st.secrets.load_if_toml_exists() else {}
    url = os.environ.get("CROSSREC_API") or secrets.get("CROSSREC_API") or DEFAULT_URL
    key = os.environ.get("CROSSREC_API_KEY") or secrets.get("CROSSREC_API_KEY")
    return Address(str(url), str(key) if key else None)


@st.cache_resource(show_spinner=False)
def _client(where: Address) -> api.Client:
    return api.Client(where.url, where.key)


@st.cache_data(ttl="30s", show_spinner=False)
def domains(where: Address) -> list[DomainSummary]:
    """Every served domain; asked again after half a minute, so that a new one appears."""
    return _client(where).domains()


@st.cache_data(ttl="30s", show_spinner=False)
def card(where: Address, domain: str) -> DomainCard:
    """What a domain is and what it serves."""
    return _client(where).card(domain)


@st.cache_data(ttl="30s", max_entries=200, show_spinner=False)
def recommend(
    where: Address, domain: str, release: str, request: RecommendRequest
) -> RecommendResponse:
    """The ranking; `release` only makes the answer of a former one out of date."""
    return _client(where).recommend(domain, request)


@st.cache_data(ttl="30s", max_entries=200, show_spinner=False)
def explain(where: Address, domain: str, release: str, asked: ExplainRequest) -> ExplainResponse:
    """Why an item is in the answer; `release` as for `recommend`."""
    return _client(where).explain(domain, asked)


@st.cache_data(ttl="30s", max_entries=200, show_spinner=False)
def user(where: Address, domain: str, user_id: str) -> UserCard:
    """What is stored of a user, newest first."""
    return _client(where).user(domain, user_id)


def send(where: Address, domain: str, event: FeedbackEvent) -> FeedbackResponse:
    """Store what the user did; it is on disk when this returns, and every answer is asked anew."""
    response = _client(where).feedback(domain, [event])
    recommend.clear()
    explain.clear()
    user.clear()
    return response


@contextmanager
def or_stop() -> Iterator[None]:
    """Run calls to the service; where they fail, show one sentence and end the page there."""
    try:
        yield
    except AuthError as err:
        st.error(f"{err} Set CROSSREC_API_KEY to a key of this service.", icon=":material/key:")
        st.stop()
    except ServiceError as err:
        st.error(str(err), icon=":material/cloud_off:")
        st.button("Try again", icon=":material/refresh:")
        st.stop()
    except CrossrecError as err:
        st.error(str(err), icon=":material/error:")
        st.stop()
