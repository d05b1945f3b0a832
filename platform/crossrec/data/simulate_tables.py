"""Writes a simulated city as canonical tables, with item texts, and its ground truth apart.

Leaves to others: the simulation itself (simulate.py).
"""

from __future__ import annotations

import numpy as np
import polars as pl
from numpy.typing import NDArray

from crossrec.data import city
from crossrec.data.simulate import FACTORS, MAX_VISITS, Restaurants, Simulation

SHOWN = "shown"
"""Event of a restaurant that was shown and not visited."""


def tables(simulation: Simulation) -> dict[str, pl.DataFrame]:
    """Table name → frame; names that begin with `truth_` are causes, never features."""
    items = _items(simulation.restaurants)
    user_ids = [f"u{n:05d}" for n in range(1, len(simulation.guests.n_visits) + 1)]
    visits = _visits(simulation, items["item_id"].to_list(), user_ids)
    return {
        "items": items,
        "interactions": _with_shown(visits, simulation, items["item_id"].to_list()),
        "users": _users(simulation, user_ids),
        "truth_utilities": _truth_utilities(simulation, visits),
        "truth_users": _truth_users(simulation, user_ids),
        "truth_items": _truth_items(simulation.restaurants, items["item_id"].to_list()),
    }


def _items(restaurants: Restaurants) -> pl.DataFrame:
    n = len(restaurants.cuisine)
    level = np.digitize(restaurants.price, city.PRICE_LIMITS)
    latitude, longitude = _degrees(restaurants.place)
    districts = list(city.DISTRICTS)
    titles = [_title(i) for i in range(n)]
    return pl.DataFrame(
        {
            "item_id": [f"r{i:04d}" for i in range(1, n + 1)],
            "title": titles,
            "text": [_text(restaurants, i, titles[i], int(level[i])) for i in range(n)],
            "category": [[city.CUISINES[c].name] for c in restaurants.cuisine],
            "price_eur": np.round(restaurants.price, 1),
            "price_level": level + 1,
            "district": [districts[d] for d in restaurants.district],
            "latitude": latitude,
            "longitude": longitude,
            "opens": restaurants.opens,
            "closes": restaurants.closes,
            "closed_on": [city.WEEKDAYS[d] if d >= 0 else None for d in restaurants.closed_on],
            **{f: restaurants.features[:, j] for j, f in enumerate(city.FEATURES)},
        }
    )


def _title(number: int) -> str:
    """A name for each restaurant: all pairs of words, in an order that mixes both."""
    first = number % len(city.NAME_FIRST)
    second = (number // len(city.NAME_FIRST) + 7 * first) % len(city.NAME_SECOND)
    return f"{city.NAME_FIRST[first]} {city.NAME_SECOND[second]}"


def _text(restaurants: Restaurants, i: int, title: str, level: int) -> str:
    """A short description: only what a guest could read, nothing of the latent quality."""
    cuisine = city.CUISINES[restaurants.cuisine[i]]
    dishes = [cuisine.dishes[(i + step) % len(cuisine.dishes)] for step in range(3)]
    district = list(city.DISTRICTS)[restaurants.district[i]]
    features = [city.FEATURE_SENTENCES[f] for f in np.flatnonzero(restaurants.features[i])]
    article = "an" if cuisine.name[0] in "AEIOU" else "a"
    sentences = [
        f"{title} is {article} {cuisine.name} place in {district}.",
        f"Known for {dishes[0]}, {dishes[1]} and {dishes[2]}.",
        f"The mood is {_mood(restaurants.style[i])}, prices are {city.PRICE_WORDS[level]}.",
        *features,
        f"Open from {restaurants.opens[i]}:00 to {restaurants.closes[i]}:00.",
    ]
    return " ".join(sentences)


def _mood(style: NDArray[np.float64]) -> str:
    """The two strongest of the restaurant's styles in words."""
    strongest = np.sort(np.argsort(-np.abs(style))[:2])
    return " and ".join(city.STYLES[s][int(style[s] > 0)] for s in strongest)


def _degrees(place: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Latitude and longitude of (…, 2) km east and north of the centre."""
    latitude, longitude = city.CENTRE
    east = city.KM_PER_DEGREE * np.cos(np.radians(latitude))
    degrees = latitude + place[..., 1] / city.KM_PER_DEGREE, longitude + place[..., 0] / east
    # A metre is 1e-5 degrees; rounding also hides the last bits, which differ between processors.
    return np.round(degrees[0], 5), np.round(degrees[1], 5)


def _used(simulation: Simulation) -> NDArray[np.bool_]:
    """(U, T): the guest makes that visit."""
    return np.arange(MAX_VISITS)[None, :] < simulation.guests.n_visits[:, None]


def _visits(simulation: Simulation, item_ids: list[str], user_ids: list[str]) -> pl.DataFrame:
    used, moments = _used(simulation), simulation.moments
    users, _ = np.nonzero(used)
    latitude, longitude = _degrees(moments.place[used])
    return pl.DataFrame(
        {
            "user_id": pl.Series(user_ids).gather(users),
            "item_id": pl.Series(item_ids).gather(simulation.chosen[used]),
            "timestamp": moments.time_s[used],
            "event": pl.Series(["visit"]).gather(np.zeros(len(users), np.int64)),
            "rating": simulation.ratings[used].astype(np.float32),
            "hour": moments.hour[used].astype(np.int8),
            "weekday": moments.weekday[used].astype(np.int8),
            "weather": pl.Series(city.WEATHERS).gather(moments.weather[used]),
            "temperature": np.round(moments.temperature[used], 1).astype(np.float32),
            "company": pl.Series(city.COMPANIES).gather(moments.company[used]),
            "latitude": latitude.astype(np.float32),
            "longitude": longitude.astype(np.float32),
        }
    )


def _with_shown(visits: pl.DataFrame, simulation: Simulation, item_ids: list[str]) -> pl.DataFrame:
    """The visits, then a row for each restaurant that was shown for one and passed over."""
    if simulation.shown is None:
        return visits
    used = _used(simulation)
    shown = simulation.shown[used]  # (visits, K)
    passed = (shown >= 0) & (shown != simulation.chosen[used][:, None])
    rows, _ = np.nonzero(passed)
    exposures = visits[rows].with_columns(
        pl.Series("item_id", item_ids).gather(shown[passed]),
        pl.lit(SHOWN).alias("event"),
        pl.lit(None, pl.Float32).alias("rating"),
    )
    return pl.concat([visits, exposures])


def _users(simulation: Simulation, user_ids: list[str]) -> pl.DataFrame:
    groups = pl.Series(city.AGE_GROUPS).gather(simulation.guests.age_group)
    return pl.DataFrame({"user_id": user_ids, "age_group": groups})


def _truth_utilities(simulation: Simulation, visits: pl.DataFrame) -> pl.DataFrame:
    parts = simulation.parts[_used(simulation)]
    return visits.select("user_id", "item_id", "timestamp").with_columns(
        pl.Series(f"{factor}_utility", parts[:, n]) for n, factor in enumerate(FACTORS)
    )


def _truth_users(simulation: Simulation, user_ids: list[str]) -> pl.DataFrame:
    guests = simulation.guests
    tastes = {f"taste {c.name}": guests.cuisine_taste[:, n] for n, c in enumerate(city.CUISINES)}
    styles = {f"taste {s[1]}": guests.style_taste[:, n] for n, s in enumerate(city.STYLES)}
    return pl.DataFrame(
        {
            "user_id": user_ids,
            "budget_eur": guests.budget,
            "quality_weight": guests.quality_weight,
            "price_weight": guests.price_weight,
            "distance_weight": guests.distance_weight,
            **tastes,
            **styles,
        }
    )


def _truth_items(restaurants: Restaurants, item_ids: list[str]) -> pl.DataFrame:
    styles = {s[1]: restaurants.style[:, n] for n, s in enumerate(city.STYLES)}
    return pl.DataFrame({"item_id": item_ids, "quality": restaurants.quality, **styles})
