"""What the package says in English, said in Chinese: its very sentences, and real ones of them."""

from __future__ import annotations

import ast
import re
import string
from collections.abc import Callable
from pathlib import Path

import pytest

import crossrec
from crossrec.errors import ServiceError
from crossrec.serving.client import Client
from crossrec.serving.live_figures import _alerts
from tests.apps.conftest import APPS
from tests.data.shop import ITEMS, SALES, import_shop

PACKAGE = Path(crossrec.__file__).parent
WORDS = re.compile(r"[a-z]{3,} [a-z]{3,}")
"""Two words of English beside each other."""


@pytest.fixture
def said(monkeypatch: pytest.MonkeyPatch) -> Callable[[str], str]:
    """`sentences.said` of a visitor who reads Chinese."""
    monkeypatch.syspath_prepend(str(APPS))
    from app_pages import sentences

    monkeypatch.setattr(sentences, "language", lambda: "zh")
    return sentences.said


def _made() -> list[re.Pattern[str]]:
    """Every text of the package, with gaps where it fills something in."""
    found = []
    for path in PACKAGE.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.JoinedStr):
                parts = [getattr(one, "value", "") for one in node.values]
                texts = [one if isinstance(one, str) else None for one in parts]
                if sum(len(one or "") for one in texts) >= len("missing "):
                    found.append("".join(".*" if t is None else re.escape(t) for t in texts))
            elif isinstance(node, ast.Constant) and isinstance(node.value, str):
                found.append(re.escape(node.value))
    return [re.compile(one) for one in set(found)]


def test_every_sentence_is_one_that_the_package_makes(said: Callable[[str], str]):
    from app_pages.sentences import OF_ROWS, SENTENCES, of_row

    made = _made()
    for sentence in (*SENTENCES, *OF_ROWS):
        text = "".join(
            before + ("" if name is None else "x")
            for before, name, _, _ in string.Formatter().parse(sentence)
        )
        assert any(one.fullmatch(text) for one in made), sentence
        assert (of_row if sentence in OF_ROWS else said)(text) != text


def test_a_service_that_is_not_there_is_told_of_in_chinese(said: Callable[[str], str]):
    with pytest.raises(ServiceError) as gone, Client("http://127.0.0.1:9") as client:
        client.domains()
    text = said(str(gone.value))
    assert text.startswith("http://127.0.0.1:9 没有")
    assert text.endswith("crossrec serve DOMAIN --open-on-loopback")


def test_alerts_are_told_in_chinese(said: Callable[[str], str]):
    row = {"domain": "films", "route": "recommendations", "n": 1200, "p95_ms": 400.0}
    alerts = _alerts(
        [{**row, "status": "200"}, {**row, "status": "500"}], [{"domain": "films", "psi": 0.5}]
    )
    assert len(alerts) == 3
    for alert in alerts:
        assert said(alert).startswith("films：")
        assert not WORDS.search(said(alert))


def test_what_became_of_rows_is_told_in_chinese(said: Callable[[str], str], tmp_path: Path):
    from app_pages.sentences import of_row

    items = [*ITEMS, "004, ,x,1", "001,Again,x,1", ",Nameless,x,1"]
    sales = ["ann,004,1700000300,5", "ann,999,1700000300,5", ",001,1700000300,5", "ann,001,,5"]
    sales += ["ann,001,soon,5", "ann,001,1700000300,good", "ann,001,1700000300000,NA"]
    card = import_shop(tmp_path, items, [*SALES, *sales]).card
    tables = [*card["rejected"].values(), *card["repaired"].values()]
    told = {text for counts in tables for text in counts}
    assert len(told) == 11
    for text in told:
        assert re.search("[一-鿿]", of_row(text)), text
        assert not WORDS.search(of_row(text))
    assert of_row("missing user_id") == "缺少 user_id"


def test_what_is_no_sentence_of_the_package_stays(said: Callable[[str], str]):
    assert said("something else went wrong") == "something else went wrong"
