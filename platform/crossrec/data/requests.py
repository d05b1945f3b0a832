"""Requests in words and labelled texts as sequences: each is a user without history whose one
row is the item (or the label) asked for, so that all tasks share one split, loop and judge.
Requests out of dialogues that name items have those as their history.

Leaves to others: interactions (sequences.py), encoding the words (training/prepare.py).
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import polars as pl
from numpy.typing import NDArray
from scipy import sparse

from crossrec.data.dataset import Dataset
from crossrec.data.draws import RANGE, drawn
from crossrec.data.split import Cases, Sequences, Split, draw_users
from crossrec.errors import DataError
from crossrec.schema import EXAMPLE_ID, ITEM_ID, LABEL, REQUEST_ID, SPLIT, TEXT

PROTOCOL = "requests"
VALIDATION_SHARE = 0.1
"""Of the training part, where the source has no validation part of its own."""

_LIKED, _NAMES_ITEM, _TOPIC = "liked", "names_item", "topic"
_DIALOGUE, _NAMED = "dialog_id", "mentioned_item_ids"


@dataclass(frozen=True)
class _Rows:
    """What was asked for and, before it, named: one row an item, users one after the other."""

    users: list[str]
    """(R,) a dialogue, or a request of its own."""
    items: list[str]
    texts: list[str]
    """What had been said; empty for an item that was only named."""
    parts: list[str]
    wanted: list[bool]
    """Not turned down: what was is history, and no target."""
    requests: list[str]
    """request_id; empty for an item that was only named."""
    names_item: list[bool]
    """The request names the item, so that no other will do."""


def request_split(dataset: Dataset, *, seed: int = 0, max_users: int | None = None) -> Split:
    """Training, validation and test requests, as the source divides them.

    Requests for an item that the person then disliked are left out; so are test requests that
    name the item, for they test reading and not wishing. Without a validation part a tenth of
    training is taken, drawn by a hash of the text, so that equal texts stay together; of
    dialogues that name items by a hash of the dialogue, whose items are each other's history.

    In such dialogues one user is one dialogue: the items in the order in which they were named
    or suggested. Named items are training rows too, without words, as any interaction is.

    A request is one case, however many items it led to. `Split.relevant` holds all right answers:
    the request's `request_matches`; where there are none, all items that it led to.

    Raises:
        DataError: there are neither requests nor examples, or no part called test.
    """
    rows = _examples(dataset) if dataset.has("examples") else _requests(dataset)
    catalogue = dataset.catalogue()
    item_ids = catalogue[ITEM_ID].to_list()
    numbers = {item_id: number for number, item_id in enumerate(item_ids)}
    users, starts = _starts(rows.users)
    n_rows = len(rows.users)
    sequences = Sequences(
        user_ids=users,
        item_ids=item_ids,
        offsets=np.append(starts, n_rows),
        items=np.array([numbers[item] for item in rows.items], np.int32),
        # The row's own number: it finds the row again after users were drawn.
        times=np.arange(n_rows, dtype=np.int64),
        events=np.zeros(n_rows, np.int16),
        event_names=["request"],
        ratings=np.full(n_rows, np.nan, np.float32),
        requests=rows.texts,
    )
    if max_users is not None:
        sequences = draw_users(sequences, max_users, seed)
    kept = sequences.times
    relevant = _relevant(dataset, rows, numbers)
    relevant = None if relevant is None else relevant[kept]
    first = sequences.offsets[:-1]
    sequences = replace(sequences, times=kept - np.repeat(kept[first], np.diff(sequences.offsets)))
    parts = _parts(dataset, rows, np.array(rows.parts))[kept]
    wanted, asks = np.array(rows.wanted)[kept], _asks(rows)[kept]
    return _cut(sequences, parts, wanted, asks, relevant, _pools(dataset, catalogue))


def _asks(rows: _Rows) -> NDArray[np.bool_]:
    """(R,) the first wanted row of each request: its one case."""
    seen: set[str] = {""}
    asks = np.zeros(len(rows.users), np.bool_)
    for number, (request, wanted) in enumerate(zip(rows.requests, rows.wanted, strict=True)):
        asks[number] = wanted and request not in seen
        if wanted:
            seen.add(request)
    return asks


def _starts(users: list[str]) -> tuple[list[str], NDArray[np.int64]]:
    """Each user once, and the row at which it begins."""
    starts = [n for n, user in enumerate(users) if n == 0 or user != users[n - 1]]
    return [users[n] for n in starts], np.array(starts, np.int64)


def _requests(dataset: Dataset) -> _Rows:
    if not dataset.has("requests"):
        raise DataError(
            f"'{dataset.domain.name}' has neither requests nor examples; expected one of the two"
        )
    rows = dataset.scan("requests").collect()
    if _LIKED not in rows.columns:
        rows = rows.with_columns(pl.lit(True).alias(_LIKED))
    rows = rows.with_columns(pl.col(_LIKED).fill_null(True))
    if _NAMES_ITEM not in rows.columns:
        rows = rows.with_columns(pl.lit(False).alias(_NAMES_ITEM))
    rows = rows.with_columns(pl.col(_NAMES_ITEM).fill_null(False))
    rows = rows.filter(~(pl.col(_NAMES_ITEM) & (pl.col(SPLIT) == "test")))
    if _NAMED in rows.columns and _DIALOGUE in rows.columns:
        return _dialogues(rows)
    rows = rows.filter(pl.col(_LIKED))
    order = pl.int_range(pl.len()).over(REQUEST_ID)
    # A request that led to several items is one row for each.
    names = pl.format("{}#{}", pl.col(REQUEST_ID), order)
    rows = rows.with_columns(names.alias("id")).sort("id")
    ids, texts, items, parts, requests, named = (
        rows[name].to_list() for name in ("id", TEXT, ITEM_ID, SPLIT, REQUEST_ID, _NAMES_ITEM)
    )
    return _Rows(ids, items, texts, parts, [True] * len(rows), requests, named)


def _dialogues(rows: pl.DataFrame) -> _Rows:
    """Each dialogue's items, named or suggested, in the order in which they came up."""
    made = _Rows([], [], [], [], [], [], [])
    rows = rows.with_columns(pl.col(_NAMED).list.len().alias("n_named")).sort(
        _DIALOGUE, "n_named", maintain_order=True
    )
    columns = (_DIALOGUE, ITEM_ID, TEXT, SPLIT, _LIKED, REQUEST_ID, _NAMED)
    seen: set[tuple[str, str]] = set()
    for dialogue, item, text, part, liked, request, named in rows.select(columns).iter_rows():
        new = [one for one in named or [] if (dialogue, one) not in seen and one != item]
        said = [(one, "", True, "") for one in dict.fromkeys(new)]
        if (dialogue, item) not in seen:
            said.append((item, text, liked, request))
        for one, words, wanted, of in said:
            seen.add((dialogue, one))
            made.users.append(dialogue)
            made.items.append(one)
            made.texts.append(words)
            made.parts.append(part)
            made.wanted.append(wanted)
            made.requests.append(of)
            made.names_item.append(False)
    return made


def _relevant(dataset: Dataset, rows: _Rows, numbers: dict[str, int]) -> sparse.csr_array | None:
    """(R, N) all right answers of each row; None where each request has just one."""
    named = {of for of, names in zip(rows.requests, rows.names_item, strict=True) if names}
    of_request: dict[str, set[int]] = {}
    for request, item, wanted in zip(rows.requests, rows.items, rows.wanted, strict=True):
        if request and wanted:
            of_request.setdefault(request, set()).add(numbers[item])
    if dataset.has("request_matches"):
        matches = dataset.scan("request_matches").collect().group_by(REQUEST_ID).agg(ITEM_ID)
        for request, items in matches.iter_rows():
            if request in of_request and request not in named:
                of_request[request] = {numbers[item] for item in items}
    elif all(len(items) == 1 for items in of_request.values()):
        return None
    answers = [
        sorted(of_request.get(request, ())) or [numbers[item]]
        for request, item in zip(rows.requests, rows.items, strict=True)
    ]
    ends = np.cumsum([0, *(len(items) for items in answers)])
    columns = np.array([item for items in answers for item in items], np.int32)
    shape = (len(answers), len(numbers))
    return sparse.csr_array((np.ones(len(columns), np.float32), columns, ends), shape=shape)


def _examples(dataset: Dataset) -> _Rows:
    rows = dataset.scan("examples").collect()
    text = pl.col(TEXT)
    if _TOPIC in rows.columns:  # the label is about the topic: both are the input
        topic = pl.col(_TOPIC).fill_null("")
        text = pl.when(topic == "").then(text).otherwise(pl.format("{}: {}", topic, text))
    rows = rows.with_columns(text.alias(TEXT)).sort(EXAMPLE_ID)
    ids, labels, texts, parts = (rows[name].to_list() for name in (EXAMPLE_ID, LABEL, TEXT, SPLIT))
    return _Rows(ids, labels, texts, parts, [True] * len(ids), ids, [False] * len(ids))


def _pools(dataset: Dataset, catalogue: pl.DataFrame) -> NDArray[np.int64] | None:
    column = dataset.domain.pool_column
    if column is None or column not in catalogue.columns:
        return None
    return catalogue[column].rank("dense").fill_null(0).to_numpy().astype(np.int64)


def _parts(dataset: Dataset, rows: _Rows, given: NDArray[np.str_]) -> NDArray[np.str_]:
    """(R,) train, valid or test; a tenth of training is validation where the source has none."""
    parts = np.where(np.isin(given, ("validation", "val")), "valid", given)
    if not (parts == "valid").any():
        named = "" in rows.requests  # items named in dialogues
        draws = np.array([drawn(key) / RANGE for key in (rows.users if named else rows.texts)])
        parts = np.where((parts != "test") & (draws < VALIDATION_SHARE), "valid", parts)
    if not np.isin(("train", "test"), parts).all():
        raise DataError(
            f"requests of '{dataset.domain.name}' have parts {sorted(set(given.tolist()))};"
            " expected 'train' and 'test' in the column split"
        )
    return parts


def _cut(
    sequences: Sequences,
    parts: NDArray[np.str_],
    wanted: NDArray[np.bool_],
    asks: NDArray[np.bool_],
    relevant: sparse.csr_array | None,
    pools: NDArray[np.int64] | None,
) -> Split:
    train = wanted & ~np.isin(parts, ("valid", "test"))
    warm = np.zeros(sequences.n_items, np.bool_)
    warm[sequences.items[train]] = True
    if relevant is not None:
        warm[relevant[np.flatnonzero(train)].indices] = True
    validation, test = (_cases(sequences, asks & (parts == part)) for part in ("valid", "test"))
    return Split(PROTOCOL, sequences, train, validation, test, warm, pools, relevant)


def _cases(sequences: Sequences, rows: NDArray[np.bool_]) -> Cases:
    where = np.flatnonzero(rows)
    users = np.searchsorted(sequences.offsets, where, side="right") - 1
    return Cases(users, where - sequences.offsets[users])
