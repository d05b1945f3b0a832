"""What goes over HTTP to change what is served while it is served; client and service share it.

Leaves to others: everyday messages (messages.py), the routes (live_routes.py), doing it
(operations.py).
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

from crossrec.serving.messages import Text
from crossrec.serving.traffic import MAX_ARMS, ArmName, Share

Version = Annotated[Text, Field(min_length=1, max_length=100)]
"""Of a release, or `current`."""


class _Message(BaseModel):
    model_config = ConfigDict(extra="forbid")


class DeployRequest(_Message):
    """Serve a release of a domain; neither field: the current one."""

    release: Version | None = None
    previous: bool = False
    """The one before the release that is served now."""

    @model_validator(mode="after")
    def _one(self) -> DeployRequest:
        if self.previous and self.release is not None:
            raise ValueError("got a release and previous; expected at most one of them")
        return self


class ArmRequest(_Message):
    """A release that is to answer a share of the users."""

    name: ArmName
    release: Version
    share: Share


class ExperimentRequest(_Message):
    """Arms beside `control`, which is the release that is served."""

    arms: list[ArmRequest] = Field(min_length=1, max_length=MAX_ARMS - 1)


class SharesRequest(_Message):
    """Other shares for some arms; `control` has what they leave."""

    shares: dict[ArmName, Share] = Field(min_length=1, max_length=MAX_ARMS)


class PromotionRequest(_Message):
    """The arm whose release is to answer everybody from now on."""

    arm: ArmName


class ShadowRequest(_Message):
    """A release that is to get copies of a share of the requests."""

    release: Version
    share: Share = 1.0


class Change(_Message):
    """Something that was asked for and takes a while."""

    change_id: str
    domain: str
    what: str
    """In words: `deploy`, `undeploy`, …"""
    state: Literal["running", "done", "failed"] = "running"
    release: str | None = None
    """What the domain serves when it is done."""
    error: str | None = None
    kind: str = ""
    """Class of the error in `crossrec.errors`."""


class ArmStatus(_Message):
    """An arm and what answers in it."""

    name: str
    release: str
    share: float


class ServedRelease(_Message):
    """What a replica of a domain answers from."""

    release: str
    edition: int = 0
    """Changes with items that are added to the release; 0: it is as it was published."""
    n_items: int
    experiment: str | None = None
    arms: list[ArmStatus] = []
    """All, `control` first; empty without an experiment."""
    shadow: str | None = None
    """The release that gets copies of requests."""
    shadow_share: float = 0.0


class ApplicationStatus(_Message):
    """One application of the service, as Ray Serve sees it."""

    state: str
    """RUNNING is well."""
    message: str = ""
    replicas: dict[str, int] = {}
    """State → how many are in it."""


class DomainStatus(ApplicationStatus):
    """One served domain."""

    domain: str
    serves: ServedRelease | None = None
    """None: no replica answers."""


class ServiceStatus(_Message):
    """Everything that the service runs."""

    domains: list[DomainStatus]
    others: dict[str, ApplicationStatus]
    """The encoder, and what is no domain."""
    changes: list[Change] = []
    """The newest ones, oldest first."""


class ArmResults(_Message):
    """What came of the answers of one arm; rates are of users that are known by an id."""

    arm: str
    n_users: int
    n_answers: int
    n_anonymous: int
    """Answers to requests without a user id, beside the others."""
    n_impressions: int
    n_positive: int
    """Events of interest: clicks, and what the domain counts like them."""
    rate: float | None
    """n_positive / n_answers."""
    rate_ci95: tuple[float, float] | None = None
    lift: float | None = None
    """rate over that of `control`, less 1."""
    lift_ci95: tuple[float, float] | None = None


class ExperimentResults(_Message):
    """Arms side by side; intervals are of a bootstrap over users."""

    domain: str
    experiment: str
    running: bool
    arms: list[ArmResults]
    """`control` first."""


class ShadowResults(_Message):
    """Answers of the shadow beside those that were given, since its replica started."""

    domain: str
    release: str
    n_compared: int
    n_errors: int
    n_skipped: int
    """Copies that were not sent, for the shadow had too much to do."""
    last_error: str | None = None
    overlap_at_10: float | None = None
    """Mean share of the ten best items that both have."""
    same_first: float | None = None
    """Share of the answers whose first item is the same."""
    latency_ms: dict[str, float] = {}
    """p50, p95 of the shadow; of what answered: answer_p50, answer_p95."""
