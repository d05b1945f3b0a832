"""Which items of `catalogue.sqlite` satisfy a condition: conditions and filters as SQL.

Column names are looked up, never taken from a request; values travel as parameters. Leaves to
others: reading expressions (ranking/expressions.py), the file itself (catalogue.py).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal

from crossrec.errors import RequestError, suggest
from crossrec.ranking.conditions import (
    Compare,
    Condition,
    Contains,
    Every,
    Missing,
    Not,
    OneOf,
    Operator,
    Some,
    Value,
)

ColumnKind = Literal["text", "number", "list"]
Columns = Mapping[str, ColumnKind]

_MAX_VALUES = 1000  # allowed values in one filter; SQLite's own limit of parameters is 32766
_ENDS: dict[str, Operator] = {"min": ">=", "max": "<="}

Sql = tuple[str, list[Value]]


def satisfying(condition: Condition, columns: Columns) -> Sql:
    """The query that finds item_idx of all items that satisfy it, and its parameters."""
    if isinstance(condition, OneOf) and columns[condition.column] == "list":  # by its index
        return _entries(condition.column, [_stored(value) for value in condition.values])
    test, values = _sql(condition, columns)
    return f"SELECT item_idx FROM items WHERE {test}", values


def _sql(condition: Condition, columns: Columns) -> Sql:
    """The test; NULL, which is neither true nor false, where the item has no value."""
    match condition:
        case Compare(column, operator, value):
            sign = {"==": "=", "!=": "<>"}.get(operator, operator)
            return f"{quoted(column)} {sign} ?", [_stored(value)]
        case OneOf(column, allowed):
            return _among(column, [_stored(value) for value in allowed], columns[column])
        case Contains(column, text):
            return f"instr({quoted(column)}, ?) > 0", [_stored(text)]
        case Missing(column):
            empty = f" OR {quoted(column)} = '[]'" if columns[column] == "list" else ""
            return f"({quoted(column)} IS NULL{empty})", []
        case Not(inner):
            test, values = _sql(inner, columns)
            return f"NOT ({test})", values
        case Every(parts):
            return _joined(" AND ", parts, columns)
        case Some(parts):
            return _joined(" OR ", parts, columns)


def _among(column: str, values: list[Value], kind: ColumnKind) -> Sql:
    if kind != "list":
        return f"{quoted(column)} IN ({marks(values)})", values
    query, parameters = _entries(column, values)
    return f"CASE WHEN {quoted(column)} IS NOT NULL THEN item_idx IN ({query}) END", parameters


def _entries(column: str, values: list[Value]) -> Sql:
    """Items whose list has one of the values."""
    query = f"SELECT item_idx FROM entries WHERE name = ? AND value IN ({marks(values)})"
    return query, [column, *values]


def _joined(word: str, parts: Sequence[Condition], columns: Columns) -> Sql:
    found = [_sql(part, columns) for part in parts]
    test = word.join(f"({test})" for test, _ in found)
    return test, [value for _, values in found for value in values]


def read_filter(column: str, filter_: Any, columns: Columns) -> Condition:
    """The condition that a filter of a request states; see `Catalogue.mask`.

    Raises:
        RequestError: no such column (near matches named), or a value of the wrong kind.
    """
    if column not in columns:
        raise RequestError(f"no item column '{column}': {suggest(column, columns)}")
    kind = columns[column]
    if isinstance(filter_, dict):
        return _range(column, kind, filter_)
    values = filter_ if isinstance(filter_, list) else [filter_]
    if not values or len(values) > _MAX_VALUES:
        raise RequestError(
            f"filter '{column}' got {len(values)} values; expected 1 to {_MAX_VALUES}"
        )
    return OneOf(column, tuple(_value(column, kind, value) for value in values))


def _range(column: str, kind: ColumnKind, ends: dict[str, Any]) -> Condition:
    unknown = sorted(ends.keys() - _ENDS.keys())
    if unknown or not ends:
        raise RequestError(
            f"filter '{column}' got {unknown or 'an empty range'}; expected min, max or both"
        )
    if kind == "list":
        raise RequestError(f"filter '{column}' is a list column; expected values, not a range")
    return Every(
        tuple(
            Compare(column, _ENDS[end], _value(column, kind, value)) for end, value in ends.items()
        )
    )


def _value(column: str, kind: ColumnKind, value: Any) -> Value:
    """The value as the column stores it; booleans are the numbers 0 and 1."""
    if kind == "number" and isinstance(value, bool | int | float) and abs(value) < 2**63:
        return float(value)
    if kind != "number" and isinstance(value, str):
        return value
    expected = "a number" if kind == "number" else "text"
    raise RequestError(f"filter '{column}' got {value!r}; expected {expected}")


def _stored(value: Value) -> Value:
    """Half a surrogate pair is no text, and no item has it."""
    return value.encode(errors="replace").decode() if isinstance(value, str) else value


def quoted(name: str) -> str:
    """A name as SQL writes it."""
    return '"' + name.replace('"', '""') + '"'


def marks(values: Sequence[Any]) -> str:
    """As many question marks as there are values."""
    return ", ".join("?" * len(values))
