"""Arms and shadows in one process: real releases, a real log."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path

import pytest

from crossrec.errors import ReleaseError, ServiceError
from crossrec.releases.store import LoadedRelease, ReleaseStore
from crossrec.serving.arms import Arms
from crossrec.serving.feedback_log import FeedbackLog
from crossrec.serving.item_updates import Current
from crossrec.serving.messages import FeedbackEvent, RecommendRequest
from crossrec.serving.recommender import Recommender
from crossrec.serving.shadow import PENDING, Comparison, Copies, Copy
from crossrec.serving.traffic import Shadow, experiment_of
from tests.serving.conftest import NOW, WordCounter
from tests.small_release import SmallDomain

USERS = [f"visitor-{n}" for n in range(40)]


@pytest.fixture
def versions(films: SmallDomain, fresh_home: Path) -> list[str]:
    return [films.publish(ReleaseStore()).version for _ in range(2)]


@pytest.fixture
def log(fresh_home: Path) -> Iterator[FeedbackLog]:
    found = FeedbackLog()
    yield found
    found.close()


@pytest.fixture
def arms(log: FeedbackLog) -> Arms:
    def answering(loaded: LoadedRelease) -> Recommender:
        return Recommender(loaded, WordCounter(), log, clock=lambda: NOW)

    async def load(version: str) -> Current:
        return Current(ReleaseStore().load("films", version), answering)

    return Arms("films", load)


def test_a_change_of_shares_loads_nothing_and_one_that_fails_changes_nothing(
    arms: Arms, versions: list[str]
):
    old, new = versions
    experiment = experiment_of("x", old, [{"name": "b", "version": new, "share": 0.5}])

    async def changes() -> None:
        await arms.configure(old, None)
        control = arms.control
        await arms.configure(old, experiment)
        before = list(arms.loaded)
        await arms.configure(old, experiment.with_shares({"b": 0.9}))
        assert list(arms.loaded) == before
        assert arms.control is control
        with pytest.raises(ReleaseError):
            await arms.configure("20990101-000000-000", None)
        assert arms.served().arms[1].share == 0.9
        await arms.configure(new, None)
        assert [current.release.version for current in arms.loaded] == [new]
        assert arms.served().arms == []

    asyncio.run(changes())


def test_answers_and_feedback_are_of_the_users_arm(
    arms: Arms, versions: list[str], log: FeedbackLog
):
    old, new = versions
    experiment = experiment_of("x", old, [{"name": "b", "version": new, "share": 0.5}])

    async def a_day() -> None:
        await arms.configure(old, experiment)
        for user in USERS:
            answer = await arms.recommend(RecommendRequest(user_id=user, k=1), user)
            assert answer.experiment == "x"
            assert answer.release == {"control": old, "b": new}[str(answer.arm)]
        events = [
            FeedbackEvent(event_id=user, user_id=user, item_id="film-1", event="like")
            for user in USERS
        ]
        events.append(FeedbackEvent(event_id="?", user_id="u", item_id="none", event="like"))
        stored = await arms.feedback(events)
        assert (stored.accepted, len(stored.rejected)) == (len(USERS), 1)
        found = await arms.results(None)
        assert found is not None
        for arm in found.arms:
            assert arm.n_users == arm.n_answers == arm.n_positive > 5
            assert arm.rate == 1.0
        assert found.arms[1].lift == 0.0
        assert await arms.results("another") is None

    asyncio.run(a_day())


def test_a_shadow_that_fails_or_hangs_costs_no_answer(arms: Arms, versions: list[str]):
    heard: list[Copy] = []
    release = asyncio.Event()

    async def hang(copy: Copy) -> None:
        heard.append(copy)
        await release.wait()
        raise ServiceError("gone")

    async def ask(n: int) -> None:
        for number in range(n):
            await arms.recommend(RecommendRequest(user_id="user-1", k=12), f"r{number}")
            await asyncio.sleep(0)

    async def a_day() -> None:
        await arms.configure(versions[0], None)
        arms.copies = Copies(Shadow(version=versions[1], share=1.0), hang)
        await ask(PENDING + 5)
        assert len(heard) == PENDING
        assert len(heard[0].item_ids) == 10
        release.set()
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        await ask(1)
        assert heard[-1].skipped == 5 + PENDING  # those that failed reached nobody either
        await arms.recommend(RecommendRequest(user_id="user-1", explain=True), "x")
        assert len(heard) == PENDING + 1
        arms.copies = Copies(Shadow(version=versions[1], share=0.25), hang)
        await ask(200)
        assert 20 < len(heard) - PENDING - 1 < 85

    asyncio.run(a_day())


def test_a_comparison_counts_what_differs(arms: Arms, versions: list[str]):
    async def compared() -> Comparison:
        await arms.configure(versions[0], None)
        recommender = arms.control.recommender
        request = RecommendRequest(user_id="user-1", k=4)
        answer = await recommender.recommend(request)
        ids = [item.item_id for item in answer.items]
        found = Comparison("films", versions[0])
        await found.compare(recommender, Copy(request, "1", ids, 1.0, 0))
        await found.compare(recommender, Copy(request, "2", [ids[1], "x", "y", "z"], 3.0, 2))
        wrong = RecommendRequest(user_id="user-1", filters={"none": 1})
        await found.compare(recommender, Copy(wrong, "3", ids, 1.0, 0))
        return found

    results = asyncio.run(compared()).results()
    assert (results.n_compared, results.n_errors, results.n_skipped) == (2, 1, 2)
    assert results.overlap_at_10 == (1 + 1 / 4) / 2
    assert results.same_first == 1 / 2
    assert results.latency_ms["answer_p50"] == 2.0
    assert "none" in str(results.last_error)
