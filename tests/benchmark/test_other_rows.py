"""Rows of benchmarks besides `loo`: what stands in a mean, what a row says, what is trained for it,
and how many a bar wants.
"""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
import polars as pl
import pytest

from crossrec.benchmark.cells import Cell
from crossrec.config import load_config
from tests.benchmarks import ablation, modalities, transfer, words
from tests.benchmarks.tables import read_bars
from tests.conftest import MIRROR


def test_a_mean_has_the_seeds_that_all_its_rows_have():
    seeds = [[0], [0, 1, 2], [0, 2], [0, 1, 2], [0, 1], [0, 1, 2]]
    of_transfer = [
        {"name": "zero_shot", "domain": domain, "ratio": 2.0, "n": 3, "seeds": have}
        for domain, have in zip(transfer.DOMAINS, seeds, strict=True)
    ]
    [mean] = transfer._means(of_transfer[::-1])
    assert mean["seeds"] == [0]
    of_words = [
        {"domain": domain, "ratio": 2.0, "seeds": have}
        for domain, have in zip(words.DOMAINS, seeds[1:], strict=False)
    ]
    assert words.mean_of(of_words)["seeds"] == [0]


def test_the_row_of_described_users_names_plain_popularity(monkeypatch: pytest.MonkeyPatch):
    def trained(prepared: Any) -> Any:
        return np.array([0.15, 0.25]), {"popularity": np.array([0.3, 0.1]), "text": np.zeros(2)}

    prepared = SimpleNamespace(data_hash="0")
    monkeypatch.setattr(words, "imported", lambda name: None)
    monkeypatch.setattr(words, "prepare", lambda data, config: prepared)
    monkeypatch.setattr(words, "best_of", lambda one, family: ("frozen", np.full(2, 0.1)))
    monkeypatch.setattr(words, "ours", trained)
    row = words.profile_row()
    assert row["ratio"] == pytest.approx(2)
    assert "by popularity alone, one of our own signals, 0.2000" in row["protocol"]


def test_a_part_is_left_out_where_a_domain_has_it():
    assert "events" in ablation.DOMAINS["restaurants"]
    assert all(set(parts) <= set(ablation.PARTS) for parts in ablation.DOMAINS.values())


@pytest.mark.mirror
def test_the_ablation_has_a_domain_with_kinds_of_events():
    table = pl.scan_parquet(MIRROR / "restaurants" / "interactions.parquet")
    assert table.select(pl.col("event").n_unique()).collect().item() == 9


def test_each_modality_is_compared_with_none_of_them():
    for domain, split in modalities.KINDS:
        models = (modalities.WITH, modalities.WITHOUT)
        both = [
            load_config(overrides=modalities.settings_of(Cell(domain, split, model)))
            for model in models
        ]
        assert [len(one.model.modalities) for one in both[:1]] == [1]
        assert both[1].model.modalities == "none"
    assert "[price]" in modalities.settings_of(Cell("fashion", "leave_one_out", "with"))[-1]


def test_a_bar_wants_the_rows_that_its_benchmark_makes():
    wanted = {(bar.name, bar.where.get("domain")): bar.rows_wanted for bar in read_bars()}
    for domain in ("movies", "music"):
        kinds = [kind for (name, _), kinds in modalities.KINDS.items() for kind in kinds
                 if name == domain]  # fmt: skip
        assert wanted["modalities", domain] == len(kinds)
    assert wanted["classify_f1", None] == 2
    assert wanted["user_model_speed", None] == 2
    assert wanted["words_requests", None] == len(words.DOMAINS)


@pytest.mark.mirror
def test_minutes_are_wanted_of_every_domain_in_the_mirror():
    [bar] = [bar for bar in read_bars() if bar.name == "domain_minutes"]
    assert bar.rows_wanted == len([path for path in MIRROR.iterdir() if path.is_dir()])
