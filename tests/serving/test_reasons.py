"""Explanations in answers: they add up to the score shown, and name what was asked and done."""

from __future__ import annotations

import asyncio

import pytest

from crossrec.serving.messages import FeedbackEvent, RecommendRequest, RecommendResponse
from crossrec.serving.recommender import Recommender


def ask(recommender: Recommender, **fields) -> RecommendResponse:
    return asyncio.run(recommender.recommend(RecommendRequest(explain=True, **fields)))


@pytest.mark.parametrize(
    "fields",
    [
        {},
        {"user_id": "user-1"},
        {"text": "horror"},
        {"user_id": "user-1", "text": "some horror with rain", "context": {"weather": "rain"}},
        {"history": [{"item_id": "film-2"}], "exclude_seen": False},
        {"filters": {"year": {"min": 3000}}},
    ],
)
def test_parts_add_up_to_the_score_shown(recommender: Recommender, fields: dict) -> None:
    answer = ask(recommender, k=24, **fields)
    for item in answer.items:
        assert item.explanation is not None
        total = sum(part.value for part in item.explanation.parts)
        assert total == pytest.approx(item.score, rel=1e-4, abs=1e-4)
        assert item.explanation.score == pytest.approx(item.score, rel=1e-4, abs=1e-4)
        assert item.explanation.sentence.endswith(".")


def test_an_answer_is_the_same_with_and_without_its_reasons(recommender: Recommender) -> None:
    plain = asyncio.run(recommender.recommend(RecommendRequest(user_id="user-1")))
    explained = ask(recommender, user_id="user-1")
    assert [item.explanation for item in plain.items] == [None] * len(plain.items)
    assert [(i.item_id, i.score) for i in plain.items] == [
        (i.item_id, i.score) for i in explained.items
    ]


def test_every_word_field_and_step_that_was_given_is_a_part(recommender: Recommender) -> None:
    history = [{"item_id": "film-2"}, {"item_id": "film-5"}]
    answer = ask(recommender, history=history, text="some horror", context={"weather": "rain"})
    parts = {(part.kind, part.name) for part in answer.items[0].explanation.parts}
    assert parts >= {
        ("history", "film-2"),
        ("history", "film-5"),
        ("request", "some"),
        ("request", "horror"),
        ("context", "weather"),
        ("popularity", "popularity"),
        ("base", "base"),
    }


def test_the_word_that_decides_has_the_largest_part(recommender: Recommender) -> None:
    best = ask(recommender, text="some horror", k=1).items[0].explanation
    assert max(best.parts, key=lambda part: part.value).label == "horror"
    assert "you asked for “horror”" in best.sentence


def test_a_disliked_item_lowers_others_by_a_part_of_its_own(recommender: Recommender) -> None:
    dislike = FeedbackEvent(event_id="1", user_id="new", item_id="film-2", event="dislike")
    asyncio.run(recommender.feedback([dislike]))
    answer = ask(recommender, user_id="new", k=24)
    lowered = []
    for item in answer.items:
        total = sum(part.value for part in item.explanation.parts)
        assert total == pytest.approx(item.score, rel=1e-4, abs=1e-4)
        [part] = [part for part in item.explanation.parts if part.name == "film-2"]
        assert part.label.startswith("not ")
        assert part.value <= 0
        lowered += [item.category[0]] * (part.value < 0)
    assert set(lowered) == {"horror"}
