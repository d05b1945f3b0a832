"""What items must satisfy, as a tree: what filters and expressions come to.

Values only. Leaves to others: reading expressions (expressions.py), which items satisfy a
condition (releases/conditions.py).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Operator = Literal["==", "!=", "<", "<=", ">", ">="]
Value = float | str


@dataclass(frozen=True)
class Compare:
    """A number or a text beside a value; texts are compared letter by letter, so ISO dates fit."""

    column: str
    operator: Operator
    value: Value


@dataclass(frozen=True)
class OneOf:
    """The value is among some; of a list column: one of its entries is."""

    column: str
    values: tuple[Value, ...]


@dataclass(frozen=True)
class Contains:
    """A text column holds these letters somewhere, upper and lower case apart."""

    column: str
    text: str


@dataclass(frozen=True)
class Missing:
    """The item has no value."""

    column: str


@dataclass(frozen=True)
class Not:
    """Not so; where nothing is known, neither a condition nor its opposite holds."""

    inner: Condition


@dataclass(frozen=True)
class Every:
    """All hold."""

    parts: tuple[Condition, ...]


@dataclass(frozen=True)
class Some:
    """At least one holds."""

    parts: tuple[Condition, ...]


Condition = Compare | OneOf | Contains | Missing | Not | Every | Some
