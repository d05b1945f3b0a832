"""Context fields that restrict candidates: what the items' columns say, and who may be ranked.

Leaves to others: which fields those are (domains/spec.py), doing it while serving (serving/),
where filters of a request do the same.
Sizes: N items, R rows, V values of a field.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import polars as pl
from numpy.typing import NDArray

from crossrec.domains.spec import ContextField, Domain
from crossrec.errors import ConfigError, DataError, suggest

if TYPE_CHECKING:
    from crossrec.data.dataset import Dataset
    from crossrec.data.split import Split

Floats = NDArray[np.float32]


def restricted_split(dataset: Dataset, split: Split) -> Split:
    """The split with candidates restricted by every context field that says `restricts`.

    Raises:
        ConfigError: the cases have no such field.
        DataError: see `items_values`.
    """
    known = split.sequences.context  # requests in words come without any
    fields = [field for field in dataset.domain.context if field.restricts and field.name in known]
    if not fields:
        raise ConfigError(
            f"no context field of the cases of '{dataset.domain.name}' ({split.protocol}) restricts"
            " candidates; expected `restricts: COLUMN` in a context field of its YAML, or"
            " candidates=all"
        )
    items = dataset.catalogue()
    masks = {
        field.name: held_by(
            items_values(items, field, dataset.domain),
            split.sequences.context_values.get(field.name, []),
        )
        for field in fields
    }
    return replace(split, restrictions=masks)


def items_values(items: pl.DataFrame, field: ContextField, domain: Domain) -> pl.Series:
    """(N,) lists of text: what the column that a field restricts holds of each item.

    Raises:
        DataError: there is no such column, or it holds neither text nor lists of text.
    """
    column = field.restricts or ""
    if column not in items.columns:
        raise DataError(
            f"context field '{field.name}' of '{domain.name}' restricts candidates by the items"
            f" column '{column}': {suggest(column, items.columns)}"
        )
    values = items[column]
    if values.dtype == pl.String:
        values = values.to_frame().select(pl.concat_list(column))[column]
    if values.dtype != pl.List(pl.String):
        raise DataError(
            f"context field '{field.name}' of '{domain.name}' restricts candidates by the items"
            f" column '{column}', which holds {values.dtype}; expected text or lists of text"
        )
    return values.list.drop_nulls()


def held_by(values: pl.Series, known: list[str]) -> NDArray[np.bool_]:
    """(V, N) whether an item's values, (N,) lists of text, hold each of `known`.

    >>> held_by(pl.Series([["a", "b"], [], ["b"]]), ["a", "b"]).astype(int).tolist()
    [[1, 0, 0], [1, 0, 1]]
    """
    held = np.zeros((len(known), len(values)), np.bool_)
    codes = {value: code for code, value in enumerate(known)}
    for item_idx, of_item in enumerate(values):
        for value in of_item if of_item is not None else ():
            if value in codes:
                held[codes[value], item_idx] = True
    return held


def single_codes(values: pl.Series, known: list[str], field: ContextField) -> Floats:
    """(N,) index of each item's one value among `known`, NaN where it has none.

    Raises:
        DataError: an item has several values, so that the last item does not say which one holds.
    """
    if (values.list.len() > 1).any():
        raise DataError(
            f"context field '{field.name}' is derived from the last item, but some items have"
            f" several values in '{field.restricts}'; expected at most one each"
        )
    codes = {value: float(code) for code, value in enumerate(known)}
    firsts = values.list.first().to_list()
    return np.array([codes.get(value, np.nan) for value in firsts], np.float32)


def of_item_before(codes: Floats, items: NDArray[np.int32], offsets: NDArray[np.int64]) -> Floats:
    """(R,) the code of the item in the user's row before, NaN in a user's first row.

    Args:
        codes: (N,) see `single_codes`.
        items: (R,) item_idx, grouped by user, oldest first.
        offsets: (n_users + 1,) where users begin.
    """
    before = np.full(len(items), np.nan, np.float32)
    before[1:] = codes[items[:-1]]
    before[offsets[:-1]] = np.nan
    return before
