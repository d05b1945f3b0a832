"""Published figures are shown for their own cases only, and are those that were published."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from crossrec.evaluation import peers

MOVIES = "448816804f8de6a771c8881e8746204c681d670201afe9a6a8349f6c7d6edf19"


def test_figures_come_with_the_right_fingerprint() -> None:
    figures = peers.published("movies", "leave_one_out", MOVIES)
    assert figures["sasrec_own"]["ndcg@10"] > figures["popularity"]["ndcg@10"]


@pytest.mark.parametrize(
    ("domain", "protocol", "fingerprint"),
    [
        ("movies", "leave_one_out", "0" * 64),
        ("movies", "temporal", MOVIES),
        ("travel", "leave_one_out", MOVIES),
        ("movies", "cold_items", MOVIES),
        ("unheard_of", "leave_one_out", MOVIES),
    ],
)
def test_no_figure_comes_for_other_cases(domain: str, protocol: str, fingerprint: str) -> None:
    assert peers.published(domain, protocol, fingerprint) == {}


@pytest.mark.mirror
def test_the_table_holds_every_published_figure(peers_folder: Path) -> None:
    rows = json.loads((peers_folder / "baselines.json").read_text())
    for row in rows:
        figures = peers.published(row["domain"], row["split"], row["targets_sha256"])[row["model"]]
        for metric, value in figures.items():
            assert value == row[metric], (row["domain"], row["split"], row["model"], metric)
