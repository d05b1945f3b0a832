"""A whole run on a small domain: every kind of peer, resuming, and the report."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from crossrec.benchmark import run as run_module
from crossrec.benchmark.cells import MINE, Cell
from crossrec.benchmark.contestants import settings_of_ours
from crossrec.benchmark.exchange import NotRunError, scripts
from crossrec.benchmark.run import make_plan
from crossrec.config import RunConfig
from crossrec.errors import ConfigError, UnknownDomainError
from tests.commands.conftest import Run, run, shop_domain

__all__ = ["run", "shop_domain"]  # fixtures

SMALL = [
    *("--set", "training.max_epochs=1"),
    *("--set", "model.dim=16"),
    *("--set", "model.n_blocks=1"),
    *("--set", "model.max_text_tokens=8"),
]


def quality(run: Run, out: Path, *arguments: str) -> dict:
    fixed = ["--domains", "shop", "--splits", "leave_one_out", "--seeds", "1", "--out", str(out)]
    answer = run("benchmark", "quality", *fixed, "--json", *SMALL, *arguments)
    assert answer.exit_code == 0, answer.stderr
    return json.loads(answer.stdout)


def test_ours_and_peers_in_one_run_that_goes_on_where_it_was(
    run: Run, shop_domain: Path, tmp_path: Path
):
    out = tmp_path / "out"
    first = quality(run, out, "--peers", "popularity", "ease", "ease_recency")
    assert [cell["model"] for cell in first["cells"]] == [
        "popularity",
        "ease",
        "ease_recency",
        "crossrec",
        "crossrec_blind",
    ]
    by_model = {cell["model"]: cell for cell in first["cells"]}
    assert by_model["ease_recency"]["params"]["lam"] == by_model["ease"]["params"]["lam"]
    assert by_model["crossrec"]["test"]["n"] == 40
    [comparison] = [c for c in first["comparisons"] if c["against"] == "best_peer"]
    assert comparison["ours"] == pytest.approx(by_model["crossrec"]["test"]["metrics"]["ndcg@10"])

    files = {path: path.stat().st_mtime_ns for path in (out / "cells").iterdir()}
    assert len(files) == 5
    again = quality(run, out, "--peers", "popularity", "ease", "ease_recency")
    assert again["cells"] == first["cells"]
    assert {path: path.stat().st_mtime_ns for path in (out / "cells").iterdir()} == files

    there = quality(run, out, "--peers", "popularity", "frozen_text", "--no-run", "--no-ours")
    assert [cell["model"] for cell in there["cells"]] == ["popularity"]
    assert [cell["reason"] for cell in there["not_run"]] == ["not run yet"]

    other = quality(run, out, "--peers", "popularity", "--set", "training.learning_rate=0.001")
    made = set((out / "cells").iterdir()) - set(files)
    assert {path.name.split("-")[2] for path in made} == {"crossrec", "crossrec_blind"}
    assert other["cells"][0]["key"] == by_model["popularity"]["key"]

    text = (out / "quality.md").read_text()
    assert "| crossrec |" in text
    assert "best_peer" in text
    assert "| over best on test |" in text
    assert (out / "plots" / "shop-leave_one_out.svg").is_file()


def test_before_anything_ran_the_report_is_empty(run: Run, shop_domain: Path, tmp_path: Path):
    found = quality(run, tmp_path, "--peers", "ease", "--no-run", "--no-ours")
    assert found["cells"] == []
    assert [cell["reason"] for cell in found["not_run"]] == ["not run yet"]


@pytest.mark.parametrize("arguments", [["--domains"], ["--domains", "--no-run"]])
def test_a_list_without_values_does_not_mean_all(run: Run, arguments: list[str]):
    answer = run("benchmark", "quality", *arguments)
    assert answer.exit_code == 2
    assert "'--domains' requires at least one value" in answer.stderr


def test_a_neural_peer_runs_as_a_script_and_enters_the_fusion(
    run: Run, shop_domain: Path, tmp_path: Path
):
    found = quality(run, tmp_path, "--no-ours", "--peers", "sasrec_own", "peer_fusion")
    sasrec, fusion = found["cells"]
    assert sasrec["converged"]
    assert set(fusion["params"]) > {"sasrec_own", "ease_recency", "popularity"}
    assert fusion["validation"]["metrics"]["ndcg@10"] >= sasrec["validation"]["metrics"]["ndcg@10"]


def test_a_peer_without_its_environment_is_reported(
    run: Run, shop_domain: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr("crossrec.benchmark.exchange.ENVIRONMENTS", tmp_path / "none")
    found = quality(run, tmp_path, "--no-ours", "--peers", "popularity", "implicit_als")
    assert [cell["model"] for cell in found["cells"]] == ["popularity"]
    [missing] = found["not_run"]
    assert missing["model"] == "implicit_als"
    assert "make_env.sh rectools" in missing["reason"]
    assert "make_env.sh rectools" in (tmp_path / "quality.md").read_text()


def test_a_peer_that_does_not_install_says_so_even_where_nothing_is_run(
    run: Run, shop_domain: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr("crossrec.benchmark.exchange.ENVIRONMENTS", tmp_path)
    (tmp_path / "rectools.failed").write_text("make_env.sh rectools ended with code 1\n")
    out = tmp_path / "out"
    found = quality(run, out, "--no-ours", "--peers", "implicit_als", "ease", "--no-run")
    reasons = {cell["model"]: cell["reason"] for cell in found["not_run"]}
    assert reasons["ease"] == "not run yet"
    assert reasons["implicit_als"] == (
        "not run: its environment does not install (make_env.sh rectools ended with code 1)"
    )


def keys(run: Run, out: Path) -> dict[str, str]:
    found = quality(run, out, "--peers", "popularity", "ease")
    return {cell["model"]: cell["key"] for cell in found["cells"]}


def test_what_a_domain_declares_makes_ours_anew_and_no_peer(
    run: Run, shop_domain: Path, tmp_path: Path
):
    """Also: data imported under another declaration are imported again."""
    before = keys(run, tmp_path)
    declared = shop_domain.read_text()
    shop_domain.write_text(declared + "\nmax_rejected_share: 0.5\n")
    after = keys(run, tmp_path)
    assert {name for name in before if before[name] != after[name]} == set(MINE)


def test_the_code_of_data_makes_ours_anew_and_no_peer(
    run: Run, shop_domain: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    before = keys(run, tmp_path)
    monkeypatch.setattr("crossrec.benchmark.contestants._ROOMS", ("models", "training"))
    after = keys(run, tmp_path)
    assert {name for name in before if before[name] != after[name]} == set(MINE)


def test_the_blind_one_reads_neither_context_nor_clock():
    given = RunConfig.model_validate({"model": {"without": ["follows"]}})
    seen, blind = (
        settings_of_ours(given, Cell("shop", "leave_one_out", model, 2)) for model in MINE
    )
    assert seen.model == given.model
    assert blind.model.without == ["follows", "gaps"]
    assert not blind.model.use_context
    assert seen.training == blind.training
    assert blind.training.seed == 2


@pytest.mark.parametrize(
    ("arguments", "error", "why"),
    [
        ({"domains": ["moveis"]}, UnknownDomainError, "moveis"),
        ({"splits": ["random"]}, ConfigError, "no split is called 'random'"),
        ({"peers": ["eese"]}, ConfigError, "did you mean 'ease'"),
        (
            {"domains": ["books"], "splits": ["temporal"]},
            ConfigError,
            "nothing to run.*cold_items suits movies, industrial",
        ),
    ],
)
def test_a_wrong_plan_is_refused_before_anything_runs(arguments: dict, error: type, why: str):
    with pytest.raises(error, match=why):
        make_plan(**arguments)


def test_slow_peers_run_on_two_domains_unless_asked_for():
    models = {(c.domain, c.model) for c in make_plan(["movies", "travel"], ["leave_one_out"], 1)}
    assert ("movies", "sasrec_rectools") in models
    assert ("travel", "sasrec_rectools") not in models
    asked = make_plan(["travel"], ["leave_one_out"], 1, ["sasrec_rectools"], ours=False)
    assert [cell.model for cell in asked] == ["sasrec_rectools"]


def test_without_the_repository_the_packages_own_baselines_still_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr("crossrec.benchmark.exchange.SCRIPTS", tmp_path)
    cells = make_plan(["movies"], ["leave_one_out"], 1, ["ease", "popularity"])
    assert [cell.model for cell in cells] == ["popularity", "ease", *MINE]
    with pytest.raises(ConfigError, match="run from a checkout"):
        make_plan(["movies"])
    assert run_module.SPLITS[0] == "leave_one_out"


def expect_published_figures(run: Run, out: Path, names: list[str]) -> None:
    """Within two standard errors of the published figure, the grids' chances included."""
    plan = ["--domains", "travel", "movies", "--splits", "leave_one_out", "--no-ours"]
    answer = run("benchmark", "quality", *plan, "--peers", *names, "--out", out, "--json")
    assert answer.exit_code == 0, answer.stderr
    cells = json.loads(answer.stdout)["cells"]
    assert len(cells) == 2 * len(names)
    for cell in cells:
        published = cell["published"]
        off = cell["test"]["metrics"]["ndcg@10"] - published["ndcg@10"]
        assert abs(off) < 2 * published["ndcg@10_se"], (cell["domain"], cell["model"])


@pytest.mark.mirror
def test_peers_of_the_harness_agree_with_the_published_ones(
    run: Run, data_mirror: Path, tmp_path: Path
):
    names = ["popularity", "itemknn", "itemknn_recency", "ease", "ease_recency"]
    expect_published_figures(run, tmp_path, names)


@pytest.mark.mirror
def test_als_agrees_with_the_published_one(run: Run, data_mirror: Path, tmp_path: Path):
    """Another version of the library, and another draw of its first factors."""
    try:
        scripts()["implicit_als"].python()
    except NotRunError as missing:
        pytest.skip(str(missing))
    expect_published_figures(run, tmp_path, ["implicit_als"])
