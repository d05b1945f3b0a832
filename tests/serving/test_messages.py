"""Messages: keywords of Python calls are the fields of a request, no more and no fewer."""

from __future__ import annotations

import functools
import inspect
import operator
from collections.abc import Callable, Mapping, Sequence
from types import UnionType
from typing import Annotated, Any, Union, get_args, get_origin, get_type_hints

import pytest
from pydantic import BaseModel

import crossrec
from crossrec.serving.client import Client
from crossrec.serving.messages import RecommendRequest, RequestFields
from crossrec.verbs.answering import Opened


def as_given(kind: Any) -> Any:
    """What a caller may give for a field: any sequence for a list, any mapping for a dict, also a
    dict for a message; bounds are left to the message.
    """
    origin, inner = get_origin(kind), get_args(kind)
    if origin is Annotated:
        return as_given(inner[0])
    if origin is list:
        return Sequence[as_given(inner[0])]
    if origin is dict:
        return Mapping[as_given(inner[0]), as_given(inner[1])]
    if origin in (Union, UnionType):
        return functools.reduce(operator.or_, map(as_given, inner))
    if inspect.isclass(kind) and issubclass(kind, BaseModel):
        return kind | dict[str, Any]
    return kind


def test_keywords_have_the_names_and_types_of_a_request() -> None:
    known = {name: field.annotation for name, field in RecommendRequest.model_fields.items()}
    found = get_type_hints(RequestFields)
    assert list(found) == list(known)
    assert found == {name: as_given(kind) for name, kind in known.items()}
    assert not RequestFields.__required_keys__


CALLS = [crossrec.recommend, crossrec.explain, Opened.recommend, Opened.explain, Client.recommend]


@pytest.mark.parametrize("call", CALLS, ids=lambda call: call.__qualname__)
def test_calls_that_take_a_request_name_its_fields(call: Callable[..., Any]) -> None:
    assert inspect.signature(call).parameters["fields"].annotation == "Unpack[RequestFields]"
