from __future__ import annotations

import pytest

from crossrec.commands.live import show_status
from crossrec.commands.output import out
from crossrec.serving.live_messages import (
    ApplicationStatus,
    ArmStatus,
    Change,
    DomainStatus,
    ServedRelease,
    ServiceStatus,
)
from tests.commands.conftest import Run
from tests.ports import free_port

VERSION = "20260131-142500-003"


@pytest.mark.parametrize(
    "words",
    [
        ("deploy", "films"),
        ("undeploy", "films"),
        ("status",),
        ("experiment", "start", "films", "--arm", f"b={VERSION}:0.5"),
        ("experiment", "share", "films", "b", "0.5"),
        ("experiment", "results", "films"),
        ("experiment", "promote", "films", "b"),
        ("experiment", "stop", "films"),
        ("shadow", "start", "films", VERSION),
        ("shadow", "results", "films"),
        ("shadow", "stop", "films"),
    ],
)
def test_without_a_service_every_command_says_so(run: Run, words: tuple[str, ...]):
    result = run(*words, "--url", f"http://127.0.0.1:{free_port()}")
    assert result.exit_code == 2
    assert "no crossrec service answers" in result.stderr


@pytest.mark.parametrize("arm", ["b", f"b={VERSION}", f"={VERSION}:0.5", f"b={VERSION}:2", "b=:1"])
def test_an_arm_that_is_none_is_one_sentence(run: Run, arm: str):
    result = run("experiment", "start", "films", "--arm", arm)
    assert result.exit_code == 2
    assert f"--arm got '{arm}'; expected NAME=RELEASE:SHARE" in result.stderr


def test_a_release_or_the_previous_one(run: Run):
    result = run("deploy", "films", "--release", VERSION, "--previous")
    assert result.exit_code == 2
    assert "got a release and previous; expected at most one of them" in result.stderr


def test_status_shows_arms_shadows_and_what_went_wrong(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(out, "width", 200)
    arms = [
        ArmStatus(name="control", release="v1", share=0.95),
        ArmStatus(name="canary", release="v2", share=0.05),
    ]
    films = DomainStatus(
        domain="films",
        state="RUNNING",
        replicas={"RUNNING": 2},
        serves=ServedRelease(
            release="v1", edition=3, n_items=1234, arms=arms, shadow="v3", shadow_share=0.5
        ),
    )
    books = DomainStatus(domain="books", state="DEPLOY_FAILED", message="it died")
    change = Change(
        change_id="1", domain="games", what="deploy", state="failed", error="it is damaged"
    )
    others = {"encoder": ApplicationStatus(state="RUNNING", replicas={"RUNNING": 1})}
    show_status(ServiceStatus(domains=[books, films], others=others, changes=[change]))
    shown = " ".join(capsys.readouterr().out.split())
    assert "films v1 + added items 1,234 2 running RUNNING" in shown
    assert "control 95% v1, canary 5% v2 v3 50%" in shown
    assert "books (no answer) DEPLOY_FAILED it died" in shown
    assert "failed deploy games: it is damaged" in shown
