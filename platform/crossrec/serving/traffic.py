"""Which release of a domain answers whom: the arms of an experiment, and a release in the shadow.

Plain values and a hash. Leaves to others: answering (arms.py), copies of requests (shadow.py),
changing it while the domain is served (operations.py), figures (experiments.py).
"""

from __future__ import annotations

import hashlib
import os
import secrets
from pathlib import Path
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from crossrec.config import home
from crossrec.errors import RequestError, suggest

CONTROL = "control"
"""The arm of the release that is served anyway; it answers whom no other arm does."""
MAX_ARMS = 5
ArmName = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]{0,49}$")]
Share = Annotated[float, Field(ge=0.0, le=1.0)]


class _Values(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Arm(_Values):
    """A release that answers a share of the users instead of the one served anyway."""

    name: ArmName
    version: str
    share: Share


class Experiment(_Values):
    """Arms beside `control`, told apart by a hash of the user.

    Each arm has an interval of its own of the hash's values, so a user who is in an arm stays
    when its share grows, and nobody moves from one arm to another.
    """

    experiment: str
    """Its name: salts the hash, so that two experiments split users independently."""
    control: str
    """Version of the release that is served anyway."""
    arms: list[Arm] = Field(min_length=1, max_length=MAX_ARMS - 1)

    @model_validator(mode="after")
    def _whole(self) -> Experiment:
        names = [arm.name for arm in self.arms]
        if CONTROL in names or len(set(names)) < len(names):
            raise ValueError(
                f"got the arms {', '.join(names)}; expected names that differ, and none called"
                f" '{CONTROL}', which is the release that is served anyway"
            )
        most = 1 / len(self.arms)
        for arm in self.arms:
            if arm.share > most + 1e-9:
                raise ValueError(
                    f"arm '{arm.name}' got the share {arm.share:g}; expected at most {most:g},"
                    f" for {len(self.arms)} arms beside '{CONTROL}' have equal room to grow"
                )
        return self

    @property
    def control_share(self) -> float:
        """What is left to `control`."""
        return max(0.0, 1.0 - sum(arm.share for arm in self.arms))

    @property
    def versions(self) -> dict[str, str]:
        """Name of each arm, `control` first → version of its release."""
        return {CONTROL: self.control} | {arm.name: arm.version for arm in self.arms}

    def arm_of(self, key: str) -> Arm | None:
        """The arm of a user (or of an anonymous request's id); None: `control`."""
        place = fraction(f"{self.experiment}\0{key}") * len(self.arms)
        slot = int(place)
        arm = self.arms[slot]
        return arm if place - slot < arm.share * len(self.arms) else None

    def version_of(self, name: str) -> str:
        """Version of the arm of that name, or of `control`.

        Raises:
            RequestError: there is no such arm.
        """
        if name not in self.versions:
            known = suggest(name, self.versions)
            raise RequestError(f"the experiment has no arm '{name}': {known}")
        return self.versions[name]

    def with_shares(self, shares: dict[str, float]) -> Experiment:
        """The same with other shares for some arms; users stay in theirs while shares grow.

        Raises:
            RequestError: no such arm, or the shares do not fit.
        """
        for name in shares:
            self.version_of(name)
        if CONTROL in shares:
            raise RequestError(f"the share of '{CONTROL}' is what the other arms leave to it")
        arms = [arm.model_dump() | {"share": shares.get(arm.name, arm.share)} for arm in self.arms]
        return experiment_of(self.experiment, self.control, arms)


class Shadow(_Values):
    """A release that gets copies of a share of the requests; its answers reach nobody."""

    version: str
    share: Share


def experiment_of(name: str, control: str, arms: list[dict[str, Any]]) -> Experiment:
    """An experiment from plain values.

    Raises:
        RequestError: they do not fit together.
    """
    values = {"experiment": name, "control": control, "arms": arms}
    try:
        return Experiment.model_validate(values)
    except ValidationError as err:
        reasons = "; ".join(found["msg"].removeprefix("Value error, ") for found in err.errors())
        raise RequestError(f"this is no experiment: {reasons}") from err


def new_name() -> str:
    """A name that no other experiment has."""
    return f"x{secrets.token_hex(4)}"


def fraction(text: str) -> float:
    """A stable number in [0, 1) for a text: the same in every process, unlike `hash()`."""
    digest = hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=8).digest()
    return (int.from_bytes(digest) >> 11) / (1 << 53)


class ExperimentStore:
    """Remembers what runs in a domain, so that a service that starts again goes on with it.

    One file a domain in `<home>/traffic/`, replaced as a whole.
    """

    def __init__(self, folder: Path | None = None) -> None:
        self._folder = folder or home() / "traffic"

    def read(self, domain: str) -> Experiment | None:
        """What runs; None where nothing does, or where the file cannot be read."""
        try:
            return Experiment.model_validate_json(self._path(domain).read_bytes())
        except (OSError, ValidationError):
            return None

    def write(self, domain: str, experiment: Experiment | None) -> None:
        """Keep it; None leaves nothing on disk."""
        path = self._path(domain)
        if experiment is None:
            path.unlink(missing_ok=True)
            return
        self._folder.mkdir(parents=True, exist_ok=True)
        beside = path.with_name(f".{path.name}-{os.getpid()}")
        beside.write_text(experiment.model_dump_json(), encoding="utf-8")
        os.replace(beside, path)

    def _path(self, domain: str) -> Path:
        return self._folder / f"{domain}.json"
