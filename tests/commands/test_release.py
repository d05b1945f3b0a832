from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from crossrec.config import load_config
from crossrec.releases.store import Release, ReleaseStore
from tests.commands.conftest import Run
from tests.small_release import ENCODER, FINGERPRINT, make_small_domain


@pytest.fixture
def releases(fresh_home: Path) -> list[Release]:
    """Three releases of `films`, the last one current."""
    small = make_small_domain(fresh_home / "data" / "films")
    return [small.publish(ReleaseStore()) for _ in range(3)]


def test_list_marks_the_current_one(run: Run, releases: list[Release]):
    listed = json.loads(run("release", "list", "--json").stdout)
    assert [entry["version"] for entry in listed] == [release.version for release in releases]
    assert [entry["current"] for entry in listed] == [False, False, True]
    [marked] = [line for line in run("release", "list").stdout.splitlines() if "current" in line]
    assert releases[-1].version in marked


def test_list_shows_the_figure_of_the_releases_own_task(run: Run, fresh_home: Path):
    small = make_small_domain(fresh_home / "data" / "films")
    figures = {"ndcg@10": 0.5, "rmse": 0.91, "macro_f1": 0.7}
    for task in ("rank", "rate", "classify"):
        model = replace(small.model, config=load_config(overrides=[f"task={task}"]))
        metrics = {"protocol": "leave_one_out", "metrics": figures}
        ReleaseStore().publish(
            model, small.dataset, small.sequences, metrics, ENCODER, FINGERPRINT, seed=0
        )
    ranked, rated, labelled = run("release", "list").stdout.splitlines()[1:]
    assert ranked.split()[2:] == ["rank", "NDCG@10", "0.5000"]
    assert rated.split()[2:] == ["rate", "RMSE", "0.9100"]
    assert labelled.split()[2:] == ["current", "classify", "macro-F1", "0.7000"]


def test_a_release_that_cannot_be_read_is_listed(run: Run, releases: list[Release]):
    (releases[0].folder / "config.json").unlink()
    first = run("release", "list").stdout.splitlines()[1]
    assert releases[0].version in first
    assert "unreadable" in first


def test_list_says_how_to_begin_where_there_is_none(run: Run):
    assert "crossrec train movies" in run("release", "list").stdout


def test_show_gives_figures_and_files(run: Run, releases: list[Release]):
    stdout = run("release", "show", "films").stdout
    assert releases[-1].version in stdout
    assert "ndcg@10" in stdout
    assert "model.safetensors" in stdout
    shown = json.loads(run("release", "show", "films", releases[0].version, "--json").stdout)
    assert shown["manifest"]["version"] == releases[0].version


def test_rollback_makes_the_one_before_current(run: Run, releases: list[Release]):
    stdout = run("release", "rollback", "films").stdout
    assert releases[1].version in stdout
    assert "a running service goes on with its release" in stdout
    assert ReleaseStore().current("films") == releases[1].version


def test_verify_names_an_altered_file(run: Run, releases: list[Release]):
    assert "is whole" in run("release", "verify", "films").stdout
    weights = releases[-1].folder / "vocabulary.json"
    weights.write_text(weights.read_text() + " ")
    result = run("release", "verify", "films")
    assert result.exit_code == 2
    assert "vocabulary.json" in result.stderr


def test_delete_takes_one_version_or_how_many_to_keep(run: Run, releases: list[Release]):
    assert run("release", "delete", "films").exit_code == 2
    refused = run("release", "delete", "films", releases[-1].version)
    assert refused.exit_code == 2
    assert "is current" in refused.stderr
    assert releases[0].version in run("release", "delete", "films", releases[0].version).stdout
    assert releases[1].version in run("release", "delete", "films", "--keep", "1").stdout
    assert "nothing to delete" in run("release", "delete", "films", "--keep", "1").stdout
    assert [release.version for release in ReleaseStore().list()] == [releases[2].version]


def test_publish_takes_over_a_folder_from_elsewhere(
    run: Run, releases: list[Release], tmp_path: Path
):
    elsewhere = shutil.copytree(releases[0].folder, tmp_path / "elsewhere")
    here_already = run("release", "publish", elsewhere)
    assert here_already.exit_code == 2
    assert "already" in here_already.stderr
    ReleaseStore().delete("films", releases[0].version)
    assert releases[0].version in run("release", "publish", elsewhere).stdout
    assert ReleaseStore().current("films") == releases[0].version


def test_publish_refuses_a_damaged_folder_and_leaves_nothing(
    run: Run, releases: list[Release], tmp_path: Path
):
    elsewhere = shutil.copytree(releases[0].folder, tmp_path / "elsewhere")
    ReleaseStore().delete("films", releases[0].version)
    (elsewhere / "model.safetensors").unlink()
    result = run("release", "publish", elsewhere)
    assert result.exit_code == 2
    assert "model.safetensors is missing" in result.stderr
    names = {path.name for path in (ReleaseStore().root / "films").iterdir()}
    assert names == {"current", releases[1].version, releases[2].version}
