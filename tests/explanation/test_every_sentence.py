"""Every kind of sentence, in both languages: true ones pass the check, invented ones do not."""

from __future__ import annotations

import pytest

from crossrec.explanation.grounding import invented
from crossrec.explanation.paths import Fact, Path
from crossrec.explanation.phrases import LANGUAGES, Language
from crossrec.explanation.text import (
    contrast_sentence,
    rating_sentence,
    sentence,
    shares_sentence,
    similar_sentence,
    unknown_sentence,
    without_sentence,
)
from crossrec.serving.messages import Part
from tests.benchmarks.invented_names import Told, wrong

TITLES = ["Alien (1979)", "Heat (1995)", "Solaris (1972)", "Stalker (1979)"]
PARTS = [
    Part(kind="history", name="1", label="Alien (1979)", value=2.0),
    Part(kind="context", name="hour", label="hour = 20:00", value=1.5),
    Part(kind="base", name="base", label="base", value=3.0),
]
PATH = Path(Fact("director", "d1", "Ridley Scott", 3), (0,), 6.3)
SAID = {
    "reason": lambda of: sentence(PARTS, of),
    "rating": lambda of: rating_sentence(PARTS, of),
    "contrast": lambda of: contrast_sentence("Heat (1995)", "Alien (1979)", PARTS, of),
    "placed": lambda of: contrast_sentence(
        "Alien (1979)",
        "Heat (1995)",
        [part.model_copy(update={"value": -part.value}) for part in PARTS],
        of,
    ),
    "history": lambda of: without_sentence(["Alien (1979)", "Heat (1995)"], 14, 10, of),
    "minimal": lambda of: without_sentence(
        ["Alien (1979)", "Heat (1995)"], 14, 10, of, is_smallest=False
    ),
    "context": lambda of: unknown_sentence("hour", 14, 10, of),
    "similar users": lambda of: similar_sentence(32, 13, 12, of),
    "path": lambda of: shares_sentence(PATH, ["Alien (1979)"], 1682, of),
}
NAMES = ["Alien (1979)", "Heat (1995)", "hour", "20:00", "Ridley Scott", "director"]
NUMBERS = ["14", "10", "32", "13", "12", "3", "1682", "6.50", "3.0", "6.5"]


@pytest.mark.parametrize("language", LANGUAGES)
@pytest.mark.parametrize("kind", SAID)
def test_each_kind_of_sentence(kind: str, language: Language) -> None:
    true = SAID[kind](language)
    lies = {
        "another title": true.replace("Alien", "Solaris").replace("32", "31") + "“Stalker”",
        "another number": true + " 7",
        "a name of nobody": true + " Tarkovsky",
    }
    assert invented(true, true) == []
    of = Told(kind, true, frozenset(NAMES), frozenset(NUMBERS), language)
    assert wrong(of, TITLES) == []
    for lie in lies.values():
        assert invented(lie, true)
    for name in ("another title", "another number"):  # titles are all the names that it knows
        assert wrong(Told(kind, lies[name], of.names, of.numbers, language), TITLES)
