"""Wall time of `make demo SMOKE=1`, `make demo` until everything is up, and `make test`.

From an empty home and after installation; the demo's data come from where they come from
without a mirror: the package index.
"""

from __future__ import annotations

import os
import signal
import subprocess
import tempfile
import time
from pathlib import Path

from tests.benchmarks.rows import write_rows

REPOSITORY = Path(__file__).resolve().parents[2]
UP = "everything is up"


def main() -> None:
    """Time the three, one after the other."""
    subprocess.run(["make", ".venv/.dev"], cwd=REPOSITORY, check=True)
    rows = [
        _row("make demo SMOKE=1, until it ends", _demo(["SMOKE=1"], until_up=False)),
        _row("make demo until everything is up", _demo([], until_up=True)),
        _row("make test", _test()),
    ]
    write_rows("demo_time", rows)


def _row(protocol: str, seconds: float) -> dict[str, object]:
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
        for line in process.stdout:
            print(line, end="")
            if until_up and UP in line:
                break
        if not until_up and process.wait() != 0:
            raise RuntimeError("make demo failed; see above")
        seconds = time.monotonic() - started
        if until_up:
            os.killpg(process.pid, signal.SIGINT)
            process.wait()
    return seconds


def _test() -> float:
    started = time.monotonic()
    subprocess.run(["make", "test"], cwd=REPOSITORY, check=True)
    return time.monotonic() - started


if __name__ == "__main__":
    main()
