"""Requests in words and labelled texts as sequences: each is a user without history whose one
row is the item (or the label) asked for, so that all tasks share one split, loop and judge.

Leaves to others: interactions (sequences.py), encoding the words (training/prepare.py).
"""

from __future__ import annotations

import hashlib

import numpy as np
import polars as pl
from numpy.typing import NDArray

from crossrec.data.dataset import Dataset
from crossrec.data.split import Cases, Sequences, Split, draw_users
from crossrec.errors import DataError
from crossrec.schema import EXAMPLE_ID, ITEM_ID, LABEL, REQUEST_ID, SPLIT, TEXT

PROTOCOL = "requests"
VALIDATION_SHARE = 0.1
"""Of the training part, where the source has no validation part of its own."""

_LIKED, _NAMES_ITEM, _TOPIC = "liked", "names_item", "topic"


def request_split(dataset: Dataset, *, seed: int = 0, max_users: int | None = None) -> Split:
    """Training, validation and test requests, as the source divides them.

    Requests for an item that the person then disliked are left out; so are test requests that
    name the item, for they test reading and not wishing. Without a validation part a tenth of
    training is taken, drawn by a hash of the text, so that equal texts stay together.

    Raises:
        DataError: there are neither requests nor examples, or no part called test.
    """
    rows = _examples(dataset) if dataset.has("examples") else _requests(dataset)
    catalogue = dataset.catalogue()
    item_ids = catalogue[ITEM_ID].to_list()
    sequences = Sequences(
        user_ids=rows["id"].to_list(),
        item_ids=item_ids,
        offsets=np.arange(len(rows) + 1),
        items=rows[ITEM_ID].cast(pl.Enum(item_ids)).to_physical().to_numpy().astype(np.int32),
        times=np.zeros(len(rows), np.int64),
        events=np.zeros(len(rows), np.int16),
        event_names=["request"],
        ratings=np.full(len(rows), np.nan, np.float32),
        requests=rows[TEXT].to_list(),
    )
    parts = dict(zip(sequences.user_ids, rows[SPLIT].to_list(), strict=True))
    if max_users is not None:
        sequences = draw_users(sequences, max_users, seed)
    part = np.array([parts[user] for user in sequences.user_ids])
    return _cut(dataset, sequences, part, _pools(dataset, catalogue))


def _requests(dataset: Dataset) -> pl.DataFrame:
    if not dataset.has("requests"):
        raise DataError(
            f"'{dataset.domain.name}' has neither requests nor examples; expected one of the two"
        )
    rows = dataset.scan("requests").collect()
    if _LIKED in rows.columns:
        rows = rows.filter(pl.col(_LIKED).fill_null(True))
    if _NAMES_ITEM in rows.columns:
        rows = rows.filter(~(pl.col(_NAMES_ITEM).fill_null(False) & (pl.col(SPLIT) == "test")))
    order = pl.int_range(pl.len()).over(REQUEST_ID)
    # A request that led to several items is one row for each.
    names = pl.format("{}#{}", pl.col(REQUEST_ID), order)
    return rows.with_columns(names.alias("id")).select("id", TEXT, ITEM_ID, SPLIT).sort("id")


def _examples(dataset: Dataset) -> pl.DataFrame:
    rows = dataset.scan("examples").collect()
    text = pl.col(TEXT)
    if _TOPIC in rows.columns:  # the label is about the topic: both are the input
        topic = pl.col(_TOPIC).fill_null("")
        text = pl.when(topic == "").then(text).otherwise(pl.format("{}: {}", topic, text))
    return rows.select(
        pl.col(EXAMPLE_ID).alias("id"), text.alias(TEXT), pl.col(LABEL).alias(ITEM_ID), SPLIT
    ).sort("id")


def _pools(dataset: Dataset, catalogue: pl.DataFrame) -> NDArray[np.int64] | None:
    column = dataset.domain.pool_column
    if column is None or column not in catalogue.columns:
        return None
    return catalogue[column].rank("dense").fill_null(0).to_numpy().astype(np.int64)


def _cut(
    dataset: Dataset, sequences: Sequences, part: NDArray[np.str_], pools: NDArray[np.int64] | None
) -> Split:
    test = part == "test"
    validation = np.isin(part, ("valid", "validation", "val"))
    if not validation.any():
        draws = np.array([_draw(text) for text in sequences.requests or []])
        validation = ~test & (draws < VALIDATION_SHARE)
    train = ~test & ~validation
    if not test.any() or not train.any():
        raise DataError(
            f"requests of '{dataset.domain.name}' have parts {sorted(set(part.tolist()))};"
            " expected 'train' and 'test' in the column split"
        )
    warm = np.zeros(sequences.n_items, np.bool_)
    warm[sequences.items[train]] = True
    return Split(PROTOCOL, sequences, train, _cases(validation), _cases(test), warm, pools)


def _cases(rows: NDArray[np.bool_]) -> Cases:
    users = np.flatnonzero(rows)
    return Cases(users, np.zeros(len(users), np.int64))


def _draw(text: str) -> float:
    """A number in [0, 1) that depends on the text alone."""
    digest = hashlib.blake2b(text.encode(), digest_size=8).digest()
    return int.from_bytes(digest, "big") / 2**64
