"""A cluster of two nodes: jobs over the job API with a token, then the service on top.

The towns' trainings need both nodes: each has one CPU, and two workers are asked for.
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml

from crossrec.config import load_config
from crossrec.releases.store import ReleaseStore
from crossrec.serving.auth import KeyRing
from tests.integration.local_cluster import LocalCluster, free_ports, two_nodes
from tests.integration.towns import SMALL

pytestmark = [pytest.mark.ray, pytest.mark.timeout(400)]

CLUSTER = Path(__file__).resolve().parents[2] / "cluster"
SETTINGS = [word for setting in SMALL for word in ("--set", setting)]


@pytest.fixture(scope="module")
def cluster(towns_home: Path) -> Iterator[LocalCluster]:
    with two_nodes(towns_home) as started:
        yield started


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
    assert ours["figures"]["ndcg@10"] == pytest.approx(
        trained["metrics"]["metrics"]["ndcg@10"],
        abs=2e-3,  # releases keep texts in half precision
    )
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


def _serve_config(folder: Path, port: int) -> Path:
    """The repository's Serve config for the town, on its own port, one proxy for both nodes."""
    config = yaml.safe_load((CLUSTER / "serve" / "config.yaml").read_text(encoding="utf-8"))
    text = json.dumps(config).replace("restaurants_sim", "tiny_city")
    config = json.loads(text)
    config |= {"proxy_location": "HeadOnly", "http_options": {"host": "127.0.0.1", "port": port}}
    for application in config["applications"]:
        if application["name"] == "encoder":
            application["args"]["domains"] = ["tiny_city"]
    wanted = ("encoder", "domain-tiny_city", "system")
    config["applications"] = [a for a in config["applications"] if a["name"] in wanted]
    path = folder / "serve.yaml"
    path.write_text(yaml.safe_dump(config), encoding="utf-8")
    return path


def test_serve_deploy_takes_the_config_file_and_the_town_answers(
    cluster: LocalCluster, trained: dict[str, Any], towns: Path, tmp_path: Path
):
    [port] = free_ports(1)
    key = KeyRing().create("test", ["read"])
    path = _serve_config(tmp_path, port)
    answer = cluster.command("serve", "deploy", str(path), "--address", cluster.dashboard)
    assert answer.returncode == 0, answer.stdout + answer.stderr
    url = f"http://127.0.0.1:{port}/v1/domains/tiny_city"
    headers = {"Authorization": f"Bearer {key}"}
    body = {"user_id": "nobody", "text": "a quiet terrace", "k": 3}
    deadline = time.monotonic() + 120
    while True:
        try:
            told = httpx.post(f"{url}/recommendations", json=body, headers=headers, timeout=10)
            if told.status_code == 200:
                break
            state = f"{told.status_code} {told.text}"
        except httpx.HTTPError as err:
            state = repr(err)
        assert time.monotonic() < deadline, state
        time.sleep(1)
    assert told.json()["release"] == trained["release"]
    assert len(told.json()["items"]) == 3
    assert httpx.post(f"{url}/recommendations", json=body, timeout=10).status_code == 401
