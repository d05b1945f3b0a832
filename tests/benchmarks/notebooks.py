"""Minutes that all notebooks take in small mode, as `make test` runs them; all must pass.

From an empty home, without a mirror: the data come from the package index or are simulated.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from xml.etree import ElementTree

from tests.benchmarks.rows import write_rows

REPOSITORY = Path(__file__).resolve().parents[2]
HOW = "small mode, nbmake, one after the other, empty home"


def main() -> None:
    """Run them once; fail with nbmake's own report where one does not pass."""
    with tempfile.TemporaryDirectory(prefix="crossrec-") as home:
        found = Path(home) / "found.xml"
        minutes = _run(Path(home), found) / 60
        cases = list(ElementTree.parse(found).iter("testcase"))
    rows = [{"name": "notebooks", "domain": "all", "value": minutes, "n": len(cases)}]
    for case in cases:
        name = Path(case.attrib["name"]).stem
        rows.append({"name": "notebook", "domain": name, "value": float(case.attrib["time"]) / 60})
    write_rows("notebooks", [{"unit": "min", "n": 1, "protocol": HOW} | row for row in rows])


def _run(home: Path, found: Path) -> float:
    """Seconds."""
    environment = {**os.environ, "CROSSREC_HOME": str(home), "CROSSREC_NOTEBOOK_MODE": "small"}
    environment.pop("CROSSREC_DATA_MIRROR", None)
    options = [
        "--nbmake",
        "--nbmake-timeout=600",
        "--timeout=700",
        f"--junitxml={found}",
        "notebooks",
    ]
    started = time.monotonic()
    subprocess.run(
        [sys.executable, "-m", "pytest", *options], cwd=REPOSITORY, env=environment, check=True
    )
    return time.monotonic() - started


if __name__ == "__main__":
    main()
