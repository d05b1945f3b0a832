"""Reads filters as people write them: `price < 20 and "vegetarian" in category`.

A grammar of its own, of which nothing is ever run as code. Leaves to others: which items satisfy
what was read (releases/conditions.py).

    either     = both ("or" both)*
    both       = negation ("and" negation)*
    negation   = "not" negation | "(" either ")" | test
    test       = operand (("<" | "<=" | ">" | ">=" | "==" | "!=") operand)+
               | TEXT ["not"] "in" FIELD | FIELD ["not"] "in" "[" value ("," value)* "]"
               | FIELD "is" ["not"] "missing"
    operand    = FIELD | NUMBER | TEXT | "true" | "false"       a test names just one field

A field is a word, or anything in `backticks`. `10 < price < 20` is two tests.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from itertools import pairwise
from typing import Literal, NoReturn, cast, get_args

from crossrec.errors import RequestError, suggest
from crossrec.ranking.conditions import (
    Compare,
    Condition,
    Contains,
    Every,
    Missing,
    Not,
    OneOf,
    Operator,
    Some,
    Value,
)

MAX_CHARS = 2_000
MAX_DEPTH = 20
"""Brackets and `not` inside each other."""
MAX_TESTS = 100
MAX_VALUES = 1_000
"""Values of all lists together."""
MAX_FIELDS_NAMED = 30

_Kind = Literal["number", "text", "field", "word", "sign", "end"]
_OPERATORS = get_args(Operator)
_TURNED: dict[str, Operator] = {"<": ">", "<=": ">=", ">": "<", ">=": "<=", "==": "==", "!=": "!="}
_WORDS = {"and", "or", "not", "in", "is", "missing", "true", "false"}
_TOKEN = re.compile(
    r"""
    (?P<number> -?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)? (?!\w) )
  | (?P<text>   "(?:[^"\\]|\\.)*" | '(?:[^'\\]|\\.)*' )
  | (?P<quoted> `[^`]+` )
  | (?P<name>   [^\W\d]\w* )
  | (?P<sign>   <= | >= | == | != | [<>()\[\],] )
    """,
    re.VERBOSE | re.DOTALL,
)


@dataclass(frozen=True)
class _Token:
    kind: _Kind
    text: str
    """Of a text without its quotes, of a field without backticks."""
    position: int
    """Counted from 1."""

    def __str__(self) -> str:
        shown = self.text if len(self.text) <= 40 else self.text[:37] + "..."
        return "the end" if self.kind == "end" else repr(shown)


def parse(text: str, columns: Mapping[str, str]) -> Condition:
    """The condition that an expression states.

    Args:
        text: the expression.
        columns: item column → its kind: text, number or list.

    Raises:
        RequestError: it cannot be read, names no column or compares what cannot be compared; the
            message has the position, counted from 1, and the columns that there are.

    >>> parse('price < 20 and "tea" in tags', {"price": "number", "tags": "list"})
    Every(parts=(Compare(column='price', operator='<', value=20.0),
    OneOf(column='tags', values=('tea',))))
    """
    return _Parser(text, columns).whole()


class _Parser:
    """One expression; reads it from left to right, one token ahead."""

    def __init__(self, text: str, columns: Mapping[str, str]) -> None:
        self._columns = columns
        self._n_tests = self._n_values = self._depth = 0
        if len(text) > MAX_CHARS:
            self._fail(MAX_CHARS + 1, f"it goes on ({len(text)} in all); {MAX_CHARS} are allowed")
        self._tokens = self._cut(text)
        self._next = 0

    def whole(self) -> Condition:
        """The expression, to its end."""
        found = self._either()
        if self._here.kind != "end":
            self._expected("'and', 'or' or the end")
        return found

    def _cut(self, text: str) -> list[_Token]:
        tokens: list[_Token] = []
        at = 0
        while at < len(text):
            if text[at].isspace():
                at += 1
                continue
            match = _TOKEN.match(text, at)
            if match is None:
                self._fail(at + 1, _unreadable(text, at))
            tokens.append(_token(match))
            at = match.end()
        return [*tokens, _Token("end", "", len(text) + 1)]

    @property
    def _here(self) -> _Token:
        return self._tokens[self._next]

    def _take(self) -> _Token:
        token = self._here
        self._next += token.kind != "end"
        return token

    def _is(self, *texts: str) -> bool:
        """Whether a sign or word of the grammar comes next, and is one of these."""
        return self._here.kind in ("sign", "word") and self._here.text in texts

    def _passed(self, text: str) -> bool:
        """Take a sign or word if it comes next."""
        found = self._is(text)
        self._next += found
        return found

    def _either(self) -> Condition:
        return self._chain("or", self._both, Some)

    def _both(self) -> Condition:
        return self._chain("and", self._negation, Every)

    def _chain(
        self, word: str, read: Callable[[], Condition], join: type[Every] | type[Some]
    ) -> Condition:
        parts = [read()]
        while self._passed(word):
            parts.append(read())
        return parts[0] if len(parts) == 1 else join(tuple(parts))

    def _negation(self) -> Condition:
        start = self._here
        if not self._is("not", "("):
            return self._test()
        self._depth += 1
        if self._depth > MAX_DEPTH:
            self._fail(start.position, f"it is nested deeper than {MAX_DEPTH} levels")
        if self._passed("not"):
            found: Condition = Not(self._negation())
        else:
            self._take()
            found = self._either()
            if not self._passed(")"):
                self._expected("')'")
        self._depth -= 1
        return found

    def _test(self) -> Condition:
        first = self._operand()
        self._n_tests += 1
        if self._n_tests > MAX_TESTS:
            self._fail(first.position, f"it has more than {MAX_TESTS} tests")
        if self._passed("is"):
            return self._missing(first)
        if self._is("in", "not"):
            return self._among(first)
        if not self._is(*_OPERATORS):
            self._expected("a comparison (< <= > >= == !=), 'in' or 'is missing'")
        operands, signs = [first], []
        while self._is(*_OPERATORS):
            signs.append(self._take())
            operands.append(self._operand())
        pairs = zip(pairwise(operands), signs, strict=True)
        tests = tuple(self._compare(left, sign, right) for (left, right), sign in pairs)
        return tests[0] if len(tests) == 1 else Every(tests)

    def _operand(self) -> _Token:
        if self._here.kind in ("number", "text", "field") or self._is("true", "false"):
            return self._take()
        return self._expected("a field, a number or a text in quotes")

    def _missing(self, field: _Token) -> Condition:
        negated = self._passed("not")
        if not self._passed("missing"):
            self._expected("'missing' or 'not missing'")
        self._kind(field)
        found = Missing(field.text)
        return Not(found) if negated else found

    def _among(self, first: _Token) -> Condition:
        negated = self._passed("not")
        if not self._passed("in"):
            self._expected("'in'")
        found = self._list(first) if self._passed("[") else self._holds(first)
        return Not(found) if negated else found

    def _holds(self, value: _Token) -> Condition:
        """`"tea" in tags`: an entry of a list, or letters of a text."""
        field = self._take()
        if field.kind != "field":
            self._fail(field.position, f"expected a field or '[' after 'in', got {field}")
        kind = self._kind(field)
        if kind == "number" or value.kind != "text":
            what = f"field '{field.text}' holds a {kind}" if kind == "number" else f"got {value}"
            self._fail(value.position, f'{what}; expected "TEXT" in a field of text or of lists')
        if kind == "list":
            return OneOf(field.text, (value.text,))
        return Contains(field.text, value.text)

    def _list(self, field: _Token) -> Condition:
        kind = self._kind(field)
        values = [self._value(self._operand(), field, kind)]
        while self._passed(","):
            values.append(self._value(self._operand(), field, kind))
        if not self._passed("]"):
            self._expected("',' or ']'")
        self._n_values += len(values)
        if self._n_values > MAX_VALUES:
            self._fail(field.position, f"its lists have more than {MAX_VALUES} values")
        return OneOf(field.text, tuple(values))

    def _compare(self, left: _Token, sign: _Token, right: _Token) -> Condition:
        fields = [token for token in (left, right) if token.kind == "field"]
        if len(fields) != 1:
            has = "two fields" if fields else "no field"
            self._fail(left.position, f"the comparison has {has}; expected one field and one value")
        field, value = (left, right) if left.kind == "field" else (right, left)
        operator = cast(Operator, sign.text) if field is left else _TURNED[sign.text]
        kind = self._kind(field)
        if kind == "list":
            how = f'"TEXT" in {field.text}'
            self._fail(sign.position, f"field '{field.text}' holds lists; expected {how}")
        return Compare(field.text, operator, self._value(value, field, kind))

    def _kind(self, field: _Token) -> str:
        if field.kind != "field":
            self._fail(field.position, f"expected a field, got {field}")
        if field.text not in self._columns:
            near = suggest(field.text, self._columns)
            hint = f" ({near})" if near.startswith("did") else ""
            self._fail(field.position, f"no field is called {field}{hint}")
        return self._columns[field.text]

    def _value(self, token: _Token, field: _Token, kind: str) -> Value:
        """The value in the field's own kind; true and false are the numbers 1 and 0."""
        if kind == "number" and token.kind == "number":
            number = float(token.text)
            if math.isfinite(number):
                return number
        if kind == "number" and token.kind == "word":
            return float(token.text == "true")
        if kind != "number" and token.kind == "text":
            return token.text
        expected = "a number" if kind == "number" else "a text in quotes"
        has = f"{field.kind} '{field.text}' holds a {kind}"
        return self._fail(token.position, f"{has}; expected {expected}, got {token}")

    def _expected(self, what: str) -> NoReturn:
        self._fail(self._here.position, f"expected {what}, got {self._here}")

    def _fail(self, position: int, problem: str) -> NoReturn:
        names = sorted(self._columns)
        known = ", ".join(names[:MAX_FIELDS_NAMED]) + ", …" * (len(names) > MAX_FIELDS_NAMED)
        raise RequestError(
            f"where: at character {position}: {problem}; known fields: {known or 'none'}"
        )


def _token(match: re.Match[str]) -> _Token:
    kind, text, position = match.lastgroup or "", match.group(), match.start() + 1
    if kind == "text":
        return _Token("text", re.sub(r"\\(.)", r"\1", text[1:-1], flags=re.DOTALL), position)
    if kind == "quoted":
        return _Token("field", text[1:-1], position)
    if kind == "name":
        return _Token("word" if text in _WORDS else "field", text, position)
    return _Token("number" if kind == "number" else "sign", text, position)


def _unreadable(text: str, at: int) -> str:
    letter = text[at]
    if letter in "\"'`":
        return f"the {'field' if letter == '`' else 'text'} that begins with {letter} has no end"
    if letter == "=":
        return "got '='; expected '==' to compare"
    return f"got {letter!r}, which means nothing here"
