"""Reads canonical tables into `Sequences`: filtered, ordered, without repeats, as arrays.

Leaves to others: making the tables (importing.py), cutting the sequences into parts (split.py).
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from crossrec.data.dataset import Dataset
from crossrec.data.restrictions import items_values, of_item_before, single_codes
from crossrec.data.split import Sequences
from crossrec.data.times import derived
from crossrec.domains.spec import ContextField, Domain
from crossrec.errors import DataError, suggest
from crossrec.schema import DEFAULT_EVENT, EVENT, ITEM_ID, RATING, TIMESTAMP, USER_ID

MIN_INTERACTIONS = 3
"""Users with fewer distinct items give no training, validation and test part."""

_ITEM_IDX = "item_idx"


def load_sequences(
    dataset: Dataset, min_interactions: int = MIN_INTERACTIONS, *, nobody: bool = False
) -> Sequences:
    """The sequences of an imported data set.

    Args:
        dataset: with a table `interactions`.
        min_interactions: users with fewer are left out; 1 keeps everybody (for serving).
        nobody: read no interaction: what there is before anybody has used the domain.

    Raises:
        DataError: it has no table of interactions, or a context column is missing.
    """
    if not dataset.has("interactions"):
        raise DataError(
            f"'{dataset.domain.name}' has no interactions, so there are no users to split;"
            " expected a domain with a table 'interactions'"
        )
    named = {field.restricts for field in dataset.domain.context if field.restricts}
    known = dataset.scan("items").collect_schema().names()
    items = dataset.scan("items").select(ITEM_ID, *sorted(named & set(known))).collect()
    interactions = dataset.scan("interactions")
    if nobody:
        interactions = interactions.clear()
    return sequences_from(items, interactions, dataset.domain, min_interactions)


def sequences_from(
    items: pl.DataFrame,
    interactions: pl.LazyFrame,
    domain: Domain,
    min_interactions: int = MIN_INTERACTIONS,
) -> Sequences:
    """Sequences of the first interaction with each item, users with three or more of them.

    Rows of `dropped_events` and of items outside the catalogue are left out first; every other
    event counts, whatever its rating. Rows are sorted by user (as string) and time, ties in the
    order of the table. The event of a step is the last that the user did with the item before
    turning to another: who looks at a restaurant and then asks for a cheaper one has criticised it.

    Args:
        items: column `item_id`, unique, and those that context fields restrict candidates by.
        interactions: `user_id`, `item_id`, `timestamp`, and optionally `event`, `rating` and
            the domain's context columns.
        domain: names the dropped events and the context fields.
        min_interactions: users with fewer distinct items are left out.

    Raises:
        DataError: a context column is missing.
    """
    item_ids = items[ITEM_ID].to_list()
    names = interactions.collect_schema().names()
    fields = _Context(domain, names, items)
    rows = (
        _counted(interactions, domain, names)
        .with_columns(
            pl.col(ITEM_ID).cast(pl.Enum(item_ids), strict=False).to_physical().alias(_ITEM_IDX)
        )
        .filter(pl.col(_ITEM_IDX).is_not_null())
        .select(USER_ID, _ITEM_IDX, TIMESTAMP, *_optional(names), *fields.expressions)
        .sort(USER_ID, TIMESTAMP, maintain_order=True)
        .with_columns(pl.col(EVENT).last().over(pl.struct(USER_ID, _ITEM_IDX).rle_id()))
        .unique([USER_ID, _ITEM_IDX], keep="first", maintain_order=True)
        .filter(pl.len().over(USER_ID) >= min_interactions)
        .collect()
    )
    return _as_arrays(rows, item_ids, fields, domain.positive_events or [DEFAULT_EVENT])


def _counted(interactions: pl.LazyFrame, domain: Domain, names: list[str]) -> pl.LazyFrame:
    """The rows that are interactions: without mere impressions."""
    if not domain.dropped_events or EVENT not in names:
        return interactions
    dropped = pl.col(EVENT).is_in(domain.dropped_events).fill_null(False)
    return interactions.filter(~dropped)


def _optional(names: list[str]) -> list[pl.Expr]:
    event = pl.col(EVENT).fill_null(DEFAULT_EVENT) if EVENT in names else pl.lit(DEFAULT_EVENT)
    rating = pl.col(RATING) if RATING in names else pl.lit(None)
    return [event.alias(EVENT), rating.cast(pl.Float32).alias(RATING)]


def _as_arrays(
    rows: pl.DataFrame, item_ids: list[str], fields: _Context, unused: list[str]
) -> Sequences:
    """The rows as arrays; `unused`: names of events where there is none yet."""
    runs = rows[USER_ID].rle()  # sorted by user: one run a user
    offsets = np.concatenate([[0], np.cumsum(runs.struct.field("len").to_numpy())])
    events, event_names = _codes(rows[EVENT], unused if rows.is_empty() else [])
    indices = rows[_ITEM_IDX].to_numpy().astype(np.int32)
    context, context_values = fields.arrays(rows, indices, offsets.astype(np.int64))
    return Sequences(
        user_ids=runs.struct.field("value").to_list(),
        item_ids=item_ids,
        offsets=offsets.astype(np.int64),
        items=indices,
        times=rows[TIMESTAMP].to_numpy().astype(np.int64),
        events=events.astype(np.int16),
        event_names=event_names,
        ratings=rows[RATING].fill_null(np.nan).to_numpy(),
        context=context,
        context_values=context_values,
    )


def _codes(values: pl.Series, others: Iterable[str] = ()) -> tuple[NDArray[np.float32], list[str]]:
    """Index of each value among the sorted distinct ones, NaN for null; and those values.

    Args:
        others: further values that nobody has had yet.
    """
    known = sorted({*values.drop_nulls().unique().to_list(), *others})
    codes = values.cast(pl.Enum(known)).to_physical().cast(pl.Float32)
    return codes.fill_null(np.nan).to_numpy(), known


class _Context:
    """The domain's context fields as columns of the sorted rows, then as arrays."""

    def __init__(self, domain: Domain, names: list[str], items: pl.DataFrame) -> None:
        self.fields = domain.context
        self.expressions = [
            expression
            for field in domain.context
            if field.derive != "last_item"
            for expression in _expressions(field, domain, names)
        ]
        self.of_items = {
            field.name: items_values(items, field, domain)
            for field in domain.context
            if field.restricts
        }

    def arrays(
        self, rows: pl.DataFrame, item_idx: NDArray[np.int32], offsets: NDArray[np.int64]
    ) -> tuple[dict[str, NDArray[np.float32]], dict[str, list[str]]]:
        """`Sequences.context` and `Sequences.context_values`.

        A field that restricts candidates knows the values of all items, also those that nobody
        has had.
        """
        arrays: dict[str, NDArray[np.float32]] = {}
        values: dict[str, list[str]] = {}
        for field in self.fields:
            of_items = self.of_items.get(field.name, pl.Series([], dtype=pl.List(pl.String)))
            of_all = of_items.explode().drop_nulls().unique().to_list()
            if field.derive == "last_item":
                values[field.name] = sorted(of_all)
                codes = single_codes(of_items, values[field.name], field)
                arrays[field.name] = of_item_before(codes, item_idx, offsets)
                continue
            if field.kind == "category":
                arrays[field.name], values[field.name] = _codes(rows[_alias(field, 0)], of_all)
                continue
            columns = [rows[_alias(field, n)].fill_null(np.nan).to_numpy() for n in _places(field)]
            arrays[field.name] = columns[0] if len(columns) == 1 else np.stack(columns, axis=1)
        return arrays, values


def _places(field: ContextField) -> range:
    return range(len(field.columns) or 1)


def _alias(field: ContextField, number: int) -> str:
    return f"context.{field.name}.{number}"


def _expressions(field: ContextField, domain: Domain, names: list[str]) -> list[pl.Expr]:
    kind: Any = pl.String if field.kind == "category" else pl.Float32
    return [
        _column(field, name, domain, names).cast(kind).alias(_alias(field, number))
        for number, name in enumerate(field.columns or [field.name])
    ]


def _column(field: ContextField, name: str, domain: Domain, names: list[str]) -> pl.Expr:
    if name in names:
        return pl.col(name)
    if field.derive is None or domain.time_kind != "unix_seconds":
        raise DataError(
            f"context field '{field.name}' of '{domain.name}' reads the column '{name}', which"
            f" interactions lack: {suggest(name, names)}"
        )
    assert field.derive != "last_item"  # it is no column of interactions
    return derived(field.derive, pl.col(TIMESTAMP))
