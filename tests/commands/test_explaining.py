from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

import crossrec
from crossrec.commands.explaining import show_explanation
from crossrec.config import home
from crossrec.releases.store import ReleaseStore
from crossrec.serving.explaining import Explainer
from crossrec.serving.explanation_messages import ExplainRequest
from crossrec.serving.messages import RecommendRequest
from crossrec.serving.recommender import Recommender
from crossrec.shown.answers import Explanation
from tests.commands.conftest import Run
from tests.explanation.tiny_language import causal
from tests.serving.conftest import encoder, loaded, log, recommender  # noqa: F401
from tests.small_home import small_service
from tests.small_release import make_small_domain


def test_an_explanation_is_printed_with_its_sentences_and_parts(
    recommender: Recommender,  # noqa: F811
    capsys: pytest.CaptureFixture[str],
) -> None:
    request = RecommendRequest(user_id="user-1", k=3)
    best = asyncio.run(recommender.recommend(request)).items[0]
    asked = ExplainRequest(request=request, item_id=best.item_id)
    answer = asyncio.run(Explainer(recommender).explain(asked))
    show_explanation(Explanation.of(answer))
    printed = " ".join(capsys.readouterr().out.split())
    assert best.title in printed
    told = [answer.explanation.sentence, *(one.sentence for one in answer.counterfactuals)]
    assert answer.counterfactuals
    for sentence in told:
        assert " ".join(sentence.split()) in printed
    assert "popularity" in printed


def test_a_model_of_ones_own_rewords_what_a_real_service_says(run: Run, tmp_path: Path) -> None:
    """It has learnt one sentence, and to lie about another; all others it does not know."""
    films = make_small_domain(home() / "data" / "films")
    films.publish(ReleaseStore())
    with small_service() as url:
        asked = {"user_id": "user-1", "k": 3, "url": url}
        answer = crossrec.recommend("films", **asked)
        best = answer.items[0]
        plain = crossrec.explain("films", best.item_id, request_id=answer.request_id, **asked)
        assert plain.wording is None
        reason = plain.explanation.sentence
        assert plain.contrast is not None
        lie = (plain.contrast.sentence, "It is better than “Solaris” by 3.")
        folder = causal(tmp_path / "model", [(reason, "You get this. " + reason), lie])
        found = crossrec.explain("films", best.item_id, reword=folder, **asked)
        result = run(
            "explain", "films", best.item_id, "--user", "user-1", "-k", "3", "--url", url,
            "--reword", folder, "--request-id", answer.request_id,
        )  # fmt: skip
        wrong = run(
            "explain",
            "films",
            best.item_id,
            "--user",
            "user-1",
            "--url",
            url,
            "--reword",
            tmp_path / "none",
        )
    assert found.explanation.sentence == "You get this. " + reason
    assert found.contrast is not None
    assert found.contrast.sentence == plain.contrast.sentence
    assert found.wording is not None
    assert found.wording.startswith(f"1 of {len(found.sentences())} sentences are in the words of")
    assert "names or numbers that the figures do not hold" in found.wording
    assert found.wording in found._repr_html_().replace("&#x27;", "'")
    printed = " ".join(result.stdout.split())
    assert "You get this." in printed
    assert "sentences are in the words of" in printed
    assert wrong.exit_code == 2
    assert "cannot be loaded" in wrong.stderr


def test_explain_without_a_service_says_how_to_start_one(run: Run) -> None:
    result = run("explain", "shop", "mug", "--url", "http://127.0.0.1:9")
    assert result.exit_code == 2
    assert "crossrec serve" in result.stderr


def test_explain_refuses_an_unknown_language(run: Run) -> None:
    result = run("explain", "shop", "mug", "--language", "fr")
    assert result.exit_code == 2
    assert "'fr' is not one of" in result.stderr
