"""The whole service over HTTP, as users run it: HAProxy, keys, two domains, one encoder.

One service for all tests of this file, in a process of its own with a Ray of its own.
"""

from __future__ import annotations

import contextlib
import threading
import time
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import httpx
import psutil
import pytest

from crossrec.config import home
from crossrec.errors import (
    AuthError,
    RequestError,
    ServiceError,
    UnknownDomainError,
    UnknownItemError,
)
from crossrec.models.encoder import TextEncoder
from crossrec.releases.store import ReleaseStore
from crossrec.serving.auth import KeyRing
from crossrec.serving.client import Client
from crossrec.serving.environment import PORT_BLOCKS
from crossrec.serving.launch import Service, serve_domains
from crossrec.serving.messages import FeedbackEvent, ItemUpsert
from crossrec.serving.process_tree import tree_of
from tests.models.tiny import make_tiny_encoder
from tests.ports import free_port
from tests.prometheus import panel_queries, programs_missing, prometheus
from tests.service_log import logged
from tests.small_release import SmallDomain, make_small_domain

pytestmark = pytest.mark.ray

TOLERANCE = 0.05
"""Of the whole time of requests, what may pass between two readings of a clock."""


class World(NamedTuple):
    service: Service
    films: SmallDomain
    encoder: TextEncoder
    reader: str
    writer: str

    def client(self, key: str | None) -> Client:
        return Client(self.service.address, key)


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    home = tmp_path_factory.mktemp("served")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("CROSSREC_HOME", str(home))
        encoder = TextEncoder.load(make_tiny_encoder(home / "tiny"), precision="fp32")
        for name in ("books", "films"):
            films = make_small_domain(home / "data" / name, name, encoder.encode)
            films.publish(ReleaseStore(), encoder.name, encoder.fingerprint)
        keys = KeyRing()
        reader, writer = keys.create("reader", ["read"]), keys.create("writer", ["admin"])
        steps: list[str] = []
        service = serve_domains(["films", "books"], port=free_port(), tell=steps.append)
        assert steps == ["starting Ray", "starting the encoder and the domains"]
        tree = tree_of(service.pid)
        yield World(service, films, encoder, reader, writer)
        # As if whoever started it had been killed: the end of its orders ends all of it.
        assert service._process.stdin is not None
        service._process.stdin.close()
        service.wait()
        left = [_name(process) for process in tree if process.is_running()]
        service.stop()
        assert not left


@pytest.fixture
def client(world: World) -> Iterator[Client]:
    with world.client(world.writer) as found:
        yield found


def test_every_domain_answers(client: Client):
    assert client.health().domains == ["books", "films"]
    ready = client.ready()
    assert ready.ready
    assert set(ready.applications) == {"encoder", "learner", "system", "domains"}
    assert [domain.name for domain in client.domains()] == ["books", "films"]
    for domain in ("books", "films"):
        assert client.card(domain).name == domain
        answer = client.recommend(domain, user_id="user-1", k=3)
        assert answer.items[0].category[0] == "space"


def test_words_reach_the_encoder_and_come_back_as_items(client: Client):
    answer = client.recommend("films", text="horror", k=8)
    assert answer.based_on == ["request"]
    assert answer.items[0].category[0] == "horror"


def test_feedback_changes_the_very_next_answer_and_survives(client: Client):
    before = client.recommend("films", user_id="visitor", k=3)
    events = [
        FeedbackEvent(event_id="1", user_id="visitor", item_id="film-2", event="like"),
        FeedbackEvent(event_id="2", user_id="visitor", item_id="film-99", event="like"),
    ]
    answer = client.feedback("films", events)
    assert (answer.accepted, len(answer.rejected)) == (1, 1)
    after = client.recommend("films", user_id="visitor", k=3)
    assert (before.user_known, after.user_known) == (False, True)
    assert after.items[0].category[0] == "horror"
    assert client.feedback("films", events[:1]).duplicates == 1
    assert [step.item_id for step in client.user("films", "visitor").history] == ["film-2"]
    assert not client.user("books", "visitor").known


def test_a_list_by_objectives_adds_up_and_keeps_to_its_limits(client: Client):
    answer = client.recommend(
        "books",
        user_id="user-1",
        objectives={"popularity": -0.5, "diversity": 1},
        where="price < 10 and studio == 'north'",
        at_most={"category": 5},
        pinned=[{"item_id": "film-20", "position": 1}],
    )
    assert answer.weights == {"relevance": 1, "popularity": -0.5, "diversity": 1}
    assert answer.items[0].item_id == "film-20"
    assert {item.item["studio"] for item in answer.items[1:]} == {"north"}
    for item in answer.items:
        assert sum(item.objectives.values()) == pytest.approx(item.score, abs=1e-6)
    offered = {one.name for one in client.card("books").objectives}
    assert {"relevance", "popularity", "novelty", "diversity", "freshness"} == offered
    with pytest.raises(RequestError, match="at character 1: no field is called 'prise'"):
        client.recommend("books", where="prise < 3")


def test_a_new_item_is_recommended_in_the_next_request(client: Client):
    before = client.card("books")
    item = ItemUpsert(
        item_id="new-1", title="New", text="A horror", category=["horror"], columns={"year": 2024}
    )
    assert client.put_items("books", [item]).added == 1
    answer = client.recommend("books", where="year > 2020", k=3)
    assert [one.item_id for one in answer.items] == ["new-1"]
    after = client.card("books")
    assert after.n_items == before.n_items + 1
    assert (after.release, after.n_users) == (before.release, before.n_users)


def test_bad_input_is_answered_in_the_class_that_says_why(world: World, client: Client):
    with pytest.raises(UnknownDomainError, match="did you mean 'films'"):
        client.recommend("filmz")
    with pytest.raises(UnknownItemError):
        client.item("films", "no/such item")
    with pytest.raises(RequestError, match="did you mean 'weather'"):
        client.recommend("films", context={"wether": "rain"})
    with world.client(None) as nobody, pytest.raises(AuthError) as refused:
        nobody.recommend("films")
    assert refused.value.status == 401
    event = FeedbackEvent(event_id="9", user_id="u", item_id="film-2", event="like")
    with world.client(world.reader) as reader, pytest.raises(AuthError) as refused:
        reader.feedback("films", [event])
    assert refused.value.status == 403


@pytest.mark.parametrize(
    ("path", "content", "status"),
    [
        ("films/recommendations", b'{"k": 0}', 422),
        ("films/recommendations", b'{"k": 1000000}', 422),
        ("films/recommendations", b"{", 422),
        ("films/recommendations", b'{"text": "' + b"x" * 1_000_000 + b'"}', 422),
        ("films/recommendations", b'{"text": "' + b"x" * 3_000_000 + b'"}', 413),
        ("films/feedback", b'{"events": []}', 422),
        ("filmz/recommendations", b"{}", 404),
        ("films/nothing", b"{}", 404),
    ],
)
def test_a_bad_body_is_refused_with_one_sentence(world: World, path, content, status):
    headers = {"Authorization": f"Bearer {world.writer}", "Content-Type": "application/json"}
    url = f"{world.service.address}/v1/domains/{path}"
    answer = httpx.post(url, content=content, headers=headers)
    assert answer.status_code == status
    assert set(answer.json()) == {"error", "kind", "request_id"}
    assert "Traceback" not in answer.text


@pytest.mark.parametrize("path", ["/v1/health", "/v1/domains/films/health", "/v1/domains/filmz"])
def test_an_answer_carries_one_request_id(world: World, path: str):
    for given in ("mine-1", None, "no id of ours"):
        headers = {"Authorization": f"Bearer {world.reader}"}
        headers |= {} if given is None else {"x-request-id": given}
        answer = httpx.get(world.service.address + path, headers=headers)
        [found] = answer.headers.get_list("x-request-id")
        assert (found == given) is (given == "mine-1")
        assert answer.json().get("request_id", found) == found


def test_a_refused_request_is_in_the_audit_log_with_the_id_of_its_answer(world: World):
    key = KeyRing().create("refused", ["read"])  # of a key's refusals one line a minute
    answer = httpx.delete(
        f"{world.service.address}/v1/domains/films/users/nobody",
        headers={"Authorization": f"Bearer {key}"},
    )
    assert answer.status_code == 403
    audit, until = home() / "audit.jsonl", time.monotonic() + 10
    while answer.headers["x-request-id"] not in audit.read_text(encoding="utf-8"):
        assert time.monotonic() < until  # the line is written after the answer
        time.sleep(0.05)


@pytest.mark.parametrize("name", ["users.json", "keys.json"])
def test_a_failure_is_found_in_the_log_by_its_request_id(world: World, name: str):
    path, request_id = home() / name, f"mine-{name}"
    before = path.read_text(encoding="utf-8") if path.exists() else None
    path.write_text("{", encoding="utf-8")
    try:
        answer = httpx.post(
            f"{world.service.address}/v1/domains/films/recommendations",
            json={"user_id": "user-1"},
            headers={"Authorization": f"Bearer {world.reader}", "x-request-id": request_id},
        )
    finally:
        path.unlink() if before is None else path.write_text(before, encoding="utf-8")
    assert answer.status_code == 500
    assert answer.json()["error"].endswith(f"under the request id {request_id}")
    [line] = logged(request_id)  # on disk already
    assert (line["level"], line["application"]) == ("ERROR", "domains")
    assert line["service"] == "crossrec: films"
    assert line["message"] == "POST /recommendations failed with 500"
    assert f"ConfigError: {path} is damaged" in line["exception"]


def test_the_pages_of_the_api_are_there(world: World):
    for path in ("/v1/docs", "/v1/domains/films/docs"):
        page = httpx.get(world.service.address + path)
        assert page.status_code == 200
        assert "openapi.json" in page.text
    paths = httpx.get(f"{world.service.address}/v1/domains/films/openapi.json").json()["paths"]
    assert "/recommendations" in paths


def test_a_new_release_is_swapped_in_without_a_failed_request(world: World, client: Client):
    old = client.card("films").release
    replicas = _replicas(world.service)
    new = world.films.publish(ReleaseStore(), world.encoder.name, world.encoder.fingerprint)
    failures: list[Exception] = []
    seen: set[str] = set()
    done = threading.Event()

    def ask() -> None:
        with world.client(world.reader) as reader:
            while not done.is_set():
                try:
                    seen.add(reader.recommend("films", user_id="user-1").release)
                except ServiceError as err:
                    failures.append(err)

    thread = threading.Thread(target=ask)
    thread.start()
    assert world.service.update("films") == new.version
    deadline = time.monotonic() + 20
    while new.version not in seen and time.monotonic() < deadline:
        time.sleep(0.05)
    done.set()
    thread.join()
    assert failures == []
    assert seen == {old, new.version}
    assert _replicas(world.service) == replicas  # reconfigured, not restarted
    assert client.recommend("films", text="horror", k=2).release == new.version
    with pytest.raises(ServiceError, match="'movies' is not served here"):
        world.service.update("movies")


def _replicas(service: Service) -> set[int]:
    return {process.pid for process in tree_of(service.pid) if "ServeReplica" in _name(process)}


def _name(process: psutil.Process) -> str:
    with contextlib.suppress(psutil.Error):
        return " ".join(process.cmdline())
    return ""


def _maps(process: psutil.Process) -> str:
    return Path(f"/proc/{process.pid}/maps").read_text(encoding="utf-8")


@pytest.mark.skipif(programs_missing(), reason="Debian's package prometheus is not installed")
def test_prometheus_reads_every_replica_and_each_panel_shows_something(
    world: World, client: Client
):
    ends = threading.Event()

    def use() -> None:
        with world.client(world.writer) as own:
            for n in range(10_000):
                if ends.wait(0.02):
                    return
                own.recommend("films", user_id=f"user-{n % 20}", text=f"horror {n} xqzvw" * (n % 2))
                own.recommend("books", user_id=f"user-{n % 20}")
                events = [
                    FeedbackEvent(event_id=f"e{n}", user_id="fan", item_id="film-2", event="click")
                ]
                own.feedback("films", events)
                with contextlib.suppress(RequestError):
                    own.recommend("films", filters={"none": 1})

    user = threading.Thread(target=use)
    user.start()
    try:
        with prometheus(world.service.address.removeprefix("http://"), world.reader) as found:
            found.wait_for("crossrec:top_score:psi", 40)
            found.wait_for("crossrec:interest_per_answer:1d")
            for query in panel_queries(of_learners=False):  # test_learner.py has a learner
                found.wait_for(query)
            route = '{route="recommendations"}'
            whole = f"sum by (domain) (crossrec_request_seconds_sum{route})"
            stages = f"sum by (domain, stage) (crossrec_stage_seconds_sum{route})"
            shares: dict[str, dict[str, float]] = defaultdict(dict)
            for one in found.query(f"{stages} / on (domain) group_left {whole}"):
                shares[one["metric"]["domain"]][one["metric"]["stage"]] = float(one["value"][1])
            for domain in ("books", "films"):
                assert sum(shares[domain].values()) == pytest.approx(1, abs=TOLERANCE)
            named = ("queue", "tokenise", "encode", "search", "rank", "log")
            assert min(shares["films"][stage] for stage in named) > 0
            assert len(found.query("crossrec_adapter_resident")) >= 2
            assert found.get("/api/v1/rules")["groups"]
    finally:
        ends.set()
        user.join()


def test_only_the_encoder_has_torch_and_no_replica_has_polars(world: World, client: Client):
    client.recommend("books", text="a comedy")
    replicas = [p for p in tree_of(world.service.pid) if "ServeReplica" in _name(p)]
    with_torch = [_name(process) for process in replicas if "libtorch" in _maps(process)]
    assert len(replicas) == 4  # of both domains, the encoder, the learners, the system
    assert len(with_torch) == 1
    assert "Encoder" in with_torch[0]
    (domains,) = (process for process in replicas if ":domains:" in _name(process))
    heavy = ("polars", "site-packages/scipy/", "transformers")
    assert not [name for name in heavy if name in _maps(domains)]


def test_nothing_of_the_api_listens_beyond_this_machine(world: World):
    """HAProxy with its statistics and metrics, and the replicas' own HTTP ports."""
    tree = tree_of(world.service.pid)
    haproxy = [process for process in tree if "haproxy.cfg" in _name(process)]
    assert haproxy
    assert {host for process in haproxy for host, _ in _listening(process)} == {"127.0.0.1"}
    ports = [place for process in tree for place in _listening(process)]
    blocks = range(PORT_BLOCKS.start, PORT_BLOCKS.stop)
    assert {host for host, port in ports if port in blocks} == {"127.0.0.1"}
    assert 8500 not in {port for _, port in ports}  # which every Serve shares with all others


def _listening(process: psutil.Process) -> list[tuple[str, int]]:
    with contextlib.suppress(psutil.Error):
        return [
            (place.laddr.ip, place.laddr.port)
            for place in process.net_connections("tcp")
            if place.status == psutil.CONN_LISTEN
        ]
    return []


def test_a_revoked_key_is_refused_at_once(world: World, monkeypatch: pytest.MonkeyPatch):
    key = KeyRing().create("guest", ["read"])
    with world.client(key) as guest:
        assert guest.card("films").name == "films"
        (key_id,) = [stored.key_id for stored in KeyRing().list() if stored.name == "guest"]
        KeyRing().revoke(key_id)
        with pytest.raises(AuthError):
            guest.card("films")
