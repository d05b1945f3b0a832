"""Routes that look into releases, data, searches and transfers, over a real port."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TypeVar, cast

import httpx
import numpy as np
import pytest

from crossrec import verbs
from crossrec.errors import (
    AuthError,
    RequestError,
    ServiceError,
    UnknownDomainError,
    UnknownItemError,
    UnknownReleaseError,
)
from crossrec.evaluation.saved import forget, path_of
from crossrec.releases.store import ReleaseStore
from crossrec.serving import insight
from crossrec.serving.auth import KeyRing
from crossrec.serving.drawing import data_profile, project
from crossrec.serving.erasure import Erasures
from crossrec.serving.feedback_log import FeedbackLog
from crossrec.serving.insight_client import InsightClient
from crossrec.serving.insight_messages import ArmList, DataProfile, ItemMap
from crossrec.serving.live_messages import (
    ArmResults,
    ArmStatus,
    DomainStatus,
    ExperimentResults,
    ServedRelease,
    ServiceStatus,
)
from crossrec.serving.live_routes import Operator
from crossrec.serving.pictures import Pictures
from crossrec.serving.running_arms import arms_of
from crossrec.serving.user_search import find_users
from crossrec.training.transfer import TransferReport
from tests.small_home import N_CASES, RUN, TRANSFER, make_small_home, small_home, small_service
from tests.small_release import N_ITEMS

Picture = TypeVar("Picture", ItemMap, DataProfile)


@pytest.fixture(scope="module")
def versions(tmp_path_factory: pytest.TempPathFactory) -> Iterator[list[str]]:
    with small_home(tmp_path_factory.mktemp("home")) as found:
        yield found


@pytest.fixture(scope="module")
def client(versions: list[str]) -> Iterator[InsightClient]:
    with small_service() as address, InsightClient(address) as found:
        yield found


def made(ask: Callable[[], Picture]) -> Picture:
    """Ask until it is there."""
    end = time.monotonic() + 60
    while (found := ask()).state != "ready":
        assert time.monotonic() < end
        time.sleep(0.1)
    return found


def test_releases_come_newest_first_and_say_what_is_known_of_them(client, versions):
    found = client.releases("films").releases
    assert [one.version for one in found] == versions[::-1]
    assert [one.current for one in found] == [True, False]
    assert all(one.evaluated for one in found)
    with pytest.raises(UnknownDomainError, match="did you mean 'films'"):
        client.releases("flims")


def test_a_report_has_groups_that_are_large_enough(client, versions):
    found = client.report("films")
    assert found.version == versions[-1]
    assert found.report["rows"][0]["model"] == "crossrec"
    assert {(one["trait"], one["value"], one["n"]) for one in found.groups} == {
        ("history", "0002-0003", 30),
        ("history", "0008-0015", 30),
        ("gender", "f", 40),
        ("gender", "m", 20),
    }


def test_an_unknown_release_is_404_in_the_words_of_all_routes(client, versions):
    there = ", ".join(versions)
    said = f"^'films' has no release 'nope': expected one of: {there}$"
    for ask in (
        lambda: client.report("films", "nope"),
        lambda: client.compare("films", versions[0], "nope"),
        lambda: client.compare_item("films", "nope", versions[0], "item-1"),
        lambda: client.item_map("films", "nope"),
    ):
        with pytest.raises(UnknownReleaseError, match=said):
            ask()
    url = f"{client.base_url}/v1/insight/films/releases/nope/report"
    assert httpx.get(url).status_code == 404


def test_two_releases_are_compared_case_by_case(client, versions):
    found = client.compare("films", *versions)
    assert found.n == N_CASES
    ndcg = found.metrics[0]
    assert ndcg.gap == pytest.approx(ndcg.b - ndcg.a)
    assert ndcg.low <= ndcg.gap <= ndcg.high
    assert sum(row["n"] for row in found.moves) == N_CASES
    assert sum(row["n"] for row in found.overlap) == N_CASES
    assert all(row["gain"] > 0 for row in found.winners)
    assert all(row["gain"] < 0 for row in found.losers)
    assert found.winners[0]["gain"] == max(row["gain"] for row in found.winners)
    assert all(row["change"] == row["shown_b"] - row["shown_a"] for row in found.items)


def test_a_release_against_itself_changes_nothing(client, versions):
    found = client.compare("films", "current", versions[-1])
    assert [one.gap for one in found.metrics] == [0.0, 0.0, 0.0]
    assert found.overlap[-1] == {"shared": 10, "n": N_CASES}
    assert found.winners == found.losers == []


def test_an_item_is_followed_from_one_release_to_the_other(client, versions):
    found = client.compare_item("films", *versions, "film-3")
    assert found.title == "The comedy number 3"
    assert found.n_targets == len(found.cases) == 3  # users 3, 27, 51
    assert found.hits_b == sum(case["rank_b"] <= 10 for case in found.cases)
    with pytest.raises(UnknownItemError):
        client.compare_item("films", *versions, "film/none")


def test_whoever_is_erased_is_in_no_comparison(client, versions):
    before = client.compare("films", *versions).n
    assert forget("films", "user-59") == 2
    assert client.compare("films", *versions).n == before - 1


def test_a_map_is_made_once_and_then_there(client):
    assert client.item_map("films").state == "being_made"
    found = made(lambda: client.item_map("films"))
    assert len(found.titles) == found.n_items == N_ITEMS
    assert np.array(found.views["text"]).shape == (N_ITEMS, 2)
    assert set(found.categories) == {"comedy", "space", "horror"}


def test_a_profile_counts_and_names_nobody(client):
    found = made(lambda: client.data("films"))
    users = [row for row in found.distributions if row["name"] == "interactions per user"]
    assert {row["label"]: row["n"] for row in users} == {"1": 1, "4-7": 19}
    assert "user-1" not in found.model_dump_json()
    prices = next(row for row in found.columns if row["column"] == "price")
    assert prices["missing"] == pytest.approx(1 / N_ITEMS)
    ids = [row["distinct"] for row in found.columns if row["column"] == "item_id"]
    assert ids == [N_ITEMS, N_ITEMS]  # of items and of interactions: counted, not estimated


def test_rejected_rows_are_counted_by_reason(versions, tmp_path: Path):
    import polars as pl

    from crossrec.config import home

    path = home() / "data" / "films" / "rejected.parquet"
    rows = {
        "table": ["items"] * 2,
        "row": [7, 3],
        "reason": ["no title"] * 2,
        "content": ["{}"] * 2,
    }
    pl.DataFrame(rows).write_parquet(path)
    [row] = data_profile("films", "")["rejected"]
    assert row == {"table": "items", "reason": "no title", "n": 2, "rows": [3, 7]}


def test_near_vectors_are_near_on_the_map():
    rng = np.random.default_rng(0)
    centres = np.repeat(np.eye(3, 8, dtype=np.float32) * 10, 20, axis=0)
    places, _ = project(centres + rng.normal(size=(60, 8)).astype(np.float32))
    groups = places.reshape(3, 20, 2)
    spread = groups.std(axis=1).max()
    middles = groups.mean(axis=1)
    assert (
        min(np.linalg.norm(middles[i] - middles[j]) for i, j in ((0, 1), (0, 2), (1, 2))) > spread
    )


def test_what_cannot_be_made_says_why(tmp_path: Path):
    pictures = Pictures(tmp_path)

    def ask() -> None:
        while pictures.get("map", "nowhere", "v") is None:
            time.sleep(0.1)

    with pytest.raises(ServiceError, match=r"could not be made: .*nowhere"):
        ask()


def test_searches_and_transfers_are_listed(client):
    [card] = client.experiments().experiments
    assert (card.run, card.n_trials, card.best) == (RUN, 3, 0.06)
    trials = client.experiment(RUN, "films").trials
    assert [one["trial"] for one in trials] == [1, 2, 3]
    assert trials[0]["figures"] == [0.02, 0.01]
    for run, domain in (("nope", "films"), ("..", "films"), (RUN, "..")):
        with pytest.raises((RequestError, ServiceError)):
            client.experiment(run, domain)
    [transfer] = client.transfers().transfers
    assert transfer["shares"] == TRANSFER["shares"]


def test_live_counts_feedback_by_day(client):
    found = client.live()
    [row] = found.feedback
    assert (row["domain"], row["event"], row["n"], row["n_users"]) == ("films", "like", 1, 1)
    assert found.applications["encoder"] == "RUNNING"
    assert found.alerts == []


def test_looking_needs_a_key_with_the_scope_read(versions, tmp_path: Path):
    keys = KeyRing(tmp_path / "keys.json")
    reader = keys.create("reader", ["read"])
    sender = keys.create("sender", ["feedback"])
    with small_service(keys) as address:
        assert InsightClient(address, reader).releases("films").releases
        for key in (None, sender):
            with InsightClient(address, key) as client, pytest.raises(AuthError):
                client.live()


def test_an_erasure_reaches_the_saved_evaluations(
    tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
):
    home = tmp_path_factory.mktemp("erasing")
    monkeypatch.setenv("CROSSREC_HOME", str(home))
    versions = make_small_home(home)
    (home / "data").rename(home / "elsewhere")  # imported data are cleaned by a test of their own
    log = FeedbackLog()
    answer = Erasures("films", log, ReleaseStore()).erase("user-7")
    log.close()
    assert answer.tables["evaluations"] == len(versions)
    for version in versions:
        assert b"user-7" not in path_of("films", version).read_bytes()


def test_a_transfer_is_kept_where_the_app_looks(
    tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv("CROSSREC_HOME", str(tmp_path_factory.mktemp("kept")))
    report = TransferReport("films", ["books"], "c" * 64, 0, {"books": 0.7}, [], {})
    verbs.training._keep(report)
    [kept] = insight.transfers().transfers
    assert kept["target"] == "films"
    assert kept["nearness"] == {"books": 0.7}
    assert kept["at"] > 1_700_000_000


def test_users_are_found_by_id_and_by_what_they_had(client: InsightClient) -> None:
    by_id = client.find_users("films", "USER-1", 5).users
    assert by_id[0].user_id == "user-1"
    assert all(one.user_id.startswith("user-1") for one in by_id)
    title = client.user("films", "user-3").history[0].title
    by_item = client.find_users("films", title, 100).users
    assert "user-3" in {one.user_id for one in by_item}
    assert all(title in one.had for one in by_item[:2])
    assert client.find_users("films", "zzz").users == []
    with pytest.raises(UnknownDomainError):
        client.find_users("nowhere", "x")


def test_an_erased_user_is_found_no_more(client: InsightClient) -> None:
    assert client.find_users("films", "user-7", 1).users[0].user_id == "user-7"
    found = find_users("films", "user-7", 5, hides=lambda user_id: user_id == "user-7")
    assert "user-7" not in {one.user_id for one in found.users}


class _Operator:
    """Of what an operator can do, the two questions that are asked for the arms."""

    def __init__(self, served: ServedRelease | None, counted: ExperimentResults | None) -> None:
        self._served, self._counted = served, counted

    async def status(self) -> ServiceStatus:
        serves = DomainStatus(state="RUNNING", domain="films", serves=self._served)
        return ServiceStatus(domains=[serves], others={})

    async def results(self, domain: str, experiment: str | None) -> ExperimentResults:
        if self._counted is None:
            raise RequestError("'films' has had no experiment whose answers were counted")
        return self._counted


def test_arms_are_told_while_they_run_and_afterwards() -> None:
    counts = {"n_users": 1, "n_answers": 1, "n_anonymous": 0, "n_impressions": 0, "n_positive": 0}
    results = [ArmResults(arm=name, rate=0.0, **counts) for name in ("control", "new")]
    counted = ExperimentResults(domain="films", experiment="e", running=True, arms=results)
    arms = [ArmStatus(name=n, release=f"r-{n}", share=0.5) for n in ("control", "new", "late")]
    served = ServedRelease(release="r-control", n_items=1, experiment="e", arms=arms)

    def told(served: ServedRelease | None, counted: ExperimentResults | None) -> ArmList:
        operator = cast(Operator, _Operator(served, counted))
        return asyncio.run(arms_of(operator, "films"))

    running = told(served, counted)
    assert (running.experiment, running.running) == ("e", True)
    assert [(one.name, one.release) for one in running.arms][1] == ("new", "r-new")
    assert [one.results is None for one in running.arms] == [False, False, True]
    over = told(served.model_copy(update={"experiment": None, "arms": []}), counted)
    assert (over.running, [one.release for one in over.arms]) == (False, [None, None])
    assert told(None, None) == ArmList()
