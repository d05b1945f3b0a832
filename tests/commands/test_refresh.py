from __future__ import annotations

import json
import sqlite3
import time
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

from crossrec.data.dataset import Dataset
from crossrec.releases.store import ReleaseStore
from crossrec.serving.feedback_log import FeedbackLog
from crossrec.training import loop, pipeline
from tests.commands.conftest import Run
from tests.commands.test_feedback import send
from tests.commands.test_training import SMALL


def start(run: Run) -> str:
    run("data", "import", "shop")
    run("train", "shop", "--workers", "0", *SMALL)
    current = ReleaseStore().current("shop")
    assert current is not None
    return current


def baskets(rng: np.random.Generator, n: int, patterned: bool) -> list[tuple[str, str, str]]:
    """New people; with a pattern each buys five things that stand side by side on the shelf.

    Five, from anywhere: what is each one's last was bought by others before their last.
    """
    events = []
    for user in range(n):
        first = int(rng.integers(0, 30))
        shelf = [(first + step) % 30 for step in range(5)]
        items = shelf if patterned else rng.choice(30, 3, replace=False)
        events += [(f"n{user}", f"s{item}", "sale") for item in items]
    return events


def test_what_is_better_on_the_newest_cases_is_published(run: Run, shop_domain: Path):
    served = start(run)
    send(*baskets(np.random.default_rng(0), 120, patterned=True))
    time.sleep(1)  # a release knows the second it was published in, and this one takes no longer
    refreshed = run("refresh", "shop", "--json")
    assert refreshed.exit_code == 0, refreshed.stderr
    report = json.loads(refreshed.stdout)
    comparison = report["comparison"]
    assert report["served"] == served
    assert report["release"] == ReleaseStore().current("shop") != served
    assert report["n_events"] == 600
    assert comparison["n_cases"] == 120
    assert comparison["ci95"][0] > 0
    difference = comparison["trained"] - comparison["served"]
    assert comparison["difference"] == pytest.approx(difference)
    assert report["decision"].startswith(f"published {report['release']}: on the 120 newest cases")
    release = ReleaseStore().verify("shop")
    assert release.metrics["refresh"] == comparison
    assert release.manifest.data_hash == Dataset.open("shop").content_hash
    assert release.config == ReleaseStore().show("shop", served).config

    again = run("refresh", "shop")
    assert "no feedback came since the served release" in again.stdout
    assert ReleaseStore().current("shop") == release.version


def test_what_is_no_better_changes_nothing(run: Run, shop_domain: Path, fresh_home: Path):
    served = start(run)
    before = Dataset.open("shop").content_hash
    few = run("refresh", "shop")
    assert "no feedback came" in few.stdout
    as_ever = as_before()
    send(*as_ever[:50])
    few = run("refresh", "shop")
    assert "only 10 of the newest cases can be compared; 50 are needed" in few.stdout

    send(*as_ever[50:])
    refreshed = run("refresh", "shop")
    assert refreshed.exit_code == 0, refreshed.stderr
    assert "not better by more than noise" in refreshed.stdout
    assert "a running service" not in refreshed.stdout
    assert ReleaseStore().current("shop") == served
    assert Dataset.open("shop").content_hash == before
    assert "crossrec" in run("evaluate", "shop", "--baseline", "none").stdout
    left = [path.name for path in (fresh_home / "data").iterdir() if path.name.startswith(".")]
    assert left == [".shop.lock"]


def as_before() -> list[tuple[str, str, str]]:
    """New people, who buy what those bought whom the served release has learned from."""
    old = [(user % 30, step) for user in range(70) for step in range(5)]
    items = [(user % 3) + 3 * ((user + step * step) % 10) for user, step in old]
    return [(f"x{n // 5}", f"s{item}", "sale") for n, item in enumerate(items)]


def test_a_release_that_ranks_no_interactions_is_not_refreshed(run: Run, shop_domain: Path):
    sales = shop_domain.parent / "shop_files" / "sales.csv"
    rows = pl.read_csv(sales).with_columns((pl.int_range(pl.len()) % 5 + 1).alias("stars"))
    rows.write_csv(sales)
    text = shop_domain.read_text().replace("event: what", "event: what, rating: stars")
    shop_domain.write_text(text)
    run("data", "import", "shop")
    trained = run("train", "shop", "--workers", "0", "--set", "task=rate", *SMALL)
    assert trained.exit_code == 0, trained.stderr
    refused = run("refresh", "shop")
    assert refused.exit_code == 2
    assert "crossrec train --since all" in " ".join(refused.stderr.split())


def erase_while(run: Run, monkeypatch: pytest.MonkeyPatch, *users: str) -> None:
    """Somebody asks to be erased while a training fits its model."""
    fit = loop.fit

    def slow(*given: Any, **named: Any) -> Any:
        fitted = fit(*given, **named)
        for user in users:
            assert run("users", "erase", "shop", user).exit_code == 0
        return fitted

    monkeypatch.setattr(loop, "fit", slow)
    monkeypatch.setattr(pipeline, "fit", slow)


def held(version: str) -> set[str]:
    catalogue = ReleaseStore().show("shop", version).folder / "catalogue.sqlite"
    with closing(sqlite3.connect(catalogue)) as database:
        return {user for (user,) in database.execute("SELECT user_id FROM users")}


@pytest.mark.parametrize("patterned", [True, False])
def test_who_is_erased_while_it_trains_stays_erased(
    run: Run, shop_domain: Path, monkeypatch: pytest.MonkeyPatch, patterned: bool
):
    served = start(run)
    n_new = 120 if patterned else 10
    send(*baskets(np.random.default_rng(0), n_new, patterned))
    erase_while(run, monkeypatch, "c7", "n3")
    report = json.loads(run("refresh", "shop", "--json").stdout)
    assert (report["release"] is not None) == patterned
    users = set(Dataset.open("shop").scan("interactions").collect()["user_id"])
    assert "c8" in users
    assert not users & {"c7", "n3"}
    with closing(FeedbackLog()) as log:
        trained = {version for one in log.erasures("shop") for version in one.releases}
    assert trained == {served} | ({report["release"]} if patterned else set())
    for version in trained:
        assert not held(version) & {"c7", "n3"}
        ReleaseStore().verify("shop", version)


def test_who_is_erased_while_a_first_training_runs_stays_erased(
    run: Run, shop_domain: Path, monkeypatch: pytest.MonkeyPatch
):
    run("data", "import", "shop")
    erase_while(run, monkeypatch, "c7")
    trained = run("train", "shop", "--workers", "0", *SMALL)
    assert trained.exit_code == 0, trained.stderr
    version = ReleaseStore().current("shop")
    assert version is not None
    assert "c7" not in held(version)
    with closing(FeedbackLog()) as log:
        assert [one.releases for one in log.erasures("shop")] == [[version]]
