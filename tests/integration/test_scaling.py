"""Replicas that follow the load, queues that end, deadlines: one service of a small domain."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest

from crossrec.models.encoder import TextEncoder
from crossrec.releases.store import ReleaseStore
from crossrec.serving.client import Client
from crossrec.serving.gateway import MAX_IN_FLIGHT
from crossrec.serving.launch import Service, serve_domains
from crossrec.serving.live_messages import ServiceStatus
from tests.benchmarks.load import Ask, Load, Outcome, offered
from tests.models.tiny import make_tiny_encoder
from tests.ports import free_port
from tests.small_release import make_small_domain

pytestmark = [pytest.mark.ray, pytest.mark.timeout(600)]

N_CLIENTS = 40
"""At once: five times what a replica is to have, and less than what it refuses (64)."""
TOO_MANY = 3 * 2 * MAX_IN_FLIGHT
"""Three times what two replicas take."""
BURST_S = 4.0
PATIENCE_S = 150.0
N_WORDS = 24
"""More than go along with the next call: each request in words is a call of the encoder's own."""


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    home: Path = tmp_path_factory.mktemp("scaled")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("CROSSREC_HOME", str(home))
        encoder = TextEncoder.load(make_tiny_encoder(home / "tiny"), precision="fp32")
        films = make_small_domain(home / "data" / "films", "films", encoder.encode)
        films.publish(ReleaseStore(), encoder.name, encoder.fingerprint)
        with serve_domains(
            ["films"],
            port=free_port(),
            open_on_loopback=True,
            max_replicas=2,
            max_encoders=2,
            give_back_after_s=3,
        ) as found:
            yield found


def explained(service: Service, n_clients: int) -> Load:
    """Requests in words of their own with their reasons, which keep replica and encoder busy."""
    url = f"{service.address}/v1/domains/films/recommendations"
    words = ("horror", "comedy", "drama", "quiet", "long", "old")

    def ask(number: int) -> Ask:
        text = " ".join(f"{words[n % len(words)]}{number % 997}x{n}" for n in range(N_WORDS))
        return Ask(url, {"user_id": f"user-{number % 5}", "text": text, "explain": True})

    return Load([ask(number) for number in range(4000)], n_clients, BURST_S)


@contextmanager
def under(load: Load) -> Iterator[list[Outcome]]:
    """Load from a second process while the block runs; what came of it is in the list after it."""
    outcomes: list[Outcome] = []
    ended = threading.Event()

    def offer() -> None:
        while not ended.is_set():
            outcomes.append(offered(load))

    thread = threading.Thread(target=offer)
    thread.start()
    try:
        yield outcomes
    finally:
        ended.set()
        thread.join()


def wait_for(service: Service, found: Callable[[tuple[int, int]], bool]) -> tuple[int, int]:
    """Replicas of the domain and of the encoder, once they are as they should be."""
    until = time.monotonic() + PATIENCE_S
    with Client(service.address, timeout_s=60) as client:
        while True:
            now = running(client.operations.status())
            if found(now) or time.monotonic() > until:
                return now
            time.sleep(1)


def running(status: ServiceStatus) -> tuple[int, int]:
    (films,) = status.domains
    return films.replicas.get("RUNNING", 0), status.others["encoder"].replicas.get("RUNNING", 0)


def errors_of(outcomes: list[Outcome]) -> set[str]:
    return {error for one in outcomes for error in one.errors}


def test_replicas_follow_the_load_there_and_back_and_no_request_fails(service: Service):
    assert wait_for(service, lambda now: now == (1, 1)) == (1, 1)
    with under(explained(service, N_CLIENTS)) as outcomes:
        assert wait_for(service, lambda now: now == (2, 2)) == (2, 2)
    assert errors_of(outcomes) == set()
    assert all(one.times_ms for one in outcomes)
    asked = explained(service, 1).asks[0]
    with httpx.Client(timeout=60) as http:
        assert wait_for(service, lambda now: now == (1, 1)) == (1, 1)
        assert http.post(asked.url, json=asked.body).status_code == 200


def test_what_is_too_much_is_told_to_come_back(service: Service):
    load = explained(service, TOO_MANY)
    refused, late = [], []
    with under(load) as outcomes, httpx.Client(timeout=60) as http:
        until = time.monotonic() + PATIENCE_S
        while not (refused and late) and time.monotonic() < until:
            soon = {"x-request-timeout-seconds": "0.002"}
            for kept, headers, status in ((refused, {}, 429), (late, soon, 408)):
                answer = http.post(load.asks[0].url, json=load.asks[0].body, headers=headers)
                if answer.status_code == status:
                    kept.append(answer)
    assert refused
    assert late
    assert int(refused[0].headers["retry-after"]) >= 1
    assert refused[0].json()["kind"] == "ServiceError"
    assert errors_of(outcomes) == {"429"}
    assert any(one.times_ms for one in outcomes)  # those that it took were answered
    with Client(service.address, timeout_s=60) as client:
        assert client.recommend("films", user_id="user-1", text="horror").items
