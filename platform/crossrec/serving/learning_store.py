"""The state of learners on disk: what replicas read, and what a learner goes on from.

`<home>/learners/<domain>/`: `domain.json` (what there is to learn, written by replicas),
`state.json` (the current version, a hard link), `versions/`. Each file is replaced as a whole, so
a process that is killed leaves the one before or the one after. Leaves to others: learning
(learning.py), drawing weights for requests (learned_weights.py).
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import secrets
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray

from crossrec.config import home
from crossrec.domains.spec import Learning
from crossrec.ranking.learner import Belief
from crossrec.ranking.learner_policy import Frame, arms_of

KEPT_VERSIONS = 20
KEPT_HOURS = 48
"""Beside the newest versions, the newest one of each minute of the last hour, and of so many
hours."""
MINUTE_S, HOUR_S = 60, 3600


@dataclass(frozen=True)
class ToLearn:
    """What a domain lets a learner learn, as its release says."""

    frame: Frame
    learning: Learning
    interests: tuple[str, ...]
    """Events that are a choice."""
    starts: bool
    """The YAML says how to learn, so it begins by itself."""

    def as_json(self) -> dict[str, Any]:
        """Plain values."""
        learning = self.learning.model_dump()
        return vars(self) | {"frame": self.frame.as_json(), "learning": learning}

    @classmethod
    def from_json(cls, values: dict[str, Any]) -> ToLearn:
        """What `as_json` gave."""
        frame, learning = Frame.from_json(values["frame"]), Learning(**values["learning"])
        return cls(frame, learning, tuple(values["interests"]), values["starts"])


@dataclass(frozen=True)
class State:
    """One version of what was learned."""

    version: int
    at: float
    """Seconds since 1970."""
    why: str
    """declared, learned, or what an operator ordered: reset, frozen, resumed, rolled back to 7, on
    trial, live, exploring 0.05."""
    learning: bool
    """False: frozen; the weights hold, nothing is learned, explored or noted."""
    frame: Frame
    explore_share: float
    """As the YAML declares."""
    belief: Belief
    salt: str
    cursor: int
    """Row number of the last event of the feedback log that was read."""
    counts: dict[str, int] = field(default_factory=dict)
    """Since the last reset: choices, by what became of them."""
    context: list[float] = field(default_factory=list)
    """(C,) mean context of the choices so far, newer ones counting a thousandth at least; empty:
    none yet."""
    live: bool = True
    """False: on trial; the declared weights answer whatever is not explored."""
    explore_limit: float = 1.0
    """What an operator bounds the share by, beside the YAML."""

    @property
    def exploring(self) -> float:
        """Share of requests, at most, that are explored."""
        return min(self.explore_share, self.explore_limit) if self.learning else 0.0

    @property
    def arms(self) -> NDArray[np.float64]:
        """(M, P): what answers first, then draws of what is believed."""
        found = arms_of(self.belief, self.salt)
        if not self.live:
            found[0] = self.frame.prior().mean
        return found

    @property
    def moved(self) -> bool:
        """Whether what is believed is no longer what was declared."""
        return not np.array_equal(self.belief.mean, self.frame.prior().mean)

    def as_json(self) -> dict[str, Any]:
        """Plain values, exact."""
        return vars(self) | {"frame": self.frame.as_json(), "belief": self.belief.as_json()}

    @classmethod
    def from_json(cls, values: dict[str, Any]) -> State:
        """What `as_json` gave."""
        frame, belief = Frame.from_json(values["frame"]), Belief.from_json(values["belief"])
        return cls(**(values | {"frame": frame, "belief": belief}))


class LearnerStore:
    """The files of one domain's learner."""

    def __init__(self, domain: str, root: Path | None = None) -> None:
        self.domain = domain
        self.folder = (root or learners_folder()) / domain
        self._state = self.folder / "state.json"
        self._to_learn = self.folder / "domain.json"
        self._versions = self.folder / "versions"

    def stamp(self) -> int:
        """Changes with the current version; 0: there is none. Takes microseconds."""
        try:
            return os.stat(self._state).st_mtime_ns
        except OSError:
            return 0

    def state(self) -> State | None:
        """The current version; None: nothing was ever learned."""
        values = _read(self._state)
        return None if values is None else State.from_json(values)

    def to_learn(self) -> ToLearn | None:
        """What replicas said last; None: none has yet."""
        values = _read(self._to_learn)
        return None if values is None else ToLearn.from_json(values)

    def to_learn_stamp(self) -> int:
        """Changes with what replicas say."""
        try:
            return os.stat(self._to_learn).st_mtime_ns
        except OSError:
            return 0

    def declare(self, to_learn: ToLearn) -> None:
        """Say what there is to learn; nothing is written where that was said already."""
        if self.to_learn() != to_learn:
            _write(self._to_learn, to_learn.as_json())

    def put(self, state: State) -> None:
        """Make a version the current one; what is older is thinned out."""
        path = self._versions / f"{state.version:09d}.json"
        _write(path, state.as_json())
        beside = self._state.with_name(f".state-{os.getpid()}")
        beside.unlink(missing_ok=True)
        os.link(path, beside)
        os.replace(beside, self._state)
        self._thin(state.at)

    def version(self, number: int) -> State | None:
        """A version that is still kept."""
        values = _read(self._versions / f"{number:09d}.json")
        return None if values is None else State.from_json(values)

    def versions(self) -> list[int]:
        """Numbers of all that are kept, oldest first."""
        return sorted(int(path.stem) for path in self._versions.glob("[0-9]*.json"))

    def _thin(self, now: float) -> None:
        older = [self._versions / f"{n:09d}.json" for n in self.versions()[:-KEPT_VERSIONS]]
        kept: set[tuple[int, int]] = set()
        for path in reversed(older):
            age, written = now - path.stat().st_mtime, path.stat().st_mtime
            length = MINUTE_S if age < HOUR_S else HOUR_S
            slot = (length, int(written // length))
            if slot in kept or age > KEPT_HOURS * HOUR_S:
                path.unlink(missing_ok=True)
            kept.add(slot)

    def lock(self) -> IO[str] | None:
        """Be the one learner of the domain until the file is closed; None: another one is."""
        self.folder.mkdir(parents=True, exist_ok=True)
        held = (self.folder / ".lock").open("w", encoding="utf-8")
        try:
            fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            held.close()
            return None
        return held


def first_state(to_learn: ToLearn, at: float, cursor: int, salt: str | None = None) -> State:
    """The declared weights, before anything is learned; without a salt one is drawn."""
    return State(
        version=1,
        at=at,
        why="declared",
        learning=to_learn.starts,
        frame=to_learn.frame,
        explore_share=to_learn.learning.explore_share,
        belief=to_learn.frame.prior(),
        salt=salt or secrets.token_hex(8),
        cursor=cursor,
        live=to_learn.learning.live,
    )


def fitted(state: State, to_learn: ToLearn) -> State:
    """The state for what there is to learn now; what both know is kept."""
    share = to_learn.learning.explore_share
    if state.frame == to_learn.frame and state.explore_share == share:
        return state
    belief = state.belief
    if state.frame != to_learn.frame:
        belief = belief.renamed(to_learn.frame.prior())
    context = state.context if state.frame.features == to_learn.frame.features else []
    return replace(state, frame=to_learn.frame, explore_share=share, belief=belief, context=context)


def learners_folder() -> Path:
    """Where learners keep their states: `<home>/learners`."""
    return home() / "learners"


def origin_salt() -> bytes:
    """32 random bytes of this home that addresses are keyed with, apart from what is keyed."""
    path = learners_folder() / ".salt"
    path.parent.mkdir(parents=True, exist_ok=True)
    with contextlib.suppress(FileExistsError):
        beside = path.with_name(f".salt-{os.getpid()}-{secrets.token_hex(4)}")
        beside.write_bytes(secrets.token_bytes(32))
        beside.chmod(0o600)
        try:
            os.link(beside, path)  # whole or not at all, and only the first one's
        finally:
            beside.unlink()
    return path.read_bytes()


def _read(path: Path) -> dict[str, Any] | None:
    try:
        values: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    except (FileNotFoundError, NotADirectoryError):
        return None
    return values


def _write(path: Path, values: dict[str, Any]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    beside = path.with_name(f".{path.name}-{os.getpid()}")
    with beside.open("w", encoding="utf-8") as file:
        json.dump(values, file)
        file.flush()
        os.fsync(file.fileno())
    os.replace(beside, path)
