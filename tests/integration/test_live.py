"""A service that is changed while it runs: domains come and go, releases are swapped and compared.

One service for all tests of this file, in a process of its own with a Ray of its own; the order
of the tests is that of an operator's day.
"""

from __future__ import annotations

import contextlib
import socket
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import NamedTuple

import httpx
import psutil
import pytest
from typer.testing import CliRunner

from crossrec.cli import app
from crossrec.errors import (
    AuthError,
    CrossrecError,
    EncoderError,
    ReleaseError,
    RequestError,
    ServiceError,
    UnknownDomainError,
)
from crossrec.models.encoder import TextEncoder
from crossrec.releases.store import ReleaseStore
from crossrec.serving.auth import KeyRing
from crossrec.serving.client import Client
from crossrec.serving.launch import Service, serve_domains
from crossrec.serving.live_client import LiveClient
from crossrec.serving.messages import ErrorBody, FeedbackEvent, ItemUpsert
from crossrec.serving.metrics import WRITE_EVERY_S
from crossrec.serving.process_tree import tree_of
from crossrec.serving.traffic import ExperimentStore
from tests.models.tiny import make_tiny_encoder
from tests.ports import free_port
from tests.small_release import SmallDomain, make_small_domain

pytestmark = [pytest.mark.ray, pytest.mark.timeout(400)]

USERS = [f"visitor-{n}" for n in range(120)]  # each arm of two has more than an interval asks for


class World(NamedTuple):
    service: Service
    domains: dict[str, SmallDomain]
    encoder: TextEncoder
    admin: str
    reader: str

    def publish(self, domain: str) -> str:
        found = self.domains[domain]
        return found.publish(ReleaseStore(), self.encoder.name, self.encoder.fingerprint).version


SHARED = ":domains:"


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    home = tmp_path_factory.mktemp("live")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("CROSSREC_HOME", str(home))
        encoder = TextEncoder.load(make_tiny_encoder(home / "tiny"), precision="fp32")
        domains = {
            name: make_small_domain(home / "data" / name, name, encoder.encode)
            for name in ("books", "films", "games")
        }
        keys = KeyRing()
        admin, reader = keys.create("ops", ["admin"]), keys.create("app", ["read"])
        for domain in domains.values():
            domain.publish(ReleaseStore(), encoder.name, encoder.fingerprint)
        # Films share replicas with whatever comes, books have their own.
        with serve_domains(["films", "books"], port=free_port(), apart=["books"]) as service:
            yield World(service, domains, encoder, admin, reader)


@pytest.fixture
def client(world: World) -> Iterator[Client]:
    with Client(world.service.address, world.admin) as found:
        yield found


@pytest.fixture
def live(client: Client) -> Iterator[LiveClient]:
    """Operations; what a failed test left running ends, so that one failure stays one."""
    yield client.operations
    for domain in ("films", "books"):
        with contextlib.suppress(CrossrecError):
            client.operations.stop_experiment(domain)


def replicas(service: Service, *names: str) -> dict[str, set[int]]:
    """Application or deployment → process ids of its replicas."""
    found: dict[str, set[int]] = {name: set() for name in names}
    for process in tree_of(service.pid):
        with contextlib.suppress(psutil.Error):
            line = " ".join(process.cmdline())
            for name in names:
                if "ServeReplica" in line and name in line:
                    found[name].add(process.pid)
    return found


class Load:
    """Asks all day: by id and in words, in domains that are there all the time."""

    def __init__(self, world: World, *domains: str) -> None:
        self._world, self._domains = world, domains
        self._done = threading.Event()
        self.failures: list[CrossrecError] = []
        self.releases: Counter[str] = Counter()

    def __enter__(self) -> Load:
        self._threads = [threading.Thread(target=self._ask, args=(number,)) for number in range(3)]
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *ended: object) -> None:
        self._done.set()
        for thread in self._threads:
            thread.join()

    def _ask(self, number: int) -> None:
        with Client(self._world.service.address, self._world.reader) as reader:
            while not self._done.is_set():
                for domain in self._domains:
                    try:
                        text = f"horror {number}" if number == 0 else None
                        answer = reader.recommend(domain, user_id="user-1", text=text, k=3)
                        self.releases[answer.release] += 1
                    except CrossrecError as err:
                        self.failures.append(err)


def wait_until(held: Callable[[], bool], timeout_s: float = 30.0) -> None:
    until = time.monotonic() + timeout_s
    while not held():
        assert time.monotonic() < until
        time.sleep(0.1)


def test_what_is_served_can_be_looked_at_by_admins_alone(world: World, live: LiveClient):
    found = live.status()
    assert [one.domain for one in found.domains] == ["books", "films"]
    for one in found.domains:
        assert one.serves is not None
        assert one.serves.release == ReleaseStore().show(one.domain).version
        assert (one.state, one.replicas, one.serves.n_items) == ("RUNNING", {"RUNNING": 1}, 24)
    assert set(found.others) == {"domains", "encoder", "learner", "system"}
    assert found.others["encoder"].state == "RUNNING"
    with Client(world.service.address, world.reader) as reader:
        for refused in (reader.operations.status, lambda: reader.operations.undeploy("films")):
            with pytest.raises(AuthError) as err:
                refused()
            assert err.value.status == 403


def test_a_domain_comes_and_goes_and_the_others_do_not_notice(
    world: World, client: Client, live: LiveClient
):
    before = replicas(world.service, SHARED, "domain-books", "Encoder", "System")
    with Load(world, "films", "books") as load:
        change = live.deploy("games")
        assert change.release == client.recommend("games", user_id="user-1", k=3).release
        assert client.recommend("games", text="horror", k=2).based_on == ["request"]
        assert client.health().domains == ["books", "films", "games"]
        live.undeploy("games")
        with pytest.raises(UnknownDomainError, match="no domain 'games' is served"):
            client.recommend("games")
    assert load.failures == []
    assert sum(load.releases.values()) > 20
    assert replicas(world.service, *before) == before
    assert all(len(found) == 1 for found in before.values())
    assert client.health().domains == ["books", "films"]
    with pytest.raises(UnknownDomainError, match="no domain 'games' is served"):
        live.undeploy("games")
    with pytest.raises(UnknownDomainError, match="'gamez' has no release"):
        live.deploy("gamez")


def test_a_release_is_swapped_and_rolled_back_under_load(
    world: World, client: Client, live: LiveClient
):
    before = replicas(world.service, SHARED, "domain-books", "Encoder")
    old, new = client.card("films").release, world.publish("films")
    with Load(world, "films", "books") as load:
        assert live.deploy("films").release == new
        wait_until(lambda: client.card("films").release == new)
        assert live.deploy("films", previous=True).release == old
        wait_until(lambda: client.card("films").release == old)
    assert load.failures == []
    assert {old, new} <= set(load.releases)
    assert replicas(world.service, *before) == before
    assert ReleaseStore().show("films").version == old  # what a service would start with
    with pytest.raises(RequestError, match=f"no release before {old}"):
        live.deploy("films", previous=True)


def test_a_release_that_cannot_be_served_is_never_tried(
    world: World, client: Client, live: LiveClient
):
    served = client.card("books").release
    other = world.domains["books"].publish(ReleaseStore(), "another-encoder", "0" * 64).version
    with pytest.raises(EncoderError, match="was made with the encoder another-encoder"):
        live.deploy("books", other)
    damaged = ReleaseStore().show("books", world.publish("books"))
    (damaged.folder / "model.safetensors").write_bytes(b"nothing")
    with pytest.raises(ReleaseError, match=r"model\.safetensors"):
        live.deploy("books", damaged.version)
    with pytest.raises(ReleaseError, match="no release '20990101"):
        live.deploy("books", "20990101-000000-000")
    assert client.card("books").release == served
    failed = [change for change in live.status().changes if change.state == "failed"]
    assert [change.kind for change in failed] == ["EncoderError", "ReleaseError"]
    for version in (other, damaged.version):
        ReleaseStore().delete("books", version, force=True)
    ReleaseStore().roll_back("books", served)


def test_users_stay_in_their_arm_while_a_canary_grows(
    world: World, client: Client, live: LiveClient
):
    control = client.card("films").release
    (new,) = [r.version for r in ReleaseStore().list("films") if r.version != control]

    def arms() -> dict[str, str]:
        answers = {user: client.recommend("films", user_id=user, k=3) for user in USERS}
        for answer in answers.values():
            assert answer.release == {"control": control, "canary": new}[str(answer.arm)]
        return {user: str(answer.arm) for user, answer in answers.items()}

    live.start_experiment("films", [("canary", new, 0.1)])
    first = arms()
    assert arms() == first
    with pytest.raises(RequestError, match="an experiment runs in 'films'"):
        live.deploy("films", new)
    live.set_shares("films", canary=0.5)
    wait_until(lambda: _shares(live)["canary"] == 0.5)
    second = arms()
    assert {u for u, arm in first.items() if arm == "canary"} < {
        u for u, arm in second.items() if arm == "canary"
    }
    anonymous = Counter(client.recommend("films", k=1).arm for _ in range(40))
    assert set(anonymous) == {"control", "canary"}

    few = [user for user in USERS if second[user] == "control"][:3]
    events = [
        FeedbackEvent(event_id=f"{kind}-{user}", user_id=user, item_id="film-2", event=kind)
        for user in USERS
        for kind in ("impression", "click")
        if kind == "impression" or second[user] == "canary" or user in few
    ]
    assert client.feedback("films", events).accepted == len(events)
    found = live.results("films")
    shown = {arm.arm: arm for arm in found.arms}
    assert found.running
    assert list(shown) == ["control", "canary"]
    assert sum(arm.n_answers for arm in found.arms) == 3 * len(USERS)
    assert sum(arm.n_anonymous for arm in found.arms) == 40
    canary = shown["canary"]
    # Whoever moved to the canary has answers of both arms, and clicked in the second alone.
    assert canary.n_users == canary.n_positive == list(second.values()).count("canary")
    assert shown["control"].n_positive == len(events) - len(USERS) - canary.n_positive
    assert canary.lift is not None
    assert canary.lift > 0
    assert canary.lift_ci95 is not None
    assert canary.lift_ci95[0] > 0

    live.promote("films", "canary")
    wait_until(lambda: client.card("films").release == new)
    assert client.recommend("films", user_id=USERS[0]).arm is None
    assert ReleaseStore().show("films").version == new
    ended = live.results("films")
    assert (ended.running, ended.experiment) == (False, found.experiment)
    assert [arm.n_positive for arm in ended.arms] == [arm.n_positive for arm in found.arms]


def _shares(live: LiveClient) -> dict[str, float]:
    (films,) = [one for one in live.status().domains if one.domain == "films"]
    assert films.serves is not None
    return {arm.name: arm.share for arm in films.serves.arms}


def test_an_experiment_is_kept_for_a_service_that_starts_again_until_it_is_stopped(
    client: Client, live: LiveClient
):
    served = client.card("films").release
    (other,) = [r.version for r in ReleaseStore().list("films") if r.version != served]
    live.start_experiment("films", [("b", other, 0.5), ("c", served, 0.5)])
    kept = ExperimentStore().read("films")
    assert kept is not None
    assert [arm.name for arm in kept.arms] == ["b", "c"]
    answers = {client.recommend("films", user_id=user).arm for user in USERS}
    assert answers == {"b", "c"}  # nothing is left for control
    with pytest.raises(RequestError, match="did you mean 'b'"):
        live.promote("films", "bb")
    with pytest.raises(RequestError, match=r"at most 0\.5"):
        live.set_shares("films", b=0.7)
    live.stop_experiment("films")
    assert ExperimentStore().read("films") is None
    assert client.recommend("films", user_id=USERS[0]).release == served
    with pytest.raises(RequestError, match="no experiment runs"):
        live.stop_experiment("films")


def test_a_shadow_hears_all_and_is_never_heard(world: World, client: Client, live: LiveClient):
    served = client.card("films").release
    (other,) = [r.version for r in ReleaseStore().list("films") if r.version != served]
    before = replicas(world.service, SHARED, "domain-books")
    live.start_shadow("films", other)
    asked = [client.recommend("films", user_id=f"user-{n % 20}", k=10) for n in range(30)]
    assert {answer.release for answer in asked} == {served}
    wait_until(lambda: live.shadow("films").n_compared + live.shadow("films").n_skipped >= 30)
    found = live.shadow("films")
    assert (found.release, found.n_errors) == (other, 0)
    assert found.n_compared >= 10
    # the same model under another version
    assert (found.overlap_at_10, found.same_first) == (1.0, 1.0)
    assert {"p50", "p95", "answer_p50", "answer_p95"} == set(found.latency_ms)
    time.sleep(WRITE_EVERY_S + 1)  # the shadow, too, has written its figures
    headers = {"Authorization": f"Bearer {world.reader}"}
    page = httpx.get(f"{world.service.address}/v1/metrics", headers=headers).text
    info = [line for line in page.splitlines() if line.startswith("crossrec_release_info{")]
    assert [served in line for line in info if 'domain="films"' in line] == [True]

    for pid in replicas(world.service, "shadow-films")["shadow-films"]:
        psutil.Process(pid).kill()
    for n in range(20):
        assert client.recommend("films", user_id=f"user-{n}").release == served
    live.stop_shadow("films")
    assert replicas(world.service, "shadow-films", *before) == {"shadow-films": set()} | before
    with pytest.raises(RequestError, match="no release is in the shadow"):
        live.shadow("films")


def test_a_new_item_reaches_every_arm(client: Client, live: LiveClient):
    served = client.card("books").release
    live.start_experiment("books", [("b", served, 0.5)])
    item = ItemUpsert(item_id="new-1", title="New", text="A horror", columns={"year": 2024})
    client.put_items("books", [item])
    for user in USERS[:20]:
        answer = client.recommend("books", user_id=user, where="year > 2020")
        assert [one.item_id for one in answer.items] == ["new-1"]
    event = FeedbackEvent(event_id="n", user_id=USERS[0], item_id="new-1", event="like")
    assert client.feedback("books", [event]).accepted == 1
    live.stop_experiment("books")


def expect_late(url: str, headers: dict[str, str]) -> None:
    """That a deadline of next to nothing is answered in our words."""
    late = httpx.post(url, json={"text": "a horror nobody asked for yet"}, headers=headers)
    assert late.status_code == 408
    found = ErrorBody.model_validate_json(late.content)
    assert "x-request-timeout-seconds" in found.error
    assert late.headers.get_list("x-request-id") == [found.request_id]


def test_a_deadline_ends_a_request(world: World, client: Client):
    """Serve's own header; the answer is a timeout and the service goes on."""
    headers = {"Authorization": f"Bearer {world.reader}", "x-request-timeout-seconds": "0.0001"}
    url = f"{world.service.address}/v1/domains/films/recommendations"
    expect_late(url, headers)
    for given in ("abc", "-1"):
        refused = httpx.post(url, json={}, headers=headers | {"x-request-timeout-seconds": given})
        assert refused.status_code == 422
        assert f"got '{given}'; expected seconds" in refused.json()["error"]
    assert client.recommend("films", text="horror", k=1).items


def test_a_change_at_a_time(world: World, client: Client, live: LiveClient):
    failures: list[Exception] = []

    def deploy() -> None:
        with Client(world.service.address, world.admin) as other:
            try:
                other.operations.deploy("films")
            except (RequestError, ServiceError) as err:
                failures.append(err)

    threads = [threading.Thread(target=deploy) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert all("is being changed already" in str(err) for err in failures)
    assert client.card("films").release == ReleaseStore().show("films").version


def test_the_command_line_says_what_is_done(world: World, client: Client):
    def run(*words: str) -> str:
        where = ("--url", world.service.address, "--api-key", world.admin)
        result = CliRunner(env={"COLUMNS": "200"}).invoke(app, [*words, *where])
        assert result.exit_code == 0, result.output
        return result.output

    old = client.card("books").release
    new = world.publish("books")
    assert f"books serves {new}" in run("deploy", "books")
    run("experiment", "start", "books", "--arm", f"b={old}:0.5")
    client.recommend("books", user_id="jane")
    assert "control" in run("experiment", "results", "books")
    assert f"books serves {old}" in run("experiment", "promote", "books", "b")
    assert old in run("status")
    assert "no longer served" in run("undeploy", "books")
    assert "books serves" in run("deploy", "books", "--release", new)


def answered_while_it_stops(service: Service, key: str) -> list[int]:
    """Statuses of requests whose bodies are half sent when nobody listens any more."""
    begun, go_on = threading.Semaphore(0), threading.Event()
    parts = service.address.removeprefix("http://").split(":")

    def slowly() -> Iterator[bytes]:
        yield b'{"user_id": '
        begun.release()
        go_on.wait(20)
        yield b'"user-1"}'

    def ask() -> int:
        url = f"{service.address}/v1/domains/films/recommendations"
        headers = {"Authorization": f"Bearer {key}", "Content-Type": "application/json"}
        return httpx.post(url, content=slowly(), headers=headers, timeout=20).status_code

    def listens() -> bool:
        with contextlib.suppress(OSError), socket.create_connection((parts[0], int(parts[1])), 1):
            return True
        return False

    with ThreadPoolExecutor() as threads:
        asked = [threads.submit(ask) for _ in range(3)]
        for _ in asked:
            assert begun.acquire(timeout=20)
        time.sleep(0.3)  # from the caller's socket to the replica
        stopping = threads.submit(service.stop)
        wait_until(lambda: not listens())
        go_on.set()
        stopping.result()
        return [one.result() for one in asked]


def test_a_plain_service_keeps_deadlines_and_answers_what_is_under_way_when_it_stops(world: World):
    """Beside the other, with Serve's own proxy."""
    headers = {"Authorization": f"Bearer {world.reader}", "x-request-timeout-seconds": "0.0001"}
    with serve_domains(["films"], port=free_port(), mode="plain") as service:
        expect_late(f"{service.address}/v1/domains/films/recommendations", headers)
        assert answered_while_it_stops(service, world.reader) == [200, 200, 200]


def test_requests_under_way_are_answered_when_the_service_stops(world: World):
    """The last of the day: nobody answers after it."""
    assert answered_while_it_stops(world.service, world.reader) == [200, 200, 200]
