"""Reads the context of a request into the arrays that scoring takes.

Leaves to others: which fields a domain has (domains/spec.py), their meaning (models/context.py).
"""

from __future__ import annotations

import math
from datetime import UTC, datetime

import numpy as np
from numpy.typing import NDArray

from crossrec.data.vocabulary import Vocabulary
from crossrec.domains.spec import ContextField, Domain
from crossrec.errors import RequestError, suggest

Given = str | float | list[float]


def read_context(
    domain: Domain, vocabulary: Vocabulary, given: dict[str, Given], now: float
) -> dict[str, NDArray[np.float32]]:
    """Every field of the domain as an array of one row, NaN where nothing is known of it.

    A field that the domain derives from the clock (hour, weekday, month, UTC) is taken from
    `now`, in seconds since 1970, where the request does not give it; what the last item says is
    left to who knows the history (questions.py).

    Raises:
        RequestError: no such field, or a value that the field cannot have; near matches named.
    """
    fields = {field.name: field for field in domain.context}
    for name in given:
        if name not in fields:
            raise RequestError(f"no context field '{name}': {suggest(name, fields)}")
    return {
        name: _read(field, vocabulary.context_values.get(name, []), given.get(name), now)
        for name, field in fields.items()
    }


def restrictions(domain: Domain, given: dict[str, Given]) -> list[dict[str, str]]:
    """What fields that restrict candidates ask of items, each as a filter: column → value.

    Only what the request gives restricts, never what is derived: somebody whose last place was in
    Vienna may be asking for Osaka.
    """
    fields = {field.name: field.restricts for field in domain.context if field.restricts}
    return [{fields[name]: _text(value)} for name, value in given.items() if name in fields]


def _text(value: Given) -> str:
    return f"{value:g}" if isinstance(value, float) else str(value)


def _read(
    field: ContextField, known: list[str], value: Given | None, now: float
) -> NDArray[np.float32]:
    if field.kind == "place":
        place = [math.nan, math.nan] if value is None else _place(field, value)
        return np.array([place], np.float32)
    if value is None:
        number = _derived(field, known, now)
    elif field.kind == "category":
        number = _category(field, known, value)
    else:
        number = _number(field, value)
    return np.array([number], np.float32)


def _derived(field: ContextField, known: list[str], now: float) -> float:
    if field.derive is None or field.derive == "last_item":
        return math.nan
    moment = datetime.fromtimestamp(now, UTC)
    value = {"hour": moment.hour, "weekday": moment.weekday(), "month": moment.month}[field.derive]
    if field.kind == "category":
        return float(known.index(str(value))) if str(value) in known else math.nan
    return float(value)


def _category(field: ContextField, known: list[str], value: Given) -> float:
    text = _text(value)
    if isinstance(value, list) or text not in known:
        raise RequestError(f"context field '{field.name}' got {value!r}: {suggest(text, known)}")
    return float(known.index(text))


def _number(field: ContextField, value: Given) -> float:
    try:
        number = float(value) if isinstance(value, str | int | float) else math.nan
    except ValueError:
        number = math.nan
    if not math.isfinite(number):
        raise RequestError(f"context field '{field.name}' got {value!r}; expected a number")
    if field.period and not 0 <= number <= field.period:
        raise RequestError(
            f"context field '{field.name}' got {value!r}; expected 0 to {field.period:g}"
        )
    return number % field.period if field.period else number


def _place(field: ContextField, value: Given) -> list[float]:
    if isinstance(value, list) and len(value) == 2:
        latitude, longitude = value
        if abs(latitude) <= 90 and abs(longitude) <= 180:
            return value
    raise RequestError(
        f"context field '{field.name}' got {value!r};"
        " expected [latitude, longitude] in degrees, -90 to 90 and -180 to 180"
    )
