"""Ways through a knowledge graph from what a user had to an item: entities that both share.

Leaves to others: which items share what (releases/catalogue.py), words (text.py).
Sizes: N items of the catalogue, n of them share an entity.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

MOST = 3
"""Ways that are told, the strongest."""


class Fact(NamedTuple):
    """An item's tie to an entity that other items have as well."""

    relation: str
    """In a word or two: director, actor, mentions."""
    entity: str
    label: str
    """Name of the entity; empty where the source has none."""
    n: int
    """Items with the same tie."""


@dataclass(frozen=True)
class Path:
    """Items of the history that share an entity with the item."""

    fact: Fact
    items: tuple[int, ...]
    """item_idx, in the order of the history."""
    strength: float
    """log(N / n): what it tells that two items share it; 0 for what all items have. Source: inverse
    document frequency, Spärck Jones 1972, with items as documents and entities as terms."""


def paths(
    item: Sequence[Fact], history: Mapping[int, Sequence[Fact]], n_items: int, most: int = MOST
) -> list[Path]:
    """The strongest ways from the history to the item; of equal ones those from more items. Of ways
    that no name tells apart there is one: they read alike.

    Args:
        item: ties of the item.
        history: item_idx → ties, of each item that the user had.
        n_items: N.

    >>> film = [Fact("director", "d1", "Scott", 2), Fact("language", "en", "English", 90)]
    >>> [(p.fact.label, p.items) for p in paths(film, {7: film[:1], 8: film[1:]}, 100)]
    [('Scott', (7,)), ('English', (8,))]
    """
    found = []
    had = {idx: {(f.relation, f.entity) for f in facts} for idx, facts in history.items()}
    for fact in item:
        sharing = tuple(idx for idx, of in had.items() if (fact.relation, fact.entity) in of)
        if sharing and fact.n < n_items:
            found.append(Path(fact, sharing, math.log(n_items / fact.n)))
    found.sort(key=lambda path: (-path.strength, -len(path.items), path.fact.relation))
    told: dict[tuple[object, ...], Path] = {}
    for path in found:
        told.setdefault(_reading(path), path)
    return list(told.values())[:most]


def _reading(path: Path) -> tuple[object, ...]:
    """What somebody reads of it; of entities with a name also which one it is."""
    fact = path.fact
    return fact.relation, fact.entity if fact.label else "", fact.n, path.items
