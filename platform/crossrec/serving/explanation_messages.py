"""What goes over HTTP when somebody asks why one item was recommended.

Leaves to others: all other messages (messages.py), how it is found out (explaining.py).
"""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict

from crossrec.explanation.phrases import Language
from crossrec.serving.messages import Explanation, Part, RecommendRequest, Text


class _Message(BaseModel):
    model_config = ConfigDict(extra="forbid", hide_input_in_errors=True)


class ExplainRequest(_Message):
    """Why an item is in the answer to a request."""

    request: RecommendRequest
    """What was asked; it is answered again."""
    request_id: Text | None = None
    """Of the answer: with it the same release explains that gave the answer, with the same weights,
    where an experiment runs or weights are learned."""
    item_id: Text
    """An item of the answer."""
    against: Text | None = None
    """Another item of the answer, that it is compared with; None: the next one."""
    language: Language = "en"
    counterfactuals: bool = True
    """Whether to look for what would take the item out; the search is half of the time."""
    text_parts: bool = True
    """Whether to take out the words of the item's text one by one; each is encoded anew."""


class Counterfactual(_Message):
    """What had to be different for the item not to be in the answer, verified by ranking again."""

    kind: Literal["history", "context"]
    names: list[str]
    """Item ids that the user had not had, or the one context field that was not known."""
    labels: list[str]
    rank: int
    """Where the item then is, as far as was looked: right after the answer at least."""
    is_smallest: bool = True
    """No smaller set of history items does it: all were tried. Otherwise each of them is needed,
    but there were too many smaller sets to try them all."""
    sentence: str


class Contrast(_Message):
    """Why an item is above another, or below it."""

    item_id: str
    title: str
    rank: int
    """Of the other."""
    gap: float
    """Score less that of the other; the parts sum to it."""
    parts: list[Part]
    sentence: str


class SimilarUsers(_Message):
    """What users with items in common chose, in counts of groups that are large enough."""

    n: int
    common: int
    """Items that each of them has in common with the user, at least."""
    chose: int
    """How many of them had the item."""
    sentence: str


class SharedEntity(_Message):
    """A way through the knowledge graph from items of the history to the item."""

    relation: str
    entity: str
    item_ids: list[str]
    """Of the history."""
    labels: list[str]
    n: int
    """Items of the catalogue that share the entity."""
    strength: float
    """log(N / n): the rarer, the stronger."""
    sentence: str


class ItemWord(_Message):
    """A word of the item's own text, or a run of words where it has many."""

    word: str
    value: float


class ExplainResponse(_Message):
    """All that is known of why."""

    domain: str
    release: str
    item_id: str
    title: str
    rank: int
    score: float
    signals: dict[str, float]
    """They sum to relevance."""
    explanation: Explanation
    counterfactuals: list[Counterfactual]
    """At most one of each kind; none: the search found none."""
    contrast: Contrast | None = None
    similar_users: SimilarUsers | None = None
    """None: the groups are too small to be told."""
    text_parts: list[ItemWord] = []
    """What the words of the item's own text give: they sum to the signals `text` and `request`, of
    which the second alone is told apart where the release has an adapter. Empty where no
    signal reads texts here, or the encoder does not answer."""
    paths: list[SharedEntity] = []
