from __future__ import annotations

import asyncio
from dataclasses import replace
from pathlib import Path

import pytest

import crossrec
from crossrec.domains import load_domain
from crossrec.errors import ConfigError, ReleaseError, RequestError, UnknownItemError
from crossrec.releases.store import ReleaseStore
from crossrec.serving.explanation_messages import ItemWord
from crossrec.serving.feedback_log import FeedbackLog
from crossrec.serving.messages import FeedbackEvent, RecommendRequest
from crossrec.serving.recommender import Recommender
from crossrec.verbs.answering import Opened
from tests.small_release import make_small_domain


def test_an_opened_release_answers_as_a_service_does(answers: Opened, home: Path):
    ours = answers.recommend(user_id="user-0", k=3)
    log = FeedbackLog()
    recommender = Recommender(ReleaseStore().load("films"), answers._encode, log)
    theirs = asyncio.run(recommender.recommend(RecommendRequest(user_id="user-0", k=3)))
    log.close()
    assert [item.model_dump() for item in ours.items] == [
        item.model_dump() for item in theirs.items
    ]


def test_recommendations_show_as_a_table_with_a_chart(answers: Opened):
    answer = answers.recommend(user_id="user-0", k=3, explain=True)
    frame = answer.to_polars()
    assert frame["rank"].to_list() == [1, 2, 3]
    assert frame["reason"].null_count() == 0
    assert list(answer.to_pandas()["title"]) == [item.title for item in answer.items]
    shown = answer._repr_html_()
    assert all(item.title in shown for item in answer.items)
    assert "data:image/svg+xml" in shown
    assert "3 of films, based on history" in str(answer)


def test_signals_and_parts_sum_to_the_score(answers: Opened):
    answer = answers.recommend(user_id="user-0", k=3, explain=True)
    for frame in (answer.signals(), answer.parts()):
        for rank, score in zip([1, 2, 3], answer.to_polars()["score"], strict=True):
            assert frame.filter(rank=rank)["value"].sum() == pytest.approx(score, abs=1e-4)


def test_an_answer_that_nobody_had_explained_has_no_parts_and_no_reasons(answers: Opened):
    answer = answers.recommend(user_id="user-0", k=3)
    assert answer.parts().is_empty()
    assert "reason" not in answer.to_polars().columns


def test_an_explanation_shows_its_sentences_and_parts(answers: Opened):
    first, second = answers.recommend(user_id="user-0", k=2).items
    why = answers.explain(first.item_id, user_id="user-0", k=2, against=second.item_id)
    assert why.to_polars()["value"].sum() == pytest.approx(why.score, abs=1e-4)
    assert why.contrast is not None
    assert why.contrast.sentence in why.sentences()
    shown = why._repr_html_()
    assert first.title in shown
    assert "data:image/svg+xml" in shown


def test_words_of_the_text_are_shown_as_a_table_and_a_chart_of_their_own(answers: Opened):
    [first] = answers.recommend(user_id="user-0", k=1).items
    silent = answers.explain(first.item_id, user_id="user-0", k=1)  # its texts are cut elsewhere
    words = [ItemWord(word="A", value=-0.25), ItemWord(word="<comedy>", value=1.5)]
    why = silent.model_copy(update={"text_parts": words})
    table = why.words()
    assert table.rows() == [("A", -0.25), ("<comedy>", 1.5)]
    shown = why._repr_html_()
    assert "Words of its own text" in shown
    assert "&lt;comedy&gt;</td><td style='text-align:right'>1.500</td>" in shown
    assert shown.count("data:image/svg+xml") == 2
    assert "Words of its own text" in str(why)
    assert silent.words().is_empty()
    assert silent.words_chart() is None
    assert "Words of its own text" not in silent._repr_html_() + str(silent)


def test_words_are_read_by_the_release_s_own_encoder(answers: Opened):
    answer = answers.recommend(text="a comedy", k=3)
    assert answer.based_on == ["request"]
    assert [item.category[0] for item in answer.items] == ["comedy"] * 3


def test_feedback_counts_from_the_next_answer_on(answers: Opened):
    [first, *_] = answers.recommend(user_id="user-0", k=3).items
    event = FeedbackEvent(event_id="e1", user_id="user-0", item_id=first.item_id, event="watch")
    assert answers.feedback([event]).accepted == 1
    assert first.item_id not in [item.item_id for item in answers.recommend(user_id="user-0").items]


def test_a_field_that_there_is_not_is_named(answers: Opened):
    with pytest.raises(RequestError, match="usr_id"):
        answers.recommend(usr_id="user-0")
    with pytest.raises(UnknownItemError):
        answers.explain("film-999", user_id="user-0")


def test_a_value_that_an_explanation_cannot_have_is_named(answers: Opened):
    with pytest.raises(RequestError, match="item_id: Input should be a valid string"):
        answers.explain(999, user_id="user-0")
    with pytest.raises(RequestError, match="language: Input should be 'en' or 'zh'"):
        answers.explain("film-1", language="fr", user_id="user-0")


def test_what_takes_time_can_be_left_out_of_an_explanation(answers: Opened):
    asked = {"user_id": "user-0", "k": 3}
    item_id = answers.recommend(**asked).items[0].item_id
    short = answers.explain(item_id, counterfactuals=False, text_parts=False, **asked)
    assert answers._encoder is None  # nothing was encoded
    whole = answers.explain(item_id, **asked)
    assert answers._encoder is not None
    assert whole.counterfactuals
    assert short == whole.model_copy(update={"counterfactuals": []})


def test_it_may_be_closed_twice(home: Path):
    opened = crossrec.release("films").open()
    assert opened.users(2)
    assert repr(opened) == f"<Opened {opened.release.headline()}: answers>"
    opened.close()
    opened.close()
    assert repr(opened).endswith("closed>")
    with pytest.raises(ReleaseError, match="was closed; open it again"):
        opened.recommend(user_id="user-0")


def test_it_answers_where_an_event_loop_runs_already(answers: Opened):
    async def in_a_notebook() -> int:
        return len(answers.recommend(user_id="user-0", k=2).items)

    assert asyncio.run(in_a_notebook()) == 2


def test_weights_are_learned_where_that_is_asked_for(home: Path):
    path = home / "domains" / "films.yaml"
    declared = "objectives: [{name: relevance, weight: 1.0}, {name: year, column: year}]\n"
    learning = "learning: {within: 2.0, explore_share: 0.2, per_user: 0}\n"
    path.write_text(path.read_text(encoding="utf-8") + declared + learning, encoding="utf-8")
    films = make_small_domain(home / "data" / "films")
    domain = load_domain("films")
    changed = replace(
        films,
        dataset=replace(films.dataset, domain=domain),
        model=replace(films.model, domain=domain),
    )
    changed.publish(ReleaseStore())
    with crossrec.release("films").open(learning=True) as answers:
        answers.learn()
        for n in range(60):  # everybody takes the oldest film that is shown
            user = f"user-{n % 18}"
            answer = answers.recommend(user_id=user, k=5, exclude_seen=False)
            oldest = min(answer.items, key=lambda item: item.item["year"])
            event = {"event_id": f"e{n}", "user_id": user, "item_id": oldest.item_id}
            sent = FeedbackEvent(**event, event="watch", request_id=answer.request_id)
            assert answers.feedback([sent]).accepted == 1
        status = answers.learn()
    assert status.counts["learned"] > 30
    assert status.weights["year"].high < 0


def test_learning_must_be_asked_for(answers: Opened):
    with pytest.raises(ConfigError, match=r"open\(learning=True\)"):
        answers.learn()
