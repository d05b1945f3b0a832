from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from crossrec.data.split import Sequences
from crossrec.data.vocabulary import Vocabulary
from crossrec.evaluation.translation import Translated
from crossrec.models.query import Queries


def newer_sequences() -> Sequences:
    """Item b is new and stands first; events and weathers have moved on too."""
    return Sequences(
        user_ids=["u"],
        item_ids=["b", "a", "c"],
        offsets=np.array([0, 2]),
        items=np.array([0, 1], np.int32),
        times=np.array([1, 2]),
        events=np.array([0, 1], np.int16),
        event_names=["buy", "look"],
        ratings=np.zeros(2, np.float32),
        context_values={"weather": ["fog", "rain"]},
    )


def test_a_model_is_asked_in_its_own_row_numbers_and_answers_in_those_of_the_cases():
    asked: list[Queries] = []

    def score(queries: Queries) -> NDArray[np.float32]:
        asked.append(queries)
        return np.array([[1.0, 3.0]] * len(queries.now), np.float32)

    model = Vocabulary(["a", "c"], ["look"], {"weather": ["rain"]})
    translated = Translated(score, model, newer_sequences())
    queries = Queries(
        items=np.array([[-1, 0, 1, 2]], np.int32),
        times=np.array([[0, 1, 2, 3]]),
        events=np.array([[-1, 0, 1, 1]], np.int16),
        now=np.array([4]),
        request=np.zeros((1, 0), np.float32),
        context={"weather": np.array([1], np.float32), "hour": np.array([7], np.float32)},
    )
    scores = translated(queries)
    assert np.isnan(scores[0, 0])
    assert scores[0, 1:].tolist() == [1.0, 3.0]
    [own] = asked
    assert own.items.tolist() == [[-1, -1, 0, 1]]
    assert own.events.tolist() == [[-1, -1, 0, 0]]
    assert own.items.dtype == np.int32
    assert own.context["weather"].tolist() == [0]
    assert own.context["hour"].tolist() == [7]


def test_a_context_value_that_the_model_never_knew_was_not_said():
    model = Vocabulary(["a"], [], {"weather": ["rain"]})
    found: list[NDArray[np.float32]] = []

    def score(queries: Queries) -> NDArray[np.float32]:
        found.append(queries.context["weather"])
        return np.zeros((len(queries.now), 1), np.float32)

    queries = Queries(
        items=np.array([[1], [1], [1]], np.int32),
        times=np.zeros((3, 1), np.int64),
        events=np.full((3, 1), -1, np.int16),
        now=np.array([4, 4, 4]),
        request=np.zeros((3, 0), np.float32),
        context={"weather": np.array([0, np.nan, 1], np.float32)},
    )
    Translated(score, model, newer_sequences())(queries)
    assert np.isnan(found[0][:2]).all()
    assert found[0][2] == 0
