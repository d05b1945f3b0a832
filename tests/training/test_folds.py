"""Cross-validation trains one model a fold; its figures are those of the folds."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from crossrec.cli import app
from crossrec.config import Placement
from crossrec.data.dataset import Dataset
from crossrec.models.encoder import TextEncoder
from crossrec.training.folds import cross_validate
from tests.models.tiny import make_tiny_encoder
from tests.training.small import make_city, settings


def test_each_fold_is_judged_on_users_of_its_own(city: Dataset, tiny: TextEncoder) -> None:
    told: list[int] = []
    report = cross_validate(
        city,
        settings("training.max_epochs=1"),
        3,
        encoder=tiny,
        placement=Placement(precision="fp32"),
        on_fold=lambda number, _: told.append(number),
    )
    assert told == [1, 2, 3]
    assert sum(fold.n for fold in report.folds) == 60
    figures = report.to_dict()
    values = report.values("ndcg@10")
    assert figures["mean"]["ndcg@10"] == pytest.approx(np.mean(values))
    assert figures["standard_deviation"]["ndcg@10"] == pytest.approx(np.std(values, ddof=1))
    assert len({fold["fingerprint"] for fold in figures["folds"]}) == 3


def test_the_command_prints_every_fold(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CROSSREC_HOME", str(tmp_path))
    make_city(tmp_path / "data")
    encoder = make_tiny_encoder(tmp_path / "tiny")
    given = [f"{key}={value}" for key, value in (("encoder", encoder), ("training.max_epochs", 1))]
    arguments = ["crossvalidate", "restaurants_sim", "--folds", "2", "--by", "time", "--json"]
    for one in [*given, "model.dim=16", "model.n_blocks=1"]:
        arguments += ["--set", one]
    result = CliRunner().invoke(app, arguments)
    assert result.exit_code == 0, result.output
    told = json.loads(result.stdout)
    assert told["by"] == "time"
    assert [fold["protocol"] for fold in told["folds"]] == ["time_fold_1_of_2", "time_fold_2_of_2"]
    wrong = CliRunner().invoke(app, ["crossvalidate", "restaurants_sim", "--by", "item"])
    assert "expected one of user, time" in wrong.stderr
