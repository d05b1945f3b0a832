"""A cluster of two nodes: jobs over the job API with a token, then the service on top.

The towns' trainings need both nodes: each has one CPU, and two workers are asked for.
"""

from __future__ import annotations

import contextlib
import json
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml

from crossrec.config import load_config
from crossrec.errors import CrossrecError
from crossrec.releases.store import ReleaseStore
from crossrec.serving.auth import KeyRing
from crossrec.serving.client import Client
from crossrec.serving.messages import FeedbackEvent, ItemUpsert, RecommendResponse
from crossrec.serving.metrics import WRITE_EVERY_S
from tests.integration.local_cluster import LocalCluster, two_nodes
from tests.integration.towns import SMALL
from tests.ports import free_port
from tests.postgres import postgres, server_program

pytestmark = [pytest.mark.ray, pytest.mark.timeout(400)]

CLUSTER = Path(__file__).resolve().parents[2] / "cluster"
SETTINGS = [word for setting in SMALL for word in ("--set", setting)]


@pytest.fixture(scope="module")
def cluster(towns_home: Path) -> Iterator[LocalCluster]:
    """With the feedback log on a server, which several machines need. Without Debian's package
    it is SQLite, which does where both nodes are on one machine.
    """
    # else the one proxy asks the replicas of its own node alone
    variables = {"RAY_SERVE_PROXY_PREFER_LOCAL_NODE_ROUTING": "0"}
    with contextlib.ExitStack() as stack:
        if server_program() is not None:
            variables["CROSSREC_FEEDBACK_URL"] = stack.enter_context(postgres()).url()
        yield stack.enter_context(two_nodes(towns_home, **variables))


def _submit(cluster: LocalCluster, *words: str, token: str | None = None) -> Any:
    """Run a job to its end; `ray job submit` follows its log and exits as the job does."""
    submit = ("ray", "job", "submit", "--address", cluster.dashboard)
    folder = str(CLUSTER / "jobs")
    return cluster.command(
        *submit, "--working-dir", folder, "--", "python", *words, token=token, timeout_s=380
    )


def _result(log: str) -> Any:
    [line] = [line for line in log.splitlines() if line.startswith(("{", "[{"))]
    return json.loads(line)


@pytest.fixture(scope="module")
def trained(cluster: LocalCluster) -> dict[str, Any]:
    """The training job's result for one town; it imported nothing, for the data were there."""
    answer = _submit(
        cluster,
        *("train.py", "tiny_city", "--workers", "2", "--run-name", "job"),
        *(*SETTINGS, "--set", "training.max_epochs=4"),
    )
    assert answer.returncode == 0, answer.stdout + answer.stderr
    [result] = _result(answer.stdout)
    return dict(result)


def test_a_training_job_over_two_nodes_leaves_a_release(trained: dict[str, Any], towns: Path):
    release = ReleaseStore().verify("tiny_city", trained["release"])
    assert release.is_current
    assert release.metrics["run"] == "job"
    assert len(trained["history"]) == 4


def test_an_evaluation_job_judges_that_release(
    cluster: LocalCluster, trained: dict[str, Any], towns: Path
):
    answer = _submit(cluster, "evaluate.py", "tiny_city", "--baselines", "popularity")
    assert answer.returncode == 0, answer.stdout + answer.stderr
    report = _result(answer.stdout)
    ours = next(row for row in report["rows"] if row["model"] == "crossrec")
    assert ours["figures"]["ndcg@10"] == pytest.approx(trained["metrics"]["metrics"]["ndcg@10"])
    assert "popularity" in [row["model"] for row in report["rows"]]


def test_a_search_of_four_trials_with_two_workers_ends_on_two_cpus(
    cluster: LocalCluster, towns: Path
):
    answer = _submit(
        cluster,
        *("tune.py", "tiny_city", "--trials", "4", "--workers", "2", "--run-name", "search"),
        *(*SETTINGS, "--set", "training.max_epochs=5"),
    )
    assert answer.returncode == 0, answer.stdout + answer.stderr
    result = _result(answer.stdout)
    assert [trial["trial"] for trial in result["trials"]] == [1, 2, 3, 4]
    assert {trial["state"] for trial in result["trials"]} <= {"complete", "stopped early"}
    best = max(result["trials"], key=lambda trial: trial["value"])
    assert result["value"] == best["value"]
    chosen = load_config(Path(result["config_file"]))
    assert chosen.training.learning_rate == best["point"]["training.learning_rate"]


def test_a_job_that_fails_says_why_in_one_line(cluster: LocalCluster):
    answer = _submit(cluster, "train.py", "tiny_city", "--workers", "3", *SETTINGS)
    assert answer.returncode != 0
    assert "error: the cluster has 2 CPUs, but 3 workers with 1 each ask for 3" in answer.stdout


def test_a_wrong_token_is_turned_away(cluster: LocalCluster):
    answer = _submit(cluster, "train.py", "tiny_city", token="f" * 64)
    assert answer.returncode != 0
    assert "token authentication is enabled" in answer.stderr


@pytest.fixture(scope="module")
def port() -> int:
    """Of the service: Serve keeps to the first that it is told."""
    return free_port()


def _serve_config(folder: Path, port: int, replicas: int) -> Path:
    """The repository's Serve config for the town, on its own port, one proxy for both nodes."""
    config = yaml.safe_load((CLUSTER / "serve" / "config.yaml").read_text(encoding="utf-8"))
    text = json.dumps(config).replace("restaurants_sim", "tiny_city")
    config = json.loads(text)
    config |= {"proxy_location": "HeadOnly", "http_options": {"host": "127.0.0.1", "port": port}}
    for application in config["applications"]:
        if "domains" in application["args"]:
            application["args"]["domains"] = ["tiny_city"]
        if application["name"] == "domains":
            application["args"]["replicas"] = replicas
    path = folder / "serve.yaml"
    path.write_text(yaml.safe_dump(config), encoding="utf-8")
    return path


def _deploy(cluster: LocalCluster, folder: Path, port: int, replicas: int) -> None:
    path = _serve_config(folder, port, replicas)
    answer = cluster.command("serve", "deploy", str(path), "--address", cluster.dashboard)
    assert answer.returncode == 0, answer.stdout + answer.stderr


def _answered(port: int, key: str, body: dict[str, Any], within_s: float) -> httpx.Response:
    """The first answer, asked again until there is one."""
    url = f"http://127.0.0.1:{port}/v1/domains/tiny_city/recommendations"
    deadline = time.monotonic() + within_s
    while True:
        try:
            told = httpx.post(
                url, json=body, headers={"Authorization": f"Bearer {key}"}, timeout=10
            )
            if told.status_code == 200:
                return told
            state = f"{told.status_code} {told.text}"
        except httpx.HTTPError as err:
            state = repr(err)
        assert time.monotonic() < deadline, state
        time.sleep(0.5)


def test_serve_deploy_takes_the_config_file_and_the_town_answers(
    cluster: LocalCluster, trained: dict[str, Any], towns: Path, tmp_path: Path, port: int
):
    key = KeyRing().create("test", ["read"])
    _deploy(cluster, tmp_path, port, replicas=1)
    body = {"user_id": "nobody", "text": "a quiet terrace", "k": 3}
    told = _answered(port, key, body, within_s=120)
    assert told.json()["release"] == trained["release"]
    assert len(told.json()["items"]) == 3
    assert told.headers.get_list("x-request-id") == [told.json()["request_id"]]
    url = f"http://127.0.0.1:{port}/v1/domains/tiny_city/recommendations"
    assert httpx.post(url, json=body, timeout=10).status_code == 401


def _replicas(cluster: LocalCluster) -> dict[int, str]:
    """Process ids of the town's replicas that run → their nodes."""
    application = cluster.get("/api/serve/applications/")["applications"]["domains"]
    found = [one for of in application["deployments"].values() for one in of["replicas"]]
    return {one["pid"]: one["node_id"] for one in found if one["state"] == "RUNNING"}


def _wait_for_replicas(cluster: LocalCluster, n: int, n_nodes: int) -> None:
    def there() -> bool:
        found = _replicas(cluster)
        return len(found) == n and len(set(found.values())) == n_nodes

    _until(there, 120)


def _deploy_on_both_nodes(cluster: LocalCluster, folder: Path, port: int) -> None:
    """Four replicas, on both nodes by Serve's own policy: nothing asks for it."""
    _deploy(cluster, folder, port, replicas=4)
    _wait_for_replicas(cluster, 4, n_nodes=2)


def _until(holds: Callable[[], bool], within_s: float) -> None:
    """Errors on the way are as if it did not hold."""
    deadline = time.monotonic() + within_s
    while True:
        last: Exception | None = None
        try:
            if holds():
                return
        except (httpx.HTTPError, CrossrecError) as err:
            last = err
        assert time.monotonic() < deadline, last
        time.sleep(0.2)


def _n_answers(home: Path) -> dict[int, float]:
    """Process id → lists of items that a process has given, as it wrote last."""
    found: dict[int, float] = {}
    for path in (home / "metrics").glob("*/*.json"):
        values = json.loads(path.read_text(encoding="utf-8"))["values"]
        n = sum(value for name, _, value in values if name == "crossrec_answers")
        found[int(path.name.partition("-")[0])] = n
    return found


def test_a_choice_moves_the_weights_of_the_replicas_on_both_nodes(
    cluster: LocalCluster, trained: dict[str, Any], towns: Path, tmp_path: Path, port: int
):
    key = KeyRing().create("chooser", ["read", "feedback", "admin"])
    _deploy_on_both_nodes(cluster, tmp_path, port)
    with Client(f"http://127.0.0.1:{port}", key) as client:
        _until(lambda: client.order_learner("tiny_city", "resume").learning, 30)
        answer = client.recommend("tiny_city", user_id="somebody", k=3)
        event = FeedbackEvent(
            event_id="a choice", user_id="somebody", item_id=answer.items[1].item_id,
            event="click", request_id=answer.request_id,
        )  # fmt: skip
        assert client.feedback("tiny_city", [event]).accepted == 1
        _until(lambda: client.learner("tiny_city").counts == {"learned": 1}, 20)
        learned = client.order_learner("tiny_city", "freeze")
        assert answer.weights_version is not None
        assert answer.weights_version < learned.version
        _on_both_nodes(
            cluster, towns, lambda n: client.recommend("tiny_city", user_id=f"somebody {n}", k=3),
            lambda told: told.weights_version == learned.version,
        )  # fmt: skip


def _on_both_nodes(
    cluster: LocalCluster,
    home: Path,
    ask: Callable[[int], RecommendResponse],
    holds: Callable[[RecommendResponse], bool],
) -> None:
    """Ask again and again until replicas on both nodes have answered; it must hold each time."""
    nodes = _replicas(cluster)
    time.sleep(WRITE_EVERY_S)  # what was answered before is written
    before = _n_answers(home)

    def both_have_answered() -> bool:
        for n in range(10):
            told = ask(n)
            assert holds(told), told
        now = _n_answers(home)
        more = {pid for pid in nodes if now[pid] > before.get(pid, 0)}
        return len({nodes[pid] for pid in more}) == 2

    _until(both_have_answered, 20)


def test_what_one_node_is_told_the_other_knows(
    cluster: LocalCluster, trained: dict[str, Any], towns: Path, tmp_path: Path, port: int
):
    key = KeyRing().create("teller", ["read", "feedback", "admin"])
    _deploy_on_both_nodes(cluster, tmp_path, port)
    with Client(f"http://127.0.0.1:{port}", key) as client:

        def in_words(_: int) -> RecommendResponse:
            return client.recommend("tiny_city", text="a quiet terrace", k=50)

        def for_guest(_: int) -> RecommendResponse:
            return client.recommend("tiny_city", user_id="a guest", k=3)

        def ids(told: RecommendResponse) -> list[str]:
            return [item.item_id for item in told.items]

        first = ids(in_words(0))
        _on_both_nodes(cluster, towns, in_words, lambda told: ids(told) == first)

        been = ids(for_guest(0))[0]
        event = FeedbackEvent(event_id="a visit", user_id="a guest", item_id=been, event="visit")
        assert client.feedback("tiny_city", [event]).accepted == 1
        _on_both_nodes(
            cluster, towns, for_guest, lambda told: told.user_known and been not in ids(told)
        )

        new = ItemUpsert(item_id="new", title="A quiet terrace", text="a quiet terrace")
        assert client.put_items("tiny_city", [new]).added == 1
        _on_both_nodes(cluster, towns, in_words, lambda told: "new" in ids(told))

        assert client.erase_user("tiny_city", "a guest").n_events == 1
        _on_both_nodes(
            cluster, towns, for_guest, lambda told: not told.user_known and been in ids(told)
        )


def test_replicas_on_two_nodes_answer_and_those_of_one_do_when_the_other_is_gone(
    cluster: LocalCluster, trained: dict[str, Any], towns: Path, tmp_path: Path, port: int
):
    """The last test: the second node does not come back."""
    key = KeyRing().create("nodes", ["read"])
    _deploy_on_both_nodes(cluster, tmp_path, port)
    bodies = [{"user_id": f"somebody {n}", "k": 3} for n in range(20)]
    first = [_answered(port, key, body, within_s=60).json() for body in bodies]
    cluster.kill_second()
    # whoever is asked while nobody has noticed asks again
    again = [_answered(port, key, body, within_s=60).json() for body in bodies]
    for before, after in zip(first, again, strict=True):
        assert after["release"] == trained["release"]
        assert [i["item_id"] for i in after["items"]] == [i["item_id"] for i in before["items"]]
    _wait_for_replicas(cluster, 4, n_nodes=1)  # all on the head
    assert len(_answered(port, key, bodies[0], within_s=10).json()["items"]) == 3
