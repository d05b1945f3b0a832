"""A small service for all tests of pages, and a way to open a page of the app at it."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest
import streamlit as st
from streamlit import config
from streamlit.testing.v1 import AppTest

from tests.apps.conftest import APPS
from tests.apps.pages.opened import Open
from tests.small_home import small_home, small_service


@pytest.fixture(scope="package")
def versions(tmp_path_factory: pytest.TempPathFactory) -> Iterator[list[str]]:
    with small_home(tmp_path_factory.mktemp("home")) as found:
        yield found


@pytest.fixture(scope="package")
def service(versions: list[str]) -> Iterator[str]:
    with small_service() as address:
        yield address


@pytest.fixture
def open_page(service: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[Open]:
    """Opens a page at an address: `open_page("compare", a="…")`."""
    monkeypatch.syspath_prepend(str(APPS))
    monkeypatch.setenv("CROSSREC_API", os.environ.get("CROSSREC_API", service))
    st.cache_data.clear()
    st.cache_resource.clear()
    magic = config.get_option("runner.magicEnabled")
    config.set_option("runner.magicEnabled", False)  # as apps/.streamlit/config.toml has it

    def visit(page: str, **query: str) -> AppTest:
        app = AppTest.from_file(str(APPS / "streamlit_app.py"), default_timeout=60)
        for name, value in query.items():
            app.query_params[name] = value
        app.run()
        for name, value in query.items():
            app.query_params[name] = value
        # AppTest (Streamlit 1.67) hands a page its bound values from the second run on.
        app.switch_page(f"app_pages/{page}.py").run()
        app.run()
        assert not app.exception, app.exception[0].value
        return app

    yield visit
    config.set_option("runner.magicEnabled", magic)
    st.cache_data.clear()
    st.cache_resource.clear()
