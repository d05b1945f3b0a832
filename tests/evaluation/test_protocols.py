"""Judging: worked by hand on a small split, the same in any batch size."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import polars as pl
import pytest
from numpy.typing import NDArray
from scipy import sparse

from crossrec.data.sequences import sequences_from
from crossrec.data.split import Cases, Split, fingerprint, split_sequences
from crossrec.domains.spec import Domain
from crossrec.errors import DataError
from crossrec.evaluation import protocols
from crossrec.evaluation.protocols import Score, difference, judge
from crossrec.models.query import Queries


def small_split(users: list[str], ratings: list[list[float]] | None = None) -> Split:
    """Leave one out; a user is a string of item letters in order, out of a catalogue a to h."""
    rows = [
        (f"u{u:02d}", item, n, float(ratings[u][n]) if ratings else None)
        for u, items in enumerate(users)
        for n, item in enumerate(items)
    ]
    schema = {
        "user_id": pl.String,
        "item_id": pl.String,
        "timestamp": pl.Int64,
        "rating": pl.Float32,
    }
    frame = pl.LazyFrame(rows, schema, orient="row")
    items = pl.DataFrame({"item_id": list("abcdefgh")})
    sequences = sequences_from(items, frame, Domain(name="s", title="S"))
    return split_sequences(sequences, "leave_one_out")


def fixed(scores: list[float]) -> Score:
    def score(queries: Queries) -> NDArray[np.float32]:
        return np.tile(np.array(scores, np.float32), (len(queries), 1))

    return score


SPLIT = small_split(["abcd", "bcae", "cdab"])
DESCENDING = fixed([8, 7, 6, 5, 4, 3, 2, 1])


def test_ranks_leave_out_the_history_and_nothing_else() -> None:
    got = judge(DESCENDING, SPLIT)
    # Left after the history, best first: u00 defgh → d is 1st; u01 defgh → e 2nd; u02 befgh → b 1st
    assert got.ranks.tolist() == [1, 2, 1]
    assert got.mean("recall@10") == 1
    assert got.mean("mrr@10") == pytest.approx((1 + 1 / 2 + 1) / 3)
    assert got.mean("ndcg@10") == pytest.approx((1 + 1 / np.log2(3) + 1) / 3)


def test_all_right_answers_of_a_request_count_where_there_are_several(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(protocols, "_BATCH_CELLS", 16)  # two batches, whose sums add up
    right = np.zeros((12, 8), np.float32)
    right[[3, 3, 7, 11], [3, 4, 4, 5]] = 1
    several = replace(SPLIT, relevant=sparse.csr_array(right))
    figures = judge(DESCENDING, several).task_figures
    # Left, best first: u00 defgh, both first; u01 defgh, e 2nd; u02 befgh, f 3rd
    expected = (1 + 1 / np.log2(3) + 1 / np.log2(4)) / 3
    assert figures == {"set_ndcg@10": pytest.approx(expected)}
    assert judge(DESCENDING, SPLIT).task_figures == {}


def test_validation_cases_are_one_step_earlier() -> None:
    got = judge(DESCENDING, SPLIT, "validation")
    # u00: ab → c is 1st of c…h; u01: bc → a is 1st; u02: cd → a is 1st
    assert got.ranks.tolist() == [1, 1, 1]
    assert got.fingerprint == fingerprint(SPLIT, SPLIT.validation)
    assert got.fingerprint != fingerprint(SPLIT, SPLIT.test)


def test_warm_and_cold_targets_stand_apart() -> None:
    figures = judge(DESCENDING, SPLIT, ks=(1,)).to_dict()
    # In training: ab, bc, cd; so d and b are warm, e is cold.
    assert figures["warm"] == {"n": 2, "recall@1": 1.0, "ndcg@1": 1.0, "mrr@1": 1.0}
    assert figures["cold"] == {"n": 1, "recall@1": 0.0, "ndcg@1": 0.0, "mrr@1": 0.0}


def test_without_cold_targets_their_figures_are_none() -> None:
    figures = judge(DESCENDING, small_split(["abc", "bca"])).to_dict()
    assert figures["cold"]["n"] == 1  # c is in nobody's training part
    figures = judge(DESCENDING, small_split(["abc", "bca", "cab"])).to_dict()
    assert figures["cold"] == {"n": 0, "recall@10": None, "ndcg@10": None, "mrr@10": None}


def test_coverage_counts_what_all_top_lists_show() -> None:
    got = judge(DESCENDING, SPLIT, ks=(1, 2))
    assert got.coverage == {1: 2 / 8, 2: 3 / 8}  # d, d, b and de, de, be


def test_the_batch_size_changes_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(0)
    users = ["".join(rng.permutation(list("abcdefgh"))[: rng.integers(3, 8)]) for _ in range(50)]
    split, table = small_split(users), rng.normal(size=(8, 8)).astype(np.float32)

    def score(queries: Queries) -> NDArray[np.float32]:
        present = (queries.items >= 0)[..., None]
        return np.asarray((table[queries.items] * present).sum(axis=1), np.float32)

    whole = judge(score, split)
    for cells in (8, 200):  # one case a batch; as many as their histories leave room for
        monkeypatch.setattr(protocols, "_BATCH_CELLS", cells)
        assert judge(score, split).ranks.tolist() == whole.ranks.tolist()
    assert whole.users.tolist() == list(range(50))


def test_a_model_that_cannot_score_earns_nothing() -> None:
    got = judge(fixed([float("nan")] * 8), SPLIT, ks=(1,))
    assert got.mean("recall@1") == 0


def test_the_target_is_not_in_the_queries() -> None:
    def score(queries: Queries) -> NDArray[np.float32]:
        assert queries.items.shape[1] == 3
        return np.zeros((len(queries), 8), np.float32)

    assert judge(score, SPLIT).n == 3


def test_figures_are_plain_and_say_what_they_are_of() -> None:
    figures = judge(DESCENDING, SPLIT).to_dict()
    assert json.loads(json.dumps(figures)) == figures
    assert figures["protocol"] == "leave_one_out"
    assert figures["n"] == 3
    low, high = figures["ci95"]["ndcg@10"]
    assert low <= figures["metrics"]["ndcg@10"] <= high


def test_a_difference_is_case_by_case() -> None:
    better = judge(DESCENDING, SPLIT)
    worse = judge(fixed([0] * 8), SPLIT)
    mean, low, high = difference(better, worse, "mrr@10")
    assert mean == pytest.approx((1 + 1 / 2 + 1) / 3 - 1 / 5)  # all tie: last of five
    assert 0 < low <= mean <= high
    assert difference(better, better, "mrr@10") == (0, 0, 0)


def test_other_cases_cannot_be_compared() -> None:
    with pytest.raises(DataError, match="expected the same split"):
        difference(
            judge(DESCENDING, SPLIT),
            judge(DESCENDING, SPLIT, "validation"),
            "ndcg@10",
        )


def test_ratings_are_judged_by_their_errors() -> None:
    split = small_split(["abcd", "bcae"], ratings=[[1, 2, 3, 4], [1, 2, 3, 5]])
    figures = judge(fixed([3.0] * 8), split, task="rate").task_figures
    assert figures["rmse"] == pytest.approx(((1 + 4) / 2) ** 0.5)
    assert figures["mae"] == pytest.approx((1 + 2) / 2)


def test_labels_are_judged_by_the_best_item() -> None:
    # Candidates left: u00 defgh, u01 defgh, u02 befgh; the answers are d, d and b.
    figures = judge(DESCENDING, SPLIT, task="classify").to_dict()["metrics"]
    assert figures["accuracy"] == pytest.approx(2 / 3)
    # d: TP 1 FP 1 → 2/3; e: FN 1 → 0; b: 1
    assert figures["macro_f1"] == pytest.approx((2 / 3 + 0 + 1) / 3)


def test_requests_reach_the_model_and_pools_bound_the_candidates() -> None:
    pools = np.array([0, 0, 0, 0, 1, 1, 1, 1])
    asked = np.zeros((len(SPLIT.sequences.items), 8), np.float32)
    rows = SPLIT.sequences.offsets[SPLIT.test.users] + SPLIT.test.cuts
    asked[rows, SPLIT.targets(SPLIT.test)] = 1

    def echo(queries: Queries) -> NDArray[np.float32]:
        return queries.request

    assert judge(echo, SPLIT, requests=asked).ranks.tolist() == [1, 1, 1]
    pooled = replace(SPLIT, pools=pools)
    # Of u01's pool efgh only e is the target; d is no longer before it.
    assert judge(DESCENDING, pooled).ranks.tolist() == [1, 1, 1]
    assert judge(fixed([0] * 8), pooled).ranks.tolist() == [1, 4, 1]


def test_late_items_are_no_candidates_at_validation_and_are_at_the_test() -> None:
    split = small_split(["abcd", "bcda"])
    late = replace(split, late=np.array([letter == "h" for letter in "abcdefgh"]))
    best_is_late = fixed([1, 1, 1, 1, 0, 0, 0, 9])
    for part, n_better in (("validation", 0), ("test", 1)):
        before = judge(best_is_late, split, part).ranks  # type: ignore[arg-type]
        after = judge(best_is_late, late, part).ranks  # type: ignore[arg-type]
        assert (before - after == 1 - n_better).all()


def test_users_without_history_are_judged() -> None:
    seqs = SPLIT.sequences
    first = Cases(np.arange(3), np.zeros(3, np.int64))
    got = judge(DESCENDING, replace(SPLIT, sequences=seqs, test=first))
    assert got.ranks.tolist() == [1, 2, 3]  # a, b and c of the whole catalogue


def test_what_has_no_figure_is_none_and_not_nan() -> None:
    nobody = Cases(np.zeros(0, np.int64), np.zeros(0, np.int64))
    figures = judge(DESCENDING, replace(SPLIT, test=nobody), task="rate").to_dict()
    assert figures["metrics"]["rmse"] is figures["metrics"]["ndcg@10"] is None
    assert figures["ci95"]["ndcg@10"] == [None, None]
    json.dumps(figures, allow_nan=False)
    one = Cases(np.array([0]), np.array([3]))
    assert (
        judge(DESCENDING, replace(SPLIT, test=one)).to_dict()["standard_error"]["ndcg@10"] is None
    )


def test_restricted_candidates_are_ranked_among_themselves_and_others_are_missed() -> None:
    # Context 0 allows a, b and d; context 1 the rest.
    may = np.zeros((2, 8), bool)
    may[0, [0, 1, 3]] = True
    may[1] = ~may[0]
    context = np.full(len(SPLIT.sequences.items), np.nan, np.float32)
    for case, code in enumerate((0, 0, np.nan)):
        context[SPLIT.sequences.offsets[case] + 3] = code
    sequences = replace(SPLIT.sequences, context={"city": context})
    split = replace(SPLIT, sequences=sequences, restrictions={"city": may})
    got = judge(fixed([1, 2, 3, 4, 5, 6, 7, 8]), split)
    # u00 is left d alone; the target of u01 (e) is no candidate; u02 (b) is not restricted: befgh.
    assert got.ranks.tolist() == [1, 5, 5]
    assert got.protocol == "leave_one_out, same city"
    assert judge(fixed([1, 2, 3, 4, 5, 6, 7, 8]), SPLIT).ranks.tolist() == [5, 4, 5]
