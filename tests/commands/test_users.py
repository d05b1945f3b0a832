from __future__ import annotations

import importlib
import json
import shutil
import time
from pathlib import Path

import polars as pl
import pytest

from crossrec.data.dataset import Dataset
from crossrec.data.pseudonyms import UserKeys
from crossrec.releases.store import ReleaseStore
from crossrec.serving.learning_log import LearningLog
from tests.commands.conftest import Run
from tests.commands.test_feedback import send
from tests.commands.test_training import SMALL
from tests.serving.learners import given_to


def users_of(table: str = "interactions") -> set[str]:
    return set(Dataset.open("shop").scan(table).collect()["user_id"])


def test_an_erased_user_is_in_no_table_log_export_or_release(
    run: Run, shop_domain: Path, fresh_home: Path
):
    sales = shop_domain.parent / "shop_files" / "sales.csv"
    sales.write_text(sales.read_text() + "c7,s999,1700000000,sale\n")  # which is rejected
    run("data", "import", "shop")
    send(("c7", "s2", "like"), ("c8", "s2", "like"))
    run("feedback", "export", "shop")
    trained = run("train", "shop", "--workers", "0", "--since", "all", *SMALL)
    assert trained.exit_code == 0, trained.stderr
    version = ReleaseStore().current("shop")
    before = Dataset.open("shop")
    assert before.card["rejected"]
    kept_for_look = fresh_home / "data" / "shop.rejected.parquet"
    shutil.copyfile(before.folder / "rejected.parquet", kept_for_look)

    erased = run("users", "erase", "shop", "-", "--json", input="c7\n")
    assert erased.exit_code == 0, erased.stderr
    answer = json.loads(erased.stdout)
    assert answer["n_events"] == 1
    assert answer["tables"] == {
        "imported/interactions": 5, "interactions": 6, "rejected": 1, "exported feedback": 1,
        "rows of an import that failed": 1,
    }  # fmt: skip
    assert answer["releases"] == answer["trained_with"] == [version]

    data = Dataset.open("shop")
    assert users_of() == {f"c{n}" for n in range(40)} - {"c7"}
    assert data.content_hash != before.content_hash
    assert data.card["tables"]["interactions"] == before.card["tables"]["interactions"] - 6
    for path in [p for p in fresh_home.rglob("*") if p.suffix in (".parquet", ".db", ".db-wal")]:
        if path.suffix == ".parquet":
            said = json.dumps(pl.read_parquet(path).to_dict(as_series=False), default=str)
            assert '"c7"' not in said, path
            assert '\\"c7\\"' not in said, path
    ReleaseStore().verify("shop")
    listed = run("users", "erased", "shop").stdout
    assert str(version) in listed
    assert "c7" not in listed

    run("data", "import", "shop", "--force")  # the source still has them
    assert users_of() == {f"c{n}" for n in range(40)} - {"c7"}
    again = run("users", "erase", "shop", "c7")
    assert "removed: 0 feedback events" in again.stdout
    assert f"the weights of {version} were trained" in again.stdout
    nobody = run("users", "erase", "shop", "nobody")
    assert "remains: nothing" in nobody.stdout


def test_pseudonyms_take_the_place_of_ids_everywhere(run: Run, shop_domain: Path, fresh_home: Path):
    run("data", "import", "shop")
    send(("c7", "s2", "like"))
    refused = run("users", "pseudonymise")
    assert refused.exit_code == 2
    assert "crossrec feedback prune --keep-days 0" in " ".join(refused.stderr.split())
    run("feedback", "prune", "--keep-days", "0")
    done = run("users", "pseudonymise")
    assert "crossrec data import shop --force" in done.stdout
    run("data", "import", "shop", "--force")
    key = UserKeys().read()
    assert key is not None
    assert users_of() == {key.inside(f"c{n}") for n in range(40)}
    trained = run("train", "shop", "--workers", "0", *SMALL)
    assert trained.exit_code == 0, trained.stderr
    loaded = ReleaseStore().load("shop")
    assert loaded.catalogue.history(key.inside("c7")) is not None
    assert loaded.catalogue.history("c7") is None
    loaded.close()
    erased = json.loads(run("users", "erase", "shop", "c7", "--json").stdout)
    assert erased["tables"] == {"interactions": 5}
    assert key.inside("c7") not in users_of()
    run("data", "import", "shop", "--force")
    assert key.inside("c7") not in users_of()


def test_answers_kept_for_learning_go_with_feedback_and_keep_pseudonyms_off_until_then(
    run: Run, shop_domain: Path, fresh_home: Path
):
    now = time.time()
    notes = LearningLog()
    for user, at in (("jane@example.org", now - 60), ("joe@example.org", now - 40 * 86_400)):
        notes.shown("shop", given_to(user, at))
        notes.came_from("shop", [f"{user}-click-1"], "a key", at)
    notes.close()
    run("feedback", "prune", "shop", "--keep-days", "30")
    kept = b"".join(path.read_bytes() for path in fresh_home.glob("learning.db*"))
    assert (b"jane" in kept, b"joe" in kept) == (True, False)
    refused = run("users", "pseudonymise")
    assert refused.exit_code == 2
    assert "0 events of feedback and 1 answers are kept under user ids" in (
        " ".join(refused.stderr.split())
    )
    run("feedback", "prune", "--keep-days", "0")
    kept = b"".join(path.read_bytes() for path in fresh_home.glob("learning.db*"))
    assert b"jane" not in kept
    assert run("users", "pseudonymise").exit_code == 0


def test_pseudonyms_bring_nobody_back_and_older_files_still_know_the_id(
    run: Run, shop_domain: Path, fresh_home: Path
):
    run("data", "import", "shop")
    run("users", "erase", "shop", "c7")
    exported = fresh_home / "feedback" / "shop.parquet"
    exported.parent.mkdir()
    pl.DataFrame({"user_id": ["c8", "c9"]}).write_parquet(exported)
    run("users", "pseudonymise")
    run("data", "import", "shop", "--force")
    key = UserKeys().read()
    assert key is not None
    assert users_of() == {key.inside(f"c{n}") for n in range(40) if n != 7}
    rejected = fresh_home / "data" / "shop.rejected.parquet"
    pl.DataFrame({"source_row": ['{"customer": "c8"}', "{}"]}).write_parquet(rejected)
    erased = json.loads(run("users", "erase", "shop", "c8", "--json").stdout)
    assert erased["tables"] == {
        "interactions": 5, "exported feedback": 1, "rows of an import that failed": 1,
    }  # fmt: skip
    assert pl.read_parquet(exported)["user_id"].to_list() == ["c9"]
    run("data", "import", "shop", "--force")
    assert users_of() == {key.inside(f"c{n}") for n in range(40) if n not in (7, 8)}


def test_the_first_import_of_a_cluster_job_keeps_users_as_the_verb_does(
    run: Run, shop_domain: Path, monkeypatch: pytest.MonkeyPatch
):
    key = UserKeys().make(pseudonymise=True)
    run("users", "erase", "shop", "c7")
    monkeypatch.syspath_prepend(str(Path(__file__).parents[2] / "cluster" / "jobs"))
    importlib.import_module("entry").have_data(["shop"])
    assert users_of() == {key.inside(f"c{n}") for n in range(40) if n != 7}


def test_the_first_import_of_a_benchmark_keeps_users_as_the_verb_does(
    run: Run, shop_domain: Path, tmp_path: Path
):
    key = UserKeys().make(pseudonymise=True)
    chosen = ["--domains", "shop", "--splits", "leave_one_out", "--peers", "popularity"]
    done = run("benchmark", "quality", *chosen, "--no-ours", "--out", tmp_path / "cells")
    assert done.exit_code == 0, done.stderr
    assert users_of() == {key.inside(f"c{n}") for n in range(40)}


def test_a_user_id_must_be_given(run: Run, shop_domain: Path):
    empty = run("users", "erase", "shop", "-", input="\n")
    assert empty.exit_code == 2
    assert "got no user id" in empty.stderr
    assert "nobody was erased" in run("users", "erased", "shop").stdout
