"""Values of context as people read them: a day by its name, an hour as a time of day.

Leaves to others: which context there is (things.py), other languages (phrases.py, text.py).
"""

from __future__ import annotations

import calendar
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from crossrec.domains.spec import ContextField

MINUTES = 24 * 60


def readable(
    field: ContextField | None, known: Sequence[str], value: NDArray[np.float32] | float
) -> str:
    """One value of a context field.

    Args:
        field: None: a field of which nothing is known.
        known: values of a category.
        value: as in `Queries.context`: a number, the place of a category among `known`, or two
            degrees. Days count from Monday, 0; months from January, 1, so that 0 is December.

    >>> day = ContextField(name="weekday", kind="cycle", period=7)
    >>> readable(day, [], 5.0), readable(day.model_copy(update={"name": "hour"}), [], 20.5)
    ('Saturday', '20:30')
    """
    if np.ndim(value):
        return ", ".join(f"{degree:.4g}" for degree in np.asarray(value))
    number = float(value)
    if field is None:
        return f"{number:g}"
    if field.kind == "category":
        if not 0 <= int(number) < len(known):
            return f"{number:g}"
        return _named(field, known[int(number)])
    return _moment(field, number)


def _named(field: ContextField, text: str) -> str:
    """A category; of a moment it may be a number that was read as text."""
    return _moment(field, float(text)) if text.isdecimal() else text


def _moment(field: ContextField, number: float) -> str:
    meaning = field.derive or field.name
    if meaning == "weekday" and number in range(7):
        return calendar.day_name[int(number)]
    if meaning == "month" and number in range(13):
        return calendar.month_name[int(number) or 12]
    if meaning == "hour" and 0 <= number <= 24:
        hours, minutes = divmod(round(number * 60) % MINUTES, 60)
        return f"{hours}:{minutes:02}"
    return f"{number:g}"
