"""What peers' scripts get and give, with a script that runs in a process of its own."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from crossrec.benchmark import exchange
from crossrec.benchmark.exchange import (
    ENVIRONMENTS,
    SCRIPTS,
    NotRunError,
    Script,
    expect_checkout,
    judge_factors,
    run_script,
    scripts,
)
from crossrec.data.split import Split
from crossrec.errors import ConfigError
from crossrec.evaluation.protocols import judge
from crossrec.models.baselines import Popularity

LAST_ITEM = """
import json, sys
from pathlib import Path
import numpy as np
task, answer = Path(sys.argv[1]), Path(sys.argv[2])
about = json.loads((task / "task.json").read_text())
data = np.load(task / "data.npz")
assert not [name for name in data.files if name.startswith("test_target")], data.files
n = about["n_items"]
items = np.eye(n, dtype=np.float32)[:, np.roll(np.arange(n), -1)]
for part in ("validation", "test"):
    last = data[f"{part}_items"][data[f"{part}_offsets"][1:] - 1]
    np.save(answer / f"{part}.npy", np.eye(n, dtype=np.float32)[last])
np.save(answer / "items.npy", items)
result = {"params": {"n": 1}, "epochs": None, "fit_seconds": 1, "tune_seconds": 1}
(answer / "result.json").write_text(json.dumps(result | {"converged": None}))
"""
"""Says that item i + 1 follows item i."""


@pytest.fixture
def script(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Script:
    monkeypatch.setattr(exchange, "SCRIPTS", tmp_path)
    (tmp_path / "last.py").write_text(LAST_ITEM)
    return Script("last", "last.py", "own")


def test_a_script_is_judged_by_our_judge_from_its_scores(script: Script, rings: Split):
    answer = run_script(script, rings, None, seed=0)
    figures = judge_factors(answer.factors, rings, cold=False)["test"]
    targets = rings.targets(rings.test)
    before = rings.sequences.items[rings.sequences.offsets[1:] - 2]
    found = (targets == before + 1) & rings.warm[targets]
    assert figures.values("recall@10")[found].all()
    assert (figures.ranks[found] == 1).all()
    assert answer.about["params"] == {"n": 1}


def test_what_a_peer_says_of_cold_items_counts_only_if_it_can_know_them(rings: Split):
    n, n_items = len(rings.test), rings.sequences.n_items
    favour = np.zeros((n, n_items), np.float32)
    favour[:, 30:] = 1.0
    parts = {"validation": favour, "test": favour}
    cold = ~rings.warm[rings.targets(rings.test)]
    knows, guesses = (judge_factors(parts, rings, cold=cold)["test"] for cold in (True, False))
    assert knows.values("recall@10")[cold].all()
    assert not guesses.values("recall@10")[cold].any()


def test_scores_and_factors_are_judged_alike(rings: Split):
    model = Popularity().fit(rings)
    counts = model.counts[None, :]
    ones = {part: np.ones((len(rings.test), 1), np.float32) for part in ("validation", "test")}
    factors = judge_factors(ones | {"items": counts.T}, rings, cold=True)["test"]
    whole = judge_factors({p: one @ counts for p, one in ones.items()}, rings, cold=True)["test"]
    expected = judge(model.score, rings)
    assert factors.ranks.tolist() == whole.ranks.tolist() == expected.ranks.tolist()


def test_a_missing_environment_is_said_with_how_to_make_it(rings: Split):
    peer = Script("als", "als.py", "nowhere")
    assert not (ENVIRONMENTS / "nowhere").exists()
    with pytest.raises(NotRunError, match=r"make it with tests/.*make_env.sh nowhere"):
        run_script(peer, rings, None, seed=0)


def test_an_environment_that_does_not_install_leaves_a_note_for_the_benchmark(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    there = tmp_path / "tests" / "benchmarks" / "peers" / "make_env.sh"
    there.parent.mkdir(parents=True)
    shutil.copy(SCRIPTS / "make_env.sh", there)
    done = subprocess.run(["bash", there, "rectools"], env={**os.environ, "PYTHON": "false"})
    assert done.returncode == 1
    monkeypatch.setattr(exchange, "ENVIRONMENTS", tmp_path / ".venv-peers")
    why = r"does not install \(make_env.sh rectools ended with code 1 on \d{4}-\d\d-\d\d\)"
    with pytest.raises(NotRunError, match=why):
        Script("als", "als.py", "rectools").python()


@pytest.mark.parametrize(
    ("code", "why"),
    [
        ("raise SystemExit(3)", "ended with code 3"),
        ("pass", "wrote"),
        (LAST_ITEM.replace("float32)[last])", "float32)[last[:-1]])"), "gave validation of shape"),
    ],
)
def test_a_script_that_fails_is_said_and_ends_nothing(
    script: Script, rings: Split, code: str, why: str
):
    script.path.write_text(code)
    with pytest.raises(NotRunError, match=f"failed: last.py {why}"):
        run_script(script, rings, None, seed=0)


def test_without_the_repository_the_message_says_what_is_missing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(exchange, "SCRIPTS", tmp_path / "nowhere")
    assert scripts() == {}
    with pytest.raises(ConfigError, match="run from a checkout"):
        expect_checkout()


def test_every_peer_of_the_repository_has_its_script_and_requirements():
    peers = scripts()
    assert {"sasrec_own", "unisrec_text", "sasrec_rectools", "implicit_als"} <= set(peers)
    for peer in peers.values():
        assert peer.path.is_file()
        if peer.environment == "own":
            assert peer.python() == Path(sys.executable)
        else:
            assert (peer.path.parent / f"requirements_{peer.environment}.txt").is_file()
