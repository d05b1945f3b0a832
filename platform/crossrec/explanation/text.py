"""One English sentence from the parts of an explanation, and from nothing else.

Leaves to others: the figures (contributions.py).
"""

from __future__ import annotations

from collections.abc import Sequence

from crossrec.serving.messages import Part

SHARE = 0.2
"""A kind of reason is named if it is at least this share of all that speaks for the item."""
MOST = {"history": 2, "request": 3, "context": 2, "popularity": 1}
"""Reasons of one kind that a sentence names."""
NEAR = 0.5
"""Of one kind those are named that are at least this share of its largest."""
AGAINST = 0.5
"""What speaks against the item is named if it is this share of the largest reason for it."""
MOST_MOVING = 3
"""Things that a sentence about a rating names."""


def sentence(parts: Sequence[Part]) -> str:
    """Why, in one sentence: the largest parts that raise the score, in words.

    >>> def part(kind, label, value):
    ...     return Part(kind=kind, name=label, label=label, value=value)
    >>> sentence([part("history", "Alien", 2.0), part("context", "weather = rain", 1.0)])
    'Because you chose “Alien” and weather is rain.'
    >>> sentence([part("popularity", "popularity", 1.0), part("base", "base", 9.0)])
    'Because it is popular.'
    """
    kinds = {kind: [part for part in parts if part.kind == kind] for kind in MOST}
    sums = {kind: sum(part.value for part in members) for kind, members in kinds.items()}
    enough = SHARE * sum(value for value in sums.values() if value > 0)
    named = [kind for kind in MOST if sums[kind] > 0 and sums[kind] >= enough]
    clauses = [_clause(kind, kinds[kind]) for kind in sorted(named, key=lambda k: -sums[k])]
    if not clauses:
        return _without_reason(parts)
    reasons = [part for members in kinds.values() for part in members]
    against = min(reasons, key=lambda part: part.value)
    largest = max(part.value for part in reasons)
    end = f", although {_against(against)}" if against.value < -AGAINST * largest else ""
    return f"Because {_join(clauses)}{end}."


def rating_sentence(parts: Sequence[Part]) -> str:
    """The same of a score that is a rating: what anybody would give, and what moves it for you.

    >>> def part(kind, label, value):
    ...     return Part(kind=kind, name=label, label=label, value=value)
    >>> rating_sentence([part("history", "Alien", 0.5), part("base", "base", 3.9)])
    'Somebody unknown would give it 3.9; your opinion of “Alien” raises that to 4.4.'
    >>> rating_sentence([part("base", "base", 3.9)])
    'Somebody unknown would give it 3.9; nothing that is known of you changes that.'
    """
    moving = [part for part in parts if part.kind not in ("base", "popularity")]
    change = sum(part.value for part in moving)
    usual = sum(part.value for part in parts) - change
    before, after = f"{usual:.1f}", f"{usual + change:.1f}"
    start = f"Somebody unknown would give it {before};"
    if before == after:
        return f"{start} nothing that is known of you changes that."
    along = sorted((p for p in moving if p.value * change > 0), key=lambda p: -abs(p.value))
    named = [p for p in along[:MOST_MOVING] if abs(p.value) >= NEAR * abs(along[0].value)]
    verb = ("raise" if change > 0 else "lower") + ("s" if len(named) == 1 else "")
    return f"{start} {_moving(named)} {verb} that to {after}."


def _moving(parts: Sequence[Part]) -> str:
    """Parts of a rating by kind: your opinions of these, your words, what is true now."""
    # opinions, not ratings: a mere `like` is among them
    rated = [_quoted(part).replace("“not ", "“") for part in parts if part.kind == "history"]
    said = [_quoted(part) for part in parts if part.kind == "request"]
    things = [f"your opinion{'s' * (len(rated) > 1)} of {_join(rated)}"] if rated else []
    things += [f"your words {_join(said)}"] if said else []
    things += [p.label.replace(" = ", " being ", 1) for p in parts if p.kind == "context"]
    return _join(things)


def _clause(kind: str, members: Sequence[Part]) -> str:
    """The largest reasons of one kind as a clause."""
    alone = [part for part in members if part.value > 0 and part.name != "earlier"]
    alone = alone or [part for part in members if part.value > 0]
    largest = sorted(alone, key=lambda part: -part.value)[: MOST[kind]]
    chosen = [part for part in largest if part.value >= NEAR * largest[0].value]
    chosen.sort(key=members.index)  # words in the order of the request
    if kind == "history":
        return "you chose " + _join([_quoted(part) for part in chosen])
    if kind == "request":
        return "you asked for " + _join([_quoted(part) for part in chosen])
    if kind == "context":
        return _join([part.label.replace(" = ", " is ", 1) for part in chosen])
    return "it is popular"


def _quoted(part: Part) -> str:
    """“Title”; a group of older history items is no title."""
    return part.label if part.name == "earlier" else f"“{part.label}”"


def _against(part: Part) -> str:
    if part.kind == "popularity":
        return "it is not popular"
    if part.kind == "context":
        return f"{part.label.replace(' = ', ' is ', 1)} speaks against it"
    if part.kind == "history" and part.label.startswith("not "):
        return f"you turned down “{part.label.removeprefix('not ')}”"
    return f"{_quoted(part)} speaks against it"


def _without_reason(parts: Sequence[Part]) -> str:
    if any(part.kind in MOST and part.kind != "popularity" for part in parts):
        return "Nothing that is known of you speaks for it; it is here for lack of better ones."
    return "Nothing is known of you; this is the order for everybody."


def _join(words: Sequence[str]) -> str:
    """A list in words.

    >>> _join(["a"]), _join(["a", "b"]), _join(["a", "b", "c"])
    ('a', 'a and b', 'a, b and c')
    """
    return " and ".join(filter(None, [", ".join(words[:-1]), words[-1]]))
