"""Ways through the knowledge graph that read alike are told once."""

from __future__ import annotations

from crossrec.explanation.paths import Fact, paths


def actor(entity: str, label: str = "", n: int = 2) -> Fact:
    return Fact("actor", entity, label, n)


def test_what_no_name_tells_apart_is_told_once():
    film = [actor("a1"), actor("a2"), actor("a3", n=3)]
    found = paths(film, {7: film, 8: film[:1]}, 100)
    assert [(path.fact.entity, path.items) for path in found] == [
        ("a1", (7, 8)),
        ("a2", (7,)),  # of fewer items: another sentence
        ("a3", (7,)),
    ]
    assert [path.fact.entity for path in paths(film, {7: film}, 100)] == ["a1", "a3"]


def test_entities_with_names_are_each_told():
    film = [actor("a1", "Weaver"), actor("a2", "Hurt")]
    assert [path.fact.label for path in paths(film, {7: film}, 100)] == ["Weaver", "Hurt"]
