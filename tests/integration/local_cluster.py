"""A real Ray cluster of two nodes on this machine, started and ended like two machines' Ray.

Own ports, token and folder, so that it lives beside any other; ended by process id.
"""

from __future__ import annotations

import contextlib
import os
import secrets
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import psutil

from tests.ports import free_ports

BIN = Path(sys.executable).parent
"""Where `ray` and `serve` are: beside this Python."""


@dataclass(frozen=True)
class LocalCluster:
    """How to reach it."""

    dashboard: str
    """Address of the job API and of Serve's, `http://127.0.0.1:port`."""
    environment: dict[str, str]
    """For commands: the token, the home."""
    second: psutil.Process
    """`ray start` of the node that is not the head."""

    def get(self, path: str) -> Any:
        """What the dashboard answers at a path, as JSON."""
        headers = {"Authorization": f"Bearer {self.environment['RAY_AUTH_TOKEN']}"}
        answer = httpx.get(f"{self.dashboard}{path}", headers=headers, timeout=10)
        return answer.raise_for_status().json()

    def kill_second(self) -> None:
        """End the second node with all that runs on it, as if its machine went."""
        for one in [*self.second.children(recursive=True), self.second]:
            with contextlib.suppress(psutil.NoSuchProcess):
                one.kill()

    def command(
        self, *words: str, timeout_s: float = 200, token: str | None = None
    ) -> subprocess.CompletedProcess[str]:
        """Run `ray …` or `serve …` against it."""
        environment = self.environment | ({"RAY_AUTH_TOKEN": token} if token else {})
        return subprocess.run(
            [str(BIN / words[0]), *words[1:]],
            capture_output=True,
            text=True,
            timeout=timeout_s,
            env=environment,
        )


@contextlib.contextmanager
def two_nodes(home: Path, **variables: str) -> Iterator[LocalCluster]:
    """A head and a second node of one CPU each; `$CROSSREC_HOME` of both is `home`.

    Each has a folder for temporary files of its own, so that no Unix socket of one leads to the
    other, as between two machines.

    Args:
        variables: of the environment, too.
    """
    # Short: Ray puts Unix sockets below it, whose paths may have 107 characters.
    folder = Path(tempfile.mkdtemp(prefix="cr", dir="/tmp"))
    gcs, dashboard, client = free_ports(3)
    environment = os.environ | {
        "RAY_AUTH_MODE": "token",
        "RAY_AUTH_TOKEN": secrets.token_hex(32),
        "RAY_USAGE_STATS_ENABLED": "0",
        "RAY_SERVE_HTTP_PROXY_CALLBACK_IMPORT_PATH": "crossrec.serving.request_ids.middlewares",
        "CROSSREC_HOME": str(home),
        "OMP_NUM_THREADS": "1",
        # Entry points say `python`: this one, as in an activated environment.
        "PATH": f"{BIN}{os.pathsep}{os.environ['PATH']}",
        **variables,
    }
    environment.pop("RAY_ADDRESS", None)
    head = [
        "--head",
        f"--port={gcs}",
        f"--temp-dir={folder}",
        f"--dashboard-port={dashboard}",
        f"--ray-client-server-port={client}",
    ]
    node = [f"--address=127.0.0.1:{gcs}"]
    url = f"http://127.0.0.1:{dashboard}"
    processes: list[subprocess.Popen[bytes]] = []
    try:
        for name, options in (("head", head), ("second", node)):
            own = folder / name
            own.mkdir()
            processes.append(_start(options, environment | {"TMPDIR": str(own)}, folder))
            _wait_for_nodes(url, environment, len(processes), processes[-1], folder)
        yield LocalCluster(url, environment, psutil.Process(processes[1].pid))
    finally:
        _end(processes, folder)


def _start(
    options: list[str], environment: dict[str, str], folder: Path
) -> subprocess.Popen[bytes]:
    names = (
        "dashboard-agent-listen-port",
        "dashboard-agent-grpc-port",
        "runtime-env-agent-port",
        "metrics-export-port",
    )
    ports = [f"--{name}={port}" for name, port in zip(names, free_ports(4), strict=True)]
    sizes = ["--num-cpus=1", "--object-store-memory=100000000"]
    # Workers' ports: any that are free, for Ray's usual range belongs to the other clusters.
    sizes += ["--min-worker-port=0", "--max-worker-port=0"]
    with (folder / "start.log").open("ab") as log:
        return subprocess.Popen(
            [str(BIN / "ray"), "start", "--block", *options, *ports, *sizes],
            env=environment,
            stdout=log,
            stderr=log,
        )


def _wait_for_nodes(
    url: str,
    environment: dict[str, str],
    n_nodes: int,
    process: subprocess.Popen[bytes],
    folder: Path,
) -> None:
    headers = {"Authorization": f"Bearer {environment['RAY_AUTH_TOKEN']}"}
    deadline = time.monotonic() + 90
    while time.monotonic() < deadline:
        with contextlib.suppress(httpx.HTTPError, KeyError, ValueError):
            answer = httpx.get(f"{url}/nodes?view=summary", headers=headers, timeout=5).json()
            nodes = answer["data"]["summary"]
            if sum(node["raylet"].get("state") == "ALIVE" for node in nodes) >= n_nodes:
                return
        if process.poll() is not None:
            break
        time.sleep(0.5)
    raise RuntimeError(f"no {n_nodes} nodes: {(folder / 'start.log').read_text()[-3000:]}")


def _end(processes: list[subprocess.Popen[bytes]], folder: Path) -> None:
    """End what was started: `ray start --block` ends its node; what is left goes by its id."""
    started = [psutil.Process(one.pid) for one in processes if one.poll() is None]
    family = [child for one in started for child in one.children(recursive=True)]
    for one in reversed(processes):
        one.terminate()
    # A node with replicas or jobs on it takes long to leave in good order; nothing here needs it.
    _, left = psutil.wait_procs(started + family, timeout=3)
    ours = [one for one in psutil.process_iter(["cmdline"]) if _names(one, folder)]
    for one in left + ours:
        with contextlib.suppress(psutil.NoSuchProcess):
            one.kill()
    psutil.wait_procs(left + ours, timeout=10)
    shutil.rmtree(folder, ignore_errors=True)


def _names(process: psutil.Process, folder: Path) -> bool:
    """Whether the folder of this cluster, and no other's, is on the process's command line."""
    return any(str(folder) in word for word in process.info["cmdline"] or [])
