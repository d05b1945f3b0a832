"""From a stream to alarms, by a classifier that is trained and released the ordinary way."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from typer.testing import CliRunner

import crossrec
from crossrec.cli import app
from crossrec.config import RunConfig
from crossrec.errors import ConfigError, ReleaseError
from crossrec.monitoring.chart import chart
from crossrec.monitoring.polarity import Classifier
from crossrec.plots import save
from crossrec.releases.store import ReleaseStore
from crossrec.serving.feedback_log import FeedbackLog
from crossrec.serving.messages import RecommendRequest
from crossrec.serving.recommender import Recommender
from crossrec.training.pipeline import train_here
from tests.models.tiny import make_tiny_encoder
from tests.training.small import settings

WORDS = {
    "negative": ["loss", "falls", "weak", "cut", "fear"],
    "neutral": ["holds", "meeting", "report", "board", "agenda"],
    "positive": ["gain", "rises", "strong", "record", "growth"],
}
YAML = """
name: mood
title: Mood
task: classify
time_kind: none
source: {kind: file}
"""


def say(label: str, rng: np.random.Generator) -> str:
    return " ".join(rng.permutation(WORDS[label])[:3])


def examples() -> pl.DataFrame:
    rng = np.random.default_rng(0)
    labels = [list(WORDS)[n % 3] for n in range(240)]
    return pl.DataFrame(
        {
            "example_id": [f"e{n}" for n in range(240)],
            "text": [f"{say(label, rng)} {n}" for n, label in enumerate(labels)],
            "label": labels,
            "split": ["test" if n % 5 == 0 else "train" for n in range(240)],
        }
    )


def stream(burst: slice = slice(0, 0)) -> pl.DataFrame:
    """Forty days of thirty texts, half of them on $ACME; in the burst most of those are bad."""
    rng = np.random.default_rng(1)
    rows = []
    for day in range(40):
        for n in range(30):
            acme = n % 2 == 0
            bad = 0.9 if acme and day in range(40)[burst] else 0.15
            rest = (1 - bad) / 2
            label = rng.choice(list(WORDS), p=[bad, rest, rest])
            moment = datetime(2020, 4, 1) + timedelta(days=day, minutes=int(n))
            rows.append((say(label, rng), moment.isoformat(), "$ACME" if acme else None))
    return pl.DataFrame(rows, schema=["text", "timestamp", "topic"], orient="row")


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A home with a released classifier."""
    home = tmp_path_factory.mktemp("home")
    folder = home / "domains"
    folder.mkdir()
    (folder / "mood.yaml").write_text(YAML)
    examples().write_parquet(folder / "examples.parquet")
    encoder = make_tiny_encoder(home / "tiny")
    config = settings(
        "training.max_epochs=20", "training.patience=20", "training.learning_rate=.03"
    )
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("CROSSREC_HOME", str(home))
        crossrec.import_data("mood")
        run = train_here("mood", RunConfig(**(config.model_dump() | {"encoder": str(encoder)})))
        assert run.metrics["metrics"]["macro_f1"] > 0.9
    return home


@pytest.fixture
def at_home(home: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("CROSSREC_HOME", str(home))
    return home


def test_a_burst_raises_an_alarm_on_its_topic_and_a_quiet_stream_none(at_home: Path) -> None:
    quiet = crossrec.watch("mood", stream())
    assert len(quiet.alarms) == 0
    loud = crossrec.watch("mood", stream(slice(30, 33)))
    on_topic = loud.alarms.filter(pl.col("topic") == "$ACME")
    assert on_topic["start"].dt.strftime("%m-%d").to_list() == ["05-01", "05-02", "05-03"]
    assert set(loud.periods["topic"]) == {"all", "$ACME"}
    counted = loud.periods.filter(pl.col("topic") == "all").select("n", "n_negative", "n_neutral")
    assert counted["n"].sum() == 1200
    save(chart(loud), at_home / "watch.svg")
    assert "$ACME" in (at_home / "watch.svg").read_text()


def test_a_stream_can_be_watched_while_its_texts_are_labelled(
    at_home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    told: list[str] = []

    @contextmanager
    def bar(what: str, total: int | None, show: bool) -> Iterator[Callable[[str], None]]:
        yield told.append if show else lambda text: None

    monkeypatch.setattr("crossrec.verbs.releases.bar", bar)
    crossrec.watch("mood", stream())
    assert told == []
    crossrec.watch("mood", stream(), progress=True)
    n_texts = stream().select(said=pl.concat_str("topic", "text", ignore_nulls=True)).n_unique()
    assert told[-1] == f"{n_texts:,} of {n_texts:,} distinct texts"


def test_the_command_speaks_json_and_an_exit_code(at_home: Path) -> None:
    stream(slice(30, 33)).write_ndjson(at_home / "texts.jsonl")
    arguments = ["watch", "mood", "--texts", str(at_home / "texts.jsonl"), "--json"]
    result = CliRunner().invoke(app, [*arguments, "--topic", "bad=loss,fear", "--fail-on-alarm"])
    assert result.exit_code == 3
    told = json.loads(result.stdout)
    assert told["n_alarms"] == len(told["alarms"]) > 0
    assert {row["topic"] for row in told["periods"]} == {"all", "bad"}
    assert told["alarms"][0]["start"].startswith("2020-05-01")


def test_texts_come_from_standard_input_and_a_table_is_printed(at_home: Path) -> None:
    lines = stream(slice(30, 33)).write_ndjson()
    result = CliRunner().invoke(app, ["watch", "mood", "--texts", "-"], input=lines)
    assert result.exit_code == 0
    assert "2020-05-01 00:00" in result.stdout


def test_what_does_not_fit_is_said(at_home: Path) -> None:
    with pytest.raises(ConfigError, match="no label is called 'sad'"):
        crossrec.watch("mood", stream(), label="sad")
    with pytest.raises(ConfigError, match="period of '1y'"):
        crossrec.watch("mood", stream(), every="1y")
    with pytest.raises(ReleaseError):
        crossrec.watch("mood", stream(), release="never")
    result = CliRunner().invoke(app, ["watch", "mood", "--texts", "x.csv", "--topic", "x"])
    assert "expected NAME=WORD,WORD" in result.stderr


def test_served_it_recommends_the_same_label_with_reasons(at_home: Path) -> None:
    loaded = ReleaseStore().load("mood")
    classifier = Classifier.open(loaded)

    async def encode(texts: list[str]) -> np.ndarray:
        return classifier._encode(texts)

    log = FeedbackLog(at_home / "feedback.db")
    recommender = Recommender(loaded, encode, log)
    rng = np.random.default_rng(5)
    texts = [say(label, rng) for label in WORDS]
    known = classifier.classify(texts, [None] * 3)
    for text, label in zip(texts, known, strict=True):
        request = RecommendRequest(text=text, k=3, explain=True)
        answer = asyncio.run(recommender.recommend(request))
        assert answer.items[0].item_id == classifier.labels[label]
        explanation = answer.items[0].explanation
        assert explanation is not None
        parts = [part.value for part in explanation.parts]
        assert sum(parts) == pytest.approx(answer.items[0].score, abs=1e-3)
        assert any(part.kind == "request" and part.name in text for part in explanation.parts)
    log.close()
