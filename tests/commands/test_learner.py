"""What `crossrec learner` prints, and the sentence where it cannot."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from crossrec.cli import app
from crossrec.serving.client import Client
from tests.ports import free_port
from tests.serving.learners import Shop, published, shop, visits
from tests.small_release import SmallDomain


@pytest.fixture
def town(films: SmallDomain, fresh_home: Path):
    found = shop(published(films), fresh_home)
    found.step()
    yield found
    for one in (found.learner, found.weights, found.notes, found.log):
        one.close()


def run(*arguments: str):
    return CliRunner().invoke(app, ["learner", *arguments])


def test_status_and_orders_are_shown_as_the_service_answers(
    town: Shop, monkeypatch: pytest.MonkeyPatch
):
    visits(town, 40)
    town.step()
    monkeypatch.setattr(Client, "learner", lambda self, domain: town.learner.status())
    monkeypatch.setattr(
        Client,
        "order_learner",
        lambda self, domain, action, version, share: town.order(action, version, share),
    )
    shown = run("status", "films").output
    assert "films, version 2 (learned, " in shown
    assert "learning, exploring 20%" in shown
    assert "-2 to 2" in shown
    assert "40 choices learned" in shown
    assert "frozen" in run("freeze", "films").output
    assert json.loads(run("resume", "films", "--json").output)["learning"] is True
    assert "rolled back to 2" in run("rollback", "films", "--to", "2").output
    assert json.loads(run("reset", "films", "--json").output)["weights"]["price"]["weight"] == 0
    assert "learning, exploring 20%, on trial: the declared" in run("trial", "films").output
    assert "(live, " in run("go-live", "films").output
    assert "learning, exploring 0%" in run("explore", "films", "--share", "0").output
    assert "learning, exploring 20%" in run("explore", "films").output
    bold = run("explore", "films", "--share", "0.5")
    assert bold.exit_code == 2
    assert "got the share 0.5; expected at most 0.2" in bold.output
    unknown = run("rollback", "films", "--to", "99")
    assert unknown.exit_code == 2
    assert "no version 99 to go back to" in unknown.output


def test_judging_prints_estimates_beside_the_log(town: Shop):
    visits(town, 40)
    town.step()
    found = run("judge", "films", "--policy", "price=0.5", "--policy", "popularity=0.1")
    assert "price=0.5, popularity=0.1, judged on 40 answers" in found.output
    for name in ("inverse propensity", "self-normalised", "doubly robust", "the log itself"):
        assert name in found.output
    as_json = json.loads(run("judge", "films", "--json").output)
    assert as_json["judgement"]["n"] == 200  # the later half of 40 lists of ten
    wrong = run("judge", "films", "--policy", "price=cheap")
    assert wrong.exit_code == 2
    assert "--policy got 'price=cheap'; expected a number" in wrong.output


def test_without_a_service_one_sentence_says_so(fresh_home: Path):
    found = run("status", "films", "--url", f"http://127.0.0.1:{free_port()}")
    assert found.exit_code == 2
    assert "no crossrec service answers" in found.output
