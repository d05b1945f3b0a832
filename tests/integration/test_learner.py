"""Learning online in the whole service: two replicas, the learner's process, HAProxy.

One service for all tests of this file, which go from one to the next.
"""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable, Iterator

import httpx
import pytest
from prometheus_client.parser import text_string_to_metric_families

from crossrec.errors import RequestError
from crossrec.models.encoder import TextEncoder
from crossrec.serving.client import Client
from crossrec.serving.launch import Service, serve_domains
from crossrec.serving.messages import FeedbackEvent
from crossrec.serving.process_tree import tree_of
from tests.models.tiny import make_tiny_encoder
from tests.ports import free_port
from tests.prometheus import panel_queries, programs_missing, prometheus
from tests.service_log import logged
from tests.serving.learners import LEARNING, published
from tests.small_release import make_small_domain

pytestmark = pytest.mark.ray

EVERYWHERE_S = 2.0
PER_ADDRESS = 25


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    home = tmp_path_factory.mktemp("learning")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("CROSSREC_HOME", str(home))
        encoder = TextEncoder.load(make_tiny_encoder(home / "tiny"), precision="fp32")
        films = make_small_domain(home / "data" / "films", "films", encoder.encode)
        learning = LEARNING.model_copy(update={"per_address": PER_ADDRESS})
        of_encoder = {"encoder": encoder.name, "fingerprint": encoder.fingerprint}
        published(films, learning, **of_encoder)
        with serve_domains(["films"], port=free_port(), open_on_loopback=True, replicas=2) as found:
            with Client(found.address) as client:
                until(lambda: client.learner("films").learning, 60)
            yield found


@pytest.fixture
def client(service: Service) -> Iterator[Client]:
    with Client(service.address) as found:
        yield found


def until(holds: Callable[[], bool], within_s: float) -> float:
    """Seconds until something holds; errors on the way are as if it did not."""
    begin = time.monotonic()
    while True:
        try:
            if holds():
                return time.monotonic() - begin
        except Exception as err:
            last = err
        else:
            last = None
        assert time.monotonic() < begin + within_s, last
        time.sleep(0.05)


class Choices:
    """Different people who take the second item of what they are shown."""

    def __init__(self) -> None:
        self.n = 0

    def make(self, client: Client, n: int) -> None:
        for _ in range(n):
            self.n += 1
            answer = client.recommend("films", user_id=f"chooser-{self.n}", k=5)
            event = FeedbackEvent(
                event_id=f"choice-{self.n}", user_id=f"chooser-{self.n}", event="click",
                item_id=answer.items[1].item_id, request_id=answer.request_id,
            )  # fmt: skip
            assert client.feedback("films", [event]).accepted == 1


CHOICES = Choices()


def learned(client: Client) -> int:
    return client.learner("films").counts.get("learned", 0)


def test_a_choice_changes_the_weights_of_every_replica_within_two_seconds(
    client: Client, service: Service
):
    version = client.recommend("films", user_id="user-1").weights_version
    assert version == client.learner("films").version
    CHOICES.make(client, 1)

    def everywhere() -> bool:
        found = []
        for _ in range(12):  # a connection each, so that both replicas answer
            with Client(service.address) as another:
                found.append(another.recommend("films", user_id="user-1").weights_version)
        return min(found) > version

    assert until(everywhere, 30) <= EVERYWHERE_S
    CHOICES.make(client, 2)
    until(lambda: learned(client) == 3, 30)


def test_a_learner_that_is_killed_comes_back_and_counts_each_choice_once(
    client: Client, service: Service
):
    before = client.recommend("films", user_id="user-1").weights_version
    process = next(
        one for one in tree_of(service.pid) if "ServeReplica:learner" in " ".join(one.cmdline())
    )
    os.kill(process.pid, signal.SIGKILL)
    CHOICES.make(client, 5)  # answered and stored while nobody learns
    assert client.recommend("films", user_id="user-1").weights_version >= before
    until(lambda: learned(client) == CHOICES.n, 150)
    CHOICES.make(client, 2)
    until(lambda: learned(client) == CHOICES.n, 30)


def test_a_burst_of_one_address_is_bounded_and_other_addresses_go_on(
    client: Client, service: Service
):
    CHOICES.make(client, PER_ADDRESS + 5 - CHOICES.n)
    until(lambda: learned(client) == PER_ADDRESS, 30)
    until(lambda: client.learner("films").counts.get("beyond a cap") == 5, 30)
    status = client.learner("films")
    assert list(status.flagged_addresses.values()) == [PER_ADDRESS + 5]
    assert status.flagged_users == {}
    with Client(service.address) as elsewhere:
        elsewhere._http = httpx.Client(
            base_url=service.address, transport=httpx.HTTPTransport(local_address="127.0.0.2")
        )
        CHOICES.make(elsewhere, 2)
    until(lambda: learned(client) == PER_ADDRESS + 2, 30)


def test_what_is_learned_is_on_the_page_of_figures(client: Client, service: Service):
    def figures() -> dict[tuple[str, ...], float]:
        page = httpx.get(f"{service.address}/v1/metrics", timeout=10).text
        return {
            (one.name.removeprefix("crossrec_learner_"), *one.labels.values()): one.value
            for family in text_string_to_metric_families(page)
            for one in family.samples
            if one.name.startswith("crossrec_learner_")
        }

    status = client.learner("films")
    until(lambda: figures()["version", "films"] == status.version, 30)
    found = figures()
    assert found["learning", "films"] == 1
    assert found["weight", "films", "price"] == pytest.approx(status.weights["price"].weight)
    assert (found["flagged", "films", "addresses"], found["flagged", "films", "users"]) == (1, 0)
    # the killed process had learned from three, and may not have said so
    n_learned = PER_ADDRESS + 2
    assert n_learned - 3 <= found["choices_total", "films", "learned"] <= n_learned
    assert found["choices_total", "films", "beyond a cap"] == 5


@pytest.mark.skipif(programs_missing(), reason="Debian's package prometheus is not installed")
def test_panels_on_learners_show_something_and_the_burst_raises_an_alert(service: Service):
    with prometheus(service.address.removeprefix("http://"), "any key") as found:
        queries = panel_queries(of_learners=True)
        assert len(queries) == 3
        for query in queries:
            found.wait_for(query)
        [alert] = found.wait_for('ALERTS{alertname="CrossrecLearnerBounds"}')  # pending, for now
        assert (alert["metric"]["domain"], alert["metric"]["what"]) == ("films", "addresses")


def test_orders_hold_for_every_replica(client: Client, service: Service):
    version = client.learner("films").version
    assert not client.order_learner("films", "freeze").learning
    assert client.order_learner("films", "reset").weights["price"].weight == 0
    for _ in range(6):
        with Client(service.address) as another:
            assert another.recommend("films", user_id="user-2").weights == {"relevance": 1}
    back = client.order_learner("films", "rollback", version)
    assert back.why == f"rolled back to {version}"
    for _ in range(6):
        with Client(service.address) as another:
            answer = another.recommend("films", user_id="user-2")
            assert answer.weights_version == back.version
    assert client.order_learner("films", "explore", share=0).explore_share == 0
    trial = client.order_learner("films", "trial")
    assert (trial.learning, trial.live, trial.explore_share) == (True, False, 0)
    for _ in range(6):
        with Client(service.address) as another:
            answer = another.recommend("films", user_id="user-2")
            assert (answer.weights_version, answer.weights) == (trial.version, {"relevance": 1})
    live = client.order_learner("films", "go-live")
    for _ in range(6):
        with Client(service.address) as another:
            answer = another.recommend("films", user_id="user-2")
            assert answer.weights_version == live.version
            assert answer.weights["price"] == pytest.approx(live.weights["price"].weight, abs=1e-3)
    with pytest.raises(RequestError, match="expected at most"):
        client.order_learner("films", "explore", share=0.9)
    asked = client.recommend("films", user_id="user-2", objectives={"price": 0.1})
    assert asked.weights_version is None


def test_the_log_has_an_order_with_the_id_of_its_request(service: Service):
    url = f"{service.address}/v1/domains/films/learner"
    headers = {"x-request-id": "mine-1"}
    assert httpx.post(url, json={"action": "freeze"}, headers=headers).status_code == 200
    [line] = logged("mine-1")  # on disk already
    assert (line["application"], line["service"]) == ("learner", "crossrec: films")
    assert line["message"] == "learner of 'films': freeze"
