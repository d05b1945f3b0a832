"""Reports: our rows, baselines and peers beside each other, with protocol and hashes."""

from __future__ import annotations

import io
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from rich.console import Console

from crossrec.data.dataset import Dataset
from crossrec.data.split import Cases
from crossrec.domains.spec import Domain
from crossrec.errors import ConfigError
from crossrec.evaluation.protocols import judge
from crossrec.evaluation.report import Report, compose, report
from crossrec.models.baselines import Popularity
from crossrec.models.query import Queries
from tests.evaluation.test_peers import MOVIES
from tests.evaluation.test_protocols import small_split

SPLIT = small_split(["abcd", "bcae", "cdab", "dabc", "eabcd"])


def perfect(queries: Queries) -> NDArray[np.float32]:
    """Knows every target: it is the item that stands in the split."""
    targets = {
        int(u): int(t) for u, t in zip(SPLIT.test.users, SPLIT.targets(SPLIT.test), strict=True)
    }
    rows = {
        tuple(SPLIT.sequences.items[SPLIT.sequences.rows(u)][:-1].tolist()): t
        for u, t in targets.items()
    }
    scores = np.zeros((len(queries), 8), np.float32)
    for n, items in enumerate(queries.items):
        scores[n, rows[tuple(items[items >= 0].tolist())]] = 1
    return scores


def dataset(name: str = "s", simulated: bool = False) -> Dataset:
    domain = Domain(name=name, title="S", simulated=simulated)
    return Dataset(Path("unused"), domain, "ab" * 32, {})


def text_of(made: Report) -> str:
    console = Console(file=io.StringIO(), width=200)
    console.print(made.table())
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue()


def test_ours_and_the_baselines_are_judged_on_the_same_cases() -> None:
    steps: list[str] = []
    names = ["popularity", "itemknn"]
    made = report(dataset(), SPLIT, {"crossrec": perfect}, baselines=names, on_step=steps.append)
    assert [(row.model, row.origin) for row in made.rows] == [
        ("crossrec", "ours"), ("popularity", "baseline"), ("itemknn", "baseline"),
    ]  # fmt: skip
    assert steps == ["crossrec", *names]
    assert made.rows[0].figures["ndcg@10"] == 1
    assert made.rows[0].ours_minus is None
    mean, low, high = made.rows[1].ours_minus or (0, 0, 0)
    assert mean == pytest.approx(1 - (made.rows[1].figures["ndcg@10"] or 0))
    assert 0 <= low <= mean <= high


def test_protocol_hashes_and_cases_are_always_printed() -> None:
    made = report(dataset(), SPLIT, {"crossrec": perfect}, baselines=[], notes=["2 of 5 users"])
    text = text_of(made)
    for part in ("leave_one_out", "5 cases", "data abababababab", made.fingerprint[:12]):
        assert part in text
    assert "2 of 5 users" in text


def test_frozen_text_without_vectors_is_left_out_and_that_is_said() -> None:
    made = report(dataset(), SPLIT, {}, baselines=["popularity", "frozen_text"])
    assert [row.model for row in made.rows] == ["popularity"]
    assert "frozen_text left out: no text vectors were given" in made.notes
    vectors = np.eye(8, dtype=np.float32)
    made = report(dataset(), SPLIT, {}, baselines=["frozen_text"], text_vectors=vectors)
    assert [row.model for row in made.rows] == ["frozen_text"]
    assert made.notes == []


def test_item_item_models_are_left_out_where_nobody_has_a_history() -> None:
    first = Cases(np.arange(5), np.zeros(5, np.int64))
    split = replace(SPLIT, validation=first, test=first)
    made = report(dataset(), split, {"ours": constant}, baselines=["popularity", "ease", "itemknn"])
    assert [row.model for row in made.rows] == ["ours", "popularity"]
    assert made.notes == ["ease, itemknn left out: nobody has a history"]


def test_simulated_figures_are_labelled() -> None:
    made = report(dataset(simulated=True), SPLIT, {"crossrec": perfect}, baselines=[])
    assert "simulated" in text_of(made)
    assert made.to_dict()["simulated"] is True


def test_peers_stand_beside_ours_on_equal_cases_only() -> None:
    other = judge(perfect, SPLIT)
    made = compose(dataset("movies"), {"crossrec": other}, {})
    assert [row.model for row in made.rows] == ["crossrec"]
    assert made.notes == ["no published figure shown: they were made on other cases"]
    # Only the fingerprint decides, so an evaluation that carries the right one is enough here.
    made = compose(dataset("movies"), {"crossrec": replace(other, fingerprint=MOVIES)}, {})
    rows = {row.model: row for row in made.rows}
    assert {row.origin for row in made.rows} == {"ours", "published"}
    assert rows["sasrec_own"].figures["ndcg@10"] == pytest.approx(0.1052, abs=1e-4)
    low, high = rows["sasrec_own"].ci95
    assert (high - low) / 2 == pytest.approx(1.96 * 0.0079, abs=1e-4)
    assert rows["sasrec_own"].ours_minus is None
    assert "sasrec_rectools *" in rows
    assert "lower bound" in " ".join(made.notes)


def test_peers_of_the_test_part_do_not_stand_beside_validation() -> None:
    made = compose(dataset("movies"), {"crossrec": judge(constant, SPLIT, "validation")}, {})
    assert [row.origin for row in made.rows] == ["ours"]
    assert made.notes == []


def constant(queries: Queries) -> NDArray[np.float32]:
    return np.ones((len(queries), 8), np.float32)


def test_a_report_is_json() -> None:
    made = compose(
        dataset(),
        {"crossrec": judge(perfect, SPLIT)},
        {"popularity": (judge(Popularity().fit(SPLIT).score, SPLIT), {})},
    )
    assert json.loads(json.dumps(made.to_dict()))["rows"][0]["model"] == "crossrec"


def test_a_report_of_nothing_is_refused() -> None:
    with pytest.raises(ConfigError, match="got no evaluation"):
        report(dataset(), SPLIT, {}, baselines=[])


def test_the_table_fits_a_terminal_of_80_columns() -> None:
    made = report(dataset(), SPLIT, {"crossrec": perfect}, baselines=["itemknn_recency"])
    console = Console(file=io.StringIO(), width=80)
    console.print(made.table())
    assert isinstance(console.file, io.StringIO)
    assert "…" not in console.file.getvalue()


def test_the_frame_has_an_interval_for_ndcg_only() -> None:
    made = report(dataset(), SPLIT, {"ours": perfect}, baselines=["popularity"])
    frame = made.frame()
    assert frame["model"].to_list() == ["ours", "popularity"]
    assert frame["value"][0] == 1.0
    assert frame["low"].null_count() == 0
    assert made.frame("recall@10")["low"].null_count() == 2
