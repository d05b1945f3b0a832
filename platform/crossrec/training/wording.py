"""Fits the signal of alike wording: cosines of item texts as bags of words and pairs of words.

Leaves to others: scoring (models/neighbour_signals.py), whether it is heard (assemble.py).
Sizes: N items, V words and pairs.
"""

from __future__ import annotations

from itertools import pairwise

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from crossrec.models.collaborative import prune
from crossrec.models.lexical import words_of
from crossrec.training.lexicon import count_words, idf, make_lexicon

Floats = NDArray[np.float32]

KEPT_PER_ROW = 512
"""Largest cosines kept of an item. All of them say more still (music, NDCG@10 of what nobody
taught: .037, with 512 .035, with 128 .031), but grow with the square of the catalogue."""
FEWEST_ITEMS = 2
MOST_ITEMS = 0.1
"""Of the catalogue, that may have a word or pair: of what more have all have much, which costs
time and room. Catalogues below SMALL keep all words: a tenth of them is next to nothing."""
SMALL = 2_000
CHUNK = 512


def wording_weights(texts: list[str]) -> sparse.csr_array:
    """(N, N) cosines of texts, (1 + log count) idf of each word and pair, the diagonal 0.

    Source: Salton and Buckley 1988, "Term-weighting approaches in automatic text retrieval"
    (their l t c), over words and pairs of neighbouring words.
    """
    vectors = _vectors(texts)
    turned = sparse.csc_array(vectors.T)
    rows = []
    for start in range(0, vectors.shape[0], CHUNK):
        cosines = (vectors[start : start + CHUNK] @ turned).toarray()
        own = np.arange(len(cosines))
        cosines[own, start + own] = 0
        rows.append(prune(cosines, KEPT_PER_ROW))
    weights = sparse.csr_array(sparse.vstack(rows))
    weights.eliminate_zeros()
    weights.sort_indices()
    return weights


def _vectors(texts: list[str]) -> sparse.csr_array:
    """(N, V) unit vectors; of a text whose words nobody shares, zero."""
    words = [words_of(text) for text in texts]
    documents = [[*one, *(f"{a} {b}" for a, b in pairwise(one))] for one in words]
    counts = count_words(make_lexicon(documents, []), documents)
    n_items, n_with = len(texts), np.diff(sparse.csc_array(counts).indptr)
    most = n_items if n_items < SMALL else MOST_ITEMS * n_items
    kept = np.flatnonzero((n_with >= FEWEST_ITEMS) & (n_with <= most))
    weights = sparse.csr_array(counts[:, kept]).astype(np.float32)
    weights.data = 1 + np.log(weights.data)
    rare = idf(n_with[kept].astype(np.float64), n_items)
    weights = sparse.csr_array(weights @ sparse.diags_array(rare.astype(np.float32)))
    length = np.sqrt(weights.multiply(weights).sum(axis=1))
    return sparse.csr_array(
        sparse.diags_array(1 / np.maximum(length, 1e-9).astype(np.float32)) @ weights
    )
