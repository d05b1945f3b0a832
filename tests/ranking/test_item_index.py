from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from crossrec.errors import ReleaseError
from crossrec.models.text_signals import unit
from crossrec.ranking.item_index import ItemIndex

N, WIDTH = 5000, 16
RNG = np.random.default_rng(0)
KINDS = unit(RNG.normal(size=(50, WIDTH)).astype(np.float32))
VECTORS = unit(KINDS[np.arange(N) % 50] + 0.2 * RNG.normal(size=(N, WIDTH)).astype(np.float32))
QUERIES = unit(KINDS + 0.2 * RNG.normal(size=KINDS.shape).astype(np.float32))


@pytest.fixture(scope="module")
def index(tmp_path_factory: pytest.TempPathFactory) -> ItemIndex:
    """Written and mapped again, as a release has it."""
    path = tmp_path_factory.mktemp("index") / "index.faiss"
    ItemIndex.build(lambda rows: VECTORS[rows], N).save(path)
    return ItemIndex.load(path)


def _recall(index: ItemIndex, share: float, allowed: np.ndarray | None = None) -> float:
    found = []
    for query in QUERIES:
        products = VECTORS @ query if allowed is None else np.where(allowed, VECTORS @ query, -9)
        best = np.argsort(-products)[:10]
        found.append(np.isin(best, index.largest(query, 100, share, allowed)).mean())
    return float(np.mean(found))


def test_it_has_as_many_lists_as_the_root_of_its_vectors(index: ItemIndex):
    assert index.n_lists == 70


def test_nearly_all_of_the_largest_are_found_in_a_quarter_of_the_lists(index: ItemIndex):
    assert _recall(index, 0.25) >= 0.97
    assert _recall(index, 1.0) >= 0.999
    assert _recall(index, 0.01) < 0.9  # a single list


def test_only_what_is_allowed_is_found_and_more_lists_are_read_for_it(index: ItemIndex):
    allowed = np.arange(N) % 10 == 3
    for query in QUERIES[:5]:
        assert allowed[index.largest(query, 100, 0.1, allowed)].all()
    assert _recall(index, 0.1, allowed) >= 0.97


def test_rows_come_in_the_order_of_their_products_within_rounding(index: ItemIndex):
    found = index.largest(QUERIES[0], 20, 1.0)
    products = VECTORS[found] @ QUERIES[0]
    assert (np.diff(products) < 0.02).all()


def test_equal_seeds_make_equal_indexes(tmp_path: Path):
    files = [tmp_path / "a", tmp_path / "b"]
    for file in files:
        ItemIndex.build(lambda rows: VECTORS[rows], N, seed=3).save(file)
    assert files[0].read_bytes() == files[1].read_bytes()


def test_what_is_no_index_is_said(tmp_path: Path):
    (tmp_path / "index.faiss").write_text("nothing")
    with pytest.raises(ReleaseError, match="cannot be read; publish the release again"):
        ItemIndex.load(tmp_path / "index.faiss")
