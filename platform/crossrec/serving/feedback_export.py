"""Writes the feedback of a domain to Parquet, and reads it back as a frame.

Leaves to others: the log (feedback_log.py), what training makes of an export (verbs/feedback.py).
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from dataclasses import asdict, fields
from itertools import islice
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from crossrec.config import home
from crossrec.errors import DataError
from crossrec.serving.feedback_log import PAGE_ROWS, FeedbackLog, LoggedEvent

SCHEMA = pa.schema(
    [
        pa.field("row", pa.int64(), nullable=False),
        pa.field("event_id", pa.string(), nullable=False),
        pa.field("user_id", pa.string(), nullable=False),
        pa.field("item_id", pa.string(), nullable=False),
        pa.field("event", pa.string(), nullable=False),
        pa.field("timestamp", pa.int64(), nullable=False),
        pa.field("value", pa.float64()),
        pa.field("request_id", pa.string()),
        pa.field("received_at", pa.float64(), nullable=False),
    ]
)
"""One row an event, in the order they came; the meaning of each column is that of LoggedEvent."""


def export_path(domain: str) -> Path:
    """Where an export lies that was given no path: `<home>/feedback/<domain>.parquet`."""
    return home() / "feedback" / f"{domain}.parquet"


def export(log: FeedbackLog, domain: str, path: Path, since: float = 0.0) -> int:
    """Write all events that came at `since` (seconds since 1970) or later; how many.

    The file appears whole or not at all, and replaces an earlier one. Memory stays flat.

    Raises:
        DataError: it cannot be written.
    """
    beside = path.with_name(f".{path.name}-{os.getpid()}")
    n_events = 0
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with pq.ParquetWriter(beside, SCHEMA) as writer:
            for table in _tables(log.events(domain, since)):
                writer.write_table(table)
                n_events += table.num_rows
        os.replace(beside, path)
    except OSError as err:
        raise DataError(f"the export {path} cannot be written: {err.strerror or err}") from err
    finally:
        beside.unlink(missing_ok=True)
    return n_events


def _tables(events: Iterator[LoggedEvent]) -> Iterable[pa.Table]:
    names = [field.name for field in fields(LoggedEvent)]
    while page := list(islice(events, PAGE_ROWS)):
        rows = [asdict(event) for event in page]
        yield pa.table({name: [row[name] for row in rows] for name in names}, schema=SCHEMA)
