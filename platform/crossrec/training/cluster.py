"""Connects to a Ray cluster or starts a local one that ends with the run, and checks it is enough.

Leaves to others: what runs on it (launch.py, tuning/search.py).
"""

from __future__ import annotations

import contextlib
import logging
import socket
from collections.abc import Iterator

import ray

from crossrec.config import Placement
from crossrec.errors import TrainingError

CONNECT_TIMEOUT_S = 5.0


@contextlib.contextmanager
def ray_session(placement: Placement) -> Iterator[None]:
    """Ray, connected, for the time of the block; what was connected before stays so after.

    Without an address a local cluster starts, of this machine's CPUs, and ends with the block.

    Raises:
        TrainingError: no cluster at the address, or it has less than the placement asks for.
    """
    if ray.is_initialized():
        require_resources(placement)
        yield
        return
    _connect(placement.address)
    try:
        require_resources(placement)
        yield
    finally:
        ray.shutdown()


def _connect(address: str | None) -> None:
    quiet = {"log_to_driver": False, "logging_level": logging.ERROR}
    if address is None:
        # "local", not None: None would join whatever cluster runs on this machine (Ray 2.60).
        ray.init("local", include_dashboard=False, object_store_memory=256 * 2**20, **quiet)
        return
    _knock(address)
    try:
        ray.init(address, **quiet)
    except (ConnectionError, RuntimeError, ValueError, ray.exceptions.RayError) as err:
        raise TrainingError(_no_cluster(address, str(err), listens=":" in address)) from err


def _knock(address: str) -> None:
    """Fail within seconds where nothing listens: Ray itself tries for a minute (2.60)."""
    host, _, port = address.removeprefix("ray://").rpartition(":")
    if not port.isdigit():
        return  # `auto`: Ray reads the address from the machine's running cluster
    try:
        socket.create_connection((host.strip("[]"), int(port)), CONNECT_TIMEOUT_S).close()
    except OSError as err:
        raise TrainingError(_no_cluster(address, str(err), listens=False)) from err


def _no_cluster(address: str, reason: str, listens: bool) -> str:
    first = reason.strip().splitlines()[0] if reason.strip() else "no reason given"
    hint = (
        # Ray 2.60 says nothing of a wrong token here, it only gives up.
        "Something listens there: set RAY_AUTH_MODE=token and the cluster's token in"
        f" RAY_AUTH_TOKEN, and use the cluster's Ray version (this is {ray.__version__})"
        if listens
        else "Check `ray status` there, or leave --address out to start a local cluster"
    )
    return f"no Ray cluster answers at '{address}' ({first.rstrip('.')}). {hint}."


def worker_resources(placement: Placement) -> dict[str, float]:
    """What one worker reserves: a CPU a thread, and a GPU where the placement uses them."""
    resources = {"CPU": float(placement.threads_per_worker)}
    return resources | {"GPU": 1.0} if uses_gpu(placement) else resources


def uses_gpu(placement: Placement) -> bool:
    """Whether the workers run on GPUs: as told, or when the cluster has one for each."""
    if placement.use_gpu == "auto":
        return _capacity().get("GPU", 0.0) >= placement.workers
    return placement.use_gpu


def require_resources(placement: Placement) -> None:
    """Check that the cluster as a whole can hold the workers, busy or not.

    Raises:
        TrainingError: it cannot; the message says what it has and what was asked for.
    """
    has = _capacity()
    for name, each in worker_resources(placement).items():
        asked = each * placement.workers
        if asked > has.get(name, 0.0):
            raise TrainingError(
                f"the cluster has {has.get(name, 0.0):g} {name}s, but {placement.workers} workers"
                f" with {each:g} each ask for {asked:g}; ask for fewer --workers, or add machines"
            )


def groups_at_once(placement: Placement) -> int:
    """How many groups of workers fit the cluster side by side, at least 1."""
    has = _capacity()
    each = worker_resources(placement)
    return max(1, min(int(has.get(n, 0.0) // (each[n] * placement.workers)) for n in each))


def _capacity() -> dict[str, float]:
    """What the cluster has, or may grow to where an autoscaler adds machines."""
    from ray._private.state import state  # as ray.train's elastic scaling does (Ray 2.60)

    has: dict[str, float] = dict(ray.cluster_resources())
    if not ray.util.client.ray.is_connected():
        grown = state.get_max_resources_from_cluster_config() or {}
        has |= {name: max(has.get(name, 0.0), float(n)) for name, n in grown.items()}
    return has
