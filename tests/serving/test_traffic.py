from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from crossrec.errors import RequestError
from crossrec.serving.traffic import Experiment, ExperimentStore, experiment_of, fraction

USERS = [f"user-{n}" for n in range(20_000)]


def arms(**shares: float) -> list[dict[str, object]]:
    return [{"name": n, "version": f"v-{n}", "share": share} for n, share in shares.items()]


def names(experiment: Experiment) -> list[str]:
    return [arm.name if (arm := experiment.arm_of(user)) else "control" for user in USERS]


def test_shares_are_kept_and_users_stay():
    found = names(experiment_of("x", "v-0", arms(b=0.3, c=0.1)))
    assert found == names(experiment_of("x", "v-0", arms(b=0.3, c=0.1)))
    for name, share in {"b": 0.3, "c": 0.1, "control": 0.6}.items():
        assert found.count(name) / len(USERS) == pytest.approx(share, abs=0.012)


def test_an_arm_that_grows_keeps_its_users_and_takes_none_from_another():
    before = experiment_of("x", "v-0", arms(b=0.05, c=0.2))
    after = before.with_shares({"b": 0.5})
    for old, new in zip(names(before), names(after), strict=True):
        assert new == old or (old, new) == ("control", "b")


def test_two_experiments_split_users_independently():
    first = names(experiment_of("x1", "v-0", arms(b=0.5)))
    second = names(experiment_of("x2", "v-0", arms(b=0.5)))
    both = sum(pair == ("b", "b") for pair in zip(first, second, strict=True))
    assert both / len(USERS) == pytest.approx(0.25, abs=0.015)


def test_the_hash_is_the_same_in_every_process():
    code = "from crossrec.serving.traffic import fraction; print(fraction('jane'))"
    answer = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert float(answer.stdout) == fraction("jane")


def test_all_and_nobody_are_shares():
    assert set(names(experiment_of("x", "v-0", arms(b=1.0)))) == {"b"}
    assert set(names(experiment_of("x", "v-0", arms(b=0.0)))) == {"control"}


@pytest.mark.parametrize(
    ("given", "reason"),
    [
        (arms(control=0.1), "none called 'control'"),
        (arms(b=0.1) * 2, "names that differ"),
        (arms(b=0.6, c=0.1), "at most 0.5"),
        (arms(b=1.2), "less than or equal to 1"),
        ([], "at least 1 item"),
    ],
)
def test_an_experiment_that_does_not_fit_is_one_sentence(given, reason):
    with pytest.raises(RequestError, match=reason):
        experiment_of("x", "v-0", given)


def test_shares_of_an_unknown_arm_are_refused():
    running = experiment_of("x", "v-0", arms(blue=0.5))
    with pytest.raises(RequestError, match="did you mean 'blue'"):
        running.with_shares({"bleu": 0.1})
    with pytest.raises(RequestError, match="what the other arms leave"):
        running.with_shares({"control": 0.1})
    assert (running.version_of("blue"), running.version_of("control")) == ("v-blue", "v-0")


def test_an_experiment_is_remembered_until_there_is_none(tmp_path: Path):
    store = ExperimentStore(tmp_path / "experiments")
    assert store.read("films") is None
    running = experiment_of("x", "v-0", arms(b=0.5))
    store.write("films", running)
    assert store.read("films") == running
    assert store.read("books") is None
    (tmp_path / "experiments" / "books.json").write_text("{")
    assert store.read("books") is None
    store.write("films", None)
    assert not (tmp_path / "experiments" / "films.json").exists()
