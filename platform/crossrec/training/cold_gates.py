"""How far the gates of modalities open for items without interactions: validation chooses.

Leaves to others: training the gates for all other items (loop.py), the gates (models/towers.py).
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from crossrec.data.batches import queries_for
from crossrec.data.split import Cases, Split
from crossrec.evaluation.metrics import ndcg, ranks
from crossrec.evaluation.protocols import candidates_only
from crossrec.training.network import Network

SHARES = (0.0, 0.5, 1.0)
SURE = 2.0
MAX_CASES = 1000
BATCH = 128


def open_cold_gates(network: Network) -> None:
    """Set the share in which modalities count for cold items, of all modalities alike.

    The one with the best NDCG@10 of cold targets that are neither training nor test; it stays 0,
    where such an item is what its text says, unless another is better by SURE standard errors.
    """
    prepared = network.prepared
    if not prepared.modalities or prepared.task == "rate":
        return
    cases = cold_cases(prepared.split, prepared.config.training.seed)
    if not len(cases):
        return
    values = {share: _values(network, share, cases) for share in SHARES}
    best = max(SHARES, key=lambda share: float(values[share].mean()))
    gain = values[best] - values[0.0]
    error = _standard_error(gain, prepared.split.targets(cases))
    network.items.open_to_cold(best if gain.mean() > SURE * error else 0.0)


def _standard_error(gain: NDArray[np.float64], items: NDArray[np.int32]) -> float:
    """Of the mean gain (n,), when new items are drawn and each brings all its cases (n,)."""
    _, item = np.unique(items, return_inverse=True)
    sums = np.bincount(item, gain - gain.mean())
    return float(np.sqrt((sums**2).sum()) / len(gain))


def cold_cases(split: Split, seed: int) -> Cases:
    """Rows with a cold item before a user's test target, at most MAX_CASES of them.

    Items that are withheld until the test (`late`) are none of them.
    """
    sequences = split.sequences
    cold = ~split.warm if split.late is None else ~split.warm & ~split.late
    ends = np.zeros(sequences.n_users, np.int64)
    ends[split.validation.users] = split.validation.cuts + 1
    ends[split.test.users] = split.test.cuts
    rows = np.flatnonzero(cold[sequences.items] & ~split.train)
    users = np.searchsorted(sequences.offsets, rows, side="right") - 1
    cuts = rows - sequences.offsets[users]
    fit = np.flatnonzero((cuts > 0) & (cuts < ends[users]))
    drawn = np.sort(np.random.default_rng(seed).permutation(fit)[:MAX_CASES])
    return Cases(users[drawn], cuts[drawn])


def _values(network: Network, share: float, cases: Cases) -> NDArray[np.float64]:
    """NDCG@10 of each case by the towers alone."""
    network.items.open_to_cold(share)
    signal, split = network.export(), network.prepared.split
    width, requests = network.prepared.text.shape[1], network.texts.requests()
    parts = []
    for start in range(0, len(cases), BATCH):
        rows = slice(start, start + BATCH)
        some = Cases(cases.users[rows], cases.cuts[rows])
        queries = queries_for(split.sequences, some, width, requests=requests)
        targets = split.targets(some)
        scores = candidates_only(signal.score(queries), split, targets, "validation")
        parts.append(ndcg(ranks(scores, targets, queries.items), 10))
    return np.concatenate(parts)
