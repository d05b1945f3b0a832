from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.commands.conftest import Run


def _by_name(run: Run) -> dict[str, dict[str, str]]:
    return {finding["name"]: finding for finding in json.loads(run("doctor", "--json").stdout)}


def test_doctor_of_a_fresh_home_has_notes_with_remedies(run: Run):
    result = run("doctor")
    assert result.exit_code == 0, result.stdout
    assert "crossrec data import" in result.stdout
    found = _by_name(run)
    assert found["imported"]["status"] == "note"
    assert found["published"]["remedy"] == "crossrec train DOMAIN"


def test_doctor_lists_imported_data(run: Run, shop_domain: Path):
    run("data", "import", "shop")
    assert _by_name(run)["shop"]["status"] == "ok"


def test_doctor_ends_with_1_where_a_data_set_is_damaged(run: Run, shop_domain: Path):
    run("data", "import", "shop")
    card = shop_domain.parent.parent / "data" / "shop" / "dataset.json"
    card.write_text("{")
    assert run("doctor").exit_code == 1
    assert _by_name(run)["shop"]["remedy"] == "crossrec data import shop --force"


def test_doctor_ends_with_1_where_the_mirror_is_not_there(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv("CROSSREC_DATA_MIRROR", str(tmp_path / "gone"))
    assert run("doctor").exit_code == 1
    assert "CROSSREC_DATA_MIRROR" in _by_name(run)["mirror"]["remedy"]
