"""Parts of a score: hand-worked on small scorers, exact on any, cheap in rows."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from crossrec.data.vocabulary import Vocabulary
from crossrec.domains.spec import ContextField, Domain
from crossrec.explanation.contributions import Lowering, explain
from crossrec.explanation.things import MAX_STEPS, MAX_WORDS, Wish, without_each
from crossrec.models.query import Queries
from crossrec.serving.messages import Explanation

N_ITEMS = 6
WEATHER = ContextField(name="weather", kind="category")
PLACE = ContextField(
    name="place", kind="place", columns=["lat", "lon"], item_columns=["lat", "lon"]
)
HOUR = ContextField(name="hour", kind="cycle", period=24)
DOMAIN = Domain(name="tests", title="Tests", context=[WEATHER, PLACE, HOUR])
VOCABULARY = Vocabulary(
    [f"item{i}" for i in range(N_ITEMS)], ["view"], {"weather": ["sun", "rain"]}
)


@dataclass
class Scorer:
    """Additive on purpose, or with a product; counts the rows that it scores."""

    together: float = 0.0
    """Weight of (number of history items) x (rain), which neither gives alone."""
    average: bool = False
    """The mean of the history counts instead of its sum."""
    rows: list[int] = field(default_factory=list)
    domain: Domain = DOMAIN
    vocabulary: Vocabulary = VOCABULARY

    def signals(self, queries: Queries) -> Mapping[str, np.ndarray]:
        """history: 10 x step's item + own number; context: 1 for rain; popularity: 1/2."""
        self.rows.append(len(queries))
        present = queries.items >= 0
        ones = np.ones((1, N_ITEMS), np.float32)
        own = np.arange(N_ITEMS, dtype=np.float32)[None]
        taste = (np.where(present, queries.items, 0) * 10.0).sum(1) + present.sum(1)
        if self.average:
            taste = taste / np.maximum(present.sum(1), 1)
        nothing = np.full(len(queries), np.nan, np.float32)
        rain = np.nan_to_num(queries.context.get("weather", nothing))
        words = queries.request.sum(1)
        both = self.together * present.sum(1) * rain
        return {
            "taste": (taste[:, None] * ones + own).astype(np.float32),
            "moment": ((rain + words + both)[:, None] * ones).astype(np.float32),
            "popularity": np.full((len(queries), N_ITEMS), 0.5, np.float32),
        }


def query(
    items: list[int], request: tuple[float, ...] = (0, 0), weather: float = np.nan
) -> Queries:
    return Queries(
        items=np.array([items], np.int32).reshape(1, -1),
        times=np.arange(len(items), dtype=np.int64)[None],
        events=np.zeros((1, len(items)), np.int16),
        now=np.array([99]),
        request=np.array([request], np.float32),
        context={"weather": np.array([weather], np.float32)},
    )


def titles(items: list[int]) -> list[str]:
    return [f"Title {item}" for item in items]


def values(explanation: Explanation) -> dict[str, float]:
    return {part.label: round(part.value, 4) for part in explanation.parts}


def test_parts_of_an_additive_score_by_hand() -> None:
    scorer = Scorer()
    wish = Wish(["quiet", "river"], np.array([[0, 2], [3, 0]], np.float32), ["river", "quiet"])
    asked = query([-1, 2, 4], request=(3, 2), weather=1)
    first, second = explain(scorer, asked, [0, 5], titles, wish)
    expected = {
        "Title 4": 41,  # 10 x 4 + 1
        "Title 2": 21,
        "quiet": 3,
        "river": 2,
        "weather = rain": 1,
        "popularity": 0.5,
    }
    assert values(first) == expected | {"base": 0}
    assert values(second) == expected | {"base": 5}  # the item's own number
    assert first.score == pytest.approx(68.5)
    assert [part.kind for part in first.parts] == [
        *["history"] * 2, *["request"] * 2, "context", "popularity", "base",
    ]  # fmt: skip
    assert first.parts[0].name == "item4"
    assert len(scorer.rows) == 1  # one batch


def test_what_two_groups_give_only_together_is_shared_equally() -> None:
    [one] = explain(Scorer(together=6), query([1, 1, 1], weather=1), [0], titles)
    # together 6 x 3 x 1 = 18: history gets 9 beside its 3 x 11, the weather 9 beside its 1
    assert values(one)["weather = rain"] == 10
    history = [part.value for part in one.parts if part.kind == "history"]
    np.testing.assert_allclose(history, [14, 14, 14], atol=1e-4)
    assert one.score == pytest.approx(33 + 1 + 18 + 0.5)


def test_a_thing_gets_the_mean_of_its_loss_and_of_what_it_gives_alone() -> None:
    scorer = Scorer(average=True)
    [one] = explain(scorer, query([1, 3]), [0], titles)
    # mean (11 + 31) / 2 = 21. Losses: 21 - 31 = -10 and 21 - 11 = 10; alone 11 and 31
    assert values(one)["Title 1"] == pytest.approx((-10 + 11) / 2)
    assert values(one)["Title 3"] == pytest.approx((10 + 31) / 2)


def test_what_remains_is_shared_by_size() -> None:
    scorer = Scorer(average=True)
    [one] = explain(scorer, query([1, 1, 3]), [0], titles)
    # mean (11 + 11 + 31) / 3 = 53/3. Losses: 53/3 - 21 = -10/3 twice, 53/3 - 11 = 20/3; alone 11,
    # 11, 31: so own 23/6, 23/6 and 113/6, together 159/6; 53/3 - 159/6 = -53/6 goes by size
    shares = [own / 6 - 53 / 6 * own / 159 for own in (113, 23, 23)]  # newest first
    history = [part.value for part in one.parts if part.kind == "history"]
    np.testing.assert_allclose(history, shares, rtol=1e-5)


def test_removing_a_step_closes_the_gap() -> None:
    seen: list[Queries] = []

    class Watching(Scorer):
        def signals(self, queries: Queries) -> Mapping[str, np.ndarray]:
            seen.append(queries)
            return super().signals(queries)

    explain(Watching(), query([1, 2, 3]), [0], titles)
    rows = seen[0].items.tolist()
    without = [[-1, 1, 2], [-1, 1, 3], [-1, 2, 3]]
    alone = [[-1, -1, 3], [-1, -1, 2], [-1, -1, 1]]
    assert rows == [[-1, -1, -1], [1, 2, 3], *without, *alone]
    assert seen[0].times.tolist()[3] == [0, 0, 2]
    assert seen[0].events.tolist()[2] == [-1, 0, 0]


def test_nothing_known_leaves_popularity_and_base() -> None:
    [one] = explain(Scorer(), query([-1]), [3], titles)
    assert values(one) == {"popularity": 0.5, "base": 3}


def test_older_history_goes_as_one_part_and_nothing_is_dropped() -> None:
    n = MAX_STEPS + 5
    [one] = explain(Scorer(), query([1] * n), [0], titles)
    history = [part for part in one.parts if part.kind == "history"]
    assert len(history) == MAX_STEPS + 1
    assert (history[-1].label, history[-1].name) == ("5 earlier items", "earlier")
    assert history[-1].value == pytest.approx(5 * 11)
    [one] = explain(Scorer(), query([1] * (MAX_STEPS + 1)), [0], titles)
    assert all(part.name == "item1" for part in one.parts if part.kind == "history")


def test_a_disliked_item_is_a_part_of_its_own() -> None:
    lowering = Lowering(2, np.array([-4.0, 0.0], np.float32))
    first, second = explain(Scorer(), query([1]), [0, 1], titles, lowerings=[lowering])
    assert values(first)["not Title 2"] == -4
    assert first.score == pytest.approx(11 + 0.5 - 4)
    assert second.score == pytest.approx(11 + 0.5 + 1)


def test_a_request_whose_words_are_not_told_apart_is_one_part() -> None:
    [one] = explain(Scorer(), query([], request=(2, 1)), [0], titles)
    assert values(one)["request"] == 3
    wish = Wish(["sushi"], np.zeros((1, 2), np.float32), [""])
    [one] = explain(Scorer(), query([], request=(2, 1)), [0], titles, wish)
    assert values(one)["sushi"] == 3


def test_places_and_hours_are_labelled() -> None:
    asked = query([])
    asked.context.update(
        place=np.array([[48.85661, 2.35222]], np.float32), hour=np.array([19], np.float32)
    )
    labels = values(explain(Scorer(), asked, [0], titles)[0])
    assert {"place = 48.86, 2.352", "hour = 19:00"} <= set(labels)


def test_words_are_taken_out_one_by_one() -> None:
    words, left = without_each("a  quiet\tplace")
    assert words == ["a", "quiet", "place"]
    assert left == ["quiet place", "a place", "a quiet"]
    assert without_each(" ") == ([], [])
    assert without_each("寿司 bar") == (["寿", "司", "bar"], ["司 bar", "寿 bar", "寿司"])


def test_a_long_request_is_cut_into_runs_without_loss() -> None:
    text = " ".join(f"word{i}" for i in range(50))
    runs, left = without_each(text)
    assert len(runs) == len(left) == MAX_WORDS
    assert " ".join(runs) == text


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.integers(-1, N_ITEMS - 1), max_size=MAX_STEPS + 6),
    st.tuples(st.integers(-3, 3), st.integers(-3, 3)),
    st.sampled_from([0.0, 1.0, np.nan]),
    st.floats(-5, 5),
    st.booleans(),
    st.lists(st.integers(0, N_ITEMS - 1), max_size=3),
)
def test_parts_always_sum_to_the_score(
    items: list[int],
    request: tuple[int, int],
    weather: float,
    together: float,
    average: bool,
    asked: list[int],
) -> None:
    scorer = Scorer(together=together, average=average)
    wish = Wish(["a", "b"], np.array([[0, request[1]], [request[0], 0]], np.float32), ["b", "a"])
    asked_query = query(items, request, weather)
    explanations = explain(scorer, asked_query, asked, titles, wish)
    rows = np.asarray(sum(scorer.signals(asked_query).values()))[0]
    assert len(explanations) == len(asked)
    for item, one in zip(asked, explanations, strict=True):
        total = sum(part.value for part in one.parts)
        largest = max(abs(part.value) for part in one.parts)
        assert total == pytest.approx(one.score)
        assert abs(total - rows[item]) <= 1e-4 * max(1, largest)
    assert max(scorer.rows) <= 2**3 + 2 * (MAX_STEPS + 1) + 2 + 2
