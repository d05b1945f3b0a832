"""The applications as Serve is given them; nothing is started."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest
from ray import serve

from crossrec.errors import ConfigError, ServiceError, UnknownDomainError
from crossrec.releases.store import ReleaseStore
from crossrec.serving import asking, running
from crossrec.serving.applications import (
    build_domain,
    build_encoder,
    build_shared,
    build_system,
    shared_targets,
    targets_of,
)
from crossrec.serving.arguments import DomainArguments, SystemArguments
from crossrec.serving.live_messages import ApplicationStatus
from crossrec.serving.running import Running
from crossrec.serving.traffic import ExperimentStore, Shadow, experiment_of
from tests.small_release import SmallDomain


@pytest.fixture
def versions(films: SmallDomain, fresh_home: Path) -> list[str]:
    return [films.publish(ReleaseStore()).version for _ in range(2)]


def deployment(application: serve.Application) -> serve.Deployment:
    return application._bound_deployment


def told(application: serve.Application) -> dict[str, Any]:
    """What the replicas are told."""
    config: dict[str, Any] = deployment(application).user_config
    return config


def test_a_release_is_named_and_never_current(versions: list[str]):
    built = build_domain({"domain": "films"})
    assert told(built)["version"] == versions[-1]
    # With the same version of the code Serve reconfigures replicas and restarts none.
    assert deployment(built).version == deployment(build_domain({"domain": "films"})).version


def test_replicas_follow_the_load_only_where_there_may_be_more(versions: list[str]):
    for build in (
        lambda **more: build_domain({"domain": "films", **more}),
        lambda **more: build_encoder({"domains": ["films"], **more}),
    ):
        assert deployment(build(replicas=2)).num_replicas == 2
        assert deployment(build(replicas=2))._deployment_config.autoscaling_config is None
        scaled = deployment(build(max_replicas=3))._deployment_config.autoscaling_config
        assert (scaled.min_replicas, scaled.max_replicas) == (1, 3)
        with pytest.raises(ConfigError, match="got max_replicas 1; expected at least replicas"):
            build(replicas=2, max_replicas=1)
        with pytest.raises(ConfigError, match="greater than or equal to 1"):
            build(replicas=0)


def test_an_experiment_goes_on_while_its_releases_are_there(versions: list[str]):
    old, new = versions
    experiment = experiment_of("x", new, [{"name": "b", "version": old, "share": 0.5}])
    ExperimentStore().write("films", experiment)
    assert told(build_domain({"domain": "films"}))["experiment"]["arms"][0]["version"] == old
    # Whoever names a release means that one alone.
    assert told(build_domain({"domain": "films", "version": new}))["experiment"] is None
    ReleaseStore().roll_back("films")
    assert told(build_domain({"domain": "films"}))["experiment"] is None
    ReleaseStore().roll_back("films", new)
    ReleaseStore().delete("films", old)
    assert told(build_domain({"domain": "films"}))["experiment"] is None


def test_a_shadow_is_an_application_of_its_own_without_a_route(versions: list[str]):
    alone = targets_of(DomainArguments(domain="films"))
    assert [(one.name, one.route_prefix) for one in alone] == [
        ("domain-films", "/v1/domains/films")
    ]
    shadow = Shadow(version=versions[0], share=0.5)
    both = targets_of(DomainArguments(domain="films", shadow=shadow))
    assert [(one.name, one.route_prefix) for one in both] == [
        ("shadow-films", None),
        ("domain-films", "/v1/domains/films"),
    ]


def test_domains_that_share_replicas_are_told_releases_by_name(versions: list[str]):
    assert told(build_shared({"domains": ["films"]}))["domains"]["films"]["version"] == versions[-1]
    with pytest.raises(UnknownDomainError, match="did you mean 'films'"):
        build_shared({"domains": ["filmz"]})
    # One that is gone is the replicas' to tell: the other domains can be changed all the same.
    gone = build_shared({"domains": {"films": {"version": "20990101-000000-000"}}})
    assert told(gone)["domains"]["films"]["version"] == "20990101-000000-000"


def test_while_shared_replicas_do_not_answer_nothing_is_guessed(monkeypatch: pytest.MonkeyPatch):
    async def silent(response: object, timeout_s: float = 0) -> None:
        raise ServiceError("a part of the service does not answer: TimeoutError")

    class Handle:
        def __getattr__(self, name: str) -> Handle:
            return self

        def remote(self) -> None:
            return None

    there = {"domains": ApplicationStatus(state="RUNNING")}
    for module in (running, asking):
        monkeypatch.setattr(module, "answer_of", silent)
        monkeypatch.setattr(module, "shared_handle", Handle)
        monkeypatch.setattr(module, "applications_now", lambda: there)
    one = Running(SystemArguments(), targets_of, shared_targets)
    with pytest.raises(ServiceError, match="does not answer"):
        asyncio.run(one.told("films"))  # None would have it deployed a second time, apart
    assert not isinstance(asyncio.run(one.new("films")), DomainArguments)


def test_wrong_arguments_are_one_sentence(versions: list[str]):
    with pytest.raises(ConfigError, match="arguments of the Serve application: acces:"):
        build_system({"acces": "keys"})
    with pytest.raises(UnknownDomainError, match="did you mean 'films'"):
        build_domain({"domain": "filmz"})
