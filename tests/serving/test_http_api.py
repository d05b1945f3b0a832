from __future__ import annotations

import asyncio
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest

from crossrec.errors import ServiceError
from crossrec.serving import gateway
from crossrec.serving.auth import KeyRing
from crossrec.serving.feedback_log import FeedbackLog
from crossrec.serving.gateway import Gateway
from crossrec.serving.http_api import domain_app, system_app
from crossrec.serving.logs import LogFile
from crossrec.serving.messages import API_PAGE, DomainSummary, RecommendRequest
from crossrec.serving.recommender import Recommender
from tests.service_log import logged


@dataclass
class Backend:
    recommender: Recommender
    feedback_log: FeedbackLog


class Directory:
    def __init__(self) -> None:
        self.now = {"encoder": "RUNNING", "domain-films": "RUNNING"}

    async def states(self) -> dict[str, str]:
        return self.now

    async def metrics(self) -> bytes:
        return b"crossrec_items 24\n"

    async def domains(self) -> list[DomainSummary]:
        return [DomainSummary(name="films", title="Films", release="1")]

    async def names(self) -> list[str]:
        return ["films"]


@pytest.fixture
def backend(recommender: Recommender, log: FeedbackLog) -> Backend:
    return Backend(recommender, log)


@pytest.fixture
def app(backend: Backend) -> Gateway:
    return domain_app(backend, None, "films")


def send(
    app: Gateway, method: str, path: str, client=("127.0.0.1", 1), **options
) -> httpx.Response:
    async def one() -> httpx.Response:
        transport = httpx.ASGITransport(app, client=client, raise_app_exceptions=False)
        async with httpx.AsyncClient(transport=transport, base_url="http://here") as http:
            return await http.request(method, path, **options)

    return asyncio.run(one())


def recommend(app: Gateway, **fields: Any) -> httpx.Response:
    return send(app, "POST", "/recommendations", json=fields)


def test_an_answer_carries_the_callers_request_id(app: Gateway):
    headers = {"x-request-id": "abc-1"}
    answer = send(app, "POST", "/recommendations", json={"user_id": "user-1"}, headers=headers)
    assert answer.status_code == 200
    assert answer.json()["request_id"] == answer.headers["x-request-id"] == "abc-1"
    odd = send(app, "GET", "/card", headers={"x-request-id": "a b<c>"})
    assert len(odd.headers["x-request-id"]) == 32


BAD_REQUESTS = [
    ({"k": 0}, "k: Input should be greater than or equal to 1"),
    ({"k": 1_000_000}, "k: Input should be less than or equal to 1000"),
    ({"text": "x" * 1_000_000}, "text: String should have at most 8000 characters"),
    ({"user": "1"}, "user: Extra inputs are not permitted"),
    ({"context": {"wether": "rain"}}, "did you mean 'weather'"),
    ({"filters": {"yaer": 1}}, "did you mean 'year'"),
    ({"filters": {"year": {"min": "x"}}}, "expected a number"),
    ({"where": "yaer < 1990"}, "at character 1: no field is called 'yaer' (did you mean 'year'?)"),
    ({"where": "year < 1990; drop table items"}, "at character 12: got ';'"),
    ({"where": "__import__('os').system('id')"}, "at character 17: got '.'"),
    ({"where": "().__class__.__bases__"}, "at character 3: got '.'"),
    ({"where": "(" * 900 + "year < 1" + ")" * 900}, "nested deeper than 20 levels"),
    ({"where": "not " * 499 + "year"}, "nested deeper than 20 levels"),
    ({"where": "x" * 10_000}, "where: String should have at most 2000 characters"),
    ({"where": 7}, "where: Input should be a valid string"),
    ({"objectives": {"prise": 1}}, "no objective 'prise': expected one of: diversity, freshness,"),
    ({"objectives": {"price": "dear"}}, "objectives.price: Input should be a valid number"),
    ({"objectives": {"novelty": 1e9}}, "'novelty' got the weight 1e+09; expected -10 to 10"),
    ({"objectives": {f"o{n}": 1 for n in range(60)}}, "objectives: Dictionary should have at most"),
    ({"objectives": {"relevance": 0}}, "all objectives have the weight 0"),
    ({"at_most": {"studoi": 1}}, "did you mean 'studio'"),
    ({"at_most": {"studio": 0}}, "at_most.studio: Input should be greater than or equal to 1"),
    ({"pinned": [{"item_id": "film-1", "position": 0}]}, "pinned.0.position: Input should be"),
    ({"pinned": [{"item_id": "film-1", "position": 99}]}, "pinned at 99, but k is 10"),
    ({"history": [{"item_id": "film-1", "timestamp": 1_700_000_000_000}]}, "timestamp"),
    ({"history": [{"item_id": 1}]}, "history.0.item_id: Input should be a valid string"),
]


@pytest.mark.parametrize(("fields", "reason"), BAD_REQUESTS)
def test_a_bad_request_is_422_with_one_clear_sentence(app: Gateway, fields, reason):
    answer = recommend(app, **fields)
    assert answer.status_code == 422
    body = answer.json()
    assert reason in body["error"]
    assert body["kind"] == "RequestError"
    assert len(body["error"]) < 500
    assert body["request_id"] == answer.headers["x-request-id"]


@pytest.mark.parametrize(
    "content", ["{", "", "[]", "\x00", '{"user_id": "\\ud800"}', '{"k": 1e999}', '{"k": NaN}']
)
def test_malformed_json_is_422(app: Gateway, content: str):
    headers = {"content-type": "application/json"}
    answer = send(app, "POST", "/recommendations", content=content, headers=headers)
    assert answer.status_code == 422
    assert answer.json()["error"].startswith("this is no valid request")


@pytest.mark.parametrize("kind", ["application/json", "application/json; charset=latin-1"])
@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b'{"k"  3}', "the body is not valid JSON at character 7 (Expecting ':' delimiter)"),
        ('{"text": "M\u00fcller"}'.encode("latin-1"), "the body is not UTF-8 at byte 12;"),
        (b"[" * 100_000, "the body is nested too deeply"),
        (b'{"k": 1' + b"0" * 5_000 + b"}", "too many digits"),
    ],
    ids=["grammar", "latin-1", "deep", "digits"],
)
def test_a_body_that_is_no_json_is_told_where(app: Gateway, kind: str, content: bytes, reason: str):
    for path in ("/recommendations", "/feedback"):
        answer = send(app, "POST", path, content=content, headers={"content-type": kind})
        assert answer.status_code == 422
        assert answer.json()["error"].startswith("this is no valid request: the body")
        assert reason in answer.json()["error"]


def test_text_that_is_half_a_character_matches_no_filter(app: Gateway):
    headers = {"content-type": "application/json"}
    content = '{"filters": {"studio": "\\ud800"}}'
    answer = send(app, "POST", "/recommendations", content=content, headers=headers)
    assert (answer.status_code, answer.json()["items"]) == (200, [])


def test_weights_limits_and_an_expression_arrive_over_http(app: Gateway):
    answer = recommend(
        app,
        user_id="user-1",
        k=6,
        where='price < 9 and "comedy" not in category',
        objectives={"popularity": 0.5, "diversity": 1},
        at_most={"studio": 4},
        pinned=[{"item_id": "film-23", "position": 2}],
        blocked=["film-4"],
    )
    assert answer.status_code == 200
    body = answer.json()
    assert body["weights"] == {"relevance": 1, "popularity": 0.5, "diversity": 1}
    assert [item["item_id"] for item in body["items"]][1] == "film-23"
    free = [item for item in body["items"] if not item["pinned"]]
    assert free
    assert all("comedy" not in item["category"] for item in free)
    for item in body["items"]:
        assert sum(item["objectives"].values()) == pytest.approx(item["score"], abs=1e-6)
        assert item["measures"]["popularity"] >= 0


def test_a_body_beyond_the_limit_is_413_announced_or_not(app: Gateway):
    large = b"x" * (gateway.MAX_BODY_BYTES + 1)
    assert send(app, "POST", "/recommendations", content=large).status_code == 413

    async def chunks():
        for start in range(0, len(large), 1 << 16):
            yield large[start : start + (1 << 16)]

    answer = send(app, "POST", "/recommendations", content=chunks())
    assert answer.status_code == 413
    assert "expected at most" in answer.json()["error"] or "more than" in answer.json()["error"]


def test_unknown_items_paths_and_methods_are_said_in_the_same_shape(app: Gateway):
    answers = [
        send(app, "GET", "/items/film-99"),
        send(app, "GET", "/nothing"),
        send(app, "GET", "/recommendations"),
    ]
    assert [answer.status_code for answer in answers] == [404, 404, 405]
    assert answers[0].json()["kind"] == "UnknownItemError"
    assert "the API's page at /docs" in answers[1].json()["error"]  # not mounted below anything
    astray = send(system_app(Directory(), None), "GET", "/v1/nothing")
    assert f"the API's page at {API_PAGE} for" in astray.json()["error"]
    assert all(set(answer.json()) == {"error", "kind", "request_id"} for answer in answers)


def test_look_ups_answer(app: Gateway):
    assert send(app, "GET", "/items/film-3").json()["title"] == "The comedy number 3"
    found = send(app, "GET", "/items", params={"search": "horror", "limit": 2}).json()["items"]
    assert len(found) == 2
    assert send(app, "GET", "/items").status_code == 422
    assert send(app, "GET", "/users/user-1", params={"limit": 2}).json()["known"]
    assert send(app, "GET", "/card").json()["name"] == "films"
    assert send(app, "GET", "/health").json()["domains"] == ["films"]


def test_feedback_with_an_unknown_item_is_422_and_the_rest_is_kept(app: Gateway):
    events = [
        {"event_id": "1", "user_id": "u", "item_id": "film-99", "event": "like"},
        {"event_id": "2", "user_id": "u", "item_id": "film-1", "event": "like"},
    ]
    answer = send(app, "POST", "/feedback", json={"events": events})
    assert answer.status_code == 422
    assert answer.json()["accepted"] == 1
    assert answer.json()["rejected"][0]["reason"] == "no item has the id 'film-99'"
    history = send(app, "GET", "/users/u").json()["history"]
    assert [step["item_id"] for step in history] == ["film-1"]


def test_what_is_no_event_is_rejected_alone_and_the_rest_is_kept(app: Gateway):
    good = {"event_id": "1", "user_id": "u", "item_id": "film-1", "event": "like"}
    bad = [
        (good | {"event_id": ""}, "", "event_id: String should have at least 1 character"),
        (good | {"event_id": "2", "timestamp": 1_700_000_000_000}, "2", "seconds since 1970 UTC"),
        (good | {"event_id": "\ud800"}, "?", "as a unicode string"),
        (good | {"event_id": "4", "usr": 1}, "4", "usr: Extra inputs"),
        ({"event_id": "5"}, "5", "user_id: Field required"),
        ("words", "", "event 7 of the request is no valid event"),
    ]
    body = json.dumps({"events": [good, *(event for event, _, _ in bad)]})
    headers = {"content-type": "application/json"}
    answer = send(app, "POST", "/feedback", content=body, headers=headers)
    assert (answer.status_code, answer.json()["accepted"]) == (422, 1)
    rejected = answer.json()["rejected"]
    assert [event["event_id"] for event in rejected] == [event_id for _, event_id, _ in bad]
    for event, (_, _, reason) in zip(rejected, bad, strict=True):
        assert reason in event["reason"]
    assert len(send(app, "GET", "/users/u").json()["history"]) == 1


@pytest.mark.parametrize("body", [{}, {"events": []}, {"events": {}}, {"events": [{}] * 1001}, []])
def test_a_batch_that_is_none_is_422_as_a_whole(app: Gateway, body: Any):
    answer = send(app, "POST", "/feedback", json=body)
    assert answer.status_code == 422
    assert answer.json()["kind"] == "RequestError"


def test_a_fault_of_the_service_is_500_without_its_inside(app: Gateway, backend: Backend, caplog):
    def broken(*_, **__):
        raise ZeroDivisionError("secret detail")

    backend.recommender.scorer.score = broken
    answer = recommend(app, user_id="user-1")
    assert answer.status_code == 500
    assert "secret" not in answer.text
    assert "Traceback" not in answer.text
    assert answer.json()["request_id"] in answer.json()["error"]
    assert "secret detail" in caplog.text


def test_without_the_encoder_words_are_503(app: Gateway, encoder):
    encoder.down = True
    answer = recommend(app, text="horror")
    assert (answer.status_code, answer.json()["kind"]) == (503, "ServiceError")


ASKED_IN_WORDS = [
    ("/recommendations", {"text": "horror"}),  # the short way, without FastAPI
    ("/explanations", {"item_id": "film-1", "request": {"text": "horror"}}),
]


@pytest.mark.parametrize(("path", "asked"), ASKED_IN_WORDS)
def test_an_error_of_500_and_more_is_in_the_log_once_wherever_it_arises(
    app: Gateway, encoder, log_file: LogFile, path, asked
):
    encoder.down = True
    answer = send(app, "POST", path, json=asked, headers={"x-request-id": "mine-1"})
    assert (answer.status_code, answer.json()["request_id"]) == (503, "mine-1")
    [line] = logged("mine-1")
    assert line["message"] == f"POST {path} failed with 503"
    assert line["exception"].endswith("ServiceError: the encoder does not answer\n")
    assert "Traceback" in line["exception"]
    assert send(app, "POST", path, json={"k": -1}).status_code == 422
    assert len(logged()) == 1


@pytest.mark.parametrize("name", ["keys.json", "users.json"])
def test_a_damaged_file_of_the_service_is_a_matter_of_its_log(
    backend: Backend, fresh_home: Path, log_file: LogFile, name: str
):
    app = domain_app(backend, KeyRing() if name == "keys.json" else None, "films")
    (fresh_home / name).write_text("{")
    headers = {"x-request-id": "mine-2", "authorization": "Bearer crk_any"}
    for path in ("/recommendations", "/explanations"):
        asked = {"user_id": "user-1"}
        body = asked if path == "/recommendations" else {"item_id": "film-1", "request": asked}
        answer = send(app, "POST", path, json=body, headers=headers)
        assert answer.status_code == 500
        assert answer.json() == {
            "error": "the service failed; its log has the reason under the request id mine-2",
            "kind": "ServiceError",
            "request_id": "mine-2",
        }
    lines = logged("mine-2")
    assert len(lines) == 2
    assert all(f"{fresh_home / name} is damaged" in one["exception"] for one in lines)


def test_too_many_at_once_is_429_and_passes(app: Gateway, backend: Backend, monkeypatch):
    monkeypatch.setattr(gateway, "MAX_IN_FLIGHT", 2)
    go = asyncio.Event()

    async def slow(texts):
        await go.wait()
        raise ServiceError("enough", 503)

    backend.recommender._encode = slow

    async def crowd() -> list[httpx.Response]:
        transport = httpx.ASGITransport(app)
        async with httpx.AsyncClient(transport=transport, base_url="http://here") as http:
            asks = [http.post("/recommendations", json={"text": f"{n}"}) for n in range(3)]
            tasks = [asyncio.create_task(one) for one in asks]
            await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
            go.set()
            return await asyncio.gather(*tasks)

    answers = asyncio.run(crowd())
    assert sorted(answer.status_code for answer in answers) == [429, 503, 503]
    refused = next(answer for answer in answers if answer.status_code == 429)
    assert refused.headers["retry-after"] == "1"
    assert recommend(app, user_id="user-1").status_code == 200


@pytest.fixture
def keys(tmp_path: Path) -> KeyRing:
    return KeyRing(tmp_path / "keys.json")


def test_keys_are_asked_for_by_scope(backend: Backend, keys: KeyRing):
    app = domain_app(backend, keys, "films")
    reader = {"Authorization": f"Bearer {keys.create('reader', ['read'])}"}
    writer = {"Authorization": f"Bearer {keys.create('writer', ['feedback'])}"}
    event = {"event_id": "1", "user_id": "u", "item_id": "film-1", "event": "like"}

    def post(path: str, headers: dict[str, str], body: Any) -> int:
        return send(app, "POST", path, headers=headers, json=body).status_code

    assert post("/recommendations", {}, {}) == 401
    assert post("/recommendations", reader, {}) == 200
    assert post("/recommendations", writer, {}) == 403
    assert post("/feedback", reader, {"events": [event]}) == 403
    assert post("/feedback", writer, {"events": [event]}) == 200
    assert post("/recommendations", {"Authorization": "Basic eDp5"}, {}) == 401
    assert send(app, "GET", "/users/u").status_code == 401
    refused = send(app, "GET", "/card")
    assert refused.headers["www-authenticate"] == "Bearer"
    assert refused.json()["kind"] == "AuthError"
    assert send(app, "GET", "/health").status_code == 200
    assert send(app, "GET", "/docs").status_code == 200
    assert send(app, "GET", "/items/health").status_code == 401
    whole = system_app(Directory(), keys)
    assert send(whole, "GET", "/v1/ready").status_code == 200
    assert send(whole, "GET", API_PAGE).status_code == 200
    assert send(whole, "GET", "/").headers["location"] == API_PAGE
    assert send(whole, "GET", "/v1/domains").status_code == 401
    assert send(whole, "GET", "/v1/domains/films/health").status_code == 401


def test_a_key_is_checked_before_the_body_is_read(backend: Backend, keys: KeyRing):
    app = domain_app(backend, keys, "films")
    assert send(app, "POST", "/recommendations", content="{").status_code == 401


def test_without_keys_only_this_machine_may_ask(app: Gateway):
    assert send(app, "GET", "/card", client=("127.0.0.1", 1)).status_code == 200
    assert send(app, "GET", "/card", client=("::1", 1)).status_code == 200
    assert send(app, "GET", "/card", client=("10.0.0.7", 1)).status_code == 403


def test_every_route_and_error_is_in_the_openapi_page(app: Gateway):
    page = send(app, "GET", "/openapi.json").json()
    assert set(page["paths"]) == {
        "/recommendations",
        "/explanations",
        "/feedback",
        "/items/{item_id}",
        "/items",
        "/users/{user_id}",
        "/card",
        "/learner",
        "/health",
    }
    for path in page["paths"].values():
        for route in path.values():
            assert route["description"]
            assert "ErrorBody" in json.dumps(route["responses"]["422"])
    assert RecommendRequest.__name__ in page["components"]["schemas"]
    events = page["components"]["schemas"]["FeedbackBatch"]["properties"]["events"]
    assert {"event_id", "user_id", "item_id", "event"} == set(events["items"]["required"])


def test_the_service_lists_domains_and_is_ready_when_all_run():
    directory = Directory()
    app = system_app(directory, None)
    assert send(app, "GET", "/v1/domains").json()["domains"][0]["name"] == "films"
    assert send(app, "GET", "/v1/health").json()["domains"] == ["films"]
    assert send(app, "GET", "/v1/ready").json()["ready"]
    directory.now["domain-films"] = "DEPLOYING"
    assert send(app, "GET", "/v1/ready").status_code == 503
    assert send(app, "GET", "/").headers["location"] == "/v1/docs"


def test_an_unknown_domain_is_404_with_near_names():
    app = system_app(Directory(), None)
    for method, path in [("GET", ""), ("POST", "/recommendations"), ("GET", "/items/1")]:
        answer = send(app, method, f"/v1/domains/flims{path}")
        assert answer.status_code == 404
        assert answer.json()["kind"] == "UnknownDomainError"
        assert "did you mean 'films'" in answer.json()["error"]
