"""The catalogue of the interface's sentences: whole, and fit to be filled in."""

from __future__ import annotations

import ast
import string

import pytest
import yaml

from tests.apps.conftest import APPS

CHINESE: dict[str, str] = yaml.safe_load((APPS / "app_pages" / "zh.yaml").read_text("utf-8"))
TABLES = {
    *("PANELS", "LABELS", "TITLES", "VIEWS", "UNITS", "FIELDS", "SENTENCES", "OF_ROWS"),
    *(
        "ASK",
        "ASKERS",
        "JUDGE",
        "LOOK",
        "LEARN",
        "HEADINGS",
        "CHOICES",
        "WEEKDAYS",
        "MONTHS",
        "HALVES",
        "WHO",
        "LARGE",
    ),
}
"""Constants whose words are said by `t(name)`."""
SAID_BY_THE_SERVICE = {"history", "request", "context", "popularity", "like", "dislike", "rows"}


def _trees() -> list[ast.Module]:
    paths = [APPS / "streamlit_app.py", *sorted((APPS / "app_pages").glob("*.py"))]
    return [ast.parse(path.read_text(encoding="utf-8")) for path in paths]


def _literals() -> set[str]:
    """What pages say: `t("…")`, and the words of the constants above."""
    found = set(SAID_BY_THE_SERVICE)
    for tree in _trees():
        for node in ast.walk(tree):
            if isinstance(node, ast.Call) and getattr(node.func, "id", "") == "t":
                found |= {a.value for a in node.args[:1] if isinstance(a, ast.Constant)}
            if isinstance(node, ast.Assign) and getattr(node.targets[0], "id", "") in TABLES:
                values = node.value.values if isinstance(node.value, ast.Dict) else [node.value]
                for value in values:
                    words = value.elts if isinstance(value, ast.List | ast.Tuple) else [value]
                    said = words if isinstance(node.value, ast.List) else words[:1]
                    found |= {one.value for one in said if isinstance(one, ast.Constant)}
    return found


def test_every_sentence_has_its_chinese():
    assert _literals() - CHINESE.keys() == set()


def test_no_chinese_is_left_over():
    said = _literals() | {"higher {column} is better", "lower {column} is better"}
    assert CHINESE.keys() - said == set()


@pytest.mark.parametrize("text", sorted(CHINESE))
def test_both_languages_are_filled_in_alike(text: str):
    def fields(said: str) -> set[str | None]:
        return {name for _, name, _, _ in string.Formatter().parse(said) if name is not None}

    assert fields(CHINESE[text]) == fields(text)
