from __future__ import annotations

import asyncio
import math
from dataclasses import replace

import numpy as np
import pytest

from crossrec.domains.spec import ContextField
from crossrec.errors import RequestError, ServiceError
from crossrec.serving.messages import FeedbackEvent, RecommendRequest, RecommendResponse
from crossrec.serving.recommender import Recommender
from tests.serving.conftest import NOW
from tests.small_release import N_ITEMS, SmallDomain, genre_of


def ask(recommender: Recommender, **fields) -> RecommendResponse:
    return asyncio.run(recommender.recommend(RecommendRequest(**fields)))


def tell(recommender: Recommender, *events: tuple[str, str, str]) -> None:
    """Events as (user, event, item)."""
    messages = [
        FeedbackEvent(event_id=f"{event}-{item}", user_id=user, item_id=item, event=event)
        for user, event, item in events
    ]
    assert not asyncio.run(recommender.feedback(messages)).rejected


def ids(answer: RecommendResponse) -> list[str]:
    return [item.item_id for item in answer.items]


def test_a_known_user_gets_unseen_items_of_the_watched_genre(recommender, films: SmallDomain):
    answer = ask(recommender, user_id="user-1", k=3)
    rows = films.sequences.rows(films.sequences.user_ids.index("user-1"))
    seen = {films.sequences.item_ids[item] for item in films.sequences.items[rows]}
    assert answer.user_known
    assert answer.based_on == ["history"]
    assert {item.category[0] for item in answer.items} == {"space"}
    assert not seen & set(ids(answer))
    assert [item.rank for item in answer.items] == [1, 2, 3]


def test_the_signals_of_an_item_sum_to_its_score(recommender):
    for item in ask(recommender, user_id="user-1", text="horror", k=24).items:
        assert math.isclose(sum(item.signals.values()), item.score, abs_tol=1e-4)


def test_a_request_with_only_a_user_asks_no_encoder(recommender, encoder):
    ask(recommender, user_id="user-1")
    assert encoder.asked == []


def test_words_are_encoded_once_however_they_are_spaced(recommender, encoder):
    first = ask(recommender, text="some horror", k=4)
    second = ask(recommender, text="  some \n horror ", k=4)
    assert {item.category[0] for item in first.items} == {"horror"}
    assert ids(first) == ids(second)
    assert first.based_on == ["request"]
    assert encoder.asked == ["some horror"]


def test_an_unknown_user_gets_what_is_popular_and_is_told_so(recommender):
    answer = ask(recommender, user_id="nobody", k=5)
    assert not answer.user_known
    assert answer.based_on == ["popularity"]
    assert ids(answer) == ids(ask(recommender, k=5))


def test_an_unknown_user_with_words_is_answered_from_the_words(recommender):
    answer = ask(recommender, user_id="nobody", text="horror", k=2)
    assert (answer.user_known, answer.based_on) == (False, ["request"])


def test_a_told_history_is_used_and_unknown_items_in_it_are_named(recommender):
    history = [{"item_id": "film-2"}, {"item_id": "nope"}, {"item_id": "film-5"}]
    answer = ask(recommender, history=history, k=3)
    assert {item.category[0] for item in answer.items} == {"horror"}
    assert answer.based_on == ["history"]
    assert answer.ignored == ["history item 'nope': no item has this id"]
    assert not {"film-2", "film-5"} & set(ids(answer))


def test_seen_items_come_back_when_they_are_not_excluded(recommender):
    history = [{"item_id": "film-2"}]
    assert len(ask(recommender, history=history, k=100).items) == N_ITEMS - 1
    assert len(ask(recommender, history=history, k=100, exclude_seen=False).items) == N_ITEMS


def test_more_items_than_there_are_gives_what_there_is(recommender):
    assert len(ask(recommender, k=1000).items) == N_ITEMS
    assert len(ask(recommender, k=1000, filters={"tags": "new"}).items) == 4
    assert ask(recommender, filters={"year": {"min": 3000}}).items == []


def test_filters_hold_for_every_item(recommender):
    answer = ask(recommender, user_id="user-1", k=24, filters={"studio": "south"})
    assert {item.item["studio"] for item in answer.items} == {"south"}


def test_only_the_columns_of_the_card_are_shown(recommender):
    assert set(ask(recommender, k=1).items[0].item) == {"year", "studio"}


def test_a_context_field_is_checked_by_name_and_value(recommender):
    assert ask(recommender, context={"weather": "rain"}).based_on == ["context"]
    with pytest.raises(RequestError, match="did you mean 'weather'"):
        ask(recommender, context={"wether": "rain"})
    with pytest.raises(RequestError, match="did you mean 'rain'"):
        ask(recommender, context={"weather": "rainy"})


def test_blank_words_are_no_words(recommender, encoder):
    answer = ask(recommender, text="  ")
    assert answer.based_on == ["popularity"]
    assert answer.ignored == ["text: it has no words"]
    assert encoder.asked == []


def test_without_the_encoder_only_requests_in_words_fail(recommender, encoder):
    encoder.down = True
    with pytest.raises(ServiceError, match="encoder does not answer"):
        ask(recommender, text="horror")
    assert ask(recommender, user_id="user-1").items


def test_the_very_next_answer_knows_what_was_liked(recommender):
    before = ask(recommender, user_id="newcomer", k=3)
    tell(recommender, ("newcomer", "like", "film-2"), ("newcomer", "click", "film-5"))
    after = ask(recommender, user_id="newcomer", k=3)
    assert (before.user_known, after.user_known) == (False, True)
    assert {item.category[0] for item in after.items} == {"horror"}
    assert not {"film-2", "film-5"} & set(ids(after))


def test_an_event_from_the_future_is_refused_and_the_rest_of_the_batch_is_kept(recommender):
    times = {"now": None, "in an hour": NOW + 3600, "in a day": NOW + 86_400}
    times |= {"in two days": NOW + 2 * 86_400, "in a thousand years": NOW + 31_557_600_000}
    events = [
        FeedbackEvent(event_id=name, user_id="ada", item_id="film-2", event="like", timestamp=time)
        for name, time in times.items()
    ]
    answer = asyncio.run(recommender.feedback(events))
    assert answer.accepted == 3
    assert [one.event_id for one in answer.rejected] == ["in two days", "in a thousand years"]
    assert all("more than a day ahead" in one.reason for one in answer.rejected)


def test_a_disliked_item_goes_and_takes_its_kind_down(recommender):
    before = ask(recommender, user_id="user-1", k=24, exclude_seen=False)
    disliked = before.items[0].item_id
    tell(recommender, ("user-1", "dislike", disliked))
    after = ask(recommender, user_id="user-1", k=24, exclude_seen=False)
    assert disliked not in ids(after)
    genre = before.items[0].category[0]
    scores = [{item.item_id: item.score for item in answer.items} for answer in (before, after)]
    kin = [i for i in ids(after) if genre_of(int(i.removeprefix("film-"))) == genre]
    assert np.mean([scores[1][i] - scores[0][i] for i in kin]) < -0.1
    for item in after.items:
        assert math.isclose(sum(item.signals.values()), item.score, abs_tol=1e-4)


def test_the_last_word_on_an_item_counts(recommender):
    tell(recommender, ("u", "dislike", "film-2"), ("u", "like", "film-2"))
    assert ask(recommender, user_id="u").based_on == ["history"]
    tell(recommender, ("v", "like", "film-3"), ("v", "dislike", "film-3"))
    answer = ask(recommender, user_id="v", k=24, exclude_seen=False)
    assert answer.based_on == ["popularity"]
    assert "film-3" not in ids(answer)


def test_an_impression_changes_nothing(recommender):
    before = ask(recommender, user_id="user-1", k=24)
    tell(recommender, ("user-1", "impression", before.items[0].item_id))
    tell(recommender, ("user-1", "shown", before.items[1].item_id))
    assert ids(ask(recommender, user_id="user-1", k=24)) == ids(before)


def test_feedback_keeps_the_good_part_of_a_batch_and_each_event_once(recommender):
    events = [
        FeedbackEvent(event_id="1", user_id="u", item_id="film-1", event="like"),
        FeedbackEvent(event_id="2", user_id="u", item_id="film-100", event="like"),
        FeedbackEvent(event_id="3", user_id="u", item_id="film-2", event="clik"),
    ]
    answer = asyncio.run(recommender.feedback(events))
    assert (answer.accepted, answer.duplicates) == (1, 0)
    assert [(r.event_id, r.reason) for r in answer.rejected] == [
        ("2", "no item has the id 'film-100'"),
        ("3", "unknown event 'clik': did you mean 'click' or 'like'?"),
    ]
    again = asyncio.run(recommender.feedback(events[:1]))
    assert (again.accepted, again.duplicates) == (0, 1)


def test_every_part_of_an_explanation_adds_up_to_the_score(recommender, encoder):
    tell(recommender, ("user-1", "dislike", "film-4"))
    answer = ask(
        recommender,
        user_id="user-1",
        text="space and horror",
        context={"weather": "rain"},
        k=5,
        explain=True,
    )
    for item in answer.items:
        assert item.explanation is not None
        assert item.explanation.sentence
        parts = item.explanation.parts
        assert math.isclose(sum(part.value for part in parts), item.score, abs_tol=1e-3)
        assert math.isclose(item.explanation.score, item.score, abs_tol=1e-3)
    kinds = {part.kind for part in answer.items[0].explanation.parts}
    assert kinds == {"history", "request", "context", "popularity", "base"}
    assert encoder.asked == ["space and horror", "and horror", "space horror", "space and"]


def test_a_disliked_item_is_a_reason_of_its_own(recommender):
    tell(recommender, ("user-1", "dislike", "film-4"))
    answer = ask(recommender, user_id="user-1", k=3, explain=True)
    parts = [part for item in answer.items for part in item.explanation.parts]
    lowered = [part for part in parts if part.name == "film-4"]
    assert [part.label for part in lowered] == ["not The space number 4"] * 3
    assert all(part.value <= 0 for part in lowered)
    assert min(part.value for part in lowered) < -0.1


def test_answers_without_items_or_words_can_be_explained_too(recommender, encoder):
    assert ask(recommender, filters={"year": 1}, explain=True).items == []
    one = ask(recommender, text="horror", k=1, explain=True).items[0].explanation
    assert one is not None
    assert [part.name for part in one.parts if part.kind == "request"] == ["horror"]
    assert encoder.asked == ["horror"]
    assert ask(recommender, k=1, explain=True).items[0].explanation is not None
    assert ask(recommender, k=1).items[0].explanation is None


def test_equal_requests_get_equal_answers(recommender):
    first, second = (ask(recommender, user_id="user-2", k=24) for _ in range(2))
    assert first.items == second.items


STUDIO = ContextField(name="studio", kind="category", derive="last_item", restricts="studio")
GENRE = ContextField(name="genre", kind="category", restricts="category")


@pytest.fixture
def in_studios(loaded, log, encoder) -> Recommender:
    """The films' release, whose context says in which studio or genre to look."""
    model = loaded.model
    domain = model.domain.model_copy(update={"context": [*model.domain.context, STUDIO, GENRE]})
    values = {"studio": ["east", "north", "south"], "genre": ["comedy", "horror", "space"]}
    known = model.vocabulary.context_values | values
    vocabulary = replace(model.vocabulary, context_values=known)
    changed = replace(model, domain=domain, vocabulary=vocabulary)
    return Recommender(replace(loaded, model=changed), encoder, log, clock=lambda: NOW)


def test_context_that_restricts_leaves_only_items_that_hold_it(in_studios):
    answer = ask(in_studios, user_id="user-1", context={"studio": "south"}, k=N_ITEMS)
    assert {item.item["studio"] for item in answer.items} == {"south"}
    assert answer.based_on == ["history", "context"]
    both = {"studio": "north", "genre": "horror"}
    answer = ask(in_studios, context=both, filters={"year": {"min": 1985}}, k=N_ITEMS)
    assert ids(answer)
    assert all(item.item["studio"] == "north" for item in answer.items)
    assert all("horror" in item.category and item.item["year"] >= 1985 for item in answer.items)


def test_a_value_that_no_item_holds_leaves_nothing_and_an_unknown_one_is_an_error(in_studios):
    assert ask(in_studios, context={"studio": "east"}).items == []
    with pytest.raises(RequestError, match="'soth': did you mean 'south'"):
        ask(in_studios, context={"studio": "soth"})


def test_what_is_derived_from_the_last_item_restricts_nothing(in_studios):
    history = [{"item_id": "film-2"}, {"item_id": "film-14"}]
    answer = ask(in_studios, history=history, k=N_ITEMS)
    assert {item.item["studio"] for item in answer.items} == {"north", "south"}


@pytest.mark.parametrize(
    ("request_", "expected"),
    [
        ({"history": [{"item_id": "film-14"}, {"item_id": "film-2"}]}, 1),  # north
        ({"history": [{"item_id": "film-2"}, {"item_id": "film-14"}]}, 2),  # south
        ({"history": [{"item_id": "film-2"}], "context": {"studio": "east"}}, 0),
        ({}, math.nan),
    ],
)
def test_the_last_item_tells_the_context_where_the_request_does_not(in_studios, request_, expected):
    asked = RecommendRequest(**request_)
    question = in_studios._reader.read(asked, [], None, NOW)
    assert question.queries.context["studio"].tolist() == pytest.approx([expected], nan_ok=True)
