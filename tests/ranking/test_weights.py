from __future__ import annotations

import math

import pytest

from crossrec.domains.spec import Objective
from crossrec.errors import RequestError
from crossrec.ranking.weights import declared_weights, merged


def test_a_domain_that_says_nothing_ranks_by_relevance():
    assert declared_weights([]) == {"relevance": 1}
    price = Objective(name="price", column="price_eur")
    assert declared_weights([price]) == {"relevance": 1}
    assert declared_weights([Objective(name="relevance", weight=0.5)]) == {"relevance": 0.5}


def test_the_request_goes_before_the_learner_and_that_before_the_domain():
    found = merged(
        {"relevance": 1, "price": 0.1, "novelty": 0.1}, {"price": 0.2, "novelty": 0.2}, {"price": 3}
    )
    assert found == {"relevance": 1, "price": 3, "novelty": 0.2}


@pytest.mark.parametrize("weight", [math.nan, math.inf, 11, -11])
def test_a_weight_that_is_none_is_refused(weight: float):
    with pytest.raises(RequestError, match=r"'price' got the weight .*expected -10 to 10"):
        merged({"relevance": 1}, {"price": weight})


def test_what_depends_on_the_list_takes_no_negative_weight():
    with pytest.raises(RequestError, match="'diversity' got the weight -1; expected 0 to 10"):
        merged({"relevance": 1}, {"diversity": -1})


def test_something_has_to_count():
    assert merged({"relevance": 1}, {"relevance": 0, "price": 1}) == {"price": 1}
    with pytest.raises(RequestError, match="all objectives have the weight 0"):
        merged({"relevance": 1}, {"relevance": 0})
