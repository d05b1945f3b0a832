"""Sentences that the package makes in English (errors, alerts, notes, what was not used), in the
visitor's language.

Leaves to others: the Chinese itself (zh.yaml), sentences of explanations, which the service makes
in both languages. What is not here stays English: rarer errors.
"""

from __future__ import annotations

from app_pages.chart_words import filled_in
from app_pages.words import language

SENTENCES = [
    "no crossrec service answers at {url};"
    " start one with: crossrec serve DOMAIN --open-on-loopback",
    "{url} ended the connection before it answered, so what was asked may be done or not;"
    " look with: crossrec status, then ask again",
    "{url} did not answer within {n} s",
    "{url} answered something else than expected; is it a crossrec service of this version?",
    "the service answered {status} without a reason",
    "the service has too much to do; try again in a second",
    "this needs an API key; send it as 'Authorization: Bearer KEY'"
    " (make one with: crossrec keys create NAME)",
    "this API key is unknown or was revoked",
    "the API key '{name}' was rotated and works no more",
    "the API key '{name}' has the scopes {scopes}; this needs '{scope}'",
    "this service is open to its own machine only",
    "{name} is {state}, not running",
    "{domain}: {n} of {all} requests failed",
    "{domain}: a twentieth of the answers takes over {n} ms",
    "{domain}: best scores are not what they were in the release's data (stability index {n})",
    "release {version}, seed {seed}",
    "{n} users, drawn",
    "published figures are of these cases; one seed",
    "* still improving when its time ran out: a lower bound",
    "no published figure shown: they were made on other cases",
    "{names} left out: nobody has a history",
    "{names} left out: no text vectors were given",
    "text: it has no words",
    "history item '{item}': no item has this id",
    "blocked item '{item}': no item has this id",
    "feedback on '{item}': this release has no such item",
    "no item has the id '{item}'",
    "item '{item}' is not among the {n} that are recommended; expected one of them, or a larger k",
    "NDCG@10 of the sequence model before fusion, on validation (task rate: minus RMSE)",
    "the mirror {folder}", "the wheel of {name} {version}",
    "the simulator {name} (simulated data)",
    "declared", "learned", "frozen", "resumed", "reset", "rolled back to {n}",
    "on trial", "live", "exploring {n}",
]  # fmt: skip
"""As the package writes them; `{…}` stands for what it fills in."""
OF_ROWS = [
    "missing {column}", "unknown {column}", "duplicate {column}", "{column} of a rejected item",
    "item without any text", "rating is no number", "timestamp is no time",
    "vector with a null or NaN", "vector as long as no other",
    "rating not given (NaN, NA), set to null", "{column} is no number, set to null",
    "timestamp in nanoseconds, taken to seconds", "timestamp in microseconds, taken to seconds",
    "timestamp in milliseconds, taken to seconds", "timestamp as text, taken to seconds (UTC)",
]  # fmt: skip
"""Why rows of a source were rejected, and how they were repaired."""


def said(text: str) -> str:
    """The sentence in the visitor's language, or as it is where it is none of these."""
    return text if language() == "en" else filled_in(text, tuple(SENTENCES))


def of_row(text: str) -> str:
    """The same of what became of a row, apart: these are so short that they fit other sentences."""
    return text if language() == "en" else filled_in(text, tuple(OF_ROWS))
