"""Arguments of the Serve applications, which a Serve config file may give, and their names.

What is told of a domain is all of its live state, so a replica that starts anew, wherever, has it.
Leaves to others: the applications (applications.py). Needs no Ray.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Literal, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from crossrec.errors import ConfigError
from crossrec.releases.store import CURRENT
from crossrec.serving.traffic import Experiment, Shadow

ENCODER, DOMAIN, SYSTEM, SHADOW = "Encoder", "Domain", "System", "Shadow"
"""Names of the deployments, one in each application."""
ENCODER_APPLICATION = "encoder"
SYSTEM_APPLICATION = "system"
LEARNER_APPLICATION = "learner"
SHARED_APPLICATION = "domains"
"""Whose replicas answer for every domain that has no application of its own."""
DOMAIN_ROUTE = "/v1/domains"

Access = Literal["keys", "loopback"]
"""loopback: no keys, but callers from this machine only."""


class _Arguments(BaseModel):
    model_config = ConfigDict(extra="forbid")


class Scaled(_Arguments):
    """How many replicas: `replicas`, or as many as the load asks for up to `max_replicas`."""

    replicas: int = Field(1, ge=1)
    max_replicas: int | None = Field(None, ge=1)
    give_back_after_s: float = Field(60.0, gt=0)
    """Seconds of less load after which a replica ends that the load had asked for."""

    @model_validator(mode="after")
    def _ordered(self) -> Scaled:
        if self.max_replicas is not None and self.max_replicas < self.replicas:
            raise ValueError(
                f"got max_replicas {self.max_replicas}; expected at least replicas,"
                f" which is {self.replicas}"
            )
        return self


class Told(_Arguments):
    """What replicas are told of one domain: all of its live state."""

    domain: str
    version: str = CURRENT
    experiment: Experiment | None = None
    shadow: Shadow | None = None


class DomainArguments(Told, Scaled):
    """Of `build_domain`, a domain with replicas of its own; its `user_config` is the same."""

    access: Access = "keys"


class SharedArguments(Scaled):
    """Of `build_shared`, domains that share replicas; its `user_config` is the same."""

    domains: dict[str, Told] = {}
    """By name; a list of names serves the current release of each."""
    access: Access = "keys"

    @model_validator(mode="before")
    @classmethod
    def _named(cls, given: Any) -> Any:
        domains = given.get("domains", {})
        if isinstance(domains, list):
            domains = {name: {} for name in domains}
        if not isinstance(domains, dict):
            return given
        told = {
            name: {"domain": name, **one} if isinstance(one, dict) else one
            for name, one in domains.items()
        }
        return {**given, "domains": told}

    def with_one(self, told: Told) -> SharedArguments:
        """The same with another idea of one domain, or with one domain more."""
        return self.model_copy(update={"domains": {**self.domains, told.domain: told}})

    def without(self, domain: str) -> SharedArguments:
        """The same with one domain less."""
        kept = {name: told for name, told in self.domains.items() if name != domain}
        return self.model_copy(update={"domains": kept})


@dataclass(frozen=True)
class Hosted:
    """What a replica that domains share answers for, as it says itself."""

    arguments: SharedArguments
    """With what each domain answers from, which need not be what it was told last."""
    failed: dict[str, str]
    """Domain → why it is not as it was told to be."""


class SystemArguments(Scaled):
    """Of `build_system`: what domains get that are deployed over the API."""

    access: Access = "keys"


class EncoderArguments(Scaled):
    """Of `build_encoder`."""

    domains: list[str]
    num_cpus: float = 0.5
    num_gpus: float = 0.0
    threads: int = Field(default_factory=lambda: min(2, os.cpu_count() or 1), ge=1)
    """Batches that are encoded at once, on a thread each."""


Parsed = TypeVar("Parsed", bound=_Arguments)


def parse(kind: type[Parsed], arguments: dict[str, Any]) -> Parsed:
    """Arguments as they were given.

    Raises:
        ConfigError: one of them is wrong.
    """
    try:
        return kind.model_validate(arguments)
    except ValidationError as err:
        lines = "; ".join(f"{'.'.join(map(str, e['loc']))}: {e['msg']}" for e in err.errors())
        raise ConfigError(f"arguments of the Serve application: {lines}") from err


def domain_application(domain: str) -> str:
    """Name of the application that serves a domain."""
    return f"domain-{domain}"


def shadow_application(domain: str) -> str:
    """Name of the application whose release gets copies of the domain's requests."""
    return f"shadow-{domain}"


def apart_of(applications: Iterable[str]) -> list[str]:
    """Names of the domains that have applications of their own, sorted."""
    prefix = domain_application("")
    return sorted(name.removeprefix(prefix) for name in applications if name.startswith(prefix))
