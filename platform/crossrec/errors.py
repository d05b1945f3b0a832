"""Every error that crossrec raises on purpose, so that callers catch by meaning.

Leaves to others: HTTP status codes (serving/gateway.py) and exit codes (commands/output.py).
A message is one sentence or two: what was got, what was expected, what to do.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable


class CrossrecError(Exception):
    """Base of the family; catch it to catch all that a user or a file can cause."""


class ConfigError(CrossrecError):
    """A setting or a domain's YAML is wrong. Not for wrong rows: see DataError."""


class DataError(CrossrecError):
    """A table, a column or too many rows are wrong. Not for a failed download: see SourceError."""


class SourceError(CrossrecError):
    """A source could not be fetched or its checksum differs. Not for what is inside it."""


class EncoderError(CrossrecError):
    """The text encoder or an adapter could not be loaded, or does not fit the other."""


class TrainingError(CrossrecError):
    """Training or tuning cannot go on: diverged, no cluster, not enough resources."""


class ReleaseError(CrossrecError):
    """A release is missing, half written, altered or made for other versions."""


class UnknownReleaseError(ReleaseError):
    """A domain has no release of that version. Not for one that is damaged: see ReleaseError."""


class UnknownDomainError(CrossrecError):
    """No domain has that name, or none that has a release or is served."""


class UnknownItemError(CrossrecError):
    """An item id is in no catalogue row."""


class RequestError(CrossrecError):
    """A well-formed request asks for something impossible (k of 0, a filter on no column)."""


class AuthError(CrossrecError):
    """No key, a wrong key, or a key without the scope; `status` is 401 or 403."""

    def __init__(self, message: str, status: int = 401) -> None:
        super().__init__(message)
        self.status = status


class ServiceError(CrossrecError):
    """The service did not answer, or failed by its own fault (client side).

    `status` is the HTTP status, or None where there was no answer at all.
    """

    def __init__(self, message: str, status: int | None = None) -> None:
        super().__init__(message)
        self.status = status


def error_class(name: str, default: type[CrossrecError]) -> type[CrossrecError]:
    """The class that another process named in its answer; `default` where it is none of these.

    >>> error_class("DataError", ServiceError).__name__, error_class("int", ServiceError).__name__
    ('DataError', 'ServiceError')
    """
    found = globals().get(name)
    if isinstance(found, type) and issubclass(found, CrossrecError):
        return found
    return default


def suggest(name: str, allowed: Iterable[str]) -> str:
    """End of a message on a misspelt `name`: near matches, else all that is allowed.

    >>> suggest("moveis", ["movies", "grocery"])
    "did you mean 'movies'?"
    >>> suggest("x", ["b", "a"])
    'expected one of: a, b'
    """
    names = sorted(allowed)
    near = difflib.get_close_matches(name, names, n=2, cutoff=0.6)
    if near:
        return "did you mean " + " or ".join(repr(n) for n in near) + "?"
    return "expected one of: " + ", ".join(names) if names else "there is none yet"
