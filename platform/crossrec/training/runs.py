"""Names, folders and results of training runs: plain values that travel between processes.

Leaves to others: the training itself (pipeline.py), checkpoints (checkpoint.py).
"""

from __future__ import annotations

import json
import os
import re
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from crossrec.config import RunConfig, home
from crossrec.errors import TrainingError

RUN_FILE = "run.json"

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")


@dataclass(frozen=True)
class TrainResult:
    """What a training of one domain leaves."""

    domain: str
    run: str
    release: str | None
    """Version published; None: publishing was not asked for."""
    metrics: dict[str, Any]
    """Test figures of the assembled model with protocol and data hash, as the release has them."""
    history: list[dict[str, float]] = field(default_factory=list)
    """One entry an epoch: epoch, loss, validation_ndcg@10, seconds, best."""
    seconds: float = 0.0

    def as_dict(self) -> dict[str, Any]:
        """For JSON."""
        return asdict(self)


def new_run_name() -> str:
    """A name no other run has: time and random digits, `20260131-142500-3fa9c1`."""
    return f"{datetime.now(UTC):%Y%m%d-%H%M%S}-{os.urandom(3).hex()}"


def run_folder(run: str) -> Path:
    """Folder of a run, `<home>/runs/<run>`.

    Raises:
        TrainingError: the name holds something else than letters, digits, dots and dashes.
    """
    if not _NAME.fullmatch(run):
        raise TrainingError(
            f"run name '{run}' cannot be a folder's name; expected letters, digits, '.', '_', '-'"
        )
    return home() / "runs" / run


def run_facts(kind: str, config: RunConfig, data_hash: str) -> dict[str, Any]:
    """What a run is for: two runs with the same facts may resume each other."""
    return {"kind": kind, "config": config.model_dump(mode="json"), "data_hash": data_hash}


def claim_run(folder: Path, run: str, facts: dict[str, Any]) -> bool:
    """Make the run's folder and note its facts; True: the same run was here before.

    Raises:
        TrainingError: the folder belongs to a run with other facts.
    """
    path = folder / RUN_FILE
    if not path.is_file():
        folder.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps({"run": run, **facts}, indent=1), encoding="utf-8")
        return False
    before = json.loads(path.read_text(encoding="utf-8"))
    changed = [name for name, value in facts.items() if before.get(name) != value]
    if changed:
        raise TrainingError(
            f"run '{run}' in {folder} was started with another {' and '.join(changed)};"
            " choose another --run-name, or repeat its settings to resume it"
        )
    return True
