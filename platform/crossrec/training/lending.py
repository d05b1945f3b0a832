"""In what cold items resemble the warm items that lend them their weights: text, and modalities
as far as validation says so.

Leaves to others: lending itself (models/collaborative.py), the weights (closed_form.py).
Sizes: N items, E text width, K width of a modality.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from crossrec.evaluation.metrics import ndcg, ranks
from crossrec.models.collaborative import KEPT_PER_ROW, text_lenders
from crossrec.models.linear_weights import history_matrix, knn_weights
from crossrec.models.text_signals import unit
from crossrec.training.prepare import Prepared

if TYPE_CHECKING:
    from crossrec.training.closed_form import Tuning

Floats = NDArray[np.float32]

WEIGHTS = (0.0, 0.2, 0.4)
"""Of a modality beside text. Cosines add up: w² of the modality's to 1 of the text's."""
PARTS = 5
"""The targets of validation are hidden a fifth at a time."""
DECAY = 0.9
"""Of the history that finds them; it hardly changes which weight is best."""


def lending_vectors(
    prepared: Prepared, text: Floats, matrix: sparse.csr_matrix, tuning: Tuning
) -> Floats:
    """(N, E + K) vectors whose cosine finds the lenders; `text` itself without modalities.

    Each weight is tried where the answer is known: warm targets of validation are taken for cold,
    a part at a time, and ranked among each other by what their lenders lend them (cosine
    neighbours). An item that lacks a modality is compared by text alone.

    Args:
        text: (N, E) centred unit vectors.
        matrix: (users, N) of the training part.
    """
    parts = [unit(values) for values in prepared.modalities.values()]
    if not parts or prepared.split.warm.all():
        return text
    options = [np.concatenate([text, *(w * part for part in parts)], axis=1) for w in WEIGHTS]
    weights = sparse.csr_array(knn_weights(matrix, 0.0, KEPT_PER_ROW))
    found = [_as_if_cold(prepared, option, weights, tuning) for option in options]
    return options[int(np.argmax(found))]


def _as_if_cold(
    prepared: Prepared, vectors: Floats, weights: sparse.csr_array, tuning: Tuning
) -> float:
    """Mean NDCG@10 of warm validation targets among those that are hidden with them."""
    warm, targets = prepared.split.warm, tuning.targets
    history = history_matrix(tuning.queries.items, len(warm), DECAY) @ weights
    known = np.flatnonzero(warm[targets])
    items = np.unique(targets[known]).astype(np.int64)
    part = np.random.default_rng(0).permutation(len(items)) % PARTS
    values = [np.zeros(0)]
    for number in range(min(PARTS, len(items))):
        hidden = items[part == number]
        cases = known[np.isin(targets[known], hidden)]
        left = warm.copy()
        left[hidden] = False
        lenders = text_lenders(vectors, left, takers=hidden)[hidden]
        scores = (history[cases] @ lenders.T).toarray().astype(np.float32)
        place = np.searchsorted(hidden, targets[cases])
        nothing = np.full((len(cases), 1), -1, np.int32)
        values.append(ndcg(ranks(scores, place, nothing), 10))
    found = np.concatenate(values)
    return float(found.mean()) if len(found) else 0.0
