"""What goes over HTTP about a domain's learner, as Pydantic models.

Leaves to others: the routes (learning_routes.py), what it does (learning.py).
"""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

Action = Literal["freeze", "resume", "reset", "rollback"]


class _Message(BaseModel):
    model_config = ConfigDict(extra="forbid")


class LearnerOrder(_Message):
    """What an operator asks of a learner."""

    action: Action
    """freeze: the weights hold as they are, nothing is learned or explored. resume: go on, with
    what is done from now on. reset: begin again at the declared weights. rollback: take the
    weights of an earlier version, and go on from there."""
    version: int | None = Field(None, ge=1)
    """Of `rollback`; none: the version before the current one."""

    @model_validator(mode="after")
    def _fits(self) -> LearnerOrder:
        if self.version is not None and self.action != "rollback":
            raise ValueError(
                f"got {self.action} and version {self.version}; expected a version with rollback"
                " alone"
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
    explore_share: float
    """Of requests, at most; 0 while frozen."""
    weights: dict[str, LearnedWeight]
    counts: dict[str, int]
    """Since the last reset: choices learned from, beyond the cap of a user or an address, of nobody
    who was shown them, without an answer that is kept."""
    flagged_users: dict[str, int]
    """Keyed hash of a user beyond the cap in this window → choices."""
    flagged_addresses: dict[str, int]
    versions: list[LearnerVersion]
    """Kept ones, newest first."""
