"""Wall time of `make demo SMOKE=1`, `make demo` until everything is up, and `make test`.

From an empty home and after installation; the demo's data come from where they come from
without a mirror: the package index. `python -m tests.benchmarks.demo_time smoke demo` times two.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from tests.benchmarks.rows import RESULTS, write_rows

REPOSITORY = Path(__file__).resolve().parents[2]
UP = "everything is up"
RESULT = RESULTS / "demo_time.json"


def main() -> None:
    """Time the parts named on the command line (all: none named), keep the others' rows."""
    parts = {"smoke": _smoke, "demo": _full, "test": _test}
    wanted = sys.argv[1:] or list(parts)
    subprocess.run(["make", ".venv/.dev"], cwd=REPOSITORY, check=True)
    new = [parts[name]() for name in wanted]
    old = json.loads(RESULT.read_text(encoding="utf-8")) if RESULT.is_file() else []
    measured = {row["protocol"] for row in new}
    write_rows("demo_time", [row for row in old if row["protocol"] not in measured] + new)


def _row(protocol: str, seconds: float) -> dict[str, Any]:
    how = f"{protocol}; empty home, after installation"
    return {"name": "demo_time", "value": seconds / 60, "unit": "min", "n": 1, "protocol": how}


def _demo(arguments: list[str], *, until_up: bool) -> float:
    with tempfile.TemporaryDirectory(prefix="crossrec-") as home:
        environment = {**os.environ, "CROSSREC_HOME": home, "PYTHONUNBUFFERED": "1"}
        environment.pop("CROSSREC_DATA_MIRROR", None)
        started = time.monotonic()
        process = subprocess.Popen(
            ["make", "demo", *arguments],
            cwd=REPOSITORY,
            env=environment,
            stdout=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )
        assert process.stdout is not None
        was_up = False
        for line in process.stdout:
            print(line, end="")
            was_up = was_up or UP in line
            if until_up and was_up:
                break
        failed = not until_up and process.wait() != 0
        seconds = time.monotonic() - started
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGINT)
            process.wait()
        if failed or not was_up:
            raise RuntimeError("make demo failed; see above")
    return seconds


def _smoke() -> dict[str, Any]:
    return _row("make demo SMOKE=1, until it ends", _demo(["SMOKE=1"], until_up=False))


def _full() -> dict[str, Any]:
    return _row("make demo until everything is up", _demo([], until_up=True))


def _test() -> dict[str, Any]:
    started = time.monotonic()
    subprocess.run(["make", "test"], cwd=REPOSITORY, check=True)
    return _row("make test", time.monotonic() - started)


if __name__ == "__main__":
    main()
