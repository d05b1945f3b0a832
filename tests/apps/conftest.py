"""Runs a page of the app as Streamlit would, against the fake client."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from streamlit.testing.v1 import AppTest

from tests.apps.fake_client import FakeClient

APPS = Path(__file__).resolve().parents[2] / "apps"

Open = Callable[..., AppTest]


@pytest.fixture(autouse=True)
def _own_main(monkeypatch: pytest.MonkeyPatch) -> None:
    """AppTest leaves the script as __main__ (Streamlit 1.67), which spawned processes then run."""
    monkeypatch.setitem(sys.modules, "__main__", sys.modules["__main__"])


@pytest.fixture
def client(monkeypatch: pytest.MonkeyPatch) -> Iterator[type[FakeClient]]:
    """The fake in place of `crossrec.serving.client.Client`, with nothing asked or told yet."""
    import streamlit as st

    monkeypatch.syspath_prepend(str(APPS))  # `streamlit run` puts the script's folder there
    # Else it would be made of the fake, for all tests that come after.
    importlib.import_module("crossrec.serving.insight_client")
    monkeypatch.setattr("crossrec.serving.client.Client", FakeClient)
    monkeypatch.setattr(FakeClient, "asked", [])
    monkeypatch.setattr(FakeClient, "told", [])
    st.cache_data.clear()
    st.cache_resource.clear()
    yield FakeClient
    st.cache_data.clear()
    st.cache_resource.clear()


@pytest.fixture
def open_app(client: type[FakeClient]) -> Open:
    """Opens the app at an address: `open_app(domain="movies", user="7")`."""

    def visit(page: str | None = None, **query: str) -> AppTest:
        app = AppTest.from_file(str(APPS / "streamlit_app.py"), default_timeout=30)
        for name, value in query.items():
            app.query_params[name] = value
        app.run()
        if page:
            app.switch_page(page).run()
        assert not app.exception
        return app

    return visit
