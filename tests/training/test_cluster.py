"""What is said when there is no cluster, or not enough of it."""

from __future__ import annotations

import time

import pytest

from crossrec.config import Placement
from crossrec.errors import TrainingError
from crossrec.training.cluster import groups_at_once, ray_session, require_resources
from tests.ports import free_port


@pytest.mark.parametrize("scheme", ["", "ray://"])
def test_no_cluster_at_the_address_is_said_within_seconds(
    scheme: str, monkeypatch: pytest.MonkeyPatch
):
    # Another test of the session may hold a cluster; this one asks as a fresh process would.
    monkeypatch.setattr("ray.is_initialized", lambda: False)
    address = f"{scheme}127.0.0.1:{free_port()}"
    started = time.monotonic()
    with (
        pytest.raises(TrainingError, match=f"no Ray cluster answers at '{address}'.*ray status"),
        ray_session(Placement(address=address)),
    ):
        pass
    assert time.monotonic() - started < 10


@pytest.mark.ray
def test_more_workers_than_the_cluster_has_cpus_is_refused_with_both_figures(ray_cluster: None):
    with pytest.raises(TrainingError, match="the cluster has 4 CPUs, but 3 workers with 2 each"):
        require_resources(Placement(workers=3, threads_per_worker=2))


@pytest.mark.ray
def test_gpus_that_are_not_there_are_refused_when_asked_for(ray_cluster: None):
    with pytest.raises(TrainingError, match="the cluster has 0 GPUs, but 1 workers"):
        require_resources(Placement(use_gpu=True))


@pytest.mark.ray
def test_as_many_groups_train_side_by_side_as_have_room(ray_cluster: None):
    assert groups_at_once(Placement(workers=2)) == 2
    assert groups_at_once(Placement(workers=3)) == 1
