from __future__ import annotations

import numpy as np
import pytest

from crossrec.data.vocabulary import Vocabulary
from crossrec.domains.spec import ContextField, Domain
from crossrec.errors import RequestError
from crossrec.serving.context import read_context, restrictions
from tests.serving.conftest import NOW

DOMAIN = Domain(
    name="town",
    title="Town",
    context=[
        ContextField(name="weather", kind="category"),
        ContextField(name="floor", kind="category"),
        ContextField(name="budget", kind="number"),
        ContextField(name="hour", kind="cycle", period=24, derive="hour"),
        ContextField(name="weekday", kind="cycle", period=7, derive="weekday"),
        ContextField(name="month", kind="category", derive="month"),
        ContextField(
            name="here", kind="place", columns=["lat", "lon"], item_columns=["lat", "lon"]
        ),
    ],
)
VALUES = {"weather": ["rain", "sun"], "floor": ["1", "2"], "month": ["10", "11"]}
VOCABULARY = Vocabulary([], [], VALUES)


def read(**given) -> dict[str, list]:
    found = read_context(DOMAIN, VOCABULARY, given, NOW)
    return {name: values.tolist() for name, values in found.items()}


def test_what_is_not_given_is_missing_unless_the_clock_tells_it():
    found = read()
    assert np.isnan(found["weather"]).all()
    assert np.isnan(found["here"]).all()
    assert np.shape(found["here"]) == (1, 2)
    assert (found["hour"], found["weekday"], found["month"]) == ([22.0], [1.0], [1.0])


def test_values_become_numbers_by_the_kind_of_their_field():
    found = read(weather="sun", floor=2.0, budget="12.5", hour=24, here=[52.5, 13.4])
    assert (found["weather"], found["floor"], found["budget"]) == ([1.0], [1.0], [12.5])
    assert found["hour"] == [0.0]  # midnight may be called 24
    assert found["here"][0] == pytest.approx([52.5, 13.4], abs=1e-4)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"wether": "sun"}, "no context field 'wether': did you mean 'weather'"),
        ({"weather": "snow"}, "'snow': expected one of: rain, sun"),
        ({"weather": [1.0]}, "context field 'weather' got"),
        ({"budget": "much"}, "'much'; expected a number"),
        ({"budget": float("nan")}, "expected a number"),
        ({"hour": [1.0]}, "expected a number"),
        ({"hour": 99}, "expected 0 to 24"),
        ({"hour": -1}, "expected 0 to 24"),
        ({"here": [100.0, 13.4]}, "latitude, longitude"),
        ({"here": [float("nan"), 0.0]}, "latitude, longitude"),
        ({"here": "Berlin"}, "latitude, longitude"),
    ],
)
def test_a_value_that_a_field_cannot_have_is_refused(given, message):
    with pytest.raises(RequestError, match=message):
        read(**given)


def test_fields_that_restrict_become_filters_of_what_is_given() -> None:
    city = ContextField(name="city", kind="category", derive="last_item", restricts="town")
    page = ContextField(name="page", kind="category", restricts="pages")
    domain = DOMAIN.model_copy(update={"context": [*DOMAIN.context, city, page]})
    given = {"weather": "sun", "page": 2.0, "city": "Rome"}
    assert restrictions(domain, given) == [{"pages": "2"}, {"town": "Rome"}]
    assert restrictions(domain, {"weather": "sun"}) == []
    vocabulary = Vocabulary([], [], VALUES | {"city": ["Oslo", "Rome"], "page": ["1", "2"]})
    assert np.isnan(read_context(domain, vocabulary, {}, NOW)["city"]).all()
    with pytest.raises(RequestError, match="context field 'city' got 'Rom': did you mean 'Rome'"):
        read_context(domain, vocabulary, {"city": "Rom"}, NOW)
