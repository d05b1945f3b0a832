"""What a source records as shown and not taken: impressions without a click, items turned down.

Leaves to others: what counts as an interaction (sequences.py, requests.py), what is learned from
it (training/passed_over.py).
Sizes: R rows, N items, M exposures.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

import numpy as np
import polars as pl
from numpy.typing import NDArray
from scipy import sparse

from crossrec.data.dataset import Dataset
from crossrec.data.split import Sequences, Split
from crossrec.schema import EVENT, ITEM_ID, REQUEST_ID, TIMESTAMP, USER_ID

LIKED = "liked"
"""Column of `requests`: false where the item was offered and turned down."""


def with_passed_over(dataset: Dataset, split: Split) -> Split:
    """The split with `passed_over`, where the source records such items at all."""
    found: sparse.csr_array | None = None
    if split.sequences.requests is not None:
        if dataset.has("requests"):
            found = turned_down(dataset.scan("requests"), split)
    elif dataset.domain.dropped_events and dataset.has("interactions"):
        found = shown_before(
            dataset.scan("interactions"), dataset.domain.dropped_events, split.sequences
        )
    return split if found is None or not found.nnz else replace(split, passed_over=found)


def shown_before(
    interactions: pl.LazyFrame, dropped_events: Iterable[str], sequences: Sequences
) -> sparse.csr_array:
    """(R, N) how often each item was shown for each choice, and not chosen.

    An item shown to a user belongs to the choice that came of it: to the user's last row of the
    same time, else to the first row after it. What was shown after the last choice belongs to
    none. An item that the user had by then is no candidate, so it is left out; one that is chosen
    later stays, for nobody knew that yet, and leaving it out would tell the target.

    Args:
        interactions: `user_id`, `item_id`, `timestamp`, perhaps `event`.
        dropped_events: those that mean shown and not taken.
        sequences: what the users chose; others who were shown something are not looked at.
    """
    shape = (len(sequences.items), sequences.n_items)
    if EVENT not in interactions.collect_schema().names():
        return sparse.csr_array(shape, dtype=np.float32)
    table = (
        interactions.filter(pl.col(EVENT).is_in(list(dropped_events)))
        .select(
            _number(USER_ID, sequences.user_ids), _number(ITEM_ID, sequences.item_ids), TIMESTAMP
        )
        .drop_nulls()
        .sort(USER_ID, maintain_order=True)
        .collect()
    )
    users, items, times = (table[name].to_numpy().astype(np.int64) for name in table.columns)
    rows = _rows_of_choices(sequences, users, times)
    counts = (rows < sequences.offsets[users + 1]) & ~_had(sequences, users, items, rows)
    ones = np.ones(int(counts.sum()), np.float32)
    found = sparse.csr_array((ones, (rows[counts], items[counts])), shape=shape)
    found.sum_duplicates()
    return found


def _number(column: str, known: list[str]) -> pl.Expr:
    return pl.col(column).cast(pl.Enum(known), strict=False).to_physical()


def _rows_of_choices(
    sequences: Sequences, users: NDArray[np.int64], times: NDArray[np.int64]
) -> NDArray[np.int64]:
    """(M,) the row each exposure belongs to; the end of the user's rows where it has none."""
    rows = np.empty(len(users), np.int64)
    order = np.argsort(users, kind="stable")
    someone, starts = np.unique(users[order], return_index=True)
    # of no users split makes one empty part, of which zip then takes none
    for user, mine in zip(someone, np.split(order, starts[1:]), strict=False):
        own = sequences.times[sequences.rows(int(user))]
        after = np.searchsorted(own, times[mine], side="right")
        same = (after > 0) & (own[np.maximum(after - 1, 0)] == times[mine])
        rows[mine] = sequences.offsets[user] + after - same
    return rows


def _had(
    sequences: Sequences,
    users: NDArray[np.int64],
    items: NDArray[np.int64],
    rows: NDArray[np.int64],
) -> NDArray[np.bool_]:
    """(M,) whether the user's rows up to that one hold the item."""
    n_users, n_items = sequences.n_users, sequences.n_items
    owners = np.repeat(np.arange(n_users), np.diff(sequences.offsets))
    first = sparse.csr_matrix(  # each user has an item once: number of its row, counted from 1
        (np.arange(1, len(owners) + 1), (owners, sequences.items)), shape=(n_users, n_items)
    )
    if not len(users):  # scipy 1.17 gives back another matrix for no index
        return np.zeros(0, np.bool_)
    row = np.asarray(first[users, items]).ravel()
    return (row > 0) & (row - 1 <= rows)


def turned_down(requests: pl.LazyFrame, split: Split) -> sparse.csr_array | None:
    """(R, N) items offered in answer to each request and turned down; None: none is noted.

    Args:
        requests: `request_id`, `item_id`, perhaps `liked`.
        split: of requests; its users are named after them (`data/requests.py`).
    """
    if LIKED not in requests.collect_schema().names():
        return None
    sequences = split.sequences
    numbers = {item_id: number for number, item_id in enumerate(sequences.item_ids)}
    refused: dict[str, list[int]] = {}
    rows = requests.filter(~pl.col(LIKED)).select(REQUEST_ID, ITEM_ID).collect()
    for request, item in rows.iter_rows():
        refused.setdefault(request, []).append(numbers[item])
    owners = np.repeat(np.arange(sequences.n_users), np.diff(sequences.offsets))
    of_rows = [refused.get(sequences.user_ids[u].rpartition("#")[0], []) for u in owners]
    ends = np.cumsum([0, *(len(items) for items in of_rows)])
    columns = np.array([item for items in of_rows for item in items], np.int64)
    shape = (len(of_rows), sequences.n_items)
    found = sparse.csr_array((np.ones(len(columns), np.float32), columns, ends), shape=shape)
    found.sum_duplicates()
    return found
