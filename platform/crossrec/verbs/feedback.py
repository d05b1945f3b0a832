"""The verbs about what users did: count, export and forget it, and have a domain learn from it.

Leaves to others: the log and its export (serving/), the data set that grows (data/growth.py).
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from crossrec.domains import load_domain
from crossrec.errors import ConfigError, DataError
from crossrec.verbs.data import dataset

if TYPE_CHECKING:
    import polars as pl

    from crossrec.data.dataset import Dataset
    from crossrec.data.growth import Growth
    from crossrec.serving.feedback import FeedbackRules
    from crossrec.serving.feedback_log import DomainCount

DAY_S = 24 * 3600


class Export(NamedTuple):
    """What was written."""

    n_events: int
    path: Path


def count_feedback() -> list[DomainCount]:
    """What the log holds of each domain, by name."""
    from contextlib import closing

    from crossrec.serving.feedback_log import FeedbackLog

    with closing(FeedbackLog()) as log:
        return log.counts()


def export_feedback(domain: str, to: Path | str | None = None, since: str = "all") -> Export:
    """Write the feedback of a domain to Parquet, where `train(since=…)` looks for it.

    Args:
        to: path; None: `<home>/feedback/<domain>.parquet`.
        since: only events that came then or later, see `moment`.

    Raises:
        DataError: it cannot be written.
    """
    from contextlib import closing

    from crossrec.serving.feedback_export import export, export_path
    from crossrec.serving.feedback_log import FeedbackLog

    load_domain(domain)
    path = Path(to) if to else export_path(domain)
    with closing(FeedbackLog()) as log:
        return Export(export(log, domain, path, moment(since)), path)


def prune_feedback(keep_days: float, domain: str | None = None) -> int:
    """Forget events that came more than `keep_days` ago, of one domain or of all; how many.

    What is forgotten is in no later export, so that no later training reads it either. Answers that
    were kept for learning from feedback on them go with it.

    Raises:
        ConfigError: a negative number of days.
    """
    from crossrec.serving.retention import forget_before

    if not keep_days >= 0:
        raise ConfigError(f"got {keep_days} days to keep; expected 0 or more")
    return forget_before(time.time() - keep_days * DAY_S, domain)


def add_feedback(
    domain: str, since: str = "all", export: Path | str | None = None, rated_only: bool = False
) -> Growth:
    """Put exported feedback behind the imported interactions of a domain: what `train` reads then.

    Items that were added to the running service since the import come along.
    Interactions are what the domain takes as interest, in its own words for events; of somebody
    who liked an item and later disliked it, neither. Doing it again begins with the imported data.

    Args:
        since: only events that came then or later, see `moment`.
        export: a Parquet file of `export_feedback`; None: where that writes.
        rated_only: leave out what has no rating, as the task `rate` asks for.

    Raises:
        DataError: there is no export, it cannot be read, or the data have no interactions.
    """
    from crossrec.data.growth import grow

    load_domain(domain)
    data = dataset(domain)
    at = datetime.now(UTC).isoformat()  # first: an item that is put from now on is newer
    events = exported(domain, since, export)
    added = _interactions(data, events, rated_only)
    note = {"since": since, "at": at, "n_events": events.height}
    note |= {"last": events["received_at"].max()} if events.height else {}
    return grow(data, added, note, _added_items(data))


def _added_items(data: Dataset) -> list[dict[str, Any]]:
    """Items that a service was given; of those that the data have, what came after the import."""
    import polars as pl

    from crossrec.data.growth import imported_table
    from crossrec.releases.added_items import AddedItems, items_folder
    from crossrec.schema import ITEM_ID

    added = AddedItems(items_folder(data.domain.name))
    imported_at = datetime.fromisoformat(data.card["imported_at"]).timestamp()
    newer = added.changed_since(imported_at)
    own = set(pl.read_parquet(imported_table(data, "items"))[ITEM_ID]) - newer
    found = [vars(item) for item in added.all() if item.item_id not in own]
    return [item.pop("columns") | item for item in map(dict, found)]


def exported(domain: str, since: str = "all", export: Path | str | None = None) -> pl.DataFrame:
    """An export's rows that came at `since` or later, in the order they came.

    Raises:
        DataError: there is no export, or it cannot be read.
    """
    import polars as pl

    from crossrec.serving.feedback_export import SCHEMA, export_path

    path = Path(export) if export else export_path(domain)
    if not path.is_file():
        raise DataError(
            f"there is no exported feedback at {path}; run: crossrec feedback export {domain}"
        )
    try:
        return pl.read_parquet(path, columns=SCHEMA.names).filter(
            pl.col("received_at") >= moment(since)
        )
    except (pl.exceptions.PolarsError, OSError) as err:
        raise DataError(
            f"{path} is no export of feedback; run: crossrec feedback export {domain}"
        ) from err


def _interactions(data: Dataset, events: pl.DataFrame, rated_only: bool) -> pl.DataFrame:
    """Those of an export that are interactions, as columns of the canonical table."""
    import polars as pl

    rules, names = _rules(data)
    kinds = events["event"].unique().to_list()
    meaning = _renamed({event: rules.meaning(event) for event in kinds}).alias("meaning")
    opinions = events.with_columns(meaning).filter(pl.col("meaning") != "nothing")
    pair = ["user_id", "item_id"]
    last = pl.col("meaning").sort_by("timestamp", "row").last().over(pair)
    rating = pl.when(pl.col("event") == "rating").then(pl.col("value"))
    liked = opinions.filter(last == "interest", pl.col("meaning") == "interest")
    own = {event: names[rules.event_idx(event)] for event in kinds if names}
    rows = liked.sort("timestamp", "row").select(
        *pair, "timestamp", _renamed(own), rating.cast(pl.Float32).alias("rating")
    )
    return rows.filter(pl.col("rating").is_not_null()) if rated_only else rows


def _renamed(names: Mapping[str, str]) -> pl.Expr:
    """The event under its other name."""
    import polars as pl

    return pl.col("event").replace_strict(names, return_dtype=pl.String, default=None)


def _rules(data: Dataset) -> tuple[FeedbackRules, list[str]]:
    """What events mean to a domain, by the events of its data."""
    from crossrec.data.sequences import load_sequences
    from crossrec.data.vocabulary import Vocabulary
    from crossrec.serving.feedback import FeedbackRules

    sequences = load_sequences(data, 1)
    vocabulary = Vocabulary(sequences.item_ids, sequences.event_names, sequences.context_values)
    return FeedbackRules(data.domain, vocabulary), sequences.event_names


def moment(text: str) -> float:
    """Seconds since 1970 of `all`, of `30d` (days ago), or of a date or time in ISO 8601 (UTC).

    Raises:
        ConfigError: it is none of these.

    >>> moment("all"), moment("2026-01-31"), moment("2026-01-31T12:00:00+01:00")
    (0.0, 1769817600.0, 1769857200.0)
    """
    if text == "all":
        return 0.0
    if text.endswith("d") and text[:-1].isdecimal():
        return time.time() - int(text[:-1]) * DAY_S
    try:
        found = datetime.fromisoformat(text)
    except ValueError:
        raise ConfigError(
            f"'{text}' is no moment; expected all, a number of days such as 30d, or a date such"
            " as 2026-01-31"
        ) from None
    return (found if found.tzinfo else found.replace(tzinfo=UTC)).timestamp()
