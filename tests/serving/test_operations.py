"""What experiments do to the current release, from their begin to a service that starts again, and
what is left of a shadow that does not start.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from crossrec.errors import RequestError, ServiceError
from crossrec.releases.store import ReleaseStore
from crossrec.serving.applications import build_domain
from crossrec.serving.arguments import Told
from crossrec.serving.http_api import system_app
from crossrec.serving.live_messages import ArmRequest, Change
from crossrec.serving.operations import Operations
from tests.serving.operated import Served, Unprepared
from tests.serving.test_http_api import Directory, send
from tests.small_release import SmallDomain


class Service:
    """The operations of a service that serves one release of films."""

    def __init__(self, version: str) -> None:
        self.served = Served(version)
        self._operations = Unprepared(self.served)

    def __call__(self, ask: Callable[[Operations], Awaitable[Change]]) -> None:
        """Ask for a change and wait until it is made."""

        async def whole() -> Change:
            change = await ask(self._operations)
            while change.state == "running":
                await asyncio.sleep(0)
                change = self._operations.change(change.change_id)
            return change

        assert asyncio.run(whole()).error is None

    def try_b(self, version: str) -> None:
        arm = ArmRequest(name="b", release=version, share=0.5)
        self(lambda operations: operations.start_experiment("films", [arm]))

    def send_copies_to(self, version: str) -> None:
        self(lambda operations: operations.start_shadow("films", version, 1.0))

    def stop(self) -> None:
        self(lambda operations: operations.stop_experiment("films"))

    def promote(self) -> None:
        self(lambda operations: operations.promote("films", "b"))


@pytest.fixture
def publish(films: SmallDomain, fresh_home: Path) -> Callable[[], str]:
    return lambda: films.publish(ReleaseStore()).version


def current() -> str | None:
    return ReleaseStore().current("films")


def after_a_restart() -> Told:
    """What a service that starts now tells its replicas."""
    config = build_domain({"domain": "films"})._bound_deployment.user_config
    return Told.model_validate({name: config[name] for name in Told.model_fields})


def test_a_stopped_experiment_leaves_a_newer_current_release_alone(publish: Callable[[], str]):
    control = publish()
    service = Service(control)
    service.try_b(publish())
    newer = publish()
    service.stop()
    assert (service.served.now.version, service.served.now.experiment) == (control, None)
    assert current() == newer == after_a_restart().version


def test_promoting_refuses_to_take_back_a_newer_current_release(publish: Callable[[], str]):
    service = Service(publish())
    service.try_b(arm := publish())
    newer = publish()
    said = f"release {newer} of 'films' is current and no part of the experiment"
    with pytest.raises(RequestError, match=rf"{said}.*stop the experiment, then deploy.*{arm}"):
        service.promote()
    assert current() == newer
    assert service.served.now.experiment is not None


def test_a_release_that_is_published_while_an_arm_is_promoted_stays_current(
    publish: Callable[[], str],
):
    service = Service(publish())
    service.try_b(arm := publish())
    service.served.meanwhile = publish
    service.promote()
    assert service.served.now == Told(domain="films", version=arm)
    assert current() not in (arm, None)
    assert current() == after_a_restart().version


def test_an_experiment_that_cannot_begin_leaves_what_is_current(publish: Callable[[], str]):
    def fail() -> None:
        raise ServiceError("no replica answers")

    service = Service(publish())
    arm = publish()
    service.served.meanwhile = fail
    with pytest.raises(AssertionError, match="no replica answers"):
        service.try_b(arm)
    assert current() == arm


def test_of_a_shadow_that_does_not_start_nothing_is_left(publish: Callable[[], str]):
    service = Service(served := publish())
    shadow, broken = publish(), publish()
    service.served.broken = broken
    with pytest.raises(AssertionError, match="is as it was before"):
        service.send_copies_to(broken)
    assert (service.served.now, service.served.shadow) == (
        Told(domain="films", version=served),
        None,
    )
    service.send_copies_to(shadow)
    with pytest.raises(AssertionError, match="is as it was before"):
        service.send_copies_to(broken)
    assert service.served.now.shadow is not None
    assert service.served.now.shadow.version == service.served.shadow == shadow


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("", {"release": "nope"}),
        ("/shadow", {"release": "nope"}),
        ("/experiment", {"arms": [{"name": "b", "release": "nope", "share": 0.5}]}),
    ],
)
def test_an_unknown_release_is_404_and_says_which_there_are(
    publish: Callable[[], str], path: str, body: dict[str, object]
):
    there = publish()
    app = system_app(Directory(), None, Unprepared(Served(there)))
    answer = send(app, "PUT", f"/v1/admin/domains/films{path}", json=body)
    assert answer.status_code == 404
    assert answer.json()["error"] == f"'films' has no release 'nope': expected one of: {there}"
    assert answer.json()["kind"] == "UnknownReleaseError"


def test_a_restart_goes_on_with_an_experiment_whose_arm_was_current(publish: Callable[[], str]):
    control = publish()
    service = Service(control)
    service.try_b(arm := publish())
    assert after_a_restart() == service.served.now
    service.stop()
    assert after_a_restart() == Told(domain="films", version=control)
    service.try_b(arm)
    service.promote()
    assert after_a_restart() == service.served.now == Told(domain="films", version=arm)
