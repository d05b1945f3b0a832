"""Simulates a year of restaurant visits in a made-up city whose every cause is known.

Leaves to others: turning the tables it writes into a data set (importing.py). Every figure made
from it is to be labelled simulated. Sizes: U guests, N restaurants, T visits, C cuisines.

A guest at a moment chooses among the restaurants that are open and new to them by a softmax of
utility = taste + quality + price + distance + weather + company + daytime (`FACTORS`).
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from crossrec.data import city
from crossrec.errors import ConfigError

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Bools = NDArray[np.bool_]

FACTORS = ("taste", "quality", "price", "distance", "weather", "company", "daytime")
"""Parts of a utility; the last four come from the moment."""

START_S = 1_735_689_600  # 2025-01-01 00:00 UTC, a Wednesday
N_DAYS = 365
MIN_VISITS, MAX_VISITS = 10, 40
MAX_RESTAURANTS = len(city.NAME_FIRST) * len(city.NAME_SECOND)
N_STYLES = len(city.STYLES)
N_TYPES = 6  # kinds of guest that share a taste, so that guests can be learnt from each other

HOURS = np.arange(24)
HOUR_SHARES = np.array([0] * 8 + [3, 4, 3, 5, 14, 10, 4, 3, 3, 4, 10, 14, 12, 7, 3, 1], np.float64)


@dataclass(frozen=True)
class Restaurants:
    """What is true of the restaurants; positions are km east and north of the centre."""

    cuisine: Ints  # (N,) index into city.CUISINES
    district: Ints  # (N,) index into city.DISTRICTS
    place: Floats  # (N, 2)
    price: Floats  # (N,) EUR a person
    quality: Floats  # (N,) standard normal
    style: Floats  # (N, 4) standard normal
    features: Bools  # (N, F) as city.FEATURES
    opens: Ints  # (N,) hour
    closes: Ints  # (N,) hour, the first it is closed
    closed_on: Ints  # (N,) weekday, Monday 0; -1 never


@dataclass(frozen=True)
class Guests:
    """What is true of the guests."""

    age_group: Ints  # (U,) index into city.AGE_GROUPS
    home: Floats  # (U, 2)
    work: Floats  # (U, 2)
    budget: Floats  # (U,) EUR a person
    cuisine_taste: Floats  # (U, C) utility of each cuisine
    style_taste: Floats  # (U, 4)
    quality_weight: Floats  # (U,)
    price_weight: Floats  # (U,)
    distance_weight: Floats  # (U,) utility lost a km
    n_visits: Ints  # (U,)


@dataclass(frozen=True)
class Moments:
    """When, where and with whom each visit happens; visits of a guest in order of time."""

    time_s: Ints  # (U, T)
    hour: Ints  # (U, T)
    weekday: Ints  # (U, T) Monday 0
    weather: Ints  # (U, T) index into city.WEATHERS
    temperature: Floats  # (U, T) degrees Celsius
    company: Ints  # (U, T) index into city.COMPANIES
    place: Floats  # (U, T, 2)


@dataclass(frozen=True)
class Simulation:
    """A simulated city and what happened in it."""

    restaurants: Restaurants
    guests: Guests
    moments: Moments
    chosen: Ints  # (U, T) index of the restaurant
    parts: Floats  # (U, T, len(FACTORS)) utility of the chosen restaurant, factor by factor
    ratings: Floats  # (U, T) 1 to 5
    shown: Ints | None = None  # (U, T, K) restaurants chosen among, -1 for fewer; None: all


def simulate_restaurants(
    folder: Path, *, n_users: int = 2000, n_items: int = 300, seed: int = 0, shown: int = 0
) -> None:
    """Write a simulated data set into `folder`.

    Canonical tables `items`, `interactions`, `users`, and apart from them the ground truth, which
    no model may read: `truth_utilities` (one row a visit: `<factor>_utility`, each factor's part),
    `truth_users` (tastes, budget and weights), `truth_items` (quality and style).

    Raises:
        ConfigError: too few or too many guests or restaurants.
    """
    from crossrec.data.simulate_tables import tables

    for name, table in tables(simulate(n_users, n_items, seed, shown)).items():
        table.write_parquet(folder / f"{name}.parquet")


def simulate(n_users: int = 2000, n_items: int = 300, seed: int = 0, shown: int = 0) -> Simulation:
    """Draw a city and let every guest choose; the same seed gives the same city.

    Args:
        shown: restaurants that a guest is shown at a time, drawn evenly from those that are open
            and new to them, to choose among; 0: all of these.

    Raises:
        ConfigError: less than 1 guest, restaurants not between 100 and 400, or 1 shown, which
            is no choice.
    """
    if shown == 1 or not 0 <= shown <= n_items:
        raise ConfigError(f"got shown={shown}; expected 0, or 2 to n_items={n_items} restaurants")
    if n_users < 1 or not 100 <= n_items <= MAX_RESTAURANTS:
        raise ConfigError(
            f"got n_users={n_users} and n_items={n_items}; expected at least 1 user and 100 to"
            f" {MAX_RESTAURANTS} restaurants"
        )
    rng = np.random.default_rng(seed)
    restaurants = draw_restaurants(n_items, rng)
    guests = draw_guests(n_users, rng)
    moments = draw_moments(guests, rng)
    slates = np.random.default_rng((seed, shown)) if shown else None  # else the city is the same
    chosen, parts, offered = _choose(restaurants, guests, moments, rng, shown, slates)
    ratings = _ratings(parts, rng.normal(size=chosen.shape))
    return Simulation(restaurants, guests, moments, chosen, parts, ratings, offered)


def draw_restaurants(n: int, rng: np.random.Generator) -> Restaurants:
    """N restaurants spread over cuisines and districts."""
    shares = np.array([c.share for c in city.CUISINES])
    cuisine = rng.choice(len(shares), n, p=shares / shares.sum())
    district = rng.integers(len(city.DISTRICTS), size=n)
    centres = np.array(list(city.DISTRICTS.values()))
    quality = rng.normal(size=n)
    median = np.array([c.price for c in city.CUISINES])[cuisine]
    morning = np.array([c.daytimes[0] for c in city.CUISINES])[cuisine] > -0.7
    dinner_only = ~morning & (rng.random(n) < 0.35)
    return Restaurants(
        cuisine=cuisine,
        district=district,
        place=centres[district] + rng.normal(scale=0.5, size=(n, 2)),
        price=median * np.exp(0.1 * quality + rng.normal(scale=0.3, size=n)),
        quality=quality,
        style=rng.normal(size=(n, N_STYLES)),
        features=rng.random((n, len(city.FEATURES))) < np.array(city.FEATURE_SHARES),
        opens=np.where(morning, 8, np.where(dinner_only, 17, 11)),
        closes=np.where(morning, rng.integers(18, 22, n), rng.integers(22, 25, n)),
        closed_on=np.where(rng.random(n) < 0.5, rng.integers(7, size=n), -1),
    )


def draw_guests(n: int, rng: np.random.Generator) -> Guests:
    """U guests; those of one kind share much of their taste."""
    n_cuisines = len(city.CUISINES)
    kind = rng.integers(N_TYPES, size=n)
    kind_tastes = rng.normal(scale=1.1, size=(N_TYPES, n_cuisines + N_STYLES))
    tastes = kind_tastes[kind] + rng.normal(scale=0.5, size=(n, n_cuisines + N_STYLES))
    age_group = rng.integers(len(city.AGE_GROUPS), size=n)
    centres = np.array(list(city.DISTRICTS.values()))
    return Guests(
        age_group=age_group,
        home=centres[rng.integers(len(centres), size=n)] + rng.normal(scale=0.9, size=(n, 2)),
        work=centres[rng.integers(len(centres), size=n)] + rng.normal(scale=0.4, size=(n, 2)),
        budget=np.array(city.AGE_BUDGETS)[age_group] * np.exp(rng.normal(scale=0.3, size=n)),
        cuisine_taste=tastes[:, :n_cuisines],
        style_taste=0.4 * tastes[:, n_cuisines:],
        quality_weight=rng.gamma(4.0, 0.12, n),
        price_weight=rng.gamma(6.0, 0.35, n),
        distance_weight=rng.gamma(8.0, 0.12, n),
        n_visits=rng.integers(MIN_VISITS, MAX_VISITS + 1, n),
    )


def draw_moments(guests: Guests, rng: np.random.Generator) -> Moments:
    """A moment for each of `MAX_VISITS` visits of each guest (later ones may go unused)."""
    shape = (len(guests.n_visits), MAX_VISITS)
    day = rng.integers(N_DAYS, size=shape)
    hour = rng.choice(HOURS, size=shape, p=HOUR_SHARES / HOUR_SHARES.sum())
    time_s = START_S + 86_400 * day + 3_600 * hour + rng.integers(3_600, size=shape)
    used = np.arange(MAX_VISITS)[None, :] < guests.n_visits[:, None]
    time_s = np.sort(np.where(used, time_s, time_s + 86_400 * N_DAYS), axis=1)
    since = time_s - START_S
    day, hour = since // 86_400 % N_DAYS, since % 86_400 // 3_600
    weekday = (since // 86_400 + 2) % 7  # the first day is a Wednesday
    weather, day_temperature = _weather(rng)
    return Moments(
        time_s=time_s,
        hour=hour,
        weekday=weekday,
        weather=weather[day],
        temperature=day_temperature[day] + 4 * np.cos((hour - 15) / 24 * 2 * np.pi),
        company=_company(weekday, hour, rng),
        place=_places(guests, weekday, hour, rng),
    )


def _weather(rng: np.random.Generator) -> tuple[Ints, Floats]:
    """Weather and mean temperature of each day; both last for a few days."""
    season = -np.cos((np.arange(N_DAYS) - 15) / N_DAYS * 2 * np.pi)  # -1 January, 1 July
    sky, warmth = np.zeros((2, N_DAYS))
    steps = rng.normal(size=(N_DAYS, 2))
    for day in range(N_DAYS):
        previous = max(day - 1, 0)
        sky[day] = 0.6 * sky[previous] + 0.8 * steps[day, 0]
        warmth[day] = 0.7 * warmth[previous] + 2.0 * steps[day, 1]
    temperature = 11 + 10 * season + warmth + 1.5 * sky
    weather = np.where(sky + 0.3 * season > 0.35, 0, np.where(sky > -0.4, 1, 2))
    return np.where((weather == 2) & (temperature < 1.5), 3, weather), temperature


def _company(weekday: Ints, hour: Ints, rng: np.random.Generator) -> Ints:
    """Colleagues at lunch on working days; family and friends rather at other times."""
    shares = np.tile(np.array(city.COMPANY_SHARES), (*weekday.shape, 1))
    at_work = (weekday < 5) & (hour < 17)
    shares[at_work] *= np.array([1.2, 0.3, 0.4, 0.2, 3.0])
    shares[~at_work] *= np.array([0.7, 1.3, 1.4, 1.5, 0.2])
    bounds = np.cumsum(shares / shares.sum(axis=-1, keepdims=True), axis=-1)
    draws = rng.random((*weekday.shape, 1))
    return np.asarray((draws > bounds[..., :-1]).sum(axis=-1), np.int64)


def _places(guests: Guests, weekday: Ints, hour: Ints, rng: np.random.Generator) -> Floats:
    """Near work in working hours, else near home, and now and then anywhere in the city."""
    at_work = (weekday < 5) & (hour < 17)
    place = np.where(at_work[..., None], guests.work[:, None], guests.home[:, None])
    centres = np.array(list(city.DISTRICTS.values()))
    anywhere = centres[rng.integers(len(centres), size=weekday.shape)]
    away = rng.random(weekday.shape) < 0.4
    place = np.where(away[..., None], anywhere, place)
    return np.asarray(place + rng.normal(scale=0.4, size=place.shape))


def _choose(
    restaurants: Restaurants,
    guests: Guests,
    moments: Moments,
    rng: np.random.Generator,
    n_shown: int,
    slates: np.random.Generator | None,
) -> tuple[Ints, Floats, Ints | None]:
    """The restaurant of each visit (U, T), its utility factor by factor (U, T, factors), and what
    was shown (U, T, K), where not all of them were.
    """
    n_users = len(guests.n_visits)
    users = np.arange(n_users)
    been = np.zeros((n_users, len(restaurants.cuisine)), np.bool_)
    chosen = np.zeros((n_users, MAX_VISITS), np.int64)
    parts = np.zeros((n_users, MAX_VISITS, len(FACTORS)))
    shown = np.full((n_users, MAX_VISITS, n_shown), -1) if slates else None
    steady = steady_utilities(restaurants, guests)
    for visit in range(MAX_VISITS):
        utilities = {**steady, **moment_utilities(restaurants, guests, moments, visit)}
        total = sum(utilities.values()) + rng.gumbel(size=been.shape)
        open_to = ~been & is_open(restaurants, moments, visit)
        if slates is not None and shown is not None:
            shown[:, visit] = _slate(open_to, n_shown, slates)
            on_it = np.zeros((n_users, been.shape[1] + 1), np.bool_)  # one column for -1
            np.put_along_axis(on_it, shown[:, visit], True, axis=1)
            open_to &= on_it[:, :-1]
        total[~open_to] = -np.inf
        # Gumbel noise makes the largest a draw from the softmax.
        chosen[:, visit] = total.argmax(axis=1)
        been[users, chosen[:, visit]] = True
        for n, factor in enumerate(FACTORS):
            parts[:, visit, n] = utilities[factor][users, chosen[:, visit]]
    return chosen, parts, shown


def _slate(open_to: Bools, n_shown: int, rng: np.random.Generator) -> Ints:
    """(U, K) restaurants drawn evenly from those open to each guest (U, N); -1 for fewer."""
    draws = np.where(open_to, rng.random(open_to.shape), -1.0)
    drawn = np.argsort(-draws, axis=1)[:, :n_shown]
    return np.where(np.take_along_axis(open_to, drawn, axis=1), drawn, -1)


def steady_utilities(restaurants: Restaurants, guests: Guests) -> dict[str, Floats]:
    """Factors that hold at any moment: taste, quality, price; each (U, N)."""
    over = np.log(restaurants.price[None, :] / guests.budget[:, None])
    return {
        "taste": guests.cuisine_taste[:, restaurants.cuisine]
        + guests.style_taste @ restaurants.style.T,
        "quality": guests.quality_weight[:, None] * restaurants.quality[None, :],
        # Above the budget each doubling hurts; far below it a little as well.
        "price": -guests.price_weight[:, None] * np.where(over > 0, over, -0.2 * over),
    }


def moment_utilities(
    restaurants: Restaurants, guests: Guests, moments: Moments, visit: int
) -> dict[str, Floats]:
    """Factors of the guests' visit number `visit`: distance, weather, company, daytime; (U, N)."""
    gap = moments.place[:, visit, None] - restaurants.place[None]
    fit = np.array(city.COMPANY_FIT)[moments.company[:, visit]]  # (U, F)
    daytimes = np.array([c.daytimes for c in city.CUISINES])[restaurants.cuisine]  # (N, 4)
    daytime = np.digitize(moments.hour[:, visit], [11, 15, 17])
    return {
        "distance": -guests.distance_weight[:, None] * np.hypot(gap[..., 0], gap[..., 1]),
        "weather": _weather_utility(restaurants, moments, visit),
        "company": fit @ restaurants.features.T,
        "daytime": 1.5 * daytimes[:, daytime].T,
    }


def _weather_utility(restaurants: Restaurants, moments: Moments, visit: int) -> Floats:
    """Terraces in warm sunshine, soups and stews in rain, snow or cold, cool dishes in heat."""
    warming = np.array([c.warming for c in city.CUISINES])[restaurants.cuisine]
    cooling = np.array([c.cooling for c in city.CUISINES])[restaurants.cuisine]
    terrace = restaurants.features[:, city.FEATURES.index("terrace")]
    weather, temperature = moments.weather[:, visit], moments.temperature[:, visit]
    sunny = (weather == city.WEATHERS.index("sunny")) & (temperature > 14)
    wet = weather >= city.WEATHERS.index("rain")
    cold = np.clip((12 - temperature) / 10, 0, 1)
    heat = np.clip((temperature - 18) / 8, 0, 1)
    return np.asarray(
        np.outer(np.where(sunny, 2.2, np.where(wet, -0.6, 0)), terrace)
        + np.outer(1.2 * wet + 0.8 * cold, warming)
        + np.outer(1.8 * heat, cooling)
    )


def is_open(restaurants: Restaurants, moments: Moments, visit: int) -> Bools:
    """(U, N): open at that hour, and not on its day off."""
    hour, weekday = moments.hour[:, visit, None], moments.weekday[:, visit, None]
    open_now = (hour >= restaurants.opens[None]) & (hour < restaurants.closes[None])
    return np.asarray(open_now & (weekday != restaurants.closed_on[None]))


def _ratings(parts: Floats, noise: Floats) -> Floats:
    """1 to 5 stars for what a guest judges afterwards: taste, quality and price."""
    judged = parts[..., [FACTORS.index(f) for f in ("taste", "quality", "price")]].sum(axis=-1)
    judged = (judged - judged.mean()) / judged.std()
    return np.asarray(np.clip(np.rint(3.7 + 0.8 * judged + 0.5 * noise), 1, 5))
