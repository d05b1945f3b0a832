"""A Prometheus of Debian's package for tests, on a free port, scraping every second.

Leaves to others: what is asked of it.
"""

from __future__ import annotations

import json
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import yaml

from tests.ports import free_port

FILES = Path(__file__).parents[1] / "cluster" / "observability"
START_TIMEOUT_S = 30


def programs_missing() -> bool:
    """Whether `prometheus` or `promtool` is not installed."""
    return not (shutil.which("prometheus") and shutil.which("promtool"))


def panel_queries(of_learners: bool) -> list[str]:
    """What the dashboard's panels ask, of all domains: those on learners, or all others."""
    dashboard = json.loads((FILES / "dashboard.json").read_text(encoding="utf-8"))
    asked = [target["expr"] for panel in dashboard["panels"] for target in panel["targets"]]
    return [
        query.replace("$domain", ".*").replace("$__rate_interval", "15s")
        for query in asked
        if ("crossrec_learner_" in query) == of_learners
    ]


class Prometheus:
    """Answers PromQL."""

    def __init__(self, address: str) -> None:
        self._http = httpx.Client(base_url=address, timeout=10)

    def query(self, expression: str) -> list[dict[str, Any]]:
        """Labels (`metric`) and `value` of each series that there is now."""
        answer = self._http.get("/api/v1/query", params={"query": expression}).json()
        assert answer["status"] == "success", f"{expression}: {answer}"
        return answer["data"]["result"]

    def get(self, path: str) -> Any:
        """`data` of an answer of its API."""
        return self._http.get(path).json()["data"]

    def wait_for(self, expression: str, seconds: float = 20) -> list[dict[str, Any]]:
        """The answer, once it is not empty."""
        ends = time.monotonic() + seconds
        while not (found := self.query(expression)):
            assert time.monotonic() < ends, f"nothing for {expression}"
            time.sleep(0.3)
        return found

    def is_ready(self) -> bool:
        """Whether it answers."""
        try:
            return self._http.get("/-/ready").status_code == 200
        except httpx.HTTPError:
            return False


@contextmanager
def prometheus(target: str, key: str) -> Iterator[Prometheus]:
    """One that runs with the project's own configuration and rules, against `target`."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        config = yaml.safe_load((FILES / "prometheus.yml").read_text(encoding="utf-8"))
        config["global"] = {"scrape_interval": "1s", "evaluation_interval": "1s"}
        config["scrape_configs"][0]["static_configs"] = [{"targets": [target]}]
        (folder / "prometheus.yml").write_text(yaml.safe_dump(config), encoding="utf-8")
        (folder / "key").write_text(key, encoding="utf-8")
        shutil.copy(FILES / "alerts.yml", folder)
        port = free_port()
        command = ["prometheus", f"--config.file={folder}/prometheus.yml"]
        command += [f"--storage.tsdb.path={folder}/data", f"--web.listen-address=127.0.0.1:{port}"]
        with (folder / "log").open("w") as log:
            process = subprocess.Popen(command, stdout=log, stderr=log)
        try:
            found = Prometheus(f"http://127.0.0.1:{port}")
            ends = time.monotonic() + START_TIMEOUT_S
            while not found.is_ready():
                assert process.poll() is None, (folder / "log").read_text()[-2000:]
                assert time.monotonic() < ends, "Prometheus is not ready"
                time.sleep(0.1)
            yield found
        finally:
            process.terminate()
            process.wait()
