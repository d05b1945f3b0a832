"""Learning where a file, a row number or a moment is not as it should be."""

from __future__ import annotations

import threading
from contextlib import closing
from pathlib import Path

import pytest

from crossrec.errors import ServiceError
from crossrec.ranking.learner_policy import arms_of
from crossrec.serving.feedback_log import FeedbackLog
from crossrec.serving.learned_weights import ADDRESS, REOPEN_AFTER_S
from crossrec.serving.learning import DomainLearner
from crossrec.serving.learning_log import LearningLog
from crossrec.serving.learning_store import LearnerStore
from crossrec.serving.messages import FeedbackEvent
from tests.serving.learners import Shop, published, shop, visits
from tests.small_release import SmallDomain


@pytest.fixture
def town(films: SmallDomain, fresh_home: Path):
    found = shop(published(films), fresh_home)
    found.step()
    yield found
    found.learner.close()
    found.weights.close()
    found.notes.close()
    found.log.close()


def test_a_state_that_cannot_be_read_once_is_read_at_the_next_step(town: Shop):
    visits(town, 30)
    town.step()
    version, learned = town.learner.status().version, town.price()
    town.learner.close()
    path = LearnerStore("films").folder / "state.json"
    whole = path.read_text()
    path.unlink()
    path.write_text("{half of it")
    again = DomainLearner("films", town.notes)
    for _ in range(2):
        with pytest.raises(ValueError, match="Expecting"):
            again.step()
    path.write_text(whole)
    again.step()
    status = again.status()
    assert (status.version, status.weights["price"].weight) == (version, learned)
    again.close()


def test_a_lost_state_takes_the_number_of_no_version_that_is_kept(town: Shop):
    visits(town, 30)
    town.step()
    version, learned = town.learner.status().version, town.price()
    town.learner.close()
    (LearnerStore("films").folder / "state.json").unlink()
    town.step()
    assert town.learner.status().version == version + 1
    assert town.order("rollback", version).weights["price"].weight == learned


def test_looking_for_new_feedback_reads_on_from_a_row_and_sorts_nothing(town: Shop):
    visits(town, 5)
    town.log.append(
        "books", [FeedbackEvent(event_id="b", user_id="u", item_id="i", event="click")]
    ).result()
    explained = town.notes._heard.execute(
        f"EXPLAIN QUERY PLAN {town.notes._events}", ("films", 3, 500)
    )
    assert [row[-1] for row in explained] == ["SEARCH feedback USING INTEGER PRIMARY KEY (rowid>?)"]
    assert [one.row for one in town.notes.heard("films", 3, 500)] == [4, 5]


def test_on_a_server_too_looking_reads_on_from_a_row_and_sorts_nothing(postgres_url: str):
    events = [
        FeedbackEvent(event_id=str(n), user_id="u", item_id="i", event="click") for n in range(3000)
    ]
    with closing(FeedbackLog(postgres_url)) as feedback:
        for domain in ("films", "books"):
            feedback.append(domain, events).result()
    with closing(LearningLog(postgres_url, postgres_url)) as notes:
        notes._heard.execute("VACUUM ANALYZE feedback")
        plan = notes._heard.execute(f"EXPLAIN {notes._events}", ("films", 2990, 500))
        said = " ".join(row[0] for row in plan)
        assert "Index Scan using feedback_by_row on feedback" in said
        assert "Index Cond: ((domain = 'films'::text) AND (rowid > '2990'" in said
        assert "Sort" not in said
        assert [one.row for one in notes.heard("films", 2998, 500)] == [2999, 3000]


def test_feedback_is_heard_that_takes_the_row_numbers_of_what_was_erased(town: Shop):
    visits(town, 10, n_users=1)
    assert town.step() == 10
    assert town.log.erase("films", "user-0", "key", []) == 10
    assert town.step() == 0
    visits(town, 6, seed=1)
    assert town.notes.last() == 6  # numbers that were there before
    assert town.step() == 6
    assert LearnerStore("films").state().cursor == 6


def test_rows_of_other_domains_are_passed_once(town: Shop):
    visits(town, 3)
    assert town.step() == 3
    others = [
        FeedbackEvent(event_id=f"b{n}", user_id="u", item_id="i", event="click") for n in range(5)
    ]
    town.log.append("books", others).result()
    assert town.step() == 0
    assert town.learner._state.cursor == 8
    visits(town, 2, seed=1)
    assert town.step() == 2


def test_answers_go_out_while_their_log_cannot_be_opened(
    town: Shop, fresh_home: Path, caplog: pytest.LogCaptureFixture
):
    town.weights.close()
    town.weights._clock = lambda: now
    now = 1_000.0
    path, aside = fresh_home / "learning.db", fresh_home / "aside"
    for file in fresh_home.glob("learning.db*"):
        file.rename(f"{aside}{file.suffix}")
    path.mkdir()  # no database
    token = ADDRESS.set("10.0.0.7")
    answers = [town.ask("user-1") for _ in range(5)]
    town.send("user-1", answers[0].items[0].item_id, answers[0].request_id)
    ADDRESS.reset(token)
    assert caplog.text.count("cannot be opened") == 1
    path.rmdir()
    now += REOPEN_AFTER_S - 1
    town.ask("user-1")
    assert not path.exists()  # not tried yet
    now += 1
    answer = town.ask("user-1")
    town.weights.close()
    with closing(LearningLog()) as notes:
        assert [one.request_id for one in notes.all("films")] == [answer.request_id]


def test_a_log_of_answers_that_is_no_database_is_said(fresh_home: Path):
    (fresh_home / "learning.db").write_text("no database " * 100)
    with pytest.raises(ServiceError, match=r"log of answers .*learning\.db cannot be opened: file"):
        LearningLog()


def test_a_request_in_another_thread_draws_while_new_weights_are_taken(
    town: Shop, monkeypatch: pytest.MonkeyPatch
):
    visits(town, 40)
    assert town.weights.active
    before = town.weights.draw({}, None)
    town.step()
    half, go = threading.Event(), threading.Event()

    def slowly(*given):
        half.set()
        assert go.wait(5)
        return arms_of(*given)

    monkeypatch.setattr("crossrec.serving.learning_store.arms_of", slowly)
    other = threading.Thread(target=town.weights.look)
    other.start()
    assert half.wait(5)
    assert town.weights.draw({}, None) == before
    assert town.weights.objectives == ("price", "popularity")
    go.set()
    other.join()
    after = town.weights.draw({}, None)
    assert after.version == before.version + 1
    assert after.weights != before.weights
