"""Sentences from the figures of an explanation, and from nothing else, in several languages.

Leaves to others: the figures (contributions.py, counterfactuals.py), the words (phrases.py), other
words for the same (reword.py).
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from crossrec.explanation.paths import Path
from crossrec.explanation.phrases import FUNCTION_WORDS, PHRASES, Language, Phrases
from crossrec.serving.messages import Part

SHARE = 0.2
"""A kind of reason is named if it is at least this share of all that speaks for the item, or if
one part of it is more than each thing (item, word, field, objective) that is named so."""
MOST = {"history": 2, "request": 3, "context": 2, "popularity": 1, "objective": 2}
"""Reasons of one kind that a sentence names."""
NEAR = 0.5
"""Of one kind those are named that are at least this share of its largest."""
AGAINST = 0.5
"""What speaks against the item is named if it is this share of the largest reason for it."""
MOST_SHARING = 2
"""Items of the history that a sentence about a shared entity names."""
MOST_MOVING = 3
"""Things that a sentence about a rating names."""


def sentence(parts: Sequence[Part], language: Language = "en") -> str:
    """Why, in one sentence: the largest parts that raise the score, in words.

    >>> def part(kind, label, value):
    ...     return Part(kind=kind, name=label, label=label, value=value)
    >>> sentence([part("history", "Alien", 2.0), part("context", "weather = rain", 1.0)])
    'Because you chose “Alien” and weather is rain.'
    >>> sentence([part("popularity", "popularity", 1.0), part("base", "base", 9.0)], "zh")
    '因为它很受欢迎。'
    >>> [sentence([part("context", "weekday = Sunday", 1.0)], one) for one in ("en", "zh")]
    ['Because the day is Sunday.', '因为这一天为星期日。']
    """
    says = PHRASES[language]
    reasons = [part for part in parts if part.kind in MOST]
    clauses = [_clause(kind, named, says) for kind, named in _named(reasons).items()]
    if not clauses:
        return _without_reason(parts, says)
    against = min(reasons, key=lambda part: part.value)
    largest = max(part.value for part in reasons)
    end = ""
    if against.value < -AGAINST * largest:
        end = says.although.format(_against(against, says))
    reason = says.also.join(filter(None, [says.several.join(clauses[:-1]), clauses[-1]]))
    return says.because.format(reasons=reason, against=end)


def rating_sentence(parts: Sequence[Part], language: Language = "en") -> str:
    """The same of a score that is a rating: what anybody would give, and what moves it for you.
    With what objectives gave a score is no rating any more, and `sentence` says why.

    >>> def part(kind, label, value):
    ...     return Part(kind=kind, name=label, label=label, value=value)
    >>> rating_sentence([part("history", "Alien", 0.5), part("base", "base", 3.9)])
    'Somebody unknown would give it 3.9; your opinion of “Alien” raises that to 4.4.'
    >>> rating_sentence([part("base", "base", 3.9)])
    'Somebody unknown would give it 3.9; nothing that is known of you changes that.'
    """
    if any(part.kind == "objective" for part in parts):
        return sentence(parts, language)
    says = PHRASES[language]
    moving = [part for part in parts if part.kind not in ("base", "popularity")]
    change = sum(part.value for part in moving)
    usual = sum(part.value for part in parts) - change
    before, after = f"{usual:.1f}", f"{usual + change:.1f}"
    if before == after:
        return says.usual.format(before=before, rest=says.unchanged)
    along = sorted((p for p in moving if p.value * change > 0), key=lambda p: -abs(p.value))
    named = [p for p in along[:MOST_MOVING] if abs(p.value) >= NEAR * abs(along[0].value)]
    verb = (says.raises if change > 0 else says.lowers)[len(named) > 1]
    rest = says.changes.format(things=_moving(named, says), verb=verb, after=after)
    return says.usual.format(before=before, rest=rest)


def without_sentence(
    labels: Sequence[str], rank: int, k: int, language: Language = "en", *, is_smallest: bool = True
) -> str:
    """What happens without history items; of several also whether fewer would do.

    >>> without_sentence(["Alien"], 14, 10)
    'Without “Alien” it would be number 14, not among the first 10.'
    >>> without_sentence(["Alien", "Heat"], 14, 10)[-35:]
    '; fewer of your items would not do.'
    >>> without_sentence(["Alien", "Heat"], 14, 10, is_smallest=False)[-53:]
    '; each of these is needed, but fewer others might do.'
    """
    says = PHRASES[language]
    things = join([says.quoted.format(label) for label in labels], says)
    least = says.smallest if is_smallest else says.minimal
    return says.without.format(things=things, rank=rank, k=k, least=least * (len(labels) > 1))


def unknown_sentence(field: str, rank: int, k: int, language: Language = "en") -> str:
    """What happens if a context field is not told."""
    says = PHRASES[language]
    return says.unknown.format(name=says.fields.get(field, field), rank=rank, k=k)


def contrast_sentence(
    ours: str, theirs: str, differences: Sequence[Part], language: Language = "en"
) -> str:
    """Why one item is above another: the largest differences of their parts, or a rule of the list
    (a pin, a limit) where its score is not the larger one.

    Args:
        ours, theirs: titles.
        differences: value: part of ours less that of theirs; they sum to the gap.

    >>> parts = [Part(kind="history", name="a", label="Alien", value=2.0)]
    >>> contrast_sentence("Heat", "Speed", parts)
    '“Heat” is above “Speed” by 2.00, mostly for “Alien”.'
    """
    says = PHRASES[language]
    gap = sum(part.value for part in differences)
    titles = {"ours": says.quoted.format(ours), "theirs": says.quoted.format(theirs)}
    if gap < 0 and f"{-gap:.2f}" != "0.00":
        return says.placed.format(**titles, gap=f"{-gap:.2f}")
    ranked = sorted(differences, key=lambda part: -part.value)
    along = [p for p in ranked[:MOST_MOVING] if p.value > 0 and p.value >= NEAR * ranked[0].value]
    reasons = says.mostly.format(join([_thing(p, says) for p in along], says)) if along else ""
    if along and ranked[-1].value < -AGAINST * along[0].value:
        reasons += says.less.format(_thing(ranked[-1], says))
    return says.above.format(**titles, gap=f"{abs(gap):.2f}", reasons=reasons)


def similar_sentence(n: int, common: int, chose: int, language: Language = "en") -> str:
    """How many users like this one chose the item; nobody of them is named."""
    return PHRASES[language].similar.format(n=n, common=common, chose=chose)


def shares_sentence(
    path: Path, labels: Sequence[str], n_items: int, language: Language = "en"
) -> str:
    """What the item shares with items of the history.

    >>> from crossrec.explanation.paths import Fact
    >>> path = Path(Fact("director", "d1", "Ridley Scott", 3), (7,), 6.3)
    >>> shares_sentence(path, ["Alien"], 1682)
    'The same director as “Alien” (Ridley Scott), which 3 of 1682 items share.'
    """
    says, fact = PHRASES[language], path.fact
    named = labels[:MOST_SHARING]
    return says.shares.format(
        relation=says.relations.get(fact.relation, fact.relation),
        others=join([says.quoted.format(label) for label in named], says),
        entity=says.named.format(fact.label) if fact.label else "",
        n=fact.n,
        n_items=n_items,
    )


def part_label(part: Part, language: Language = "en") -> str:
    """A part's label for tables and charts, in words of that language; titles stay as they are.

    >>> part_label(Part(kind="context", name="weekday", label="weekday = Sunday", value=1.0), "zh")
    '这一天 = 星期日'
    """
    if language == "en":
        return part.label
    says = PHRASES[language]
    if part.kind == "context":
        return _field(part, "{name} = {value}", says)
    if part.name == "earlier":
        return _quoted(part, says)
    if part.kind == "history" and part.label.startswith("not "):
        return says.disliked.format(_liked(part).label)
    return part.label if part.kind in ("history", "request") else _thing(part, says)


def _thing(part: Part, says: Phrases) -> str:
    """A part of any kind as a noun, in few words."""
    if part.kind == "objective":
        return says.objectives.get(part.label, part.label)
    if part.kind in ("popularity", "base"):
        return says.kinds.get(part.kind, part.label)
    if part.kind == "context":
        return _field(part, says.being, says)
    if part.kind == "history" and part.label.startswith("not "):
        return says.dislike.format(_quoted(_liked(part), says))
    return _quoted(part, says)


def _moving(parts: Sequence[Part], says: Phrases) -> str:
    """Parts of a rating by kind: your opinions of these, your words, what is true now."""
    # opinions, not ratings: a mere `like` is among them
    rated = [_quoted(_liked(part), says) for part in parts if part.kind == "history"]
    said = [_quoted(part, says) for part in parts if part.kind == "request"]
    things = [says.opinions[len(rated) > 1].format(join(rated, says))] if rated else []
    things += [says.words.format(join(said, says))] if said else []
    things += [_field(p, says.being, says) for p in parts if p.kind == "context"]
    return join(things, says)


def _named(reasons: Sequence[Part]) -> dict[str, list[Part]]:
    """What a sentence names of each kind that it names, the kind with the largest sum first."""
    kinds = {kind: [part for part in reasons if part.kind == kind] for kind in MOST}
    sums = {kind: sum(part.value for part in members) for kind, members in kinds.items()}
    largest = {kind: _largest(kind, kinds[kind]) for kind in MOST if sums[kind] > 0}
    enough = SHARE * sum(sums[kind] for kind in largest)
    # Popularity is one part for a whole kind: no word and no item would ever be more.
    things = [
        part.value
        for kind, members in largest.items()
        if sums[kind] >= enough and kind != "popularity"
        for part in members
    ]
    most = max(things, default=math.inf)
    named = [
        kind
        for kind, members in largest.items()
        if sums[kind] >= enough or max(part.value for part in members) > most
    ]
    return {kind: largest[kind] for kind in sorted(named, key=lambda kind: -sums[kind])}


def _largest(kind: str, members: Sequence[Part]) -> list[Part]:
    """The largest reasons of one kind, in the order given; older items in a group, and function
    words, only where nothing else is.

    >>> def word(label, value):
    ...     return Part(kind="request", name=label, label=label, value=value)
    >>> words = [word("space", 1.0), word("with", 0.8), word("robots", 0.7)]
    >>> [part.label for part in _largest("request", words)]
    ['space', 'robots']
    """
    speaking = [part for part in members if part.value > 0]
    alone = [part for part in speaking if not _says_little(part)] or speaking
    largest = sorted(alone, key=lambda part: -part.value)[: MOST[kind]]
    enough = NEAR * largest[0].value
    named = {id(part) for part in largest if part.value >= enough}
    return [part for part in members if id(part) in named]  # words in the order of the request


def _says_little(part: Part) -> bool:
    return part.name == "earlier" or (
        part.kind == "request" and part.label.casefold() in FUNCTION_WORDS
    )


def _clause(kind: str, chosen: Sequence[Part], says: Phrases) -> str:
    """Reasons of one kind as a clause."""
    if kind == "history":
        return says.chose.format(join([_quoted(part, says) for part in chosen], says))
    if kind == "request":
        return says.asked.format(join([_quoted(part, says) for part in chosen], says))
    if kind == "context":
        return says.fields_and.join(_field(part, says.field, says) for part in chosen)
    if kind == "objective":
        return says.objective.format(join([_thing(part, says) for part in chosen], says))
    return says.popular


def _field(part: Part, phrase: str, says: Phrases) -> str:
    """`weather = rain` in words."""
    name, _, value = part.label.partition(" = ")
    name, value = says.fields.get(name, name), says.values.get(value, value)
    return phrase.format(name=name, value=value) if value else name


def _liked(part: Part) -> Part:
    """A disliked item by its title."""
    return part.model_copy(update={"label": part.label.removeprefix("not ")})


def _quoted(part: Part, says: Phrases) -> str:
    """“Title”; a group of older history items is no title."""
    if part.name == "earlier":
        return says.earlier.format(part.label.partition(" ")[0])
    return says.quoted.format(part.label)


def _against(part: Part, says: Phrases) -> str:
    if part.kind == "popularity":
        return says.not_popular
    if part.kind == "history" and part.label.startswith("not "):
        return says.turned_down.format(_quoted(_liked(part), says))
    return says.speaks_against.format(_thing(part, says))


def _without_reason(parts: Sequence[Part], says: Phrases) -> str:
    known = ("history", "request", "context")
    return says.lacking if any(part.kind in known for part in parts) else says.for_everybody


def join(words: Sequence[str], says: Phrases = PHRASES["en"]) -> str:
    """A list in words.

    >>> join(["a"]), join(["a", "b"]), join(["a", "b", "c"])
    ('a', 'a and b', 'a, b and c')
    """
    return says.last.join(filter(None, [says.several.join(words[:-1]), words[-1]]))
