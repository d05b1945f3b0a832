"""Item-item weights for serving: pruned to sparse rows, and lent to items without interactions.

Leaves to others: the weights themselves (baselines.py), scoring with them (neighbour_signals.py).
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

Floats = NDArray[np.float32]

KEPT_PER_ROW = 128
"""Largest weights kept a row: with twice as many validation moves by less than its noise."""
LENDERS = 10
LENDER_CHUNK = 2048


def text_lenders(
    text: Floats,
    warm: NDArray[np.bool_],
    n_lenders: int = LENDERS,
    takers: NDArray[np.int64] | None = None,
) -> sparse.csr_array:
    """For each cold item its nearest warm items in text: (N, N), rows of cold items sum to 1.

    Args:
        text: (N, E) centred unit vectors.
        warm: (N,) has interactions.
        takers: only these of the cold items; None: all.
    """
    cold, lenders = np.flatnonzero(~warm) if takers is None else takers, np.flatnonzero(warm)
    k = min(n_lenders, len(lenders))
    rows, columns, values = [], [], []
    for start in range(0, len(cold), LENDER_CHUNK):
        chunk = cold[start : start + LENDER_CHUNK]
        similar = text[chunk] @ text[lenders].T
        nearest = np.argpartition(-similar, k - 1, axis=1)[:, :k]
        near = np.maximum(np.take_along_axis(similar, nearest, axis=1), 1e-6)
        rows.append(np.repeat(chunk, k))
        columns.append(lenders[nearest].ravel())
        values.append((near / near.sum(axis=1, keepdims=True)).ravel())
    n_items = len(text)
    if not len(cold):
        return sparse.csr_array((n_items, n_items), dtype=np.float32)
    entries = (np.concatenate(values), (np.concatenate(rows), np.concatenate(columns)))
    return sparse.csr_array(entries, shape=(n_items, n_items), dtype=np.float32)


def prune(weights: Floats | sparse.csr_array, kept: int = KEPT_PER_ROW) -> sparse.csr_array:
    """The `kept` weights of largest size in each row."""
    if sparse.issparse(weights):
        return _prune_sparse(sparse.csr_array(weights), kept)
    n_rows, n_columns = weights.shape
    if n_columns <= kept:
        return sparse.csr_array(weights)
    columns = np.empty((n_rows, kept), np.int64)
    for row, values in enumerate(weights):  # by row: a whole matrix of |W| would double memory
        columns[row] = np.argpartition(np.abs(values), n_columns - kept)[-kept:]
    values = np.take_along_axis(weights, columns, axis=1)
    starts = np.arange(n_rows + 1) * kept
    return sparse.csr_array((values.ravel(), columns.ravel(), starts), shape=weights.shape)


def _prune_sparse(weights: sparse.csr_array, kept: int) -> sparse.csr_array:
    keep = np.ones(weights.nnz, bool)
    for row in np.flatnonzero(np.diff(weights.indptr) > kept):
        entries = slice(weights.indptr[row], weights.indptr[row + 1])
        size = np.abs(weights.data[entries])
        keep[entries] = size >= np.partition(size, len(size) - kept)[len(size) - kept]
    weights = weights.copy()
    weights.data = np.where(keep, weights.data, 0)
    weights.eliminate_zeros()
    return weights


def lend(weights: sparse.csr_array, lenders: sparse.csr_array) -> sparse.csr_array:
    """W + L W + W L' + L W L': cold rows and columns become means of their lenders' own.

    An item without interactions is then recommended like, and leads on like, its nearest items
    in text; how much to trust that is the fusion's business.
    """
    both = weights + lenders @ weights
    return sparse.csr_array(both + both @ lenders.T)
