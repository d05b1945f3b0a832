"""The options by which a command says what is asked for: whom, in what words, at what moment.

Leaves to others: the commands (serving.py, explaining.py), messages (serving/messages.py).
"""

from __future__ import annotations

import re
from typing import Annotated, Any

import typer
import yaml

from crossrec.errors import RequestError
from crossrec.serving.messages import MAX_K

User = Annotated[str | None, typer.Option(help="User id.")]
Words = Annotated[str | None, typer.Option(help="A wish in words.")]
History = Annotated[list[str] | None, typer.Option(help="Item id the user had before; repeatable.")]
Context = Annotated[
    list[str] | None, typer.Option(metavar="FIELD=VALUE", help="Of this moment; repeatable.")
]
Filters = Annotated[
    list[str] | None,
    typer.Option("--filter", metavar="COLUMN=VALUE", help="Items to keep; repeatable."),
]
Where = Annotated[str, typer.Option(metavar="EXPRESSION", help="Items to keep, e.g. 'price < 20'.")]
Objectives = Annotated[
    list[str] | None,
    typer.Option("--objective", metavar="NAME=WEIGHT", help="What counts how much; repeatable."),
]
Length = Annotated[int, typer.Option("-k", min=1, max=MAX_K, help="Items of the list.")]


def asked(
    user: str | None,
    text: str | None,
    history: list[str] | None,
    context: list[str] | None,
    filters: list[str] | None,
    where: str,
    objectives: list[str] | None,
    k: int,
) -> dict[str, Any]:
    """The fields of a request, as the options say them.

    Raises:
        RequestError: an option is no NAME=VALUE.
    """
    return {
        "user_id": user,
        "text": text,
        "history": [{"item_id": item_id} for item_id in history or []],
        "context": pairs("--context", context),
        "filters": pairs("--filter", filters),
        "where": where,
        "objectives": pairs("--objective", objectives),
        "k": k,
    }


def pairs(option: str, given: list[str] | None) -> dict[str, Any]:
    """`a=1` → {"a": 1}; what is no number, list or range stays text, also `no`."""
    values: dict[str, Any] = {}
    for pair in given or []:
        name, separator, value = pair.partition("=")
        if not separator or not name:
            raise RequestError(f"{option} got '{pair}'; expected NAME=VALUE, e.g. weather=rain")
        several = value.startswith(("[", "{min:", "{max:"))
        values[name] = _several(option, pair, value) if several else _value(value)
    return values


def _several(option: str, pair: str, value: str) -> list[str | float] | dict[str, str | float]:
    """The entries of `[a, b]`, or of `{min: 1, max: 2}`."""
    try:
        found = yaml.load(value, yaml.BaseLoader)
    except yaml.YAMLError:
        found = None
    entries = found.values() if isinstance(found, dict) else found or [None]
    if not all(isinstance(entry, str) for entry in entries):
        raise RequestError(
            f"{option} got '{pair}'; expected a list or range to be whole, e.g."
            " weather=[rain, snow] or 'year={min: 1990, max: 1999}'"
        )
    if isinstance(found, dict):
        return {key: _value(entry) for key, entry in found.items()}
    return [_value(entry) for entry in entries]


def _value(text: str) -> str | float:
    """A number where the text is one; `007` is none.

    >>> _value("16.5"), _value("20"), _value("no"), _value("007")
    (16.5, 20, 'no', '007')
    """
    if not re.fullmatch(r"-?(0|[1-9]\d*)(\.\d+)?", text):
        return text
    return float(text) if "." in text else int(text)
