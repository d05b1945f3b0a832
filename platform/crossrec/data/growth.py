"""Adds what users of the service did to the data set that it was trained on.

Leaves to others: which feedback is an interaction, and of which kind (verbs/feedback.py), the
export it comes from (serving/feedback_export.py), training on it (training/).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from crossrec.data.dataset import Dataset
from crossrec.data.locks import only_one
from crossrec.data.rebuild import rebuilt, replace, write_card
from crossrec.data.times import derived
from crossrec.errors import DataError
from crossrec.schema import EVENT, ITEM_ID, RATING, TIMESTAMP, USER_ID

IMPORTED = "imported"
"""Sub-folder with items and interactions as they were imported: each growth begins with those."""
GROWTH = "feedback"
"""Entry of the card that says what was added."""
WEEK_S = 7 * 24 * 3600


@dataclass(frozen=True)
class Growth:
    """A data set after what was added."""

    dataset: Dataset
    n_added: int
    n_users: int
    """Users with something added."""


def grow(
    dataset: Dataset,
    added: pl.DataFrame,
    note: dict[str, Any],
    items: Sequence[Mapping[str, Any]] = (),
) -> Growth:
    """The imported interactions and, after them, `added`, in place of the data set's own.

    What an earlier growth added is left out first, so that nothing counts twice; no rows take the
    data set back to what was imported. Later readers see no difference from an import.

    Args:
        dataset: an imported data set with interactions.
        added: `user_id`, `item_id`, `timestamp` (seconds since 1970), `event` and `rating`, in
            order of time; rows of unknown items are left out.
        note: what the card shall say of the source.
        items: column → value of items that came since the import; they follow the imported ones,
            or take the place of the one with their id.

    Raises:
        DataError: the data set has no interactions, or it cannot be written.
    """
    if not dataset.has("interactions"):
        raise DataError(
            f"'{dataset.domain.name}' has no interactions that feedback could be added to;"
            " expected a domain with a table 'interactions'"
        )
    with only_one(dataset.folder.parent, dataset.folder.name):
        return _grow(Dataset.open(dataset.folder.name, dataset.folder.parent), added, note, items)


def _grow(
    dataset: Dataset,
    added: pl.DataFrame,
    note: dict[str, Any],
    items: Sequence[Mapping[str, Any]],
) -> Growth:
    catalogue = _with_items(pl.read_parquet(imported_table(dataset, "items")), items)
    base = pl.scan_parquet(imported_table(dataset, "interactions"))
    rows = _as_table(dataset, base, added, catalogue[ITEM_ID])
    card = dataset.card | {GROWTH: note | {"n_added": rows.height, "n_items": len(items)}}
    with rebuilt(dataset) as folder:
        _put(folder, "items", catalogue.lazy())
        _put(folder, "interactions", pl.concat([base, rows.lazy()]))
        write_card(folder, card, ["items", "interactions"])
    found = Dataset.open(dataset.domain.name, dataset.folder.parent)
    return Growth(found, rows.height, rows[USER_ID].n_unique())


def _put(folder: Path, name: str, whole: pl.LazyFrame) -> None:
    """A table in the place of the one that was imported, which is kept."""
    kept, table = folder / IMPORTED / f"{name}.parquet", folder / f"{name}.parquet"
    kept.parent.mkdir(exist_ok=True)
    if not kept.exists():
        table.rename(kept)
    replace(table, lambda beside: whole.sink_parquet(beside, compression="lz4"))


def _with_items(imported: pl.DataFrame, items: Sequence[Mapping[str, Any]]) -> pl.DataFrame:
    """The catalogue with items put in: those that were there keep their rows."""
    rows = [{name: item.get(name) for name in imported.columns} for item in items]
    new = pl.DataFrame(rows, schema=imported.schema, strict=False, orient="row")
    row = {item_id: number for number, item_id in enumerate(imported[ITEM_ID])}
    place = [row.setdefault(item_id, len(row)) for item_id in new[ITEM_ID]]
    kept = imported.filter(~pl.col(ITEM_ID).is_in(new[ITEM_ID].implode()))
    whole = pl.concat([kept, new])
    places = [row[item_id] for item_id in kept[ITEM_ID]] + place
    return whole[np.argsort(places, kind="stable")]


def imported_table(dataset: Dataset, name: str) -> Path:
    """File of the table as it was imported, whatever has been added since."""
    kept = dataset.folder / IMPORTED / f"{name}.parquet"
    return kept if kept.is_file() else dataset.folder / f"{name}.parquet"


def _as_table(
    dataset: Dataset, base: pl.LazyFrame, added: pl.DataFrame, known: pl.Series
) -> pl.DataFrame:
    """Rows with the columns and types of the interactions, and times of the data's own clock."""
    schema = base.collect_schema()
    added = added.filter(pl.col(ITEM_ID).is_in(known.implode()))
    columns = {name: pl.lit(None) for name in schema}
    own = (USER_ID, ITEM_ID, TIMESTAMP, EVENT, RATING)
    columns |= {name: pl.col(name) for name in own if name in schema}
    unix = dataset.domain.time_kind == "unix_seconds"
    for field in dataset.domain.context if unix else ():
        if field.derive not in (None, "last_item") and field.name in schema:
            columns[field.name] = derived(field.derive, pl.col(TIMESTAMP))
    end = base.select(pl.col(TIMESTAMP).max()).collect().item()
    if not unix:
        columns[TIMESTAMP] = pl.int_range(1, pl.len() + 1) + (end or 0)
    elif end is not None:  # without any before, the clock is today's
        columns[TIMESTAMP] = _moment(dataset, end)
    return added.select(
        expression.cast(schema[name]).alias(name) for name, expression in columns.items()
    )


def _moment(dataset: Dataset, end: int) -> pl.Expr:
    """The time of an event in the domain's time, which goes on from `end`, the last of the data.

    Data of 1998 that are served today would else have a gap of decades before each event. Whole
    weeks are left out, so that hours and weekdays stay; for fresh data there is none.
    """
    imported_at = datetime.fromisoformat(dataset.card["imported_at"]).astimezone(UTC).timestamp()
    shift = max(0, int(imported_at) - end) // WEEK_S * WEEK_S
    moment = pl.col(TIMESTAMP)
    return pl.when(moment <= end).then(moment).otherwise(pl.max_horizontal(end, moment - shift))
