"""Requests in words, and another encoder, from files to explained answers: no Ray, a tiny model."""

from __future__ import annotations

import asyncio
import math
from pathlib import Path

import numpy as np
import pytest
import yaml
from numpy.typing import NDArray

from crossrec import verbs
from crossrec.config import load_config
from crossrec.data.importing import import_domain
from crossrec.domains.registry import load_domain
from crossrec.models.encoder import TextEncoder
from crossrec.releases.store import LoadedRelease, ReleaseStore
from crossrec.serving.feedback_log import FeedbackLog
from crossrec.serving.messages import RecommendRequest, RecommendResponse
from crossrec.serving.recommender import Recommender
from crossrec.training.pipeline import train_here
from tests.integration.towns import SMALL
from tests.models.tiny import make_tiny_encoder

KINDS = {"noodles": "面条", "duck": "烤鸭", "tea": "茶馆", "hotpot": "火锅"}
AREAS = {"north": "北城", "south": "南城", "west": "西城"}
ASKS = ("想找{area}的{kind}", "{area}有{kind}吗", "有没有{kind}, 在{area}", "请推荐{area}的{kind}")


@pytest.fixture(scope="module")
def encoder_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_tiny_encoder(tmp_path_factory.mktemp("encoders") / "other")


@pytest.fixture(scope="module")
def loaded(tmp_path_factory: pytest.TempPathFactory, encoder_folder: Path) -> LoadedRelease:
    """Chinese places, asked for in Chinese; the encoder is named by its folder."""
    home = tmp_path_factory.mktemp("home")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("CROSSREC_HOME", str(home))
        _write(home / "domains")
        import_domain(load_domain("places"), progress=False)
        settings = [*SMALL, f"encoder={encoder_folder}", "training.max_epochs=3"]
        train_here("places", load_config(overrides=settings))
        report = verbs.evaluate("places", baselines=["frozen_text"])
        assert report.part == "test"
        return ReleaseStore().load("places")


def _write(folder: Path) -> None:
    items = ["item_id,title,text"]
    requests = ["request_id,text,item_id,split"]
    for kind, kind_zh in KINDS.items():
        for area, area_zh in AREAS.items():
            items.append(f"{kind}-{area},{kind} {area},{area_zh}的{kind_zh}")
            for number in range(12):
                ask = ASKS[number % len(ASKS)].format(area=area_zh, kind=kind_zh)
                part = ("train", "train", "valid", "test")[number % 4]
                requests.append(f'{kind}-{area}-{number},"{ask}",{kind}-{area},{part}')
    folder.mkdir(parents=True)
    (folder / "items.csv").write_text("\n".join(items) + "\n", encoding="utf-8")
    (folder / "requests.csv").write_text("\n".join(requests) + "\n", encoding="utf-8")
    tables = {name: {"path": f"{name}.csv"} for name in ("items", "requests")}
    domain = {"name": "places", "title": "Places", "language": "zh", "time_kind": "none"}
    text = yaml.safe_dump(domain | {"tables": tables}, allow_unicode=True)
    (folder / "places.yaml").write_text(text, encoding="utf-8")


@pytest.fixture
def recommender(loaded: LoadedRelease, encoder_folder: Path, tmp_path: Path) -> Recommender:
    encoder = TextEncoder.load(encoder_folder, device="cpu", precision="fp32")

    async def encode(texts: list[str]) -> NDArray[np.float32]:
        return encoder.encode(texts)

    return Recommender(loaded, encode, FeedbackLog(tmp_path / "feedback.db"))


def ask(recommender: Recommender, text: str) -> RecommendResponse:
    request = RecommendRequest(text=text, k=3, explain=True)
    return asyncio.run(recommender.recommend(request))


def test_the_release_says_which_encoder_it_needs(
    loaded: LoadedRelease, encoder_folder: Path
) -> None:
    assert loaded.model.config.encoder == str(encoder_folder)
    assert loaded.model.request_dim == 32
    encoder = TextEncoder.load(encoder_folder, device="cpu")
    assert loaded.release.manifest.encoder_fingerprint == encoder.fingerprint


@pytest.mark.parametrize("kind", KINDS)
def test_chinese_words_find_the_place_though_the_encoder_cannot_read_them(
    recommender: Recommender, kind: str
) -> None:
    answer = ask(recommender, f"我想去南城的{KINDS[kind]}")
    assert answer.items[0].item_id == f"{kind}-south"
    assert answer.items[0].signals["lexical"] > 0
    assert answer.based_on == ["request"]


def test_explanations_of_words_add_up_and_name_the_words_that_count(
    recommender: Recommender,
) -> None:
    best = ask(recommender, "南城 茶馆 xyz").items[0]
    assert best.explanation is not None
    parts = best.explanation.parts
    assert math.isclose(sum(part.value for part in parts), best.score, abs_tol=1e-4)
    by_word = {part.name: part.value for part in parts if part.kind == "request"}
    assert by_word["茶"] > by_word["xyz"]
