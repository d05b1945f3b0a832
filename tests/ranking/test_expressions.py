from __future__ import annotations

import re
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from crossrec.errors import RequestError
from crossrec.ranking.conditions import Compare, Contains, Every, Missing, Not, OneOf, Some
from crossrec.ranking.expressions import MAX_CHARS, MAX_DEPTH, MAX_TESTS, parse

COLUMNS = {
    "price": "number",
    "year": "number",
    "tags": "list",
    "studio": "text",
    "shown at": "text",
}

CHEAP = Compare("price", "<", 20.0)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("price < 20", CHEAP),
        ("20 > price", CHEAP),
        (" ( ( price<2e1 ) ) ", CHEAP),
        ("price >= -.5", Compare("price", ">=", -0.5)),
        ("10 < price <= 20", Every((Compare("price", ">", 10.0), Compare("price", "<=", 20.0)))),
        ("price == true", Compare("price", "==", 1.0)),
        ('studio != "north"', Compare("studio", "!=", "north")),
        (r"studio == 'it\'s \\'", Compare("studio", "==", "it's \\")),
        ("`shown at` >= '2020-01-01'", Compare("shown at", ">=", "2020-01-01")),
        ('"new" in tags', OneOf("tags", ("new",))),
        ('"new" not in tags', Not(OneOf("tags", ("new",)))),
        ('"or" in studio', Contains("studio", "or")),
        ('studio in ["north", "south"]', OneOf("studio", ("north", "south"))),
        ("year not in [1990, 1991]", Not(OneOf("year", (1990.0, 1991.0)))),
        ("price is missing", Missing("price")),
        ("price is not missing", Not(Missing("price"))),
        ("not not price < 20", Not(Not(CHEAP))),
        ("not price < 20 and year == 1990", Every((Not(CHEAP), Compare("year", "==", 1990.0)))),
        (
            "year == 1 or price < 20 and year == 2",
            Some((Compare("year", "==", 1.0), Every((CHEAP, Compare("year", "==", 2.0))))),
        ),
        (
            "(year == 1 or price < 20) and year == 2",
            Every((Some((Compare("year", "==", 1.0), CHEAP)), Compare("year", "==", 2.0))),
        ),
    ],
)
def test_an_expression_is_read_as_it_is_written(text: str, expected: object):
    assert parse(text, COLUMNS) == expected


@pytest.mark.parametrize(
    ("text", "position", "problem"),
    [
        ("", 1, "expected a field, a number or a text in quotes, got the end"),
        ("prise < 20", 1, "no field is called 'prise' (did you mean 'price'?)"),
        ("price < 20 and", 15, "got the end"),
        ("price = 20", 7, "expected '=='"),
        ("price < 'cheap'", 9, "holds a number; expected a number"),
        ("price < 1e999", 9, "holds a number; expected a number"),
        ("studio < 3", 10, "holds a text; expected a text in quotes"),
        ('tags == "new"', 6, 'holds lists; expected "TEXT" in tags'),
        ('"a" in price', 1, "holds a number; expected"),
        ("3 in tags", 1, 'expected "TEXT" in a field'),
        ("price < year", 1, "two fields"),
        ("1 < 2", 1, "no field"),
        ("price < 20 price", 12, "expected 'and', 'or' or the end"),
        ("price", 6, "expected a comparison"),
        ("price < 20)", 11, "expected 'and', 'or' or the end"),
        ("(price < 20", 12, "expected ')'"),
        ("year in [1990", 14, "expected ',' or ']'"),
        ("year in []", 10, "expected a field, a number"),
        ("price is cheap", 10, "expected 'missing'"),
        ("3 is missing", 1, "expected a field"),
        ('studio == "north', 11, "has no end"),
        ("price < 20 & year == 1", 12, "means nothing here"),
    ],
)
def test_what_cannot_be_read_is_said_with_its_place_and_the_fields(
    text: str, position: int, problem: str
):
    with pytest.raises(RequestError) as raised:
        parse(text, COLUMNS)
    message = str(raised.value)
    assert message.startswith(f"where: at character {position}: ")
    assert problem in message
    assert message.endswith("known fields: price, shown at, studio, tags, year")


HOSTILE = [
    "__import__('os').system('id')",
    "().__class__.__bases__[0]",
    "price.__class__ == 1",
    "price < (lambda: 1)()",
    "price < 10 ** 10 ** 10",
    "f'{price}' == '1'",
    "price < 20; drop table items",
    "price < 20 -- ",
    'studio == "x" or 1 == 1',
    '`price" or 1=1 --` < 3',
    "(" * 500 + "price < 1" + ")" * 500,
    "not " * 400 + "price < 1",
    "-" * 1_900 + "1 < price",
    " and ".join(["price < 1"] * 150),
    f"year in [{', '.join(['1'] * 600)}, ",
    "9" * 1_500 + " < price",
    "price < 1" + " " * 10_000,
    "x" * 10_000,
    "'" + "\\" * 1_999,
    "price < \x00",
    "\U000e0001price < 1",
]


@pytest.mark.parametrize("text", HOSTILE, ids=lambda text: text[:20])
def test_hostile_expressions_get_one_sentence_quickly(text: str):
    began = time.process_time()
    with pytest.raises(RequestError, match=r"^where: at character \d+: ") as raised:
        parse(text, COLUMNS)
    assert time.process_time() - began < 0.5
    assert len(str(raised.value)) < 300


def test_the_limits_are_what_they_say():
    assert parse("(" * MAX_DEPTH + "price < 20" + ")" * MAX_DEPTH, COLUMNS) == CHEAP
    assert len(parse(" or ".join(["price < 1"] * MAX_TESTS), COLUMNS).parts) == MAX_TESTS
    assert parse("price < 20".ljust(MAX_CHARS), COLUMNS) == CHEAP


@given(st.text(alphabet="()[]<>=!,.'\"`\\- \n_aprice0123orandtinsmg🐈", max_size=60))
def test_no_text_breaks_the_parser(text: str):
    try:
        parse(text, COLUMNS)
    except RequestError as err:
        position = int(re.match(r"where: at character (\d+)", str(err)).group(1))
        assert 1 <= position <= len(text) + 1
