from __future__ import annotations

import asyncio
import json
import threading
import uuid
from pathlib import Path
from typing import Any

import httpx
import pytest

from crossrec.serving import audit
from crossrec.serving.audit import AuditLog, Sparse
from crossrec.serving.auth import KeyRing
from crossrec.serving.gateway import MAX_IN_FLIGHT, Door, Gateway


async def routes(scope: Any, receive: Any, send: Any) -> None:
    await receive()
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": b"{}"})


@pytest.fixture
def ring(fresh_home: Path) -> KeyRing:
    return KeyRing()


def ask(
    ring: KeyRing | None, key: str, *requests: tuple[str, str], door: Door | None = None
) -> list[httpx.Response]:
    app = Gateway(routes, ring, name="films", door=door)

    async def all_of_them() -> list[httpx.Response]:
        transport = httpx.ASGITransport(app, client=("127.0.0.1", 1))
        headers = {"authorization": f"Bearer {key}"}
        async with httpx.AsyncClient(transport=transport, base_url="http://here") as http:
            return [await http.request(*one, headers=headers) for one in requests]

    return asyncio.run(all_of_them())


def lines(home: Path) -> list[dict[str, Any]]:
    path = home / "audit.jsonl"
    return [json.loads(line) for line in path.read_text().splitlines()]


def test_what_removes_or_changes_needs_admin(ring: KeyRing):
    reader = ring.create("app", ["read", "feedback"])
    asked = [("GET", "/users/7"), ("POST", "/recommendations"), ("POST", "/feedback")]
    asked.append(("POST", "/explanations"))
    assert [answer.status_code for answer in ask(ring, reader, *asked)] == [200] * 4
    changing = [("DELETE", "/users/7"), ("PUT", "/items/7"), ("POST", "/anything"), ("X", "/card")]
    refused = ask(ring, reader, *changing)
    assert [answer.status_code for answer in refused] == [403] * 4
    assert "this needs 'admin'" in refused[0].json()["error"]
    admin = ring.create("root", ["admin"])
    assert [answer.status_code for answer in ask(ring, admin, *changing)] == [200] * 4
    only_feedback = ring.create("logger", ["feedback"])
    answers = ask(ring, only_feedback, ("GET", "/users/7"), ("POST", "/feedback"))
    assert [answer.status_code for answer in answers] == [403, 200]


@pytest.mark.parametrize("given", ["abc", "-1", "0", "nan", "inf", "", "9" * 500])
def test_a_deadline_that_is_no_number_of_seconds_is_refused(fresh_home: Path, given: str):
    async def asked(seconds: str) -> httpx.Response:
        transport = httpx.ASGITransport(Gateway(routes, None), client=("127.0.0.1", 1))
        async with httpx.AsyncClient(transport=transport, base_url="http://here") as http:
            return await http.get("/card", headers={"x-request-timeout-seconds": seconds})

    assert asyncio.run(asked("2.5")).status_code == 200
    refused = asyncio.run(asked(given))
    assert refused.status_code == 422
    expected = f"the header x-request-timeout-seconds got '{given[:20]}'; expected seconds"
    assert refused.json()["error"].startswith(expected)


def test_a_key_that_asks_too_often_is_told_when_to_come_back(ring: KeyRing):
    key = ring.create("app", ["read"], requests_per_s=2)
    free = ring.create("other", ["read"])
    answers = ask(ring, key, *[("GET", "/card")] * 4)
    assert [answer.status_code for answer in answers] == [200, 200, 429, 429]
    assert answers[2].headers["retry-after"] == "1"
    assert answers[2].json()["kind"] == "ServiceError"
    assert {answer.status_code for answer in ask(ring, free, *[("GET", "/card")] * 9)} == {200}


def test_a_key_counts_once_for_all_domains_of_a_process(ring: KeyRing):
    key = ring.create("app", ["read"], requests_per_s=2)
    door = Door()
    answers = [ask(ring, key, ("GET", "/card"), door=door)[0] for _ in range(3)]
    assert [answer.status_code for answer in answers] == [200, 200, 429]


def test_a_rotated_key_gives_way_without_a_restart(ring: KeyRing, monkeypatch):
    service = KeyRing(ring.path)
    old = ring.create("app", ["read"], requests_per_s=50)
    [stored] = ring.list()
    new = ring.rotate(stored.key_id, grace_s=60)
    assert [ask(service, key, ("GET", "/card"))[0].status_code for key in (old, new)] == [200, 200]
    kept = {key.key_id: key for key in ring.list()}
    assert {(key.name, key.requests_per_s) for key in kept.values()} == {("app", 50)}
    ring.rotate(stored.key_id, grace_s=0)
    refused = ask(service, old, ("GET", "/card"))[0]
    assert refused.status_code == 401
    assert "was rotated and works no more" in refused.json()["error"]
    assert ask(service, new, ("GET", "/card"))[0].status_code == 200


def test_the_audit_log_says_who_was_let_do_what_and_never_about_whom(
    ring: KeyRing, fresh_home: Path
):
    reader = ring.create("app", ["read"], requests_per_s=2)
    admin = ring.create("root", ["admin"])
    ids = {key.name: key.key_id for key in ring.list()}
    ask(ring, "crk_nobody", ("GET", "/users/jane@example.org"))
    ask(ring, reader, ("GET", "/users/jane"), ("DELETE", "/users/jane"), ("GET", "/jane"))
    ask(ring, admin, ("DELETE", "/users/jane?limit=jane"), ("jane", "/jane"))
    ring.revoke(ids["app"])
    found = [
        (one["what"], one.get("key_id"), one.get("method"), one.get("route"), one.get("status"))
        for one in lines(fresh_home)
    ]
    assert found == [
        ("key created", ids["app"], None, None, None),
        ("key created", ids["root"], None, None, None),
        ("refused", None, "GET", "/users/…", 401),
        ("refused", ids["app"], "DELETE", "/users/…", 403),
        ("refused", ids["app"], "GET", "/…", 429),
        ("admin request", ids["root"], "DELETE", "/users/…", 200),
        ("admin request", ids["root"], "other", "/…", 200),
        ("key revoked", ids["app"], None, None, None),
    ]
    text = (fresh_home / "audit.jsonl").read_text()
    assert "jane" not in text
    assert "127.0.0.1" not in text
    assert reader not in text
    assert all(one["at"].endswith("+00:00") for one in lines(fresh_home))
    assert (fresh_home / "audit.jsonl").stat().st_mode & 0o077 == 0


def test_refusals_do_not_fill_the_audit_log(ring: KeyRing, fresh_home: Path):
    reader = ring.create("app", ["read"])
    answers = ask(ring, "crk_nobody", *[("GET", f"/users/{n}") for n in range(40)])
    assert {answer.status_code for answer in answers} == {401}
    ask(ring, reader, *[("DELETE", f"/users/{n}") for n in range(40)])
    refused = [one for one in lines(fresh_home) if one["what"] == "refused"]
    assert [(one["status"], one["since_last_line"]) for one in refused] == [(401, 0), (403, 0)]


def test_a_minute_later_a_line_says_how_many_had_none():
    now = [0.0]
    sparse = Sparse(lambda: now[0])
    assert [sparse.count("a") for _ in range(4)] == [0, None, None, None]
    assert sparse.count("b") == 0
    now[0] = audit.EVERY_S
    assert [sparse.count("a"), sparse.count("a")] == [3, None]


def test_a_request_id_of_the_caller_is_in_the_audit_log_only_as_a_random_number(
    ring: KeyRing, fresh_home: Path
):
    admin = ring.create("root", ["admin"])
    app = Gateway(routes, ring, name="films")

    async def one(**headers: str) -> httpx.Response:
        transport = httpx.ASGITransport(app)
        async with httpx.AsyncClient(transport=transport, base_url="http://here") as http:
            given = {"authorization": f"Bearer {admin}", **headers}
            return await http.delete("/users/7", headers=given)

    named = asyncio.run(one(**{"x-request-id": "jane.doe"}))
    made = asyncio.run(one())
    of_serve = str(uuid.uuid4())
    asyncio.run(one(**{"x-request-id": of_serve}))
    assert named.headers["x-request-id"] == "jane.doe"
    ids = [line["request_id"] for line in lines(fresh_home) if line["what"] == "admin request"]
    assert ids == [None, made.headers["x-request-id"], of_serve]


def test_an_admin_request_of_a_caller_who_hung_up_is_noted(ring: KeyRing, fresh_home: Path):
    admin = ring.create("root", ["admin"])

    async def slow(scope: Any, receive: Any, send: Any) -> None:
        await asyncio.sleep(60)

    async def hang_up() -> None:
        headers = [(b"authorization", f"Bearer {admin}".encode())]
        scope = {"type": "http", "method": "DELETE", "path": "/users/7", "headers": headers}
        task = asyncio.create_task(Gateway(slow, ring, name="films")(scope, None, None))
        await asyncio.sleep(0.05)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)

    asyncio.run(hang_up())
    assert [line["what"] for line in lines(fresh_home)] == ["key created", "admin request"]


def test_without_keys_admin_requests_of_this_machine_are_noted_too(fresh_home: Path):
    ask(None, "", ("GET", "/users/7"), ("DELETE", "/users/7"))
    [line] = lines(fresh_home)
    assert (line["what"], line["key_id"], line["service"]) == ("admin request", None, "films")


def test_lines_of_several_writers_do_not_mix_and_a_long_log_is_set_aside(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    log = AuditLog(tmp_path / "audit.jsonl")

    def write(number: int) -> None:
        for _ in range(200):
            log.write("x", number=number, filling="y" * 300)

    threads = [threading.Thread(target=write, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    found = [json.loads(line)["number"] for line in log.path.read_text().splitlines()]
    assert sorted(found) == [number for number in range(4) for _ in range(200)]
    monkeypatch.setattr(audit, "MAX_BYTES", 1000)
    log.write("last")
    assert not log.path.exists()
    assert "last" in (tmp_path / "audit.jsonl.1").read_text()


def test_a_log_that_cannot_be_written_stops_nobody(fresh_home: Path):
    (fresh_home / "audit.jsonl").mkdir()
    assert ask(None, "", ("DELETE", "/users/7"))[0].status_code == 200


def test_requests_that_wait_for_the_loop_are_counted(fresh_home: Path):
    """No answer gives the loop away, as scoring does not; those beyond the limit hear at once."""
    gateway, statuses = Gateway(routes, None, name="films"), []

    async def receive() -> dict[str, Any]:
        return {"type": "http.request"}

    async def send(message: dict[str, Any]) -> None:
        if message["type"] == "http.response.start":
            headers = dict(message["headers"])
            statuses.append((message["status"], headers.get(b"retry-after")))

    async def at_once(n: int) -> None:
        def scope() -> dict[str, Any]:
            found = {"type": "http", "method": "GET", "path": "/card", "headers": []}
            return found | {"client": ("127.0.0.1", 1)}

        await asyncio.gather(*(gateway(scope(), receive, send) for _ in range(n)))

    asyncio.run(at_once(1 + MAX_IN_FLIGHT + 10))  # the first is answered before others come
    assert statuses.count((429, b"1")) == 10
    assert statuses.count((200, None)) == 1 + MAX_IN_FLIGHT
    statuses.clear()
    asyncio.run(at_once(MAX_IN_FLIGHT))
    assert {status for status, _ in statuses} == {200}
