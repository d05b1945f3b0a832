"""Names and folders of runs: unique when new, stable when told, never shared by two settings."""

from __future__ import annotations

from pathlib import Path

import pytest

from crossrec.config import load_config
from crossrec.errors import TrainingError
from crossrec.training.runs import claim_run, new_run_name, run_facts, run_folder


def test_two_new_runs_have_two_names_that_are_folder_names(fresh_home: Path):
    first, second = new_run_name(), new_run_name()
    assert first != second
    assert run_folder(first) == fresh_home / "runs" / first


@pytest.mark.parametrize("name", ["", "../elsewhere", "a/b", ".hidden", "x" * 101])
def test_a_name_that_would_leave_the_runs_folder_is_refused(name: str):
    with pytest.raises(TrainingError, match="cannot be a folder's name"):
        run_folder(name)


def test_the_same_run_again_is_a_resume(tmp_path: Path):
    facts = run_facts("train", load_config(), "hash")
    assert not claim_run(tmp_path / "r", "r", facts)
    assert claim_run(tmp_path / "r", "r", facts)


def test_a_run_name_taken_by_other_settings_or_data_is_refused(tmp_path: Path):
    config, other = load_config(), load_config(overrides=["model.dim=64"])
    claim_run(tmp_path / "r", "r", run_facts("train", config, "hash"))
    with pytest.raises(TrainingError, match="another config; choose another --run-name"):
        claim_run(tmp_path / "r", "r", run_facts("train", other, "hash"))
    with pytest.raises(TrainingError, match="another kind and data_hash"):
        claim_run(tmp_path / "r", "r", run_facts("tune", config, "new"))
