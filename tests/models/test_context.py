"""Context vectors and distances."""

from __future__ import annotations

import numpy as np
import pytest

from crossrec.domains.spec import ContextField
from crossrec.models.context import ContextEncoder, distances_km, gap_buckets

FIELDS = [
    ContextField(name="weather", kind="category"),
    ContextField(name="hour", kind="cycle", period=24),
    ContextField(name="temperature", kind="number"),
    ContextField(
        name="place", kind="place", columns=["lat", "lon"], item_columns=["latitude", "longitude"]
    ),
]
ROWS = {
    "weather": np.array([0, 1, 1], np.float32),
    "hour": np.array([0, 6, 12], np.float32),
    "temperature": np.array([10, 20, 30], np.float32),
    "place": np.array([[1, 1], [3, 1], [5, 1]], np.float32),
}
NEVER = np.full(3, -1)


def encoder(clock: bool = False) -> ContextEncoder:
    return ContextEncoder.fit(FIELDS, {"weather": ["rain", "sun"]}, ROWS, clock)


def test_each_kind_of_field_becomes_its_columns() -> None:
    vectors = encoder().encode(ROWS, NEVER)
    assert vectors.shape == (3, encoder().dim) == (3, 3 + 5 + 2 + 3)
    np.testing.assert_allclose(vectors[:, :3], [[1, 0, 0], [0, 1, 0], [0, 1, 0]])
    np.testing.assert_allclose(vectors[1, 3:8], [1, 0, 0, -1, 0], atol=1e-6)  # six o'clock
    np.testing.assert_allclose(vectors[:, 8].mean(), 0, atol=1e-6)
    np.testing.assert_allclose(vectors[:, 8].std(), 1, atol=1e-5)


def test_a_missing_field_is_zeros_and_a_mark() -> None:
    some = {"temperature": np.array([np.nan, 20, 30], np.float32)}
    vectors = encoder().encode(some, NEVER)
    assert vectors[0, 8:10].tolist() == [0, 1]
    assert vectors[1, 9] == 0
    assert (vectors[:, [2, 7, 12]] == 1).all()


def test_midnight_comes_after_eleven_at_night() -> None:
    hours = {"hour": np.array([23.9, 0.1, 12], np.float32)}
    late, early, noon = encoder().encode(hours, NEVER)
    assert np.linalg.norm(late - early) < 0.2 < np.linalg.norm(late - noon)


def test_the_clock_adds_the_time_since_the_last_step() -> None:
    vectors = encoder(clock=True).encode({}, np.array([-1, 0, 86_400]))
    np.testing.assert_allclose(vectors[:, -2:], [[0, 1], [0, 0], [np.log(2), 0]], atol=1e-3)


def test_a_moment_later_is_the_same_moment_and_a_day_later_is_not() -> None:
    clock = encoder(clock=True)
    vectors = clock.encode({}, np.array([86_400, 86_410, 2 * 86_400]))
    assert (vectors[0] == vectors[1]).all()
    assert (vectors[0] != vectors[2]).any()
    moments = [clock.moment({}, np.array([at])) for at in (86_400, 86_410, 2 * 86_400)]
    assert moments[0] == moments[1] != moments[2]


def test_other_values_are_another_moment() -> None:
    hours = [{"hour": np.array([hour], np.float32)} for hour in (3, 4)]
    moments = {encoder().moment(hour, NEVER[:1]) for hour in [*hours, {}]}
    assert len(moments) == 3


def test_plain_values_bring_it_back() -> None:
    again = ContextEncoder.from_dict(encoder(clock=True).to_dict())
    np.testing.assert_array_equal(
        again.encode(ROWS, NEVER), encoder(clock=True).encode(ROWS, NEVER)
    )


def test_a_degree_of_latitude_is_111_km_and_unknown_places_are_no_distance() -> None:
    here = np.array([[0, 0], [np.nan, 0]], np.float32)
    there = np.array([[1, 0], [0, 0]], np.float32)
    km = distances_km(here, there)
    assert km[0].tolist() == [pytest.approx(111.19, abs=0.01), 0]
    assert km[1].tolist() == [0, 0]


def test_gaps_double_from_bucket_to_bucket() -> None:
    hours = np.array([0, 1, 3, 7, 15]) * 3600
    assert gap_buckets(hours).tolist() == [1, 2, 3, 4, 5]
