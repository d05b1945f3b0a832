"""What goes over HTTP about a domain's learner, as Pydantic models.

Leaves to others: the routes (learning_routes.py), what it does (learning.py).
"""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

Action = Literal["freeze", "resume", "reset", "rollback", "trial", "go-live", "explore"]


class _Message(BaseModel):
    model_config = ConfigDict(extra="forbid")


class LearnerOrder(_Message):
    """What an operator asks of a learner."""

    action: Action
    """freeze: the weights hold as they are, nothing is learned or explored. resume: go on, with
    what is done from now on. reset: begin again at the declared weights. rollback: take the
    weights of an earlier version, and go on from there. trial: learn and explore, while the
    declared weights answer whatever is not explored. go-live: let the learned weights answer.
    explore: for a share of requests, 0 for none, from now on; learning goes on."""
    version: int | None = Field(None, ge=1)
    """Of `rollback`; none: the version before the current one."""
    share: float | None = Field(None, ge=0, le=1)
    """Of `explore`: at most what the domain's YAML declares; none: as much."""

    @model_validator(mode="after")
    def _fits(self) -> LearnerOrder:
        if self.version is not None and self.action != "rollback":
            raise ValueError(
                f"got {self.action} and version {self.version}; expected a version with rollback"
                " alone"
            )
        if self.share is not None and self.action != "explore":
            raise ValueError(
                f"got {self.action} and share {self.share:g}; expected a share with explore alone"
            )
        return self


class LearnedWeight(_Message):
    """One objective's weight."""

    declared: float
    weight: float
    """Now, in the mean context of the choices so far."""
    low: float
    """95 % of what is believed lies within; bounds beside."""
    high: float
    least: float
    most: float
    """What learned weights stay within."""


class LearnerVersion(_Message):
    """A version that can be rolled back to."""

    version: int
    at: float
    """Seconds since 1970 UTC."""
    why: str
    weights: dict[str, float] = {}
    """As they were then, in the mean context of the choices so far."""


class LearnerStatus(_Message):
    """What a learner has learned, and from what."""

    domain: str
    version: int
    at: float
    """Of the version, in seconds since 1970 UTC."""
    why: str
    learning: bool
    live: bool
    """Whether the learned weights answer; false: on trial, they are only explored."""
    explore_share: float
    """Of requests, at most; 0 while frozen."""
    explore_most: float
    """What an operator can say for it: as the domain's YAML declares."""
    weights: dict[str, LearnedWeight]
    counts: dict[str, int]
    """Since the last reset: choices learned from, beyond the cap of a user or an address, of nobody
    who was shown them, without an answer that is kept."""
    flagged_users: dict[str, int]
    """Keyed hash of a user beyond the cap in this window → choices."""
    flagged_addresses: dict[str, int]
    versions: list[LearnerVersion]
    """Kept ones, newest first."""
