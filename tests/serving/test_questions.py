from __future__ import annotations

import numpy as np
import pytest

from crossrec.releases.store import LoadedRelease
from crossrec.serving.feedback import FeedbackRules
from crossrec.serving.feedback_log import StoredEvent
from crossrec.serving.messages import HistoryItem, RecommendRequest
from crossrec.serving.questions import DomainClock, Question, QuestionReader
from tests.serving.conftest import NOW
from tests.small_release import SmallDomain


@pytest.fixture
def reader(loaded: LoadedRelease) -> QuestionReader:
    return QuestionReader(loaded, FeedbackRules(loaded.model.domain, loaded.model.vocabulary))


def _of_user(films: SmallDomain, user_id: str) -> np.ndarray:
    return films.sequences.items[films.sequences.rows(films.sequences.user_ids.index(user_id))]


def read(reader: QuestionReader, feedback=(), now: float = NOW, **fields) -> Question:
    return reader.read(RecommendRequest(**fields), feedback, None, now)


def test_a_stored_history_is_read_as_training_saw_it(reader, films: SmallDomain):
    question = read(reader, user_id="user-4")
    assert question.queries.items[0].tolist() == _of_user(films, "user-4").tolist()
    assert (question.queries.events == 0).all()
    assert question.queries.now[0] >= question.queries.times[0, -1]


def test_nothing_known_is_one_empty_step(reader):
    question = read(reader)
    assert question.queries.items.tolist() == [[-1]]
    assert question.queries.request.shape == (1, 0)
    assert not question.user_known


def test_feedback_then_told_items_follow_the_stored_history(reader, films: SmallDomain):
    feedback = [StoredEvent("film-0", "like", int(NOW) - 60)]
    question = read(reader, feedback, user_id="user-4", history=[HistoryItem(item_id="film-3")])
    expected = [*_of_user(films, "user-4"), 0, 3]
    kept = [i for n, i in enumerate(expected) if i not in expected[n + 1 :]]
    assert question.queries.items[0].tolist() == kept
    assert (np.diff(question.queries.times[0]) >= 0).all()


def test_an_item_that_comes_again_moves_to_the_end(reader, films: SmallDomain):
    first = int(_of_user(films, "user-4")[0])
    question = read(reader, user_id="user-4", history=[HistoryItem(item_id=f"film-{first}")])
    steps = question.queries.items[0].tolist()
    assert steps[-1] == first
    assert steps.count(first) == 1


def test_a_disliked_item_leaves_the_history(reader, films: SmallDomain):
    first = int(_of_user(films, "user-4")[0])
    feedback = [StoredEvent(f"film-{first}", "dislike", int(NOW))]
    question = read(reader, feedback, user_id="user-4")
    assert first not in question.queries.items[0]
    assert question.disliked == [first]


def test_feedback_on_an_item_of_another_release_is_reported(reader):
    question = read(reader, [StoredEvent("film-99", "like", 1)], user_id="x")
    assert question.ignored == ["feedback on 'film-99': this release has no such item"]
    assert not question.user_known


@pytest.mark.parametrize(
    ("events", "known"),
    [
        (["impression"], False),
        (["dislike"], False),
        (["like", "dislike"], False),
        (["dislike", "like"], True),
        (["impression", "click"], True),
    ],
)
def test_a_user_is_known_by_what_interested_them_alone(reader, events, known):
    feedback = [StoredEvent("film-1", event, n) for n, event in enumerate(events)]
    question = read(reader, feedback, user_id="newcomer")
    assert question.user_known == known
    assert bool(len(question.history)) == known


def test_general_events_stand_for_the_domains_own(reader):
    question = read(reader, [StoredEvent("film-1", "like", 1)], user_id="x")
    assert question.queries.events.tolist() == [[0]]


def test_the_clock_of_old_data_goes_on_from_its_end(loaded: LoadedRelease):
    manifest = loaded.release.manifest
    clock = DomainClock(manifest.data_end, manifest.published_at)
    assert clock.time(manifest.published_at) == manifest.data_end
    assert clock.time(manifest.published_at + 3600) == manifest.data_end + 3600
    assert clock.time(manifest.data_end - 5) == manifest.data_end - 5


def test_a_domain_without_clock_counts_on(films: SmallDomain, loaded: LoadedRelease):
    domain = films.model.domain.model_copy(update={"time_kind": "order_index_per_user"})
    model = type(films.model)(
        domain,
        films.model.config,
        films.model.vocabulary,
        films.model.signals_by_name,
        films.model.fusion,
    )
    ordered = LoadedRelease(loaded.release, model, loaded.catalogue)
    reader = QuestionReader(ordered, FeedbackRules(domain, model.vocabulary))
    question = read(reader, [StoredEvent("film-0", "like", int(NOW))], user_id="user-4")
    last = int(
        films.sequences.times[films.sequences.rows(films.sequences.user_ids.index("user-4"))][-1]
    )
    assert question.queries.times[0, -2:].tolist() == [last, last]
    assert question.queries.now.tolist() == [last + 1]
