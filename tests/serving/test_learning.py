"""Learning online with real logs, files and recommenders; only Ray is left out."""

from __future__ import annotations

import asyncio
import json
import logging
import os
import random
import signal
import sqlite3
import subprocess
import sys
import time
from contextlib import closing
from pathlib import Path

import httpx
import numpy as np
import pytest

from crossrec import verbs
from crossrec.domains.spec import Learning
from crossrec.errors import ReleaseError, RequestError, ServiceError
from crossrec.releases.store import LoadedRelease, ReleaseStore
from crossrec.serving.erasure import Erasures
from crossrec.serving.explaining import Explainer
from crossrec.serving.explanation_messages import ExplainRequest, ExplainResponse
from crossrec.serving.feedback_log import FeedbackLog
from crossrec.serving.http_api import domain_app
from crossrec.serving.learned_weights import ADDRESS, LearnedWeights
from crossrec.serving.learning import NOTE_DELAY_S, DomainLearner
from crossrec.serving.learning_log import LearningLog
from crossrec.serving.learning_messages import LearnerStatus
from crossrec.serving.learning_service import Learners
from crossrec.serving.learning_status import mean_weights
from crossrec.serving.learning_store import LearnerStore, learners_folder
from crossrec.serving.messages import FeedbackEvent, RecommendRequest, RecommendResponse
from crossrec.serving.metrics_page import metrics_page
from crossrec.serving.recommender import Recommender
from tests.serving.conftest import WordCounter
from tests.serving.learners import LEARNING, Shop, published, shop, visits
from tests.serving.test_metrics import page
from tests.small_release import SmallDomain


@pytest.fixture
def loaded(films: SmallDomain, fresh_home: Path) -> LoadedRelease:
    return published(films)


@pytest.fixture
def town(loaded: LoadedRelease, fresh_home: Path):
    found = shop(loaded, fresh_home)
    found.step()
    yield found
    found.learner.close()
    found.weights.close()
    found.notes.close()
    found.log.close()


def test_what_people_choose_becomes_the_weights_of_their_next_answers(town: Shop):
    before = town.ask("user-1")
    assert before.weights_version == 1
    assert before.weights == {"relevance": 1}
    visits(town, 150)
    assert town.step() == 150
    status = town.learner.status()
    assert status.counts == {"learned": 150}
    assert status.weights["price"].weight > 0.5
    assert status.weights["price"].low > 0
    assert town.ask(None).weights_version == status.version > 1
    frozen = town.order("freeze")  # so that the mean of what is believed answers, and no draw
    after = town.ask(None, k=24)
    assert after.weights_version == frozen.version
    assert after.weights["price"] == pytest.approx(town.price(), abs=1e-3)
    for item in after.items:
        assert item.score == pytest.approx(sum(item.objectives.values()))


def test_requests_with_weights_of_their_own_are_none_of_the_learners(town: Shop):
    visits(town, 50)
    town.step()
    answer = town.ask("user-1", objectives={"popularity": 0.5})
    assert answer.weights == {"relevance": 1, "popularity": 0.5}
    assert answer.weights_version is None
    town.weights.close()
    assert town.notes.find("films", answer.request_id) is None


def test_answers_are_kept_with_what_could_have_been_shown_and_how_likely(town: Shop):
    answers = [town.ask(f"user-{n}", k=4) for n in range(120)]
    town.weights.close()
    kept = [town.notes.find("films", answer.request_id) for answer in answers]
    explored = 0
    for answer, shown in zip(answers, kept, strict=True):
        assert shown is not None
        assert shown.item_ids[: shown.n_shown] == [item.item_id for item in answer.items]
        assert len(shown.item_ids) > shown.n_shown
        assert shown.plain
        assert shown.objectives == ["price", "popularity"]
        used = dict(zip(shown.objectives, shown.arms[shown.arm], strict=True))
        for name, weight in used.items():
            assert answer.weights.get(name, 0.0) == pytest.approx(weight, abs=1e-3)
        scores = shown.relevance + shown.standings @ shown.arms[shown.arm]
        assert (np.diff(scores) < 1e-2).all()  # the list and then the next best, as kept
        n_others = len(shown.arms) - 1
        assert shown.propensity in ((1.0, 0.8) if shown.arm == 0 else (0.2 / n_others,))
        explored += shown.arm > 0
    assert 0 < explored <= 0.2 * 120


def test_an_explanation_counts_as_no_answer_and_is_not_kept(town: Shop):
    for n in range(30):
        request = RecommendRequest(user_id=f"user-{n}")
        asked = asyncio.run(town.recommender.ask_again(request, f"request-{n}"))
        assert asked.ranking.drawn is not None
        assert asked.ranking.seen is None
        plainly = asyncio.run(town.recommender.ask(request)).ranking
        assert (plainly.drawn, plainly.weights) == (None, {"relevance": 1.0})
    town.weights.close()
    assert list(town.notes.all("films")) == []


def explained(town: Shop, answer: RecommendResponse, **request) -> list[ExplainResponse]:
    """Each item of an answer, where it was and with its score."""
    told = []
    for item in answer.items:
        asked = ExplainRequest(
            request=RecommendRequest(k=len(answer.items), **request),
            item_id=item.item_id,
            request_id=answer.request_id,
            text_parts=False,
        )
        found = asyncio.run(Explainer(town.recommender).explain(asked))
        assert (found.rank, found.score) == (item.rank, pytest.approx(item.score, abs=1e-3))
        told.append(found)
    return told


def test_an_answer_is_explained_with_the_weights_it_was_given_with(town: Shop):
    guests = [f"guest-{n}" for n in range(40)]
    answers = {guest: town.ask(guest, k=3) for guest in guests}
    nobodys = [town.ask(None, k=3) for _ in range(40)]
    of_mean = asyncio.run(town.recommender.ask_again(RecommendRequest(k=3), None))
    assert any(answer.weights != of_mean.ranking.weights for answer in nobodys)
    visits(town, 40)
    assert town.step() > 0  # notes are on disk, and other weights hold now
    for guest, answer in answers.items():
        explained(town, answer, user_id=guest)
    for answer in nobodys:
        explained(town, answer)


def test_what_would_take_an_item_out_is_found_with_the_same_weights(town: Shop):
    history = [{"item_id": f"film-{n}"} for n in (1, 4, 7, 2)]
    answers = [town.ask(None, k=3, history=history) for _ in range(40)]
    town.weights.close()
    n_found = 0
    for answer in {str(answer.weights): answer for answer in answers}.values():
        for found in explained(town, answer, history=history):
            for one in found.counterfactuals:
                left = [step for step in history if step["item_id"] not in one.names]
                asked = {"blocked": one.names, "objectives": answer.weights}
                again = town.ask(None, k=3, history=left, **asked)
                assert found.item_id not in [item.item_id for item in again.items]
                n_found += 1
    assert n_found


def test_before_an_answer_is_noted_its_user_has_the_same_arm(town: Shop):
    guests = [f"guest-{n}" for n in range(40)]
    answers = {guest: town.ask(guest, k=3) for guest in guests}
    of_guests = {
        guest: asyncio.run(town.recommender.ask_again(RecommendRequest(user_id=guest), None))
        for guest in guests
    }
    found = {guest: asked.ranking.weights for guest, asked in of_guests.items()}
    of_mean = asyncio.run(town.recommender.ask_again(RecommendRequest(), None)).ranking.weights
    explored = [guest for guest, answer in answers.items() if answer.weights != of_mean]
    assert explored
    assert all(found[guest] == answers[guest].weights for guest in explored)


def test_only_those_who_were_shown_an_item_can_choose_it_and_once(town: Shop):
    answer = town.ask("user-1", k=3)
    listed = [item.item_id for item in answer.items]
    other = next(f"film-{n}" for n in range(24) if f"film-{n}" not in listed)
    town.send("user-2", listed[0], answer.request_id)  # somebody else's answer
    town.send("user-1", other, answer.request_id)  # not in the list
    town.send("user-1", listed[0], "request-unknown")
    town.send("user-1", listed[0], None)
    town.send("user-1", listed[1], answer.request_id, event="impression")
    town.send("user-1", listed[1], answer.request_id, event="dislike")
    assert town.step() == 0
    time.sleep(NOTE_DELAY_S)  # until then the unknown request may be an answer on its way
    town.send("user-1", listed[0], answer.request_id)
    town.send("user-1", listed[0], answer.request_id)  # a second click on the same
    town.send("user-1", listed[2], answer.request_id)  # and one on another item of the list
    assert town.step() == 2
    counts = town.learner.status().counts
    assert counts == {"without an answer of theirs": 3, "learned": 2, "again": 1}


def test_freeze_resume_reset_and_roll_back(town: Shop):
    visits(town, 60)
    town.step()
    learned, believed = town.price(), LearnerStore("films").state().belief
    frozen = town.order("freeze")
    assert (frozen.learning, frozen.explore_share) == (False, 0)
    visits(town, 30, seed=1)
    assert town.step() == 0
    assert town.price() == learned
    answers = [town.ask(f"user-{n}") for n in range(60)]
    assert len({answer.weights["price"] for answer in answers}) == 1  # nothing explored
    assert town.order("resume").learning
    assert town.step() == 0  # what was done while it was frozen stays unread
    visits(town, 30, seed=2)
    assert town.step() == 30
    version = town.learner.status().version
    moved = town.price()
    # the weight itself may be at its bound before and after
    assert not np.array_equal(LearnerStore("films").state().belief.mean, believed.mean)
    reset = town.order("reset")
    assert reset.weights["price"].weight == 0
    assert reset.counts == {}
    back = town.order("rollback", version)
    assert back.weights["price"].weight == moved
    assert back.why == f"rolled back to {version}"
    assert back.version > version
    assert town.order("rollback").weights["price"].weight == 0  # the one before: the reset
    with pytest.raises(RequestError, match=r"no version 999 to go back to; expected one of: 1, 2"):
        town.order("rollback", 999)


def test_what_is_on_trial_is_explored_and_judged_before_it_answers(town: Shop):
    town.order("trial")
    visits(town, 150)
    assert town.step() == 150
    status = town.learner.status()
    assert (status.learning, status.live, status.explore_share) == (True, False, 0.2)
    assert status.weights["price"].weight > 0.2  # learned, and not what answers
    answers = [town.ask(f"guest-{n}") for n in range(100)]
    assert {answer.weights_version for answer in answers} == {status.version}
    explored = [answer for answer in answers if answer.weights != {"relevance": 1}]
    assert 0 < len(explored) <= 0.2 * 250  # of all requests so far
    assert np.mean([answer.weights.get("price", 0) for answer in explored]) > 0
    town.weights.close()
    kept = [town.notes.find("films", answer.request_id) for answer in answers]
    assert {one.propensity for one in kept if one.arm == 0} <= {0.8, 1.0}
    for one in kept:
        assert (one.arms[0] == 0).all()  # as declared
        assert one.arms[1:, 0].mean() > 0
    judged = verbs.judge("films", "learned")
    assert judged.log.startswith("125 answers given while learning, the later half")
    town.learner.close()
    again = DomainLearner("films", town.notes)
    again.step()
    assert not again.status().live  # after a restart, too
    town.learner = again
    frozen = town.order("freeze")
    assert not town.weights.active
    town.order("resume")
    assert not town.learner.status().live
    live = town.order("go-live")
    assert (live.live, live.why) == (True, "live")
    assert live.version > frozen.version
    town.order("explore", share=0)
    assert town.ask("guest-1").weights["price"] == pytest.approx(town.price(), abs=1e-3)
    assert town.order("rollback", status.version).live  # the weights of then, and they answer


def test_a_domain_can_begin_on_trial(films: SmallDomain, fresh_home: Path):
    town = shop(published(films, LEARNING.model_copy(update={"live": False})), fresh_home)
    town.step()
    assert (town.learner.status().live, town.learner.status().learning) == (False, True)
    town.order("go-live")
    town.weights.declare(town.recommender)  # another replica, or the next release
    assert town.learner.status().live
    town.learner.close()
    town.log.close()


def test_exploring_is_switched_off_and_on_while_learning_goes_on(
    films: SmallDomain, fresh_home: Path
):
    town = shop(published(films), fresh_home)
    town.step()
    off = town.order("explore", share=0)
    assert (off.learning, off.explore_share, off.explore_most) == (True, 0, 0.2)
    visits(town, 60)
    assert town.step() == 60
    answers = [town.ask(f"guest-{n}") for n in range(60)]
    town.weights.close()
    assert {town.notes.find("films", one.request_id).propensity for one in answers} == {1.0}
    assert len({answer.weights["price"] for answer in answers}) == 1
    with pytest.raises(RequestError, match=r"got the share 0.3; expected at most 0.2"):
        town.order("explore", share=0.3)
    assert town.order("explore", share=0.1).explore_share == 0.1
    town.learner.close()
    bolder = LEARNING.model_copy(update={"explore_share": 0.4})
    town.weights.declare(Recommender(published(films, bolder), WordCounter(), town.log))
    again = DomainLearner("films", town.notes)
    again.step()
    found = again.status()
    assert (found.explore_share, found.explore_most) == (0.1, 0.4)  # an operator's word holds
    town.learner = again
    assert town.order("explore").explore_share == 0.4
    drawn = town.weights
    drawn.look()
    before = [(n, drawn.draw({}, f"guest-{n}")) for n in range(60)]
    town.order("explore", share=0)
    for n, one in before:  # noted by the share that they were drawn with
        assert one.share == pytest.approx(0.4 / 7 if one.propensity < 1 else 0), n
    assert any(one.explored for _, one in before)
    again.close()
    town.log.close()


def test_a_domain_without_learning_in_its_yaml_waits_for_an_operator(
    films: SmallDomain, fresh_home: Path
):
    town = shop(published(films, None), fresh_home)
    town.step()
    answer = town.ask("user-1")
    assert answer.weights_version is None
    assert answer.weights == {"relevance": 1}
    assert town.recommender.ranker.is_short.__self__._weigh.active is False
    town.order("resume")
    assert town.ask("user-1").weights_version == 2
    visits(town, 40)
    assert town.step() == 40
    town.log.close()


def test_learning_something_that_cannot_be_learned_is_said_when_a_release_is_loaded(
    films: SmallDomain, fresh_home: Path
):
    wrong = Learning(objectives=["diversity"])
    with pytest.raises(ReleaseError, match=r"names 'diversity'.*expected some of:.*price"):
        shop(published(films, wrong), fresh_home)


def test_a_burst_is_bounded_flagged_and_said_in_the_log(
    films: SmallDomain, fresh_home: Path, caplog: pytest.LogCaptureFixture
):
    learning = LEARNING.model_copy(update={"per_user": 5, "per_address": 12})
    town = shop(published(films, learning), fresh_home)
    town.step()
    with caplog.at_level(logging.WARNING):
        ADDRESS.set("10.0.0.66")
        visits(town, 40, n_users=1)
        assert town.step() == 5
        visits(town, 40, seed=1, n_users=20)  # user-0 among them, from the same address
        assert town.step() == 0
        ADDRESS.set("10.0.0.7")
        visits(town, 12, seed=2, n_users=12)
        assert town.step() == 11
    ADDRESS.set(None)
    status = town.learner.status()
    assert status.counts == {"learned": 16, "beyond a cap": 76}
    assert list(status.flagged_users.values()) == [43]
    assert list(status.flagged_addresses.values()) == [80]
    said = [record.message for record in caplog.records if "beyond its cap" in record.message]
    assert len(said) == 2
    assert not any("user-0" in line or "10.0.0" in line for line in [*said, str(status)])
    with closing(sqlite3.connect(fresh_home / "learning.db")) as database:
        assert "10.0.0" not in str(database.execute("SELECT * FROM learner_origins").fetchall())
    again = DomainLearner("films", town.notes)
    town.learner.close()
    again.step()  # who was bounded before a restart is after it
    assert list(again.status().flagged_users.values()) == [43]
    assert list(again.status().flagged_addresses.values()) == [80]
    again.close()
    town.log.close()


def test_a_learner_says_in_figures_what_it_learned_and_how_many_it_bounds(
    films: SmallDomain, fresh_home: Path, tmp_path: Path
):
    town = shop(published(films, LEARNING.model_copy(update={"per_user": 5})), fresh_home)
    town.step()
    visits(town, 40, n_users=1)
    town.weights.close()
    town.learner.close()
    with closing(Learners(tmp_path, poll_s=0.01)):
        ends = time.monotonic() + 20
        while not (found := page(tmp_path)):
            assert time.monotonic() < ends
            time.sleep(0.01)
    state = LearnerStore("films").state()
    assert found["crossrec_learner_choices_total"] == {
        ("films", "learned"): 5, ("films", "beyond a cap"): 35,
    }  # fmt: skip
    assert found["crossrec_learner_flagged"] == {("films", "users"): 1, ("films", "addresses"): 0}
    assert found["crossrec_learner_version"] == {("films",): state.version}
    assert found["crossrec_learner_learning"] == {("films",): 1}
    weights = mean_weights(state)
    assert found["crossrec_learner_weight"] == {("films", name): weights[name] for name in weights}
    assert b"user-0" not in metrics_page(tmp_path)
    town.log.close()


def test_an_answer_that_was_nobodys_has_the_cap_of_one_user(films: SmallDomain, fresh_home: Path):
    town = shop(published(films, LEARNING.model_copy(update={"per_user": 3})), fresh_home)
    town.step()
    answer = town.ask(None)
    for n in range(30):  # thirty say that they were given it
        town.send(f"anybody-{n}", answer.items[n % 10].item_id, answer.request_id)
    assert town.step() == 3
    assert list(town.learner.status().flagged_users.values()) == [30]
    town.learner.close()
    town.log.close()


def test_a_second_learner_waits_until_the_first_lets_go(town: Shop):
    second = DomainLearner("films", town.notes)
    visits(town, 5)
    town.weights.close()
    assert second.step() == 0
    with pytest.raises(ServiceError, match="not ready") as caught:
        second.status()
    assert caught.value.status == 503
    assert town.step() == 5
    visits(town, 5, seed=1)
    town.weights.close()
    town.learner.close()
    assert second.step() == 5
    assert second.status().counts == {"learned": 10}
    second.close()


RUN = """
import sys
from crossrec.serving.learning_service import Learners
learners = Learners(poll_s=0.01)
print("up", flush=True)
sys.stdin.read()
learners.close()
"""


def test_no_choice_is_lost_or_counted_twice_when_the_learner_is_killed(town: Shop):
    """kill -9 at random moments, while choices come."""
    town.learner.close()
    rng, n_choices = random.Random(0), 0
    for n_kill in range(4):
        process = subprocess.Popen(
            [sys.executable, "-c", RUN], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        assert process.stdout.readline() == "up\n"
        n_choices += len(visits(town, 40, seed=n_kill))
        time.sleep(rng.uniform(0, 0.1))
        os.kill(process.pid, signal.SIGKILL)
        process.communicate()
    town.weights.close()
    again = DomainLearner("films", town.notes)
    again.step()
    assert again.status().counts == {"learned": n_choices}
    again.close()


def test_every_version_on_disk_is_whole_and_few_are_kept(town: Shop):
    store = LearnerStore("films")
    for n in range(60):
        visits(town, 1, seed=n)
        town.step()
    versions = store.versions()
    assert len(versions) <= 22
    assert versions[-1] == store.state().version == 61
    for path in (store.folder / "versions").iterdir():
        json.loads(path.read_text())


def test_a_state_that_cannot_be_read_leaves_the_weights_as_they_were(
    town: Shop, caplog: pytest.LogCaptureFixture
):
    visits(town, 40)
    town.step()
    assert town.weights.active
    before = town.weights.draw({}, None)
    (town.weights.store.folder / "state.json").write_text("{half of it")
    town.ask("user-1")
    assert town.weights.draw({}, None) == before
    assert "cannot be read" in caplog.text


def test_a_release_with_another_objective_keeps_what_was_learned_of_the_others(
    town: Shop, films: SmallDomain, fresh_home: Path
):
    visits(town, 60)
    town.step()
    learned = town.price()
    fewer = LEARNING.model_copy(update={"objectives": ["price"]})
    newer = shop(published(films, fewer), fresh_home)
    town.step()
    status = town.learner.status()
    assert list(status.weights) == ["price"]
    assert status.weights["price"].weight == learned
    answer = newer.ask("user-1")
    assert answer.weights_version == status.version
    newer.log.close()


def test_erasing_somebody_removes_the_answers_they_were_given(town: Shop):
    answer = town.ask("user-1")
    other = town.ask("user-2")
    town.weights.close()
    town.notes.erase("films", "user-1")
    assert town.notes.find("films", answer.request_id) is None
    assert town.notes.find("films", other.request_id) is not None


def test_erasing_somebody_leaves_nothing_of_them_in_the_learners_file(town: Shop, fresh_home: Path):
    named = ADDRESS.set("10.0.0.7")
    for user in ("jane@example.org", "joe@example.org"):
        answer = town.ask(user)
        click = FeedbackEvent(
            event_id=f"{user}-click-1", user_id=user, item_id=answer.items[0].item_id,
            event="click", request_id=answer.request_id,
        )  # fmt: skip
        assert asyncio.run(town.recommender.feedback([click])).accepted == 1
    ADDRESS.reset(named)
    town.weights.close()
    assert town.notes.origin("films", "jane@example.org-click-1") is not None
    Erasures("films", town.log, ReleaseStore()).erase("jane@example.org")
    kept = b"".join(path.read_bytes() for path in fresh_home.glob("learning.db*"))
    assert b"jane" not in kept
    assert b"joe@example.org-click-1" in kept


def test_an_erasure_says_what_learned_weights_may_hold_until_they_are_reset(town: Shop):
    def remains(user: str) -> str:
        return Erasures("films", town.log, ReleaseStore()).erase(user).remains

    assert remains("nobody").startswith("nothing")
    visits(town, 40)
    town.step()
    assert remains("nobody").startswith("the objectives' weights that were learned online may")
    town.order("trial")  # what is explored is still drawn from it
    assert "online" in remains("nobody")
    of_somebody = remains("user-1")
    assert "were trained with this user's events" in of_somebody
    assert "crossrec learner reset films takes it out of what is in use at once" in of_somebody
    town.order("reset")
    assert "online" not in remains("user-1")
    state = learners_folder() / "films" / "state.json"
    state.write_text("{", encoding="utf-8")
    assert "online" in remains("user-1")  # which nobody can tell now


def test_old_answers_are_forgotten_and_choices_of_them_count_no_more(town: Shop):
    answer = town.ask("user-1")
    town.weights.close()
    with closing(sqlite3.connect(town.log._storage.path.with_name("learning.db"))) as database:
        database.execute("UPDATE learner_shown SET at = at - 90000")
        database.commit()
    town.send("user-1", answer.items[0].item_id, answer.request_id)
    assert town.step() == 0
    town.notes.prune(time.time() - 80_000, "films")
    assert town.notes.find("films", answer.request_id) is None


def test_the_routes_of_a_domain_show_and_order_the_learner(town: Shop):
    class Backend:
        recommender, feedback_log = town.recommender, town.log

        async def learner(self, order) -> LearnerStatus:
            return town.learner.status() if order is None else town.learner.order(order)

    async def asked(method: str, **options) -> httpx.Response:
        transport = httpx.ASGITransport(
            domain_app(Backend(), None, "films"), client=("127.0.0.1", 1)
        )
        async with httpx.AsyncClient(transport=transport, base_url="http://here") as http:
            return await http.request(method, "/learner", **options)

    assert asyncio.run(asked("GET")).json()["learning"] is True
    frozen = asyncio.run(asked("POST", json={"action": "freeze"}))
    assert frozen.json()["learning"] is False
    wrong = asyncio.run(asked("POST", json={"action": "rollback", "version": 999}))
    assert wrong.status_code == 422
    assert "no version 999" in wrong.json()["error"]
    assert asyncio.run(asked("POST", json={"action": "dance"})).status_code == 422
    for action in ("freeze", "resume", "reset"):
        astray = asyncio.run(asked("POST", json={"action": action, "version": 1}))
        assert astray.status_code == 422
        said = f"got {action} and version 1; expected a version with rollback alone"
        assert said in astray.json()["error"]


def test_every_replica_has_new_weights_at_its_next_request(town: Shop, loaded: LoadedRelease):
    second = LearnedWeights("films")
    visits(town, 40)
    town.step()
    assert second.active
    drawn = second.draw({}, None)
    assert drawn.version == town.learner.status().version
    assert town.weights.active
    assert drawn == town.weights.draw({}, None)


def test_answers_and_places_are_kept_on_a_server_too(town: Shop, postgres_url: str):
    answer = town.ask("user-1", k=3)
    town.weights.close()
    shown = town.notes.find("films", answer.request_id)
    server = LearningLog(postgres_url, postgres_url)
    server.shown("films", shown)
    server.came_from("films", ["event-1"], "abc", time.time())
    feedback = FeedbackLog(postgres_url)
    item = answer.items[0].item_id
    sent = [
        FeedbackEvent(event_id=f"event-{n}", user_id="user-1", item_id=item, event="click",
                      request_id=answer.request_id)
        for n in (1, 2)
    ]  # fmt: skip
    feedback.append("films", sent).result()
    server.close()
    feedback.close()
    again = LearningLog(postgres_url, postgres_url)
    assert again.find("films", answer.request_id).item_ids == shown.item_ids
    assert [one.request_id for one in again.all("films")] == [answer.request_id]
    first, second = again.heard("films", 0, 10)
    assert (again.origin("films", first.event_id), again.origin("films", "event-2")) == (
        "abc",
        None,
    )
    assert again.taken_before("films", second) == [(item, "click")]
    assert again.heard("films", first.row, 10) == [second]
    assert again.last() == second.row
    assert again.n_of_users() == 1
    again.erase("films", "user-1")
    assert again.find("films", answer.request_id) is None
    assert again.origin("films", first.event_id) is None
    assert again.n_of_users() == 0
    again.came_from("films", ["event-3"], "abc", time.time())
    again.close()
    last = LearningLog(postgres_url, postgres_url)
    last.prune(time.time() + 1)
    assert last.origin("films", "event-3") is None
    last.close()
