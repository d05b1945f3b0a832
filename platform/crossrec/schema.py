"""Names and types of the canonical tables; the one place where column names are written.

Leaves to others: reading and checking (data/), what a domain maps to them (domains/).
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

# Identifiers from outside are strings (`item_id`); row numbers inside are integers (`item_idx`).
USER_ID = "user_id"
ITEM_ID = "item_id"
TIMESTAMP = "timestamp"  # integer seconds since 1970 UTC, or an order index: see Domain.time_kind
EVENT = "event"
RATING = "rating"
TITLE = "title"
TEXT = "text"
CATEGORY = "category"
REQUEST_ID = "request_id"
LABEL = "label"
EXAMPLE_ID = "example_id"
SPLIT = "split"
VECTOR = "vector"
REASON = "reason"  # why a row was rejected

Kind = Literal["str", "int", "float", "bool", "list[str]", "list[float]"]


@dataclass(frozen=True)
class TableSchema:
    """Columns of one canonical table; further columns are kept as side columns or context."""

    required: dict[str, Kind]
    optional: dict[str, Kind] = field(default_factory=dict)
    unique: tuple[str, ...] = ()
    item_columns: tuple[str, ...] = ()
    """Columns whose values must be an `item_id` of the items table."""


TABLES: dict[str, TableSchema] = {
    "items": TableSchema(
        {ITEM_ID: "str", TITLE: "str", TEXT: "str"}, {CATEGORY: "list[str]"}, unique=(ITEM_ID,)
    ),
    "interactions": TableSchema(
        {USER_ID: "str", ITEM_ID: "str", TIMESTAMP: "int"},
        {EVENT: "str", RATING: "float"},
        item_columns=(ITEM_ID,),
    ),
    "users": TableSchema({USER_ID: "str"}, unique=(USER_ID,)),
    "requests": TableSchema(
        {REQUEST_ID: "str", TEXT: "str", ITEM_ID: "str"},
        {USER_ID: "str", SPLIT: "str"},
        item_columns=(ITEM_ID,),
    ),
    "request_matches": TableSchema({REQUEST_ID: "str", ITEM_ID: "str"}, item_columns=(ITEM_ID,)),
    "examples": TableSchema(
        {EXAMPLE_ID: "str", TEXT: "str", LABEL: "str"}, {SPLIT: "str"}, unique=(EXAMPLE_ID,)
    ),
    "kg": TableSchema({"head": "str", "relation": "str", "tail": "str"}),
    "kg_entities": TableSchema({"entity": "str", "label": "str"}),
    "kg_links": TableSchema({ITEM_ID: "str"}, item_columns=(ITEM_ID,)),
}
"""Canonical tables by name; `features_<modality>` follows FEATURES."""

FEATURES = TableSchema(
    {ITEM_ID: "str", VECTOR: "list[float]"}, unique=(ITEM_ID,), item_columns=(ITEM_ID,)
)

DEFAULT_EVENT = "interaction"
