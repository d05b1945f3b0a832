"""Peers that are scripts of their own: their task as files, their process, their scores back.

A script never sees the targets of the test cases, and its figure is that of our judge, never its
own. The files are described in `tests/benchmarks/peers/README.md`, beside the scripts.

Leaves to others: which peers there are (that folder's peers.yaml), judging (evaluation/).
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import yaml
from numpy.typing import NDArray

from crossrec.benchmark.cells import PARTS
from crossrec.data.split import Cases, Split
from crossrec.errors import ConfigError
from crossrec.evaluation.protocols import Evaluation, Part, judge_cases
from crossrec.models.baselines import COLD_SCORE

Floats = NDArray[np.float32]
Factors = dict[str, Floats]

CHECKOUT = Path(__file__).resolve().parents[3]
SCRIPTS = CHECKOUT / "tests" / "benchmarks" / "peers"
ENVIRONMENTS = CHECKOUT / ".venv-peers"

NOT_INSTALLED = "its environment does not install"
"""The one reason for which a peer may be missing from a mean."""


class NotRunError(Exception):
    """A peer cannot run here; the message says why. Never leaves the benchmark."""


@dataclass(frozen=True)
class Script:
    """One entry of peers.yaml."""

    name: str
    script: str
    environment: str
    """`own`: ours; else the name of one that make_env.sh makes."""
    neural: bool = False
    """Differs by seed; seeds after the first take its hyperparameters."""
    text: bool = False
    """The task holds text vectors."""
    cold: bool = False
    """Can score items without interactions; else they come last."""
    settings: dict[str, Any] = field(default_factory=dict)
    domains: list[str] | None = None
    """Slow ones run on these, unless asked for by name; None: on all."""

    @property
    def path(self) -> Path:
        """The script."""
        return SCRIPTS / self.script

    def python(self) -> Path:
        """The interpreter that runs it.

        Raises:
            NotRunError: its environment was not made, or make_env.sh could not make it.
        """
        if self.environment == "own":
            return Path(sys.executable)
        failed = ENVIRONMENTS / f"{self.environment}.failed"
        if failed.is_file():
            why = failed.read_text(encoding="utf-8").strip()
            raise NotRunError(f"not run: {NOT_INSTALLED} ({why})")
        python = ENVIRONMENTS / self.environment / "bin" / "python"
        if not python.is_file():
            command = f"{SCRIPTS.relative_to(CHECKOUT)}/make_env.sh {self.environment}"
            raise NotRunError(f"not run: its environment is missing; make it with {command}")
        return python


def scripts() -> dict[str, Script]:
    """Peers that are scripts, by name, in the order of peers.yaml; empty outside a checkout."""
    path = SCRIPTS / "peers.yaml"
    if not path.is_file():
        return {}
    entries = yaml.safe_load(path.read_text(encoding="utf-8"))
    return {name: Script(name, **entry) for name, entry in entries.items()}


def expect_checkout() -> None:
    """Raise where the peers' scripts are not beside the package.

    Raises:
        ConfigError: the package was installed without its repository.
    """
    if not scripts():
        raise ConfigError(
            f"the peers' scripts are not at {SCRIPTS}: they come with the repository, not with the"
            " installed package; run from a checkout, or name peers that need none, for example"
            " --peers ease_recency popularity"
        )


@dataclass(frozen=True)
class Answer:
    """What a script gave back."""

    factors: Factors
    """`validation` and `test`: (n, D) with `items` (N, D), or (n, N) scores without."""
    about: dict[str, Any]


def run_script(
    peer: Script,
    split: Split,
    text: Floats | None,
    seed: int,
    params: dict[str, Any] | None = None,
    epochs: int | None = None,
) -> Answer:
    """Run a peer's script on a split; its messages go to standard error.

    Args:
        text: (N, E) of the item texts, for peers of text.
        params: hyperparameters already found; None: it searches.
        epochs: train so many; None: it stops on validation.

    Raises:
        NotRunError: its environment is missing, it failed, or its answer does not fit: one peer
            must not end hours of others, and the report says why it is missing.
    """
    python = peer.python()
    with tempfile.TemporaryDirectory(prefix="crossrec-peer-") as folder:
        task, answer = Path(folder) / "task", Path(folder) / "answer"
        task.mkdir()
        answer.mkdir()
        about = {"n_items": split.sequences.n_items, "seed": seed, "settings": peer.settings}
        about |= {"params": params, "epochs": epochs}
        (task / "task.json").write_text(json.dumps(about), encoding="utf-8")
        np.savez(task / "data.npz", **task_data(split, text if peer.text else None))
        command = [str(python), str(peer.path), str(task), str(answer)]
        done = subprocess.run(command, stdout=2, env=_environment(), check=False)
        if done.returncode:
            raise NotRunError(
                f"failed: {peer.script} ended with code {done.returncode}; its message is above"
            )
        return _read(peer, answer, split)


def _environment() -> dict[str, str]:
    """Ours, less what points Python at our modules: peers bring their own."""
    return {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}


def task_data(split: Split, text: Floats | None) -> dict[str, Any]:
    """The arrays of `data.npz`; `text` (N, E) for peers of text."""
    sequences = split.sequences
    users = np.repeat(np.arange(sequences.n_users), np.diff(sequences.offsets))[split.train]
    lengths = np.bincount(users, minlength=sequences.n_users)
    data: dict[str, Any] = {
        "train_offsets": np.concatenate([[0], np.cumsum(lengths)]),
        "train_items": sequences.items[split.train],
        "validation_targets": split.targets(split.validation),
        "warm": split.warm,
    }
    for part, cases in (("validation", split.validation), ("test", split.test)):
        data[f"{part}_offsets"], data[f"{part}_items"] = _histories(split, cases)
    return data if text is None else data | {"text": text}


def _histories(split: Split, cases: Cases) -> tuple[NDArray[np.int64], NDArray[np.int32]]:
    """What each case's user did before its target, as one array with offsets."""
    offsets = np.concatenate([[0], np.cumsum(cases.cuts)])
    starts = np.repeat(split.sequences.offsets[cases.users] - offsets[:-1], cases.cuts)
    return offsets, split.sequences.items[starts + np.arange(offsets[-1])]


def _read(peer: Script, folder: Path, split: Split) -> Answer:
    files = {path.stem: path for path in folder.glob("*.npy")}
    missing = {"validation", "test"} - set(files)
    if missing or not (folder / "result.json").is_file():
        raise NotRunError(f"failed: {peer.script} wrote {sorted(files)}; README.md says what to")
    factors = {name: np.load(path) for name, path in files.items()}
    width = factors["items"].shape[1] if "items" in factors else split.sequences.n_items
    for name, n in (("validation", len(split.validation)), ("test", len(split.test))):
        if factors[name].shape != (n, width):
            raise NotRunError(
                f"failed: {peer.script} gave {name} of shape {factors[name].shape}; expected"
                f" ({n}, {width})"
            )
    return Answer(factors, json.loads((folder / "result.json").read_text(encoding="utf-8")))


def judge_factors(factors: Factors, split: Split, *, cold: bool) -> dict[Part, Evaluation]:
    """Figures of scores made elsewhere, on validation and test.

    Args:
        factors: as in `Answer`.
        cold: whether scores of items without interactions count; else those items come last.
    """
    unknown = np.zeros(0, np.int64) if cold else np.flatnonzero(~split.warm)

    def judged(part: Part) -> Evaluation:
        return judge_cases(lambda rows, queries: scored(factors, part, rows, unknown), split, part)

    return {part: judged(part) for part in PARTS}


def scored(
    factors: Factors, part: str, rows: NDArray[np.int64], unknown: NDArray[np.int64]
) -> Floats:
    """Scores of some cases, (len(rows), N), with `COLD_SCORE` for the `unknown` items."""
    users = factors[part][rows]
    scores = users @ factors["items"].T if "items" in factors else np.array(users)
    scores[:, unknown] = COLD_SCORE
    return np.asarray(scores, np.float32)
