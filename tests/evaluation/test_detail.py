"""What is said of groups, exposure and single cases; expected figures are worked by hand."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from crossrec.errors import ReleaseError
from crossrec.evaluation import saved
from crossrec.evaluation.detail import (
    MERGED,
    MIN_GROUP,
    CaseNotes,
    Detail,
    calibration,
    exposure,
    figures,
    groups,
    popularity_curve,
)
from crossrec.evaluation.protocols import judge
from crossrec.models.query import Queries
from tests.evaluation.test_protocols import fixed, small_split


def made(ranks: list[int], **fields: object) -> Detail:
    """Users u0, u1, … whose lists all show item 0 and whose target is item 1, of three items."""
    n = len(ranks)
    notes = CaseNotes(n)
    notes.ranks[:] = ranks
    notes.top[:, 0] = 0
    notes.confidence[:] = np.linspace(0.1, 0.9, n)
    ones = np.ones(n, np.int64)
    values = {
        "users": [f"u{i}" for i in range(n)],
        "cuts": ones,
        "targets": ones,
        "warm": np.ones(n, np.bool_),
        "notes": notes,
        "n_train": np.array([5, 4, 1]),
    }
    return Detail(**(values | fields))  # type: ignore[arg-type]


def test_what_is_noted_is_what_judge_finds():
    split = small_split(["abcd", "bcae", "cdab", "dabc", "eabcd"])
    notes = CaseNotes(len(split.test))

    def score(queries: Queries) -> np.ndarray:
        return np.tile(
            np.arange(split.sequences.n_items, 0, -1, dtype=np.float32), (len(queries), 1)
        )

    found = judge(score, split, watch=notes)
    np.testing.assert_array_equal(notes.ranks, found.ranks)
    detail = Detail.of(split, "test", notes)
    np.testing.assert_array_equal(detail.warm, found.warm)
    assert detail.users == [split.sequences.user_ids[user] for user in split.test.users]
    assert ((notes.confidence > 0) & (notes.confidence <= 1)).all()
    for user, cut, top in zip(split.test.users, split.test.cuts, notes.top, strict=True):
        history = split.sequences.items[split.sequences.rows(user)][:cut]
        assert not set(history.tolist()) & set(top[top >= 0].tolist())


def test_errors_of_ratings_are_kept_case_by_case_where_scores_are_ratings():
    split = small_split(["abcd", "bcae"], ratings=[[1, 2, 3, 4], [1, 2, 3, 5]])
    notes = CaseNotes(2)
    judge(fixed([3.0] * 8), split, task="rate", watch=notes)
    assert Detail.of(split, "test", notes, "rate").errors.tolist() == [-1, -2]
    assert Detail.of(split, "test", notes).errors is None


def test_a_group_has_its_mean_and_its_gap_to_the_others():
    detail = made([1] * 30 + [100] * 20)
    one, other = groups(detail, "who", ["a"] * 30 + ["b"] * 20)
    assert (one["value"], one["n"], one["recall@10"]) == ("a", 30, [1.0, 1.0, 1.0])
    assert one["recall@10_gap"] == [1.0, 1.0, 1.0]
    assert other["recall@10"][0] == 0.0
    assert one["head_share"] == 1.0  # item 0 is the head of three
    assert one["coverage@10"] == pytest.approx(1 / 3)


def test_a_gap_has_the_interval_of_two_means_with_one_deviation():
    hit, missed = [1] * 6 + [100] * 74, [100] * 20
    small = groups(made(hit + missed), "who", ["a"] * 80 + ["b"] * 20)[1]
    deviation = (80 * 0.075 * 0.925 / 98) ** 0.5
    error = 1.96 * deviation * (1 / 80 + 1 / 20) ** 0.5
    assert small["recall@10"] == [0.0, 0.0, 0.0]  # its own deviation is 0: no guess of its noise
    assert small["recall@10_gap"] == pytest.approx([-0.075, -0.075 - error, -0.075 + error])
    assert small["recall@10_gap"][2] > 0


@pytest.mark.parametrize("small", [1, 5, MIN_GROUP - 1])
def test_nobody_is_singled_out_not_even_by_subtraction(small: int):
    values = ["a"] * 50 + ["b"] * 30 + ["c"] * small
    found = groups(made([1] * len(values)), "who", values)
    assert all(group["n"] >= MIN_GROUP for group in found)
    assert {group["value"] for group in found} == {"a", MERGED}
    assert sum(group["n"] for group in found) == len(values)


def test_a_trait_of_a_handful_of_users_is_not_told_at_all():
    assert groups(made([1] * 5), "who", list("aaabb")) == []


def test_the_popularity_curve_ends_at_one_and_shows_that_only_the_head_is_shown():
    curve = popularity_curve(made([1] * 4))
    assert curve[0] == {"items": 0.0, "interactions": 0.0, "shown": 0.0}
    assert curve[1]["interactions"] == pytest.approx(5 / 10)
    assert curve[1]["shown"] == 1.0
    assert curve[-1] == pytest.approx({"items": 1.0, "interactions": 1.0, "shown": 1.0})


def test_calibration_counts_how_often_the_first_was_right():
    found = calibration(made([2] * 40 + [1] * 40))
    assert [one["n"] for one in found] == [20] * 4
    assert [one["observed"] for one in found] == [0.0, 0.0, 1.0, 1.0]


def test_exposure_is_set_beside_what_was_asked_for():
    found = exposure(made([1] * 4), ["north", "south", "south"])
    assert {row["provider"]: (row["interactions"], row["shown"]) for row in found} == {
        "north": (0.5, 1.0),
        "south": (0.5, 0.0),
    }
    assert found[0]["gap"] == [0.5, 0.5, 0.5]  # every list shows the same


def test_the_gap_of_a_provider_has_an_interval_over_users():
    detail = made([1] * 4)
    detail.notes.top[2:, 0] = 1  # half of the lists show the other provider
    gaps = {row["provider"]: row["gap"] for row in exposure(detail, ["north", "south", "south"])}
    # 4 lists of one place: s^2 = 4/3 * 1/4, so the error of the share is sqrt(1/3 / 4)
    assert gaps["north"] == pytest.approx([0.0, -1.96 / 12**0.5, 1.96 / 12**0.5])
    assert gaps["south"] == pytest.approx(gaps["north"])


@pytest.fixture
def kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("CROSSREC_HOME", str(tmp_path))
    detail = made([1, 3, 30])
    found = figures(detail, {}, ["", "", ""])
    return saved.save("films", "v1", found, detail, [("a", "A"), ("b", "B"), ("c", "C")])


def test_an_evaluation_is_read_back(kept: Path):
    assert saved.read_figures("films", "v1")["min_group"] == MIN_GROUP
    with saved.open_saved("films", "v1") as database:
        rows = database.execute("SELECT user_id, target, rank, top FROM cases").fetchall()
        hits = database.execute("SELECT n_targets, n_hits FROM items WHERE item_id = 'b'")
        assert rows[1] == ("u1", "b", 3, json.dumps(["a"]))
        assert hits.fetchone() == (3, 2)


def test_an_erased_user_leaves_no_byte_in_it(kept: Path):
    assert saved.forget("films", "u1", "nobody") == 1
    assert b"u1" not in kept.read_bytes()
    assert saved.forget("films", "u1") == 0


def test_a_release_that_was_not_evaluated_says_what_to_run(kept: Path):
    with pytest.raises(ReleaseError, match="crossrec evaluate films --release v2"):
        saved.read_figures("films", "v2")
