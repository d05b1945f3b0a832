"""What charts of the package say: titles of axes, legends and tooltips, names of parts and signals.

Leaves to others: the Chinese itself (zh.yaml), the drawn chart with these words exchanged
(drawn.py), names that come from data, which stay as they are.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import cache

from app_pages.words import chinese

TITLES = [
    "score (no unit; higher ranks first)", "Part", "Signal", "Model", "Trial", "Known from",
    "{name} (higher is better), 95 % intervals", "{name} (higher is better)",
    "{name} (lower is better)", "{name}, {n} users", "part", "setting", "value", "requests",
    "trial (in order of start)", "validation {name} (dashed: best so far)", "epoch",
    "position in the history", "time (UTC)", "rank", "share of the catalogue, most popular first",
    "share of all", "how sure the scores were of the first item", "how often it was right", "share",
    "smallest to largest", "seconds of training, all trials so far", "weight (relevance: 1)", "to",
    "begins with", "day (UTC)", "events",
    "requests a second",
    "PCA to {n} directions, then t-SNE (perplexity {p})", "mean milliseconds in a replica",
]  # fmt: skip
"""Titles that charts give to axes and legends; `{…}` stands for what is from data."""
LABELS = [
    "base", "popularity", "history", "request", "context", "objective", "other", "score",
    "sequence", "collaborative", "neighbours", "text", "wording",
    "lexical", "asked", "profile", "newness",
    "training", "feedback", "complete", "stopped early", "failed", "ours", "baseline", "published",
    "up or new", "same", "down or gone", "before", "after", "interactions", "shown", "{n} more",
    "{n} earlier items", "others", "new in the first 10", "up", "down", "out of the first 10",
    "like", "dislike", "click", "view", "purchase", "impression", "rating", "scratch",
    "admit", "filter", "queue", "tokenise", "encode", "log", "read", "search", "rank", "explain",
    "answer", "RUNNING", "DEPLOYING", "DEPLOY_FAILED", "UNHEALTHY",
]  # fmt: skip
"""Names on axes and in legends that are no data."""


def say(text: str) -> str:
    """One title or name, or as it is where it is no word of the app's."""
    return filled_in(text, (*TITLES, *LABELS))


def filled_in(text: str, known: tuple[str, ...]) -> str:
    """The Chinese of a text that is one of `known`, or one of them filled in; else the text."""
    if text in known and text in chinese():
        return chinese()[text]
    for pattern, template in _templates(known):
        if found := pattern.fullmatch(text):
            return template(**found.groupdict())
    return text


@cache
def _templates(known: tuple[str, ...]) -> list[tuple[re.Pattern[str], Callable[..., str]]]:
    """Those of the texts that hold what is from data."""
    found = []
    for text in known:
        if "{" in text:
            pattern = re.sub(r"\\\{(\w+)\\\}", r"(?P<\1>.+)", re.escape(text))
            found.append((re.compile(pattern), chinese()[text].format))
    return found
