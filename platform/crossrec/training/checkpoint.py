"""A training run on disk between two epochs: weights, optimiser, random state, history.

Leaves to others: when to write one (loop.py, worker.py). Read with `weights_only=True`:
a checkpoint holds tensors and plain values, and runs no code when it is loaded.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch

from crossrec.errors import TrainingError

FILE = "checkpoint.pt"


def save_checkpoint(folder: Path, state: dict[str, Any]) -> None:
    """Write `state` to `folder/checkpoint.pt`, whole or not at all."""
    folder.mkdir(parents=True, exist_ok=True)
    part = folder / (FILE + ".part")
    torch.save(state, part)
    part.replace(folder / FILE)


def load_checkpoint(folder: Path, digest: str) -> dict[str, Any]:
    """Read a checkpoint made with the same config.

    Raises:
        TrainingError: there is none, it cannot be read, or its config differs.
    """
    path = folder / FILE
    if not path.is_file():
        raise TrainingError(f"no checkpoint at {path}; train again without resume")
    try:
        state: dict[str, Any] = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as err:
        raise TrainingError(f"checkpoint {path} cannot be read: {err}; train again") from err
    if state["digest"] != digest:
        raise TrainingError(
            f"checkpoint {path} was made with config {state['digest']}, this run has {digest};"
            " resume with the same settings or train again"
        )
    return state
