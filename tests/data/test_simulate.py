"""The simulated city: deterministic, well formed, and its choices have the causes it states."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from numpy.typing import NDArray

from crossrec.data import city
from crossrec.data.simulate import (
    FACTORS,
    MAX_VISITS,
    MIN_VISITS,
    Simulation,
    is_open,
    moment_utilities,
    simulate,
    simulate_restaurants,
    steady_utilities,
)
from crossrec.data.simulate_tables import tables
from crossrec.domains.registry import load_domain
from crossrec.errors import ConfigError
from crossrec.schema import TABLES


@pytest.fixture(scope="module")
def simulation() -> Simulation:
    return simulate(n_users=400, n_items=300, seed=5)


def test_guests_choose_the_best_of_what_they_are_shown(tmp_path: Path) -> None:
    slates = simulate(n_users=50, n_items=100, seed=5, shown=8)
    assert slates.shown is not None
    assert slates.shown.shape == (50, MAX_VISITS, 8)
    assert (slates.shown == slates.chosen[..., None]).any(axis=2).all()  # what they take was shown
    steady = sum(steady_utilities(slates.restaurants, slates.guests).values())
    of_shown = steady[np.arange(50)[:, None], slates.shown[:, 0]]
    of_chosen = steady[np.arange(50), slates.chosen[:, 0]]
    assert (of_chosen > of_shown.mean(axis=1)).mean() > 0.7
    table = tables(slates)["interactions"]
    passed = table.filter(pl.col("event") == "shown")
    n_visits = int(slates.guests.n_visits.sum())
    assert len(passed) == 7 * n_visits  # at 100 restaurants eight are always open somewhere
    assert table.filter(pl.col("event") == "visit").height == n_visits
    assert passed["rating"].null_count() == len(passed)
    assert tables(slates)["truth_utilities"].height == n_visits
    pairs = table.select("user_id", "item_id", "timestamp")
    assert pairs.n_unique() == len(pairs)  # nothing is shown twice for one visit


def test_one_restaurant_shown_is_no_choice() -> None:
    with pytest.raises(ConfigError, match="got shown=1; expected 0, or 2 to n_items=100"):
        simulate(n_users=5, n_items=100, shown=1)


@pytest.fixture(scope="module")
def frames(simulation: Simulation) -> dict[str, pl.DataFrame]:
    return tables(simulation)


def test_the_same_seed_gives_the_same_tables_and_another_does_not(
    frames: dict[str, pl.DataFrame],
) -> None:
    again = tables(simulate(n_users=400, n_items=300, seed=5))
    assert all(frames[name].equals(again[name]) for name in frames)
    other = tables(simulate(n_users=400, n_items=300, seed=6))
    assert not frames["interactions"].equals(other["interactions"])


def test_the_canonical_tables_have_their_columns(frames: dict[str, pl.DataFrame]) -> None:
    for name in ("items", "interactions", "users"):
        assert set(TABLES[name].required) <= set(frames[name].columns)
    assert frames["items"]["item_id"].n_unique() == frames["items"]["title"].n_unique() == 300
    assert frames["interactions"]["item_id"].is_in(frames["items"]["item_id"].to_list()).all()


def test_the_domain_declares_only_columns_that_exist(frames: dict[str, pl.DataFrame]) -> None:
    domain = load_domain("restaurants_sim")
    assert domain.simulated
    for field in domain.context:
        assert set(field.columns or [field.name]) <= set(frames["interactions"].columns)
        assert set(field.item_columns) <= set(frames["items"].columns)
    assert set(domain.card_columns) <= set(frames["items"].columns)
    assert {o.column for o in domain.objectives} <= set(frames["items"].columns)


def test_ground_truth_is_in_tables_of_its_own(frames: dict[str, pl.DataFrame]) -> None:
    public = {c for name in TABLES if name in frames for c in frames[name].columns}
    secret = {c for name in frames if name.startswith("truth_") for c in frames[name].columns}
    secret -= {"user_id", "item_id", "timestamp"}
    assert {"weather_utility", "quality", "budget_eur"} < secret
    assert not public & secret
    assert not [name for name in frames if name.startswith("truth_") and name in TABLES]
    assert frames["truth_utilities"].height == frames["interactions"].height


def test_guests_visit_ten_to_forty_different_restaurants(frames: dict[str, pl.DataFrame]) -> None:
    visits = (
        frames["interactions"]
        .group_by("user_id")
        .agg(pl.len(), pl.col("item_id").n_unique().alias("different"))
    )
    assert visits["len"].min() == MIN_VISITS
    assert visits["len"].max() == MAX_VISITS
    assert (visits["len"] == visits["different"]).all()


def test_nobody_goes_where_it_is_closed(frames: dict[str, pl.DataFrame]) -> None:
    visits = frames["interactions"].join(
        frames["items"].select("item_id", "opens", "closes", "closed_on"), on="item_id"
    )
    names = pl.Series(city.WEEKDAYS).gather(visits["weekday"])
    assert (visits["hour"] >= visits["opens"]).all()
    assert (visits["hour"] < visits["closes"]).all()
    assert not (names == visits["closed_on"]).any()


def test_hour_and_weekday_are_those_of_the_timestamp(frames: dict[str, pl.DataFrame]) -> None:
    visits = frames["interactions"]
    moment = pl.from_epoch(visits["timestamp"], time_unit="s").dt
    assert (moment.hour() == visits["hour"]).all()
    assert (moment.weekday() - 1 == visits["weekday"]).all()
    assert moment.year().unique().to_list() == [2025]


def test_weather_follows_the_season(frames: dict[str, pl.DataFrame]) -> None:
    visits = frames["interactions"].with_columns(
        month=pl.from_epoch("timestamp", time_unit="s").dt.month()
    )
    by_month = dict(visits.group_by("month").agg(pl.col("temperature").mean()).rows())
    assert by_month[7] > by_month[1] + 12
    assert set(visits["weather"]) == set(city.WEATHERS)
    assert visits.filter(pl.col("weather") == "snow")["month"].is_in([11, 12, 1, 2, 3]).all()


def _share_with_terrace(visits: pl.DataFrame, items: pl.DataFrame, weather: str) -> float:
    chosen = visits.filter((pl.col("weather") == weather) & (pl.col("temperature") > 14))
    share = chosen.join(items.select("item_id", "terrace"), on="item_id")["terrace"].mean()
    assert isinstance(share, float)
    return share


def test_terraces_are_chosen_more_in_warm_sunshine(frames: dict[str, pl.DataFrame]) -> None:
    visits, items = frames["interactions"], frames["items"]
    assert _share_with_terrace(visits, items, "sunny") > 1.5 * _share_with_terrace(
        visits, items, "rain"
    )


def _ndcg_of_last(simulation: Simulation, scores: NDArray[np.float64]) -> float:
    """NDCG@10 of the last visit when guests' earlier restaurants are no candidates."""
    users = np.arange(len(scores))
    last = simulation.guests.n_visits - 1
    earlier = np.arange(MAX_VISITS)[None, :] < last[:, None]
    rows, visits = np.nonzero(earlier)
    scores = scores.copy()
    scores[rows, simulation.chosen[rows, visits]] = -np.inf
    own = scores[users, simulation.chosen[users, last]]
    rank = (scores >= own[:, None]).sum(axis=1)
    return float(np.where(rank <= 10, 1 / np.log2(rank + 1), 0).mean())


def test_who_knows_the_moment_ranks_far_better_than_who_knows_the_guest(
    simulation: Simulation,
) -> None:
    guests, restaurants = simulation.guests, simulation.restaurants
    users, last = np.arange(len(guests.n_visits)), guests.n_visits - 1
    moments = simulation.moments
    at_last = replace(
        moments, **{name: values[users, last][:, None] for name, values in vars(moments).items()}
    )
    steady = sum(steady_utilities(restaurants, guests).values())
    moment = sum(moment_utilities(restaurants, guests, at_last, 0).values())
    known = np.where(is_open(restaurants, at_last, 0), steady + moment, -1e9)
    assert _ndcg_of_last(simulation, known) > 2 * _ndcg_of_last(simulation, np.asarray(steady))


def test_the_stated_parts_are_those_of_the_chosen_restaurant(simulation: Simulation) -> None:
    utilities = {
        **steady_utilities(simulation.restaurants, simulation.guests),
        **moment_utilities(simulation.restaurants, simulation.guests, simulation.moments, 7),
    }
    users = np.arange(len(simulation.chosen))
    for n, factor in enumerate(FACTORS):
        expected = utilities[factor][users, simulation.chosen[:, 7]]
        np.testing.assert_allclose(simulation.parts[:, 7, n], expected)


def test_a_meal_above_the_budget_lowers_the_utility_more_than_one_below(
    simulation: Simulation,
) -> None:
    price = steady_utilities(simulation.restaurants, simulation.guests)["price"]
    budget, menu = simulation.guests.budget[:, None], simulation.restaurants.price[None, :]
    assert price[menu > 2 * budget].max() < price[menu < budget / 2].max() <= 0


def test_texts_say_what_the_columns_say(frames: dict[str, pl.DataFrame]) -> None:
    for row in frames["items"].rows(named=True):
        assert row["title"] in row["text"]
        assert row["category"][0] in row["text"]
        assert row["district"] in row["text"]
        assert city.PRICE_WORDS[row["price_level"] - 1] in row["text"]
        assert row["terrace"] == ("terrace" in row["text"])


def test_the_tables_are_written_as_parquet(tmp_path: Path) -> None:
    simulate_restaurants(tmp_path, n_users=20, n_items=100, seed=1)
    assert {p.stem for p in tmp_path.glob("*.parquet")} == {
        "items", "interactions", "users", "truth_utilities", "truth_users", "truth_items",
    }  # fmt: skip
    assert pl.read_parquet(tmp_path / "items.parquet").height == 100


@pytest.mark.parametrize(("n_users", "n_items"), [(0, 300), (10, 99), (10, 401)])
def test_an_impossible_size_is_refused_with_the_range(n_users: int, n_items: int) -> None:
    with pytest.raises(ConfigError, match="at least 1 user and 100 to 400 restaurants"):
        simulate(n_users=n_users, n_items=n_items)
