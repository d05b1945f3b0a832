"""Adds what users of the service did to the data set that it was trained on.

Leaves to others: which feedback is an interaction, and of which kind (verbs/feedback.py), the
export it comes from (serving/feedback_export.py), training on it (training/).
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import polars as pl

from crossrec.data.dataset import Dataset
from crossrec.data.rebuild import rebuilt, replace, write_card
from crossrec.data.times import derived
from crossrec.errors import DataError
from crossrec.schema import EVENT, ITEM_ID, RATING, TIMESTAMP, USER_ID

IMPORTED = "imported"
"""Sub-folder with the interactions as they were imported: each growth begins with those."""
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


def grow(dataset: Dataset, added: pl.DataFrame, note: dict[str, Any]) -> Growth:
    """The imported interactions and, after them, `added`, in place of the data set's own.

    What an earlier growth added is left out first, so that nothing counts twice; no rows take the
    data set back to what was imported. Later readers see no difference from an import.

    Args:
        dataset: an imported data set with interactions.
        added: `user_id`, `item_id`, `timestamp` (seconds since 1970), `event` and `rating`, in
            order of time; rows of unknown items are left out.
        note: what the card shall say of the source.

    Raises:
        DataError: the data set has no interactions, or it cannot be written.
    """
    if not dataset.has("interactions"):
        raise DataError(
            f"'{dataset.domain.name}' has no interactions that feedback could be added to;"
            " expected a domain with a table 'interactions'"
        )
    before = _imported(dataset)
    base = pl.scan_parquet(before)
    rows = _as_table(dataset, base, added)
    card = dataset.card | {GROWTH: note | {"n_added": rows.height}}
    with rebuilt(dataset) as folder:
        kept = folder / IMPORTED / "interactions.parquet"
        table = folder / "interactions.parquet"
        if not kept.exists():
            kept.parent.mkdir()
            table.rename(kept)
        whole = pl.concat([base, rows.lazy()])
        replace(table, lambda beside: whole.sink_parquet(beside, compression="lz4"))
        write_card(folder, card, ["interactions"])
    found = Dataset.open(dataset.domain.name, dataset.folder.parent)
    return Growth(found, rows.height, rows[USER_ID].n_unique())


def _imported(dataset: Dataset) -> Path:
    kept = dataset.folder / IMPORTED / "interactions.parquet"
    return kept if kept.is_file() else dataset.folder / "interactions.parquet"


def _as_table(dataset: Dataset, base: pl.LazyFrame, added: pl.DataFrame) -> pl.DataFrame:
    """Rows with the columns and types of the interactions, and times of the data's own clock."""
    schema = base.collect_schema()
    known = dataset.scan("items").select(ITEM_ID).collect()[ITEM_ID]
    added = added.filter(pl.col(ITEM_ID).is_in(known.implode()))
    columns = {name: pl.lit(None) for name in schema}
    columns |= {name: pl.col(name) for name in (USER_ID, ITEM_ID, EVENT, RATING) if name in schema}
    unix = dataset.domain.time_kind == "unix_seconds"
    for field in dataset.domain.context if unix else ():
        if field.derive not in (None, "last_item") and field.name in schema:
            columns[field.name] = derived(field.derive, pl.col(TIMESTAMP))
    end = base.select(pl.col(TIMESTAMP).max()).collect().item() or 0
    columns[TIMESTAMP] = _moment(dataset, end) if unix else pl.int_range(1, pl.len() + 1) + end
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
