"""Baselines: one suite for all, worked examples of the weights, and the published figures."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from numpy.typing import NDArray
from scipy import sparse

from crossrec.data.batches import queries_for
from crossrec.data.sequences import sequences_from
from crossrec.data.split import Cases, Split, split_sequences
from crossrec.domains.spec import Domain
from crossrec.errors import ConfigError, DataError
from crossrec.evaluation.protocols import judge
from crossrec.models.baselines import (
    NAMES,
    Baseline,
    Ease,
    FrozenText,
    ItemKNN,
    Popularity,
    tune,
    tune_all,
)
from crossrec.models.linear_weights import (
    ease_weights,
    following_weights,
    history_matrix,
    knn_weights,
    training_matrix,
)
from crossrec.models.query import Queries

N_ITEMS, N_USERS = 24, 60


@pytest.fixture(scope="module")
def split() -> Split:
    """Two kinds of users who each walk through their own half of the catalogue."""
    rng = np.random.default_rng(0)
    rows = []
    for user in range(N_USERS):
        start = rng.integers(12)
        for step in range(6):
            item = (start + step) % 11 + 12 * (user % 2)  # items 11 and 23 never occur
            rows.append((f"u{user:02d}", f"i{item:02d}", step))
    items = pl.DataFrame({"item_id": [f"i{n:02d}" for n in range(N_ITEMS)]})
    frame = pl.LazyFrame(rows, ["user_id", "item_id", "timestamp"], orient="row")
    return split_sequences(
        sequences_from(items, frame, Domain(name="t", title="T")), "leave_one_out"
    )


@pytest.fixture(scope="module")
def text_vectors() -> NDArray[np.float32]:
    """Unit vectors: the half of the catalogue, and a little of the item's own."""
    rng = np.random.default_rng(1)
    vectors = rng.normal(scale=0.3, size=(N_ITEMS, 8)).astype(np.float32)
    vectors[:12, 0] += 2
    vectors[12:, 1] += 2
    return np.asarray(vectors / np.linalg.norm(vectors, axis=1, keepdims=True), np.float32)


class BaselineConformance:
    """What every baseline promises; a subclass gives one as `model`."""

    knows_cold_items = False

    def model(self) -> Baseline:
        raise NotImplementedError

    @pytest.fixture
    def fitted(self, split: Split, text_vectors: NDArray[np.float32]) -> Baseline:
        return self.model().fit(split, text_vectors)

    @pytest.fixture
    def queries(self, split: Split) -> Queries:
        return queries_for(split.sequences, split.test, 0)

    def test_scores_are_float32_of_the_whole_catalogue(
        self, fitted: Baseline, queries: Queries
    ) -> None:
        scores = fitted.score(queries)
        assert scores.shape == (N_USERS, N_ITEMS)
        assert scores.dtype == np.float32
        assert not np.isnan(scores).any()

    def test_name_and_params_rebuild_it(
        self, fitted: Baseline, split: Split, queries: Queries, text_vectors: NDArray[np.float32]
    ) -> None:
        assert fitted.name in NAMES
        again = type(fitted)(**fitted.params).fit(split, text_vectors)
        np.testing.assert_array_equal(again.score(queries), fitted.score(queries))

    def test_one_query_scores_as_it_does_in_a_batch(
        self, fitted: Baseline, queries: Queries
    ) -> None:
        alone = fitted.score(queries.take(np.array([7])))
        np.testing.assert_allclose(alone[0], fitted.score(queries)[7], rtol=1e-5, atol=1e-6)

    def test_an_empty_history_has_scores(self, fitted: Baseline, queries: Queries) -> None:
        nobody = Queries(
            np.full_like(queries.items[:1], -1), queries.times[:1], queries.events[:1],
            queries.now[:1], queries.request[:1],
        )  # fmt: skip
        assert not np.isnan(fitted.score(nobody)).any()

    def test_it_does_not_read_the_held_out_rows(
        self, split: Split, queries: Queries, text_vectors: NDArray[np.float32]
    ) -> None:
        items = split.sequences.items.copy()
        items[~split.train] = 0
        blinded = Split(
            split.protocol,
            type(split.sequences)(**{**vars(split.sequences), "items": items}),
            split.train, split.validation, split.test, split.warm,
        )  # fmt: skip
        np.testing.assert_array_equal(
            self.model().fit(blinded, text_vectors).score(queries),
            self.model().fit(split, text_vectors).score(queries),
        )

    def test_cold_items_are_last_unless_text_is_read(
        self, fitted: Baseline, split: Split, queries: Queries
    ) -> None:
        scores = fitted.score(queries)
        last = scores[:, ~split.warm].max() <= scores[:, split.warm].min()
        assert last != self.knows_cold_items


class TestPopularity(BaselineConformance):
    def model(self) -> Baseline:
        return Popularity()

    def test_scores_are_training_counts(self, fitted: Baseline, queries: Queries) -> None:
        assert fitted.score(queries)[0].sum() == N_USERS * 4


class TestItemKNN(BaselineConformance):
    def model(self) -> Baseline:
        return ItemKNN(shrink=1.0, topk=4)


class TestItemKNNRecency(BaselineConformance):
    def model(self) -> Baseline:
        return ItemKNN(shrink=0.0, topk=None, decay=0.6)

    def test_its_name_says_so(self) -> None:
        assert self.model().name == "itemknn_recency"


class TestEase(BaselineConformance):
    def model(self) -> Baseline:
        return Ease(lam=5.0)


class TestEaseRecency(BaselineConformance):
    def model(self) -> Baseline:
        return Ease(lam=5.0, decay=0.6)


class TestFrozenText(BaselineConformance):
    knows_cold_items = True

    def model(self) -> Baseline:
        return FrozenText(decay=0.8)

    def test_it_needs_text_vectors(self, split: Split) -> None:
        with pytest.raises(ConfigError, match="got no text_vectors"):
            self.model().fit(split)

    def test_it_needs_one_vector_an_item(self, split: Split) -> None:
        with pytest.raises(DataError, match="got 3 text vectors for 24 items"):
            self.model().fit(split, np.ones((3, 8), np.float32))

    def test_the_other_half_of_the_catalogue_scores_lower(
        self, fitted: Baseline, queries: Queries
    ) -> None:
        scores = fitted.score(queries)[0]  # the first user walks through the first half
        assert scores[:12].min() > scores[12:].max()

    def test_a_request_alone_finds_the_nearest_texts(
        self, fitted: Baseline, queries: Queries, text_vectors: NDArray[np.float32]
    ) -> None:
        request = np.repeat(text_vectors[20][None], 1, axis=0)
        asked = replace(
            queries.take(np.array([0])), items=np.array([[-1]], np.int32), request=request
        )
        assert fitted.score(asked)[0].argmax() == 20


def _x(rows: list[list[int]]) -> sparse.csr_matrix:
    return sparse.csr_matrix(np.array(rows, np.float32))


def test_history_weights_fall_with_age() -> None:
    got = history_matrix(np.array([[-1, 2, 0], [-1, -1, 1]], np.int32), 3, 0.5).toarray()
    assert got.tolist() == [[1.0, 0.0, 0.5], [0.0, 1.0, 0.0]]


def test_cosine_with_shrinkage_by_hand() -> None:
    # Item 0 has users 0, 1, 2; item 1 has 0, 1; item 2 has 2: overlaps 2, 1 and 0.
    got = knn_weights(_x([[1, 1, 0], [1, 1, 0], [1, 0, 1]]), shrink=2, topk=None).toarray()
    first, second = 2 / (6**0.5 + 2), 1 / (3**0.5 + 2)
    expected = [[0, first, second], [first, 0, 0], [second, 0, 0]]
    np.testing.assert_allclose(got, expected, rtol=1e-6)


def test_each_item_keeps_its_nearest_neighbours() -> None:
    rng = np.random.default_rng(4)
    matrix = sparse.csr_matrix((rng.random((50, 12)) < 0.4).astype(np.float32))
    every = knn_weights(matrix, 5, None).toarray()
    kept = knn_weights(matrix, 5, 3).toarray()
    assert ((kept > 0).sum(axis=0) <= 3).all()
    for item in range(12):
        best = np.sort(every[:, item])[-3:]
        np.testing.assert_allclose(np.sort(kept[:, item])[-3:], best)


def _ease_by_definition(matrix: NDArray[np.float32], lam: float) -> NDArray[np.float64]:
    """Column by column ridge regression on all other items, which is what EASE minimises."""
    n = matrix.shape[1]
    weights = np.zeros((n, n))
    for item in range(n):
        others = np.delete(np.arange(n), item)
        a = matrix[:, others].astype(np.float64)
        solution = np.linalg.solve(a.T @ a + lam * np.eye(n - 1), a.T @ matrix[:, item])
        weights[others, item] = solution
    return weights


@pytest.mark.parametrize("n_users", [60, 9], ids=["primal", "dual"])
def test_ease_is_ridge_regression_on_the_other_items(n_users: int) -> None:
    rng = np.random.default_rng(5)
    dense = (rng.random((n_users, 15)) < 0.3).astype(np.float32)
    dense[:, 4] = 0  # an item nobody has
    got = ease_weights(sparse.csr_matrix(dense), 3.0)
    assert got.dtype == np.float32
    assert (np.diag(got) == 0).all()
    np.testing.assert_allclose(got, _ease_by_definition(dense, 3.0), atol=2e-5)


def test_primal_and_dual_forms_agree() -> None:
    rng = np.random.default_rng(6)
    few = (rng.random((20, 25)) < 0.3).astype(np.float32)
    # Rows of zeros make users more than items without changing the problem's solution.
    many = np.vstack([few, few[:1] * 0, np.tile(few[1:2] * 0, (20, 1))])
    np.testing.assert_allclose(
        ease_weights(sparse.csr_matrix(few), 2.0),
        _ease_by_definition(many, 2.0),
        atol=2e-5,
    )


def test_the_training_matrix_holds_training_rows_only(split: Split) -> None:
    matrix = training_matrix(split)
    assert matrix.shape == (N_USERS, N_ITEMS)
    assert matrix.sum() == split.train.sum()
    assert set(matrix.data) == {1.0}


def test_tuning_takes_the_best_on_validation(split: Split) -> None:
    best = tune("itemknn", split)
    value = judge(best.score, split, "validation").mean("ndcg@10")
    for shrink in (0.0, 10.0, 50.0):
        other = ItemKNN(shrink=shrink, topk=None).fit(split)
        assert judge(other.score, split, "validation").mean("ndcg@10") <= value


def test_all_baselines_are_tuned_in_the_order_asked(
    split: Split, text_vectors: NDArray[np.float32]
) -> None:
    seen: list[str] = []
    models = tune_all(split, text_vectors, on_fitted=seen.append)
    assert list(models) == seen == list(NAMES)
    assert all(model.name == name for name, model in models.items())
    assert models["ease_recency"].params["lam"] == models["ease"].params["lam"]


def test_an_unknown_baseline_names_the_near_one(split: Split) -> None:
    with pytest.raises(ConfigError, match="did you mean 'itemknn'"):
        tune("itemkn", split)


@pytest.mark.mirror
@pytest.mark.parametrize("protocol", ["leave_one_out", "temporal"])
@pytest.mark.parametrize("domain", ["movies", "travel"])
def test_figures_are_the_published_ones(
    domain: str, protocol: str, data_mirror: Path, peers_folder: Path
) -> None:
    split = split_sequences(
        sequences_from(
            pl.read_parquet(data_mirror / domain / "items.parquet", columns=["item_id"]),
            pl.scan_parquet(data_mirror / domain / "interactions.parquet"),
            Domain(name=domain, title=domain),
        ),
        protocol,
    )
    rows = json.loads((peers_folder / "baselines.json").read_text())
    expected = {r["model"]: r for r in rows if (r["domain"], r["split"]) == (domain, protocol)}
    families: dict[str, type[Baseline]] = {"itemknn": ItemKNN, "ease": Ease}
    for name in ("popularity", "itemknn", "itemknn_recency", "ease", "ease_recency"):
        family = families.get(name.removesuffix("_recency"), Popularity)
        model = family(**expected[name]["params"]).fit(split)
        got = judge(model.score, split)
        assert got.fingerprint == expected[name]["targets_sha256"]
        for metric in ("ndcg@10", "recall@10", "mrr@10"):
            assert got.mean(metric) == pytest.approx(expected[name][metric], abs=2e-4), name
        error = got.to_dict()["standard_error"]["ndcg@10"]
        assert error == pytest.approx(expected[name]["ndcg@10_se"], abs=1e-4)


def test_cases_of_one_user_can_be_scored(split: Split) -> None:
    one = queries_for(split.sequences, Cases(np.array([3]), np.array([1])), 0)
    assert Popularity().fit(split).score(one).shape == (1, N_ITEMS)


def test_what_follows_what_is_weighted_by_distance_and_counts() -> None:
    rows = {  # (user, item, time): a then b then c; a then c
        "user_id": ["u"] * 4 + ["v"] * 4,
        "item_id": ["a", "b", "x", "y", "a", "c", "x", "y"],
        "timestamp": [1, 2, 3, 4] * 2,
    }
    items = pl.DataFrame({"item_id": ["a", "b", "c", "x", "y"]})
    interactions = pl.LazyFrame(rows)
    sequences = sequences_from(items, interactions, Domain(name="d", title="D"))
    split = split_sequences(sequences, "leave_one_out")  # the last two rows of a user are held out
    weights = following_weights(split, shrink=1.0).toarray()
    a, b, c = 0, 1, 2
    assert weights[a, b] == pytest.approx(1 / (2**0.5 * 1**0.2 + 1))  # twice a, once b
    assert weights[b, a] == pytest.approx(0.5 / (1**0.5 * 2**0.2 + 1))
    assert weights[a, c] == pytest.approx(1 / (2**0.5 + 1))
    assert not weights[b, c]
    assert not weights[3].any()  # x and y are held out
    assert not weights.diagonal().any()
