"""Item-item weights in closed form (cosine neighbours, what follows what, EASE) and the matrices
they work on.

Leaves to others: the models made of them (baselines.py, collaborative.py). Needs scipy.
Sizes: U users, N items, B queries, T steps of history.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy import linalg, sparse

from crossrec.data.split import Split

Floats = NDArray[np.float32]

FOLLOWING_STEPS = 10
BACKWARDS = 0.5
"""What a pair in the other order counts: tastes have no direction, habits have."""
FROM_POWER, TO_POWER = 0.5, 0.2
"""Of the counts of the two items, by which their weight is divided: cosine has 0.5 and 0.5, which
hides popular items where the next step is wanted. Values: best on validation of travel and
industrial among (.5, .5), (.5, .2), (.5, 0), (0, .3), (0, 0)."""


def training_matrix(split: Split) -> sparse.csr_matrix:
    """1 where the user has the item in the training part: (U, N) float32."""
    sequences = split.sequences
    users = np.repeat(np.arange(sequences.n_users), np.diff(sequences.offsets))[split.train]
    items = sequences.items[split.train]
    ones = np.ones(len(items), np.float32)
    return sparse.csr_matrix((ones, (users, items)), (sequences.n_users, sequences.n_items))


def history_matrix(items: NDArray[np.int32], n_items: int, decay: float) -> sparse.csr_matrix:
    """decay^age for each item of the history, age 0 for the newest step: (B, N) float32.

    Args:
        items: (B, T) item_idx, newest last, -1 where there is none.
        n_items: N.
        decay: in (0, 1]; 1 makes all steps equal.
    """
    rows, steps = np.nonzero(items >= 0)
    age = items.shape[1] - 1 - steps
    weights = np.power(decay, age, dtype=np.float64).astype(np.float32)
    return sparse.csr_matrix((weights, (rows, items[rows, steps])), (len(items), n_items))


def knn_weights(matrix: sparse.csr_matrix, shrink: float, topk: int | None) -> sparse.csr_matrix:
    """Cosine of items with shrinkage: |U_i ∩ U_j| / (sqrt(|U_i| |U_j|) + shrink), (N, N).

    The diagonal is 0. With `topk` each item j (a column) keeps its k nearest neighbours.

    Args:
        matrix: (U, N) of zeros and ones.
        shrink: lowers similarities that rest on few users.
        topk: neighbours kept; None: all.

    >>> x = sparse.csr_matrix(np.array([[1, 1], [1, 0]], np.float32))
    >>> float(knn_weights(x, shrink=0, topk=None)[0, 1]) == float(np.float32(1 / 2**0.5))
    True
    """
    common = (matrix.T @ matrix).tocsr()
    norms = np.sqrt(common.diagonal())
    rows = np.repeat(np.arange(common.shape[0]), np.diff(common.indptr))
    common.data /= norms[rows] * norms[common.indices] + np.float32(shrink)
    common.data[rows == common.indices] = 0
    common.eliminate_zeros()
    # Similarity is symmetric: the k best of each row are the k best of each column, transposed.
    return common if topk is None else _largest_per_row(common, topk).T.tocsr()


def following_weights(split: Split, shrink: float) -> sparse.csr_matrix:
    """What is had soon after what: sum of 1 / d over pairs of one user that lie d <= 10 steps
    apart, over (n_i^0.5 n_j^0.2 + shrink), (N, N) float32; backwards pairs count half.

    Source: sequential rules of Ludewig & Jannach 2018, "Evaluation of session-based
    recommendation algorithms", sec. 3.1, there one way only and over n_i alone.

    Args:
        split: its training rows.
        shrink: lowers weights that rest on rare items.
    """
    sequences = split.sequences
    users = np.repeat(np.arange(sequences.n_users), np.diff(sequences.offsets))[split.train]
    items = sequences.items[split.train]
    n_items = sequences.n_items
    pairs = sparse.csr_matrix((n_items, n_items), dtype=np.float32)
    for distance in range(1, FOLLOWING_STEPS + 1):
        near = users[:-distance] == users[distance:]
        first, second = items[:-distance][near], items[distance:][near]
        weights = np.full(len(first), 1 / distance, np.float32)
        pairs += sparse.csr_matrix((weights, (first, second)), (n_items, n_items))
    pairs = sparse.csr_matrix(pairs + BACKWARDS * pairs.T)
    pairs.setdiag(0)
    pairs.eliminate_zeros()
    counts = np.bincount(items, minlength=n_items).astype(np.float32)
    rows = np.repeat(np.arange(n_items), np.diff(pairs.indptr))
    expected = counts[rows] ** FROM_POWER * counts[pairs.indices] ** TO_POWER
    pairs.data /= expected + np.float32(shrink)
    return pairs


def _largest_per_row(matrix: sparse.csr_matrix, k: int) -> sparse.csr_matrix:
    keep = np.ones(matrix.nnz, np.bool_)
    for start, end in zip(matrix.indptr[:-1], matrix.indptr[1:], strict=True):
        if end - start > k:
            keep[start:end] = False
            keep[start + np.argpartition(-matrix.data[start:end], k - 1)[:k]] = True
    kept = matrix.copy()
    kept.data[~keep] = 0
    kept.eliminate_zeros()
    return kept


def ease_weights(matrix: sparse.csr_matrix, lam: float) -> Floats:
    """EASE: the item-item weights of ridge regression with a zero diagonal, (N, N) float32.

    P = (XᵀX + λI)⁻¹, B_ij = -P_ij / P_jj, B_jj = 0. Where users are fewer than items, P comes
    from the smaller (U, U) system: P = (I - Xᵀ(XXᵀ + λI)⁻¹X) / λ. Items without interactions
    get rows and columns of 0 and are left out of both. Takes 4 N² bytes twice.

    Source: Steck 2019, "Embarrassingly Shallow Autoencoders for Sparse Data", eq. 8.

    Args:
        matrix: (U, N).
        lam: λ > 0.
    """
    known = np.flatnonzero(np.diff(matrix.tocsc().indptr))
    x = matrix[:, known].astype(np.float32)
    x = x[np.diff(x.indptr) > 0]
    inverse = _inverse_dual(x, lam) if x.shape[0] < x.shape[1] else _inverse_primal(x, lam)
    inverse /= -inverse.diagonal()[None, :]
    np.fill_diagonal(inverse, 0)
    if len(known) == matrix.shape[1]:
        return inverse
    weights = np.zeros((matrix.shape[1],) * 2, np.float32)
    weights[np.ix_(known, known)] = inverse
    return weights


def _inverse_primal(x: sparse.csr_matrix, lam: float) -> Floats:
    gram = (x.T @ x).toarray()
    gram[np.diag_indices_from(gram)] += np.float32(lam)
    return _inverse_positive(gram)


def _inverse_dual(x: sparse.csr_matrix, lam: float) -> Floats:
    gram = (x @ x.T).toarray()
    gram[np.diag_indices_from(gram)] += np.float32(lam)
    inner = x.T @ _inverse_positive(gram)  # (N, U)
    inverse = -np.asarray((x.T @ inner.T).T, np.float32)  # (N, N)
    inverse[np.diag_indices_from(inverse)] += 1
    return np.asarray(inverse / np.float32(lam), np.float32)


def _inverse_positive(matrix: Floats) -> Floats:
    """Inverse of a symmetric positive definite matrix, in its own memory (LAPACK potri)."""
    factor, info = linalg.lapack.spotrf(matrix.T, lower=1, overwrite_a=1, clean=0)
    inverse, failed = linalg.lapack.spotri(factor, lower=1, overwrite_c=1)
    assert info == failed == 0, "lambda > 0 makes the matrix positive definite"
    # potri fills the lower triangle only; block by block keeps the copy small.
    for start in range(0, len(inverse), 1024):
        block = slice(start, start + 1024)
        square = inverse[block, block]
        inverse[block, block] = np.tril(square) + np.tril(square, -1).T
        inverse[block, start + 1024 :] = inverse[start + 1024 :, block].T
    return np.asarray(inverse, np.float32)
