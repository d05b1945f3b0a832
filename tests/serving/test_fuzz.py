"""Schemathesis against the OpenAPI documents; `tests/benchmarks/fuzz.py` sends more."""

from __future__ import annotations

import pytest

from crossrec.releases.store import ReleaseStore
from crossrec.serving.auth import KeyRing
from crossrec.serving.http_api import system_app
from tests.serving.fuzzed import fuzz
from tests.serving.test_erasure import store  # noqa: F401 (a fixture)
from tests.serving.test_http_api import Directory
from tests.serving.whole import whole_replica


@pytest.mark.parametrize("number", [0, 1])
def test_no_made_up_request_gets_an_answer_that_is_not_documented(
    store: ReleaseStore,  # noqa: F811
    number: int,
):
    ring = KeyRing()
    key = ring.create("fuzz", ["admin"])
    app = whole_replica(store).app(ring)
    outcome = fuzz(app, "/openapi.json", key, 160, number)
    assert outcome.faults == []
    assert outcome.n >= 100
    assert {200, 404, 422} <= set(outcome.statuses)


def test_the_routes_of_the_whole_service_answer_as_documented(store: ReleaseStore):  # noqa: F811
    ring = KeyRing()
    app = system_app(Directory(), ring)
    outcome = fuzz(app, "/v1/openapi.json", ring.create("fuzz", ["admin"]), 40)
    assert outcome.faults == []
    assert {200, 404} <= set(outcome.statuses)  # nothing was evaluated or compared here
