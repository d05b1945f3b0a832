"""One item explained thoroughly: what is said holds when the question is asked accordingly."""

from __future__ import annotations

import asyncio

import pytest

from crossrec.errors import RequestError, UnknownItemError
from crossrec.serving.explaining import Explainer
from crossrec.serving.explanation_messages import ExplainRequest, ExplainResponse
from crossrec.serving.messages import RecommendRequest, RecommendResponse
from crossrec.serving.recommender import Recommender
from tests.serving.conftest import WordCounter

HISTORY = ["film-1", "film-4", "film-7", "film-2"]


def ask(recommender: Recommender, **fields) -> RecommendResponse:
    return asyncio.run(recommender.recommend(RecommendRequest(**fields)))


def explained(recommender: Recommender, item_id: str, request: dict, **fields) -> ExplainResponse:
    asked = ExplainRequest(request=RecommendRequest(**request), item_id=item_id, **fields)
    return asyncio.run(Explainer(recommender).explain(asked))


def told(items: list[str]) -> list[dict[str, str]]:
    return [{"item_id": item_id} for item_id in items]


def test_parts_and_rank_are_those_of_the_answer(recommender: Recommender) -> None:
    request = {"history": told(HISTORY), "k": 5}
    answer = ask(recommender, explain=True, **request)
    for item in answer.items:
        found = explained(recommender, item.item_id, request)
        assert (found.rank, found.title) == (item.rank, item.title)
        assert found.score == item.score
        assert item.explanation is not None
        assert found.explanation.parts == item.explanation.parts
        assert found.signals == item.signals


def test_without_the_named_items_it_is_not_recommended(recommender: Recommender) -> None:
    request = {"history": told(HISTORY), "k": 3, "exclude_seen": True}
    found = 0
    for item in ask(recommender, **request).items:
        for one in explained(recommender, item.item_id, request).counterfactuals:
            left = [item_id for item_id in HISTORY if item_id not in one.names]
            # what was taken out is no candidate, as in the answer
            again = ask(recommender, history=told(left), k=3, blocked=one.names)
            assert item.item_id not in [other.item_id for other in again.items]
            assert all(label in one.sentence for label in one.labels)
            assert f"number {one.rank}," in one.sentence
            found += 1
    assert found


def test_the_same_holds_where_more_than_relevance_ranks(recommender: Recommender) -> None:
    more = {"k": 3, "objectives": {"novelty": 0.2, "diversity": 0.2}}
    found = 0
    for item in ask(recommender, history=told(HISTORY), explain=True, **more).items:
        answer = explained(recommender, item.item_id, {"history": told(HISTORY), **more})
        total = sum(part.value for part in answer.explanation.parts)
        assert total == pytest.approx(answer.score, abs=1e-4)
        assert item.explanation is not None
        assert answer.explanation == item.explanation  # the sentence, too, knows objectives
        found += len(answer.counterfactuals)
    assert found


def test_a_contrast_adds_up_to_the_gap(recommender: Recommender) -> None:
    request = {"history": told(HISTORY), "k": 6}
    first, second, *_, last = ask(recommender, **request).items
    found = explained(recommender, first.item_id, request).contrast
    assert found is not None
    assert found.item_id == second.item_id
    against = explained(recommender, first.item_id, request, against=last.item_id).contrast
    assert against is not None
    assert against.gap == pytest.approx(first.score - last.score, abs=1e-5)
    assert sum(part.value for part in against.parts) == pytest.approx(against.gap, abs=1e-4)
    assert against.sentence.startswith(f"“{first.title}” is above “{last.title}” by ")
    below = explained(recommender, last.item_id, request, against=first.item_id).contrast
    assert below is not None
    assert below.gap == pytest.approx(-against.gap, abs=1e-5)
    assert below.sentence == against.sentence


def test_what_a_pin_put_above_is_not_said_to_score_higher(recommender: Recommender) -> None:
    last = ask(recommender, history=told(HISTORY), k=6).items[-1]
    pin = [{"item_id": last.item_id, "position": 1}]
    request = {"history": told(HISTORY), "k": 6, "pinned": pin}
    first, second, *_ = ask(recommender, **request).items
    assert first.item_id == last.item_id
    for item, other in ((first, second), (second, first)):
        found = explained(recommender, item.item_id, request, against=other.item_id).contrast
        assert found is not None
        assert found.sentence == (
            f"“{first.title}” is above “{second.title}” by a rule of the list: its score is lower"
            f" by {second.score - first.score:.2f}."
        )


def test_chinese_names_the_same_things(recommender: Recommender) -> None:
    request = {"history": told(HISTORY), "k": 3}
    item = ask(recommender, **request).items[0]
    found = explained(recommender, item.item_id, request, language="zh")
    assert found.explanation.sentence.startswith("因为")
    assert all(one.sentence.startswith("如果") for one in found.counterfactuals)


def test_an_objective_that_carries_an_item_is_named(recommender: Recommender) -> None:
    request = {"history": told(HISTORY), "k": 3, "objectives": {"novelty": 5.0}}
    first = ask(recommender, explain=True, **request).items[0]
    assert first.explanation is not None
    assert "it does well in novelty" in first.explanation.sentence
    found = explained(recommender, first.item_id, request, language="zh")
    assert "它在新颖性方面表现好" in found.explanation.sentence
    assert [part.value for part in found.explanation.parts] == [
        part.value for part in first.explanation.parts
    ]


def test_parts_are_labelled_in_the_language_of_the_sentences(recommender: Recommender) -> None:
    request = {"history": told(HISTORY), "k": 3, "context": {"hour": 20}}
    item = ask(recommender, **request).items[0]
    for language, label in (("en", "hour = 20:00"), ("zh", "时间 = 20:00")):
        found = explained(recommender, item.item_id, request, language=language)
        assert found.contrast is not None
        for parts in (found.explanation.parts, found.contrast.parts):
            assert [part.label for part in parts if part.name == "hour"] == [label]


def test_a_set_says_whether_it_is_the_smallest(recommender: Recommender) -> None:
    request = {"history": told(HISTORY), "k": 3, "exclude_seen": True}
    several = 0
    for item in ask(recommender, **request).items:
        for one in explained(recommender, item.item_id, request).counterfactuals:
            assert one.is_smallest
            several += len(one.names) > 1
            assert ("fewer of your items would not do" in one.sentence) == (len(one.names) > 1)
    assert several


def test_what_is_not_asked_for_is_left_out_and_the_rest_is_the_same(
    recommender: Recommender, encoder: WordCounter
) -> None:
    request = {"history": told(HISTORY), "k": 3, "exclude_seen": True}
    item = ask(recommender, **request).items[0]
    whole = explained(recommender, item.item_id, request)
    assert whole.counterfactuals
    assert whole.text_parts
    encoder.down = True  # nothing is encoded where no words are asked for
    short = explained(recommender, item.item_id, request, counterfactuals=False, text_parts=False)
    assert short == whole.model_copy(update={"counterfactuals": [], "text_parts": []})


def test_users_in_small_groups_are_not_told_of(recommender: Recommender) -> None:
    request = {"history": told(HISTORY), "k": 3}  # the whole world has twenty users
    item = ask(recommender, **request).items[0]
    assert explained(recommender, item.item_id, request).similar_users is None


def test_what_is_not_recommended_is_not_explained(recommender: Recommender) -> None:
    with pytest.raises(UnknownItemError, match="'nothing'"):
        explained(recommender, "nothing", {})
    with pytest.raises(RequestError, match="not among the 2 that are recommended"):
        explained(recommender, HISTORY[0], {"history": told(HISTORY), "k": 2})


def test_an_item_is_not_compared_with_itself(recommender: Recommender) -> None:
    item_id = ask(recommender, k=2).items[0].item_id
    with pytest.raises(RequestError, match="expected another item of the answer"):
        explained(recommender, item_id, {"k": 2}, against=item_id)


def test_words_of_the_items_text_add_up_to_the_signals_that_read_it(
    recommender: Recommender, encoder: WordCounter
) -> None:
    request = {"history": told(["film-2", "film-5"]), "text": "horror", "k": 3}
    item = ask(recommender, **request).items[0]
    found = explained(recommender, item.item_id, request)
    # the small release reads genres where texts hold more: their vectors are near enough
    total = sum(one.value for one in found.text_parts)
    assert total == pytest.approx(item.signals["text"] + item.signals["request"], abs=1e-3)
    assert max(found.text_parts, key=lambda one: one.value).word == "horror"
    encoder.down = True
    silent = explained(recommender, item.item_id, {"history": told(["film-2", "film-5"])})
    assert silent.text_parts == []
    assert silent.explanation.parts
