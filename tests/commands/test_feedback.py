from __future__ import annotations

import json
import time
from pathlib import Path

import polars as pl
import pytest

from crossrec.data.dataset import Dataset
from crossrec.releases.added_items import AddedItem, AddedItems, items_folder
from crossrec.releases.store import ReleaseStore
from crossrec.serving.feedback_log import FeedbackLog
from crossrec.serving.messages import FeedbackEvent
from tests.commands.conftest import Run
from tests.commands.test_training import SMALL


def send(*events: tuple[str, str, str], domain: str = "shop", **fields) -> None:
    """(user, item, event): stored, one after the other."""
    log = FeedbackLog()
    for number, (user, item, event) in enumerate(events):
        one = FeedbackEvent(
            event_id=f"{user}-{item}-{event}", user_id=user, item_id=item, event=event,
            timestamp=int(time.time()) + number, **fields,
        )  # fmt: skip
        log.append(domain, [one]).result()
    log.close()


def test_feedback_is_counted_exported_and_pruned(run: Run, shop_domain: Path, tmp_path: Path):
    assert "no feedback yet" in run("feedback", "list").stdout
    send(("c1", "s2", "like"), ("c1", "s3", "impression"), ("c2", "s2", "sale"))
    send(("v", "b", "like"), domain="books")
    counts = {one["domain"]: one for one in json.loads(run("feedback", "list", "--json").stdout)}
    assert (counts["shop"]["n_events"], counts["shop"]["n_users"]) == (3, 2)
    assert " 3 " in run("feedback", "list").stdout

    exported = run("feedback", "export", "shop", "--to", tmp_path / "f.parquet")
    assert "3 events" in exported.stdout, exported.stderr
    rows = pl.read_parquet(tmp_path / "f.parquet")
    assert rows["event"].to_list() == ["like", "impression", "sale"]
    assert rows["row"].is_sorted()
    assert "0 events" in run("feedback", "export", "shop", "--since", "2999-01-01").stdout

    assert "forgot 0" in run("feedback", "prune", "shop", "--keep-days", "1").stdout
    assert "forgot 3" in run("feedback", "prune", "shop", "--keep-days", "0").stdout
    assert "forgot 1" in run("feedback", "prune", "--keep-days", "0").stdout
    assert run("feedback", "prune", "--keep-days", "-1").exit_code == 2


def test_who_forgets_answers_makes_no_log_of_them(run: Run, shop_domain: Path, fresh_home: Path):
    send(("c1", "s2", "like"))
    assert "forgot 1" in run("feedback", "prune", "--keep-days", "0").stdout
    assert run("users", "pseudonymise").exit_code == 0
    assert not list(fresh_home.glob("learning.db*"))


def test_training_learns_from_exported_feedback(run: Run, shop_domain: Path):
    run("data", "import", "shop")
    imported = Dataset.open("shop")
    missing = run("train", "shop", "--workers", "0", "--since", "all", *SMALL)
    assert missing.exit_code == 2
    assert "crossrec feedback export shop" in " ".join(missing.stderr.split())

    added = AddedItem("s99", "oolong", "a fine tea of its own", ["tea"])
    AddedItems(items_folder("shop")).put([added])
    send(("new", "s1", "like"), ("new", "s99", "sale"), ("new", "s7", "like"))
    send(("new", "s8", "like"), ("new", "s8", "dislike"), ("new", "s9", "impression"))
    run("feedback", "export", "shop")
    trained = run("train", "shop", "--workers", "0", "--since", "all", "--json", *SMALL)
    assert trained.exit_code == 0, trained.stderr
    grown = Dataset.open("shop")
    rows = grown.scan("interactions").filter(pl.col("user_id") == "new").collect()
    assert rows["item_id"].to_list() == ["s1", "s99", "s7"]
    assert grown.scan("items").collect()["title"][-1] == "oolong"
    assert rows["event"].to_list() == ["sale"] * 3
    loaded = ReleaseStore().load("shop")
    assert loaded.release.manifest.data_hash == grown.content_hash != imported.content_hash
    history = loaded.catalogue.history("new")
    assert history is not None
    assert len(history.items) == 3
    assert loaded.catalogue.card(30).item_id == "s99"
    assert "crossrec" in run("evaluate", "shop", "--baseline", "none").stdout
    loaded.close()

    run("train", "shop", "--workers", "0", "--since", "all", "--no-publish", *SMALL)
    assert Dataset.open("shop").content_hash == grown.content_hash
    AddedItems(items_folder("shop")).path.unlink()
    run("train", "shop", "--workers", "0", "--since", "2999-01-01", "--no-publish", *SMALL)
    assert Dataset.open("shop").content_hash == imported.content_hash


@pytest.mark.parametrize("since", ["yesterday", "30", "2026-13-01"])
def test_a_moment_that_is_none_is_refused(run: Run, shop_domain: Path, since: str):
    refused = run("feedback", "export", "shop", "--since", since)
    assert refused.exit_code == 2
    assert f"'{since}' is no moment" in refused.stderr


def test_a_file_that_is_no_export_is_refused(run: Run, shop_domain: Path, fresh_home: Path):
    run("data", "import", "shop")
    (fresh_home / "feedback").mkdir()
    (fresh_home / "feedback" / "shop.parquet").write_text("x" * 100)
    refused = run("train", "shop", "--workers", "0", "--since", "all", *SMALL)
    assert refused.exit_code == 2
    assert "is no export of feedback" in " ".join(refused.stderr.split())
