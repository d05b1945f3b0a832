"""A domain that nobody has used yet: from a table of items to answers, and to what it learns."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from safetensors.numpy import load_file

import crossrec
from crossrec import verbs
from crossrec.errors import DataError
from crossrec.models.encoder import TextEncoder
from crossrec.releases.store import ReleaseStore
from crossrec.serving.feedback_log import FeedbackLog
from crossrec.serving.messages import (
    FeedbackEvent,
    RecommendRequest,
    RecommendResponse,
)
from crossrec.serving.metrics import Metrics, describe_release
from crossrec.serving.recommender import Recommender
from tests.models.tiny import make_tiny_encoder

KINDS = ("tea", "coffee", "mug")
N_ITEMS = 30


@pytest.fixture
def overrides(fresh_home: Path) -> list[str]:
    encoder = make_tiny_encoder(fresh_home / "tiny")
    return [f"encoder={encoder}", "training.max_epochs=1", "model.dim=16"]


def declare(
    folder: Path, name: str = "shop", n_users: int = 0, steps: int = 5, remove: bool = False
) -> None:
    """A shop in the home, imported, of items and of so many users with so many sales each; with
    `remove` the same domain without its table of sales.
    """
    numbers = range(N_ITEMS)
    items = pl.DataFrame(
        {
            "sku": [f"s{n}" for n in numbers],
            "name": [f"{KINDS[n % 3]} {n}" for n in numbers],
            "description": [f"a fine {KINDS[n % 3]} of make {n // 6}" for n in numbers],
        }
    )
    rows = [
        (f"c{user}", f"s{(user % 3 + 3 * (user + step * step)) % N_ITEMS}", 1_700_000_000 + step)
        for user in range(n_users)
        for step in range(steps)
    ]
    folder.mkdir(exist_ok=True)
    items.write_csv(folder / f"{name}.csv")
    sales = folder / f"{name}_sales.csv"
    pl.DataFrame(rows, ["customer", "sku", "sold_at"], orient="row").write_csv(sales)
    guessed = verbs.infer_domain(name, folder / f"{name}.csv", sales if n_users else None).domain
    if remove:
        guessed = guessed.model_copy(update={"tables": {"items": guessed.tables["items"]}})
    verbs.init_domain(guessed, force=True)
    verbs.import_data(name)


@contextmanager
def served(overrides: list[str], name: str = "shop") -> Iterator[Recommender]:
    """The current release as a replica has it."""
    encoder = TextEncoder.load(overrides[0].removeprefix("encoder="), precision="fp32")

    async def encode(texts: list[str]) -> np.ndarray:
        return encoder.encode(texts)

    with closing(ReleaseStore().load(name)) as loaded, closing(FeedbackLog()) as log:
        yield Recommender(loaded, encode, log)


def ask(recommender: Recommender, **fields: object) -> RecommendResponse:
    return asyncio.run(recommender.recommend(RecommendRequest(**fields)))


def kinds(answer: RecommendResponse) -> list[str]:
    return [KINDS[int(item.item_id[1:]) % 3] for item in answer.items]


def test_items_alone_are_trained_published_and_answered_from(tmp_path: Path, overrides: list[str]):
    declare(tmp_path / "files")
    [trained] = verbs.train("shop", overrides=overrides)
    assert trained.release is not None
    assert (trained.history, trained.metrics["n"]) == ([], 0)
    figures = trained.metrics["metrics"] | trained.metrics["coverage"]
    assert set(figures.values()) == {None}
    assert "ranks by item texts alone, and has no figures" in trained.sentences()[0]
    release = ReleaseStore().verify("shop")
    assert release.metrics["untaught"] == trained.metrics["untaught"]
    with closing(ReleaseStore().load("shop")) as loaded:
        describe_release(Metrics(domain="shop"), loaded)
    with served(overrides) as recommender:
        of_history = ask(recommender, history=[{"item_id": "s0"}, {"item_id": "s3"}], k=5)
        assert set(kinds(of_history)) == {"tea"}
        assert of_history.based_on == ["history"]
        heard = {name for name, value in of_history.items[0].signals.items() if value}
        assert heard == {"text", "wording"}
        of_words = ask(recommender, text="a fine mug", k=5)
        assert of_words.based_on == ["request"]
        assert of_words.items[0].signals["request"] > 0
        assert len(ask(recommender, k=5).items) == 5
        assert len(ask(recommender, user_id="nobody", k=5).items) == 5
        item = ask(recommender, history=[{"item_id": "s0"}], k=1, explain=True).items[0]
        assert item.explanation is not None
        assert any(part.kind == "history" and part.value for part in item.explanation.parts)


def test_feedback_teaches_it_later_and_until_then_it_is_said_what_is_missing(
    tmp_path: Path, overrides: list[str]
):
    declare(tmp_path / "files")
    verbs.train("shop", overrides=overrides)
    with pytest.raises(DataError, match=r"no user of 'shop' has 3 .* crossrec train shop"):
        verbs.evaluate("shop")
    with closing(FeedbackLog()) as log:
        events = [
            FeedbackEvent(
                event_id=f"{user}-{step}",
                user_id=f"u{user}",
                item_id=f"s{user % 3 + 3 * ((user + step) % 10)}",
                event="like",
                timestamp=1_790_000_000 + step,
            )
            for user in range(12)
            for step in range(4)
        ]
        log.append("shop", events[:2]).result()
        refreshed = verbs.refresh("shop")
        assert refreshed.release is None
        assert "only 0 of the newest cases can be compared" in refreshed.decision
        log.append("shop", events[2:]).result()
    verbs.export_feedback("shop")
    [trained] = verbs.train("shop", overrides=overrides, since="all")
    assert trained.metrics["n"] == 12
    assert "untaught" not in trained.metrics
    with served(overrides) as recommender:
        answer = ask(recommender, user_id="u1", k=3)
        assert (answer.user_known, len(answer.items)) == (True, 3)


def test_too_few_users_are_served_with_what_they_had(tmp_path: Path, overrides: list[str]):
    declare(tmp_path / "files", n_users=6, steps=2)
    [trained] = verbs.train("shop", overrides=overrides)
    assert "no interaction of 'shop' was learned from" in trained.metrics["untaught"]
    with served(overrides) as recommender:
        answer = ask(recommender, user_id="c1", k=3)
        assert (answer.user_known, answer.based_on) == (True, ["history"])


def test_zero_shot_publishes_what_is_made_without_any_interaction_of_the_target(
    tmp_path: Path, overrides: list[str]
):
    declare(tmp_path / "files", "other", n_users=20)
    found = []
    for remove in (False, True):
        declare(tmp_path / "files", n_users=20, remove=remove)
        report = crossrec.transfer(
            "other", to="shop", shares=[0.0], overrides=overrides, publish=True
        )
        assert report.shares[0].near
        assert report.shares[0].chosen.start == "other"
        release = ReleaseStore().show("shop", report.release)
        assert (release.manifest.n_users, release.metrics["n"]) == (0, 0)
        assert "towers of other domains" in release.metrics["untaught"]
        told = json.loads(json.dumps(report.to_dict(), allow_nan=False))["shares"][0]
        assert (told["n_users"], told["starts"]["other"]["test"] is None) == (0, remove)
        found.append(load_file(release.folder / "model.safetensors"))
    of_used, of_unused = found
    assert of_used.keys() == of_unused.keys()
    for name, values in of_used.items():
        np.testing.assert_array_equal(values, of_unused[name], err_msg=name)
    with served(overrides) as recommender:
        answer = ask(recommender, history=[{"item_id": "s0"}], k=3)
        assert "sequence" in answer.items[0].signals
    with pytest.raises(DataError, match="no user of 'shop' has 3 interactions"):
        crossrec.transfer("other", to="shop", shares=[0.1], overrides=overrides)
    with pytest.raises(DataError, match="no user of 'shop' has 3 interactions"):
        crossrec.transfer("shop", to="other", shares=[0.0], overrides=overrides)
