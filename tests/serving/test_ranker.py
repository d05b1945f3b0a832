"""Ranking by several objectives through the recommender, on a small release with all fields."""

from __future__ import annotations

import asyncio
import math
from collections import Counter
from dataclasses import replace
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from crossrec.data.dataset import Dataset
from crossrec.domains.spec import ContextField, Objective
from crossrec.errors import ReleaseError, RequestError
from crossrec.ranking.learner_policy import Drawn
from crossrec.releases.store import LoadedRelease, ReleaseStore
from crossrec.serving.messages import RecommendRequest, RecommendResponse
from crossrec.serving.ranker import Ranker
from crossrec.serving.recommender import Recommender
from tests.serving.conftest import NOW
from tests.small_release import N_ITEMS, SmallDomain, make_small_domain

PLACE = ContextField(
    name="place",
    kind="place",
    columns=["latitude", "longitude"],
    item_columns=["latitude", "longitude"],
)
CITY = ContextField(name="city", kind="category", restricts="city", derive="last_item")
OBJECTIVES = [
    Objective(name="relevance", weight=1.0),
    Objective(name="price", column="price", unit="EUR", higher_is_better=False),
    Objective(name="margin", column="margin", unit="EUR"),
    Objective(name="freshness", column="released"),
    Objective(name="exposure", column="label"),
]
HERE = [48.0, 16.0]


def _fields() -> pl.DataFrame:
    rng = np.random.default_rng(1)
    return pl.DataFrame(
        {
            "margin": rng.permutation(N_ITEMS).astype(float),
            "released": [f"20{n:02d}-05-17" for n in rng.permutation(N_ITEMS)],
            "label": ["grand"] * 18 + ["corner", "shed", "shed", None, "corner", "attic"],
            "city": ["Graz" if n % 2 else "Wien" for n in range(N_ITEMS)],
            "latitude": [None if n == 3 else 48 + n / 100 for n in rng.permutation(N_ITEMS)],
            "longitude": [16.0] * N_ITEMS,
        }
    )


def _with_fields(folder: Path) -> SmallDomain:
    """The films, each with a margin, a date, a label, a city and a place."""
    films = make_small_domain(folder / "films")
    file = folder / "films" / "items.parquet"
    pl.concat([pl.read_parquet(file), _fields()], how="horizontal").write_parquet(file)
    visits = folder / "films" / "interactions.parquet"
    here = pl.lit(HERE[0]).alias("latitude"), pl.lit(HERE[1]).alias("longitude")
    pl.read_parquet(visits).with_columns(*here).write_parquet(visits)
    domain = films.model.domain.model_copy(
        update={
            "context": [*films.model.domain.context, PLACE, CITY],
            "objectives": OBJECTIVES,
            "card_columns": [],
        }
    )
    values = films.model.vocabulary.context_values | {"city": ["Graz", "Wien"]}
    vocabulary = replace(films.model.vocabulary, context_values=values)
    model = replace(films.model, domain=domain, vocabulary=vocabulary)
    dataset = replace(Dataset.open("films", folder), domain=domain)
    return replace(films, dataset=dataset, model=model)


@pytest.fixture(scope="module")
def release(tmp_path_factory: pytest.TempPathFactory) -> LoadedRelease:
    store = ReleaseStore(tmp_path_factory.mktemp("releases"))
    _with_fields(tmp_path_factory.mktemp("data")).publish(store)
    return store.load("films")


@pytest.fixture
def films(release, log, encoder) -> Recommender:
    return Recommender(release, encoder, log, clock=lambda: NOW)


def declaring(loaded: LoadedRelease, *objectives: Objective) -> LoadedRelease:
    """The release, with other objectives in its YAML."""
    domain = loaded.model.domain.model_copy(update={"objectives": list(objectives)})
    return replace(loaded, model=replace(loaded.model, domain=domain))


def ask(recommender: Recommender, **fields) -> RecommendResponse:
    return asyncio.run(recommender.recommend(RecommendRequest(**fields)))


def ids(answer: RecommendResponse) -> list[str]:
    return [item.item_id for item in answer.items]


def mean(answer: RecommendResponse, column: str) -> float:
    return float(np.mean([item.item[column] for item in answer.items if column in item.item]))


ALL = {"price", "margin", "freshness", "exposure", "popularity", "novelty", "distance", "diversity"}


def test_by_default_the_list_is_that_of_relevance(films):
    answer = ask(films, user_id="user-1", k=N_ITEMS)
    assert answer.weights == {"relevance": 1}
    for item in answer.items:
        assert item.objectives == {"relevance": item.score}
        assert item.measures == {}
        assert math.isclose(sum(item.signals.values()), item.score, abs_tol=1e-4)


@pytest.mark.parametrize("request_fields", [{}, {"user_id": "user-1"}, {"text": "some horror"}])
def test_what_the_objectives_gave_adds_up_to_the_score(films, request_fields):
    weights = dict.fromkeys(sorted(ALL), 0.4)
    context = {"place": HERE}
    answer = ask(films, k=N_ITEMS, objectives=weights, context=context, **request_fields)
    assert answer.weights == {"relevance": 1} | weights
    for item in answer.items:
        assert set(item.objectives) == {"relevance"} | ALL
        assert math.isclose(sum(item.objectives.values()), item.score, abs_tol=1e-9)
        assert math.isclose(sum(item.signals.values()), item.objectives["relevance"], abs_tol=1e-4)


@pytest.mark.parametrize("objective", ["price", "margin"])
@pytest.mark.parametrize("turned", [1, -1])
def test_a_column_moves_the_list_the_way_it_says_the_more_the_more_it_weighs(
    films, objective, turned
):
    sign = turned * (-1 if objective == "price" else 1)
    means = [
        sign * mean(ask(films, k=6, objectives={objective: turned * weight}), objective)
        for weight in (0, 0.5, 1, 2, 10)
    ]
    assert means == sorted(means)
    assert means[0] < means[2] < means[-1]


def test_ranked_by_one_objective_alone_the_list_is_in_its_order(films):
    by_price = ask(films, k=N_ITEMS - 1, objectives={"relevance": 0, "price": 1})
    prices = [item.item["price"] for item in by_price.items if "price" in item.item]
    assert prices == sorted(prices)
    assert by_price.items[0].measures == {"price": prices[0]}
    by_age = ask(films, k=N_ITEMS, objectives={"relevance": 0, "freshness": 1})
    dates = [item.item["released"] for item in by_age.items]
    assert dates == sorted(dates, reverse=True)
    days = [item.measures["freshness"] for item in by_age.items]
    assert days == sorted(days)
    assert days[1] - days[0] == pytest.approx(365)  # from May 2022 to May 2023


def test_without_clock_time_the_newest_item_is_of_today(release, log, encoder):
    domain = release.model.domain.model_copy(update={"time_kind": "none"})
    timeless = replace(release, model=replace(release.model, domain=domain))
    films = Recommender(timeless, encoder, log, clock=lambda: NOW)
    answer = ask(films, k=2, objectives={"relevance": 0, "freshness": 1})
    assert [item.measures["freshness"] for item in answer.items] == [0, 365]


def test_popularity_and_its_opposite(films, release):
    counts, _ = release.catalogue.seen
    known = release.model.vocabulary.item_idx

    def seen(**weights: float) -> list[int]:
        answer = ask(films, k=N_ITEMS, objectives={"relevance": 0} | weights)
        return [int(counts[known[item]]) for item in ids(answer)]

    assert seen(popularity=1) == sorted(counts.tolist(), reverse=True)
    assert seen(popularity=-1) == sorted(counts.tolist())


def test_novelty_brings_what_is_unlike_the_history(films):
    plain = ask(films, user_id="user-1", k=3)
    novel = ask(films, user_id="user-1", k=3, objectives={"novelty": 4})
    assert {item.category[0] for item in plain.items} == {"space"}
    assert "space" not in {item.category[0] for item in novel.items}
    assert all(item.measures["novelty"] > 0.5 for item in novel.items)
    nobody = ask(films, k=3, objectives={"novelty": 1})
    assert nobody.ignored == ["objective 'novelty': nothing that the user had is known"]
    assert ids(nobody) == ids(ask(films, k=3))


def test_distance_brings_what_is_near_and_says_how_far(films):
    near = ask(
        films, k=N_ITEMS, context={"place": HERE}, objectives={"relevance": 0, "distance": 1}
    )
    km = [item.measures["distance"] for item in near.items if "distance" in item.measures]
    assert len(km) == N_ITEMS - 1  # of one the place is not known
    assert km == sorted(km)
    assert km[0] == pytest.approx(0, abs=0.1)
    assert km[-1] == pytest.approx(23 * 1.112, rel=0.01)  # a hundredth of a degree is 1.112 km
    nowhere = ask(films, k=3, objectives={"distance": 1})
    assert nowhere.ignored == ["objective 'distance': the request does not say where it is made"]


def test_distance_by_city_keeps_to_where_the_last_item_was(release, log, encoder):
    by_city = declaring(release, Objective(name="distance", column="city"))
    films = Recommender(by_city, encoder, log, clock=lambda: NOW)
    history = [{"item_id": "film-0"}]  # in Wien
    answer = ask(films, history=history, k=8, objectives={"distance": 3})
    assert {item.item["city"] for item in answer.items} == {"Wien"}
    assert {item.measures["distance"] for item in answer.items} == {0}


def test_diversity_mixes_genres_and_says_what_likeness_cost(films):
    plain = ask(films, user_id="user-1", k=3)
    mixed = ask(films, user_id="user-1", k=6, objectives={"diversity": 3})
    assert len({item.category[0] for item in plain.items}) == 1
    assert len({item.category[0] for item in mixed.items[:3]}) == 3
    assert mixed.items[0].objectives["diversity"] == 0
    assert min(item.objectives["diversity"] for item in mixed.items) < -1
    scores = [item.score for item in mixed.items]
    assert scores == sorted(scores, reverse=True)


def test_diversity_by_a_column_mixes_its_values(release, log, encoder):
    by_studio = declaring(release, Objective(name="diversity", column="studio"))
    films = Recommender(by_studio, encoder, log, clock=lambda: NOW)
    answer = ask(films, k=2, objectives={"diversity": 10})
    assert {item.item["studio"] for item in answer.items} == {"north", "south"}


def test_exposure_brings_small_providers_in(films):
    def n_small(answer: RecommendResponse) -> int:
        return sum(item.item.get("label") in ("corner", "shed", "attic") for item in answer.items)

    grand = {"relevance": 0, "popularity": 10}
    plain = ask(films, k=5, objectives=grand)
    fair = ask(films, k=5, objectives=grand | {"exposure": 10})
    assert n_small(plain) == 0
    assert 1 <= n_small(fair) <= 2
    assert max(item.objectives["exposure"] for item in fair.items) > 0


def test_weights_of_the_yaml_hold_until_the_request_says_otherwise(release, log, encoder):
    price = Objective(name="price", column="price", higher_is_better=False, weight=0.8)
    films = Recommender(declaring(release, price), encoder, log, clock=lambda: NOW)
    answer = ask(films, k=6)
    assert answer.weights == {"relevance": 1, "price": 0.8}
    other = ask(films, k=6, objectives={"price": 0})
    assert other.weights == {"relevance": 1}
    assert mean(answer, "price") < mean(other, "price")


class InRain:
    """Gives price a weight where it rains."""

    active = True
    objectives = ("price",)

    def draw(self, context, who):
        wet = context["weather"][0] == 0  # its values in the order of the alphabet
        return Drawn({"price": 2.0}, version=3, arm=0, propensity=1.0) if wet else None

    def again(self, context, who, request_id):
        return self.draw(context, who)


def test_a_learner_gives_weights_by_context_beside_the_yaml(release, log, encoder):
    films = Recommender(release, encoder, log, clock=lambda: NOW, weigh=InRain())
    dry = ask(films, user_id="user-1", context={"weather": "sun"})
    wet = ask(films, user_id="user-1", context={"weather": "rain"})
    asked = ask(films, context={"weather": "rain"}, objectives={"price": 0.1})
    assert dry.weights == {"relevance": 1}
    assert wet.weights == {"relevance": 1, "price": 2}
    assert asked.weights == {"relevance": 1, "price": 0.1}
    assert mean(wet, "price") < mean(dry, "price")


def test_the_explanation_adds_up_to_the_score_too(films):
    answer = ask(films, user_id="user-1", explain=True, objectives={"price": 0.7, "relevance": 2})
    for item in answer.items:
        parts = item.explanation.parts
        assert item.explanation.score == item.score
        assert math.isclose(sum(part.value for part in parts), item.score, abs_tol=1e-3)
        assert [p.value for p in parts if p.kind == "objective"] == [item.objectives["price"]]


def test_a_missing_column_is_said_when_the_release_is_loaded(release):
    wrong = declaring(release, Objective(name="price", column="prise"))
    with pytest.raises(ReleaseError, match=r"'price' of 'films': .*did you mean 'price'"):
        Ranker(wrong)
    text = declaring(release, Objective(name="quality", column="studio"))
    with pytest.raises(ReleaseError, match="'studio' holds text; expected numbers"):
        Ranker(text)
    dates = declaring(release, Objective(name="freshness", column="studio"))
    with pytest.raises(ReleaseError, match="holds 'north'; expected dates like"):
        Ranker(dates)


def test_what_the_data_do_not_support_cannot_have_weight(release):
    domain = release.model.domain.model_copy(update={"context": [], "objectives": []})
    bare = replace(release, model=replace(release.model, domain=domain))
    objectives = Ranker(bare).objectives
    assert set(objectives.declared) == {
        *("relevance", "popularity", "novelty", "freshness", "diversity")
    }
    with pytest.raises(RequestError, match=r"no objective 'distance': .*no context field of kind"):
        objectives.check({"distance": 1})
    weighed = declaring(bare, Objective(name="distance", weight=1))
    with pytest.raises(ReleaseError, match=r"'distance' of 'films': .*no context field"):
        Ranker(weighed)


def test_unknown_objectives_columns_and_impossible_pins_are_refused(films):
    with pytest.raises(RequestError, match="no objective 'prise': did you mean 'price'"):
        ask(films, objectives={"prise": 1})
    with pytest.raises(RequestError, match="at_most: no item column 'studo'"):
        ask(films, at_most={"studo": 1})
    with pytest.raises(RequestError, match="pinned at 4, but k is 3"):
        ask(films, k=3, pinned=[{"item_id": "film-1", "position": 4}])
    with pytest.raises(RequestError, match="two pins share a position or an item"):
        ask(films, pinned=[{"item_id": f"film-{n}", "position": 1} for n in range(2)])
    with pytest.raises(RequestError, match="both pinned and blocked"):
        ask(films, pinned=[{"item_id": "film-1", "position": 1}], blocked=["film-1"])
    with pytest.raises(RequestError, match="at character 1: no field is called 'prise'"):
        ask(films, where="prise < 3")


def test_pins_and_blocks_of_items_that_are_gone_are_named(films):
    pins = [{"item_id": "gone", "position": 1}]
    answer = ask(films, k=3, pinned=pins, blocked=["lost"])
    assert answer.ignored == [
        "blocked item 'lost': no item has this id",
        "pinned item 'gone': no item has this id",
    ]
    assert len(answer.items) == 3


def test_a_pinned_item_says_so_and_stands_though_it_was_seen_and_filtered(films):
    pins = [{"item_id": "film-1", "position": 2}]
    answer = ask(films, user_id="user-1", k=3, pinned=pins, where="year > 1990")
    assert [item.pinned for item in answer.items] == [False, True, False]
    assert ids(answer)[1] == "film-1"
    assert math.isclose(sum(answer.items[1].objectives.values()), answer.items[1].score)


@settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    user=st.sampled_from(["user-1", "user-7", "nobody"]),
    k=st.integers(1, 12),
    limits=st.dictionaries(st.sampled_from(["category", "studio", "label"]), st.integers(1, 4)),
    blocked=st.lists(st.integers(0, N_ITEMS - 1).map("film-{}".format), max_size=5),
    pinned=st.dictionaries(st.integers(1, 12), st.integers(0, N_ITEMS - 1), max_size=2),
    weights=st.dictionaries(st.sampled_from(sorted(ALL)), st.floats(0, 10), max_size=3),
)
def test_every_answer_keeps_to_its_constraints(films, user, k, limits, blocked, pinned, weights):
    pins = {
        position: f"film-{n}"
        for position, n in pinned.items()
        if position <= k and f"film-{n}" not in blocked
    }
    pins = {position: item for item, position in {v: p for p, v in pins.items()}.items()}
    answer = ask(
        films,
        user_id=user,
        k=k,
        at_most=limits,
        blocked=blocked,
        pinned=[{"item_id": item, "position": position} for position, item in pins.items()],
        where="price < 9 or price is missing",
        objectives=weights,
    )
    found = ids(answer)
    assert len(set(found)) == len(found) <= k
    assert not set(found) & set(blocked)
    assert {item.item_id for item in answer.items if item.pinned} == set(pins.values())
    free = [item for item in answer.items if not item.pinned]
    assert all(item.item.get("price", 0) < 9 for item in free)
    for column, limit in limits.items():
        counts = Counter(
            value
            for item in answer.items
            for value in ([item.item.get(column)] if column != "category" else item.category)
            if value is not None
        )
        of_pins = Counter(
            value
            for item in answer.items
            if item.pinned
            for value in ([item.item.get(column)] if column != "category" else item.category)
        )
        assert all(count <= max(limit, of_pins[value]) for value, count in counts.items())
    for item in answer.items:
        assert math.isclose(sum(item.objectives.values()), item.score, abs_tol=1e-6)
