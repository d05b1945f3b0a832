"""Training on Ray: the same result whatever happens to a worker, and plain words when it fails."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from crossrec.config import Placement
from crossrec.errors import DataError, TrainingError
from crossrec.releases.store import ReleaseStore
from crossrec.training.launch import train_on_ray
from tests.integration.towns import SMALL, small

pytestmark = pytest.mark.ray

LONG = ["training.max_epochs=30", "training.patience=30"]
"""No early stop: long enough to kill a worker well before the end."""

_LOCAL = f"""
import json
import ray
from crossrec.config import Placement, load_config
from crossrec.training.launch import train_on_ray
config = load_config(overrides={SMALL + LONG})
[result] = train_on_ray(dict(tiny_city=config), Placement(workers=2), show=True)
assert not ray.is_initialized()
print(json.dumps(result.as_dict()))
"""


@pytest.fixture(scope="module")
def undisturbed(towns_home: Path) -> dict[str, Any]:
    """A run over two workers in a local cluster that it starts itself."""
    answer = subprocess.run(
        [sys.executable, "-c", _LOCAL],
        capture_output=True,
        text=True,
        timeout=150,
        env=os.environ | {"CROSSREC_HOME": str(towns_home)},
    )
    assert answer.returncode == 0, answer.stderr[-3000:]
    result: dict[str, Any] = json.loads(answer.stdout.splitlines()[-1])
    return result | {"log": answer.stderr}


def _figures(history: list[dict[str, float]]) -> list[float]:
    return [epoch[figure] for epoch in history for figure in ("loss", "validation_ndcg@10")]


def test_a_run_publishes_a_release_that_verifies_and_holds_its_figures(
    undisturbed: dict[str, Any], towns: Path
):
    store = ReleaseStore()
    release = store.show("tiny_city", undisturbed["release"])
    store.verify("tiny_city", release.version)
    assert release.metrics["metrics"] == pytest.approx(undisturbed["metrics"]["metrics"])
    assert release.metrics["run"] == undisturbed["run"]
    assert len(undisturbed["history"]) == 30


def test_a_run_tells_its_stages_and_epochs(undisturbed: dict[str, Any]):
    log = undisturbed["log"]
    assert "tiny_city: starting 2 workers" in log
    assert "tiny_city: epoch 30/30  loss " in log
    assert f"tiny_city: done, 30 epochs, release {undisturbed['release']}" in log


def test_a_run_whose_worker_is_killed_ends_with_the_same_figures(
    undisturbed: dict[str, Any], towns: Path, ray_cluster: None
):
    pids: dict[int, int] = {}
    killed: list[int] = []
    epochs: list[int] = []
    stages: list[str] = []

    def kill_one_at_epoch_5(event: dict[str, Any]) -> None:
        if "pid" in event:
            pids[event["rank"]] = event["pid"]
        stages.append(event.get("stage", ""))
        if "metrics" in event:
            epochs.append(int(event["metrics"]["epoch"]))
            if epochs[-1] >= 5 and not killed:
                killed.append(pids[1])
                os.kill(pids[1], signal.SIGKILL)

    [result] = train_on_ray(
        {"tiny_city": small(*LONG)}, Placement(workers=2), on_event=kill_one_at_epoch_5
    )
    assert any("failed, resuming" in stage for stage in stages)
    assert stages.count("preparing") == 4  # two workers, twice
    assert epochs.count(1) == 1  # went on from a checkpoint, not from the start
    assert _figures(result.history) == pytest.approx(_figures(undisturbed["history"]))
    assert result.metrics["metrics"] == pytest.approx(undisturbed["metrics"]["metrics"])


def test_several_domains_train_side_by_side_and_one_failure_leaves_the_others(
    towns: Path, ray_cluster: None
):
    config = small("training.max_epochs=20", "training.patience=1")
    events: list[dict[str, Any]] = []
    with pytest.raises(TrainingError, match=r"1 of 3 domains failed \(movies: no data of 'movies'"):
        train_on_ray(
            dict.fromkeys(["tiny_city", "movies", "tiny_town"], config),
            Placement(workers=2),
            run_name="three",
            on_event=events.append,
        )
    for town in ("tiny_city", "tiny_town"):
        reported = [e["metrics"] for e in events if e["domain"] == town and "metrics" in e]
        assert 1 < len(reported) < 20  # both workers stopped early, together
        assert ReleaseStore().show(town).metrics["run"] == "three"


def test_a_finished_run_that_is_repeated_trains_no_further(
    undisturbed: dict[str, Any], towns: Path, ray_cluster: None
):
    events: list[dict[str, Any]] = []
    [result] = train_on_ray(
        {"tiny_city": small(*LONG)},
        Placement(workers=2),
        run_name=undisturbed["run"],
        publish=False,
        on_event=events.append,
    )
    assert not [event for event in events if "metrics" in event]
    assert result.history == undisturbed["history"]
    assert result.release is None


def test_a_run_name_taken_by_other_settings_is_refused(towns: Path, ray_cluster: None):
    (towns / "runs" / "taken" / "tiny_town").mkdir(parents=True)
    facts = {"kind": "train", "config": {}, "data_hash": ""}
    path = towns / "runs" / "taken" / "tiny_town" / "run.json"
    path.write_text(json.dumps(facts), encoding="utf-8")
    with pytest.raises(TrainingError, match="another config and data_hash; choose another"):
        train_on_ray({"tiny_town": small()}, Placement(), run_name="taken")


def test_a_domain_without_data_is_refused_as_such(towns: Path, ray_cluster: None):
    with pytest.raises(DataError, match="run: crossrec data import movies"):
        train_on_ray({"movies": small()}, Placement())
