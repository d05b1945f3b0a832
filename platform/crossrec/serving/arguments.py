"""Arguments of the Serve applications, which a Serve config file may give, and their names.

A domain's arguments are all of its live state, so a replica that starts anew, wherever, has it.
Leaves to others: the applications (deployments.py). Needs no Ray.
"""

from __future__ import annotations

import os
from typing import Any, Literal, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from crossrec.errors import ConfigError
from crossrec.releases.store import CURRENT
from crossrec.serving.traffic import Experiment, Shadow

ENCODER, DOMAIN, SYSTEM, SHADOW = "Encoder", "Domain", "System", "Shadow"
"""Names of the deployments, one in each application."""
ENCODER_APPLICATION = "encoder"
SYSTEM_APPLICATION = "system"
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


class DomainArguments(Scaled):
    """Of `build_domain`; `user_config` of its deployment is the same."""

    domain: str
    version: str = CURRENT
    access: Access = "keys"
    experiment: Experiment | None = None
    shadow: Shadow | None = None


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


def domains_of(applications: dict[str, Any]) -> list[str]:
    """Names of the domains among applications, sorted."""
    prefix = domain_application("")
    return sorted(name.removeprefix(prefix) for name in applications if name.startswith(prefix))
