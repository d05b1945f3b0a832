"""Minutes from canonical tables to a release, default settings, one domain after the other.

Rows `domain_minutes`: wall time of `crossrec data import NAME` and `crossrec train NAME` (texts
encoded, trained on one Ray worker, judged on the test cases, published) from an empty home. Domains
named on the command line replace their rows; without one all of the mirror are run (two hours).
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from crossrec.config import mirror
from crossrec.domains.registry import domain_names
from tests.benchmarks.rows import RESULTS, write_rows

NAME = "domain_minutes"
CROSSREC = [sys.executable, "-c", "from crossrec.cli import main; main()"]


def main() -> None:
    """Time the domains, each written as soon as it is known."""
    for name in sys.argv[1:] or _in_mirror():
        row = measure(name)
        path = RESULTS / f"{NAME}.json"
        old = json.loads(path.read_text(encoding="utf-8")) if path.is_file() else []
        write_rows(NAME, [*(one for one in old if one["domain"] != name), row])


def measure(name: str) -> dict[str, Any]:
    """The row of one domain."""
    with tempfile.TemporaryDirectory(prefix="crossrec-") as home:
        environment = {**os.environ, "CROSSREC_HOME": home}
        started = time.monotonic()
        subprocess.run([*CROSSREC, "data", "import", name], env=environment, check=True)
        subprocess.run([*CROSSREC, "train", name], env=environment, check=True)
        minutes = (time.monotonic() - started) / 60
        manifest = json.loads(next(Path(home).glob("releases/*/*/manifest.json")).read_text())
    return {
        "name": NAME,
        "domain": name,
        "value": minutes,
        "unit": "min",
        "n": 1,
        "command": f"python -m tests.benchmarks.{NAME} {name}",
        "protocol": "import and train from an empty home, default settings, one worker",
        "data_hash": manifest["data_hash"],
    }


def _in_mirror() -> list[str]:
    folder = mirror()
    if folder is None:
        raise SystemExit(
            "no mirror to take all domains from: set CROSSREC_DATA_MIRROR, or name some"
        )
    return [name for name in domain_names() if (folder / name).is_dir()]


if __name__ == "__main__":
    main()
