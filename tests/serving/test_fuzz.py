"""Schemathesis against the OpenAPI documents; `tests/benchmarks/fuzz.py` sends more."""

from __future__ import annotations

import json
import traceback

import pytest

from crossrec.releases.store import ReleaseStore
from crossrec.serving.auth import KeyRing
from crossrec.serving.http_api import system_app
from tests.serving.fuzzed import HIDDEN, fuzz
from tests.serving.operated import Served, Unprepared, over_http
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


def test_a_stack_trace_in_an_answer_is_seen():
    try:
        raise ValueError
    except ValueError:
        trace = traceback.format_exc()
    for answer in (trace, json.dumps(trace), trace.splitlines()[1]):
        assert HIDDEN.search(answer)
    assert not HIDDEN.search(HIDDEN.pattern)


def test_the_routes_of_the_whole_service_answer_as_documented(store: ReleaseStore):  # noqa: F811
    ring = KeyRing()
    operator = Unprepared(Served(store.show("films").version))
    key = ring.create("fuzz", ["admin"])
    with over_http(system_app(Directory(), ring, operator)) as address:
        outcome = fuzz(address, "/v1/openapi.json", key, 200, names={"domain": "films"})
    assert outcome.faults == []
    assert {200, 202, 404, 422} <= set(outcome.statuses)
    changing = [path for path in outcome.routes if path.startswith("/v1/admin/")]
    assert len(changing) == 7
    assert min(outcome.routes.values()) >= 2
