"""Pruning and lending of item-item weights."""

from __future__ import annotations

import numpy as np
from scipy import sparse

from crossrec.models.collaborative import lend, prune, text_lenders


def test_the_largest_weights_of_each_row_stay_whatever_their_sign() -> None:
    weights = np.array([[0, -5, 1, 2], [4, 0, 3, -1]], np.float32)
    expected = [[0, -5, 0, 2], [4, 0, 3, 0]]
    assert prune(weights, 2).toarray().tolist() == expected
    assert prune(sparse.csr_array(weights), 2).toarray().tolist() == expected


def test_a_small_catalogue_loses_nothing() -> None:
    weights = np.array([[0, 1], [2, 0]], np.float32)
    assert prune(weights, 8).toarray().tolist() == weights.tolist()


def test_lenders_of_a_cold_item_are_its_nearest_warm_texts() -> None:
    text = np.array([[1, 0], [0, 1], [0.6, 0.8], [1, 0]], np.float32)
    lenders = text_lenders(text, np.array([True, True, False, False]), n_lenders=1).toarray()
    assert lenders[2].tolist() == [0, 1, 0, 0]
    assert lenders[3].tolist() == [1, 0, 0, 0]
    assert not lenders[:2].any()


def test_a_cold_item_is_led_to_and_leads_on_like_its_lenders() -> None:
    weights = sparse.csr_array(np.array([[0, 4, 0], [2, 0, 0], [0, 0, 0]], np.float32))
    lenders = sparse.csr_array(np.array([[0, 0, 0], [0, 0, 0], [0.5, 0.5, 0]], np.float32))
    lent = lend(weights, lenders).toarray()
    assert lent[0, 2] == 0.5 * 4  # through item 1
    assert lent[1, 2] == 0.5 * 2
    assert lent[2].tolist() == [1, 2, 1.5]  # half of both rows, and back to itself
    assert lent[:2, :2].tolist() == [[0, 4], [2, 0]]


def test_without_cold_items_nothing_changes() -> None:
    text = np.eye(2, dtype=np.float32)
    lenders = text_lenders(text, np.array([True, True]))
    assert lenders.nnz == 0
    weights = sparse.csr_array(np.array([[0, 1], [2, 0]], np.float32))
    assert lend(weights, lenders).toarray().tolist() == [[0, 1], [2, 0]]
