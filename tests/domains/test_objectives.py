from __future__ import annotations

import pytest
from pydantic import ValidationError

from crossrec.data.clean import _numeric_columns
from crossrec.domains.spec import Domain, Objective


@pytest.mark.parametrize(
    ("fields", "reason"),
    [
        ({"name": "margin"}, "'margin' needs a column of items with numbers; without a column"),
        ({"name": "exposure"}, "'exposure' needs the items column of the provider"),
        ({"name": "novelty", "column": "year"}, "'novelty' is built in and reads no column"),
        ({"name": "freshness", "higher_is_better": False}, "a negative weight turns it around"),
        ({"name": "diversity", "weight": -1}, "'diversity' takes no negative weight"),
        ({"name": "popularity", "weight": 11}, "less than or equal to 10"),
        ({"name": "Price per unit", "column": "price"}, "should match pattern"),
    ],
)
def test_an_objective_that_cannot_be_is_refused_with_the_reason(fields: dict, reason: str):
    with pytest.raises(ValidationError, match=reason):
        Objective(**fields)


@pytest.mark.parametrize(
    ("objectives", "reason"),
    [
        ([{"name": "relevance"}, {"name": "popularity"}], "no objective has a weight"),
        ([{"name": "price", "column": "a"}, {"name": "price", "column": "b"}], "two objectives"),
    ],
)
def test_objectives_that_cannot_be_together_are_refused(objectives: list[dict], reason: str):
    with pytest.raises(ValidationError, match=reason):
        Domain(name="shop", title="Shop", objectives=objectives)


def test_only_objectives_of_numbers_ask_for_numbers():
    objectives = [
        Objective(name="price", column="price"),
        Objective(name="exposure", column="brand"),
        Objective(name="freshness", column="published"),
    ]
    domain = Domain(name="shop", title="Shop", objectives=objectives)
    assert _numeric_columns("items", domain) == {"price"}
