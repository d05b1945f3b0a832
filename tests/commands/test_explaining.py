from __future__ import annotations

import asyncio

import pytest

from crossrec.commands.explaining import show_explanation
from crossrec.serving.explaining import Explainer
from crossrec.serving.explanation_messages import ExplainRequest
from crossrec.serving.messages import RecommendRequest
from crossrec.serving.recommender import Recommender
from tests.commands.conftest import Run
from tests.serving.conftest import encoder, loaded, log, recommender  # noqa: F401


def test_an_explanation_is_printed_with_its_sentences_and_parts(
    recommender: Recommender,  # noqa: F811
    capsys: pytest.CaptureFixture[str],
) -> None:
    request = RecommendRequest(user_id="user-1", k=3)
    best = asyncio.run(recommender.recommend(request)).items[0]
    asked = ExplainRequest(request=request, item_id=best.item_id)
    answer = asyncio.run(Explainer(recommender).explain(asked))
    show_explanation(answer)
    printed = " ".join(capsys.readouterr().out.split())
    assert best.title in printed
    told = [answer.explanation.sentence, *(one.sentence for one in answer.counterfactuals)]
    assert answer.counterfactuals
    for sentence in told:
        assert " ".join(sentence.split()) in printed
    assert "popularity" in printed


def test_explain_without_a_service_says_how_to_start_one(run: Run) -> None:
    result = run("explain", "shop", "mug", "--url", "http://127.0.0.1:9")
    assert result.exit_code == 2
    assert "crossrec serve" in result.stderr


def test_explain_refuses_an_unknown_language(run: Run) -> None:
    result = run("explain", "shop", "mug", "--language", "fr")
    assert result.exit_code == 2
    assert "'fr' is not one of" in result.stderr
