"""Words of an item's text: they add up to what the signals that read texts give."""

from __future__ import annotations

import numpy as np
import pytest

from crossrec.explanation.item_words import text_parts, text_scores, variants
from crossrec.models.query import Queries
from tests.small_release import SmallDomain, encode_words, make_small_domain

ITEM = 5
TEXT = "a horror film"  # the small model reads the genre of item 5, not its text


@pytest.fixture(scope="module")
def films(tmp_path_factory: pytest.TempPathFactory) -> SmallDomain:
    return make_small_domain(tmp_path_factory.mktemp("films") / "films")


def query(items: list[int], wish: str = "") -> Queries:
    request = encode_words([wish]) if wish else np.zeros((1, 8), np.float32)
    return Queries(
        items=np.array([items or [-1]], np.int32),
        times=np.arange(max(len(items), 1))[None],
        events=np.zeros((1, max(len(items), 1)), np.int16),
        now=np.array([99]),
        request=request,
        context={},
        words=(wish,) if wish else None,
    )


def parts(films: SmallDomain, one: Queries, *, adapted: bool = False) -> dict[str, float]:
    words, texts = variants(TEXT)
    vectors = encode_words(texts)
    found = text_parts(films.model, one, ITEM, words, vectors, adapted=adapted)
    return {part.word: part.value for part in found}


def test_the_word_that_is_read_has_the_share_of_the_signals(films: SmallDomain) -> None:
    one = query([2, 8], "horror")
    shares = films.model.signals(one)
    found = parts(films, one)
    total = float(shares["text"][0, ITEM] + shares["request"][0, ITEM])
    assert sum(found.values()) == pytest.approx(total, rel=1e-5)
    assert max(found, key=lambda word: found[word]) == "horror"
    assert found["a"] == pytest.approx(0, abs=1e-5)


def test_with_an_adapter_only_the_request_reads_these_vectors(films: SmallDomain) -> None:
    one = query([2, 8], "horror")
    share = float(films.model.signals(one)["request"][0, ITEM])
    assert sum(parts(films, one, adapted=True).values()) == pytest.approx(share, rel=1e-5)


def test_nobody_read_it_and_another_text_than_the_release_has(films: SmallDomain) -> None:
    assert parts(films, query([])) == {}
    words, texts = variants("a comedy film")
    vectors = encode_words(texts)
    assert text_parts(films.model, query([2]), ITEM, words, vectors, adapted=False) == []


def test_scores_of_a_kept_text_are_those_of_its_item(films: SmallDomain) -> None:
    one = query([2, 8], "horror")
    for name in ("text", "request"):
        kept = films.model.signals_by_name[name].score(one)[0, ITEM]
        found = text_scores(films.model, one, name, encode_words(["horror"]))
        assert found is not None
        assert found[0] == pytest.approx(kept, abs=1e-3)
    assert text_scores(films.model, one, "popularity", encode_words(["horror"])) is None
