from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from crossrec.commands.asking import pairs
from crossrec.commands.serving import _pin, show_answer
from crossrec.serving.messages import Recommendation, RecommendResponse
from tests.commands.conftest import Run
from tests.commands.processes import processes_of_home
from tests.commands.test_training import SMALL


@pytest.fixture
def port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@pytest.fixture
def service(
    run: Run, shop_domain: Path, fresh_home: Path, port: int
) -> Iterator[subprocess.Popen[str]]:
    """`crossrec serve shop`, up and answering."""
    run("data", "import", "shop")
    run("train", "shop", "--workers", "0", *SMALL)
    code = "from crossrec.cli import main; main()"
    arguments = ["serve", "shop", "--open-on-loopback", "--port", str(port)]
    process = subprocess.Popen(
        [sys.executable, "-c", code, *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=os.environ | {"CROSSREC_HOME": str(fresh_home)},
    )
    assert process.stderr is not None
    for line in process.stderr:
        if "Ctrl-C stops" in line:
            break
    yield process
    process.terminate()
    process.wait(30)


@pytest.mark.ray
def test_serve_answers_until_interrupted_and_leaves_nothing(
    run: Run, service: subprocess.Popen[str], fresh_home: Path, port: int
):
    assert service.stdout is not None
    printed = [service.stdout.readline().split()[-1] for _ in range(2)]
    assert [httpx.get(address).status_code for address in printed] == [200, 200]
    url = ["--url", f"http://127.0.0.1:{port}"]
    answer = json.loads(run("recommend", "shop", "--user", "c1", "-k", "3", "--json", *url).stdout)
    assert answer["user_known"]
    assert len(answer["items"]) == 3

    filtered = run("recommend", "shop", "--text", "a mug", "--filter", "category=mug", *url)
    assert "mug" in filtered.stdout
    assert "coffee" not in filtered.stdout

    weighed = run(
        *("recommend", "shop", "--objective", "popularity=-0.5", "--at-most", "category=1"),
        *("--where", "'mug' in category", "--json", *url),
    )
    found = json.loads(weighed.stdout)
    assert found["weights"] == {"relevance": 1, "popularity": -0.5}
    assert [item["category"] for item in found["items"]] == [["mug"]]

    unknown = run("recommend", "sohp", *url)
    assert unknown.exit_code == 2
    assert "sohp" in unknown.stderr

    listed = {entry["name"]: entry for entry in json.loads(run("doctor", "--json").stdout)}
    assert listed["shop"]["status"] == "ok"

    service.send_signal(signal.SIGINT)
    time.sleep(0.3)
    service.send_signal(signal.SIGTERM)  # somebody in a hurry
    assert service.wait(30) == 0
    assert processes_of_home(fresh_home) == []


def test_recommend_without_a_service_says_how_to_start_one(run: Run, port: int):
    result = run("recommend", "shop", "--url", f"http://127.0.0.1:{port}")
    assert result.exit_code == 2
    assert "crossrec serve" in result.stderr


def test_a_pair_without_a_value_is_an_error(run: Run):
    result = run("recommend", "shop", "--context", "weather")
    assert result.exit_code == 2
    assert "expected NAME=VALUE" in result.stderr


def test_a_pin_without_a_position_is_an_error(run: Run):
    result = run("recommend", "shop", "--pin", "mug")
    assert result.exit_code == 2
    assert "--pin got 'mug'; expected ITEM=POSITION" in result.stderr


def test_what_objectives_gave_is_shown_beside_the_score(capsys: pytest.CaptureFixture[str]):
    item = Recommendation(
        rank=1,
        item_id="m=1",
        title="Mug",
        score=0.3,
        objectives={"relevance": 0.5, "price": -0.2},
        measures={"price": 12.5},
        pinned=True,
    )
    answer = RecommendResponse(
        domain="shop",
        release="r",
        items=[item],
        based_on=["popularity"],
        user_known=False,
        request_id="1",
        weights={"relevance": 1, "price": 0.4},
    )
    show_answer(answer)
    shown = capsys.readouterr().out
    assert "price × 0.4" in shown
    assert "-0.200 (12.5)" in shown
    assert "Mug (pinned)" in shown
    assert _pin("m=1=2") == {"item_id": "m=1", "position": 2}


def test_pairs_convert_numbers_and_lists_and_nothing_else():
    given = [
        "a=no",
        "b=NO",
        "c=12",
        "d=-1.5",
        "e=007",
        "f=[NO, 2]",
        "g=",
        "h={x",
        "i=2024-01-01",
        "j={min: 5}",
    ]
    assert list(pairs("--filter", given).values()) == [
        *("no", "NO", 12, -1.5, "007", ["NO", 2], "", "{x", "2024-01-01", {"min": 5}),
    ]


def test_a_list_that_does_not_end_is_one_sentence(run: Run):
    result = run("recommend", "shop", "--filter", "title=[abc")
    assert result.exit_code == 2
    assert "--filter got 'title=[abc'; expected a list or range" in result.stderr
    assert "Traceback" not in result.stderr


def test_a_user_of_whom_nothing_is_known_is_named(capsys: pytest.CaptureFixture[str]):
    answer = RecommendResponse(
        domain="shop",
        release="r",
        items=[],
        based_on=["popularity"],
        user_known=False,
        request_id="1",
    )
    show_answer(answer, "c999")
    assert "user 'c999' is unknown here" in capsys.readouterr().out
    show_answer(answer.model_copy(update={"user_known": True}), "c1")
    show_answer(answer)
    assert "unknown" not in capsys.readouterr().out


def test_serving_needs_a_key_or_the_word_that_it_does_not(
    run: Run, shop_domain: Path, fresh_home: Path
):
    run("data", "import", "shop")
    run("train", "shop", "--workers", "0", *SMALL)
    result = run("serve", "shop")
    assert result.exit_code == 2
    assert "crossrec keys create" in result.stderr
