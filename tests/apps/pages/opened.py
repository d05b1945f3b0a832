"""What tests of pages read of a page that is open."""

from __future__ import annotations

import re
from collections.abc import Callable

from streamlit.testing.v1 import AppTest

Open = Callable[..., AppTest]


WORDS = {"language": "en", "rows": "{n} of {all} rows"}
"""Of a report."""


def said(app: AppTest) -> str:
    """All words on the page, as they are read: without the signs that keep Markdown from them."""
    kinds = (app.subheader, app.markdown, app.caption, app.info, app.success, app.error, app.metric)
    words = [one.value if kind is not app.metric else one.label for kind in kinds for one in kind]
    words += [one.value for one in app.metric]
    return re.sub(r"\\(.)", r"\1", "\n".join(map(str, words)))


def opened(app: AppTest, numbers: str) -> AppTest:
    """The page once the numbers of a chart are opened (AppTest has no expander to press)."""
    app.session_state[f"numbers.{numbers}"] = True
    app.run()
    assert not app.exception
    return app


def made(open_page: Open, page: str, **query: str) -> AppTest:
    """A page whose data the service makes at the first question."""
    for _ in range(200):
        app = open_page(page, **query)
        if not any("hourglass" in one.icon for one in app.info):  # in any language
            return app
    raise AssertionError("it was never made")
