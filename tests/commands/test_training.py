from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from crossrec import verbs
from crossrec.config import RunConfig
from crossrec.releases.store import ReleaseStore
from tests.commands.conftest import Run, write_shop

SMALL = [
    *("--set", "training.max_epochs=1"),
    *("--set", "model.dim=16"),
    *("--set", "model.n_blocks=1"),
    *("--set", "model.max_text_tokens=8"),
]


def test_train_here_publishes_a_release_that_evaluate_judges(run: Run, shop_domain: Path):
    run("data", "import", "shop")
    trained = run("train", "shop", "--workers", "0", "--json", *SMALL)
    assert trained.exit_code == 0, trained.stderr
    [result] = json.loads(trained.stdout)
    assert result["release"] == ReleaseStore().current("shop")

    judged = run("evaluate", "shop", "--baseline", "popularity", "--json")
    report = json.loads(judged.stdout)
    assert report["fingerprint"] == result["metrics"]["fingerprint"]
    rows = {row["model"]: row["figures"] for row in report["rows"]}
    assert rows["crossrec"]["ndcg@10"] == pytest.approx(result["metrics"]["metrics"]["ndcg@10"])
    assert set(rows) == {"crossrec", "popularity"}

    unpublished = run("train", "shop", "--workers", "0", "--no-publish", *SMALL)
    assert "nothing published" in unpublished.stdout
    assert "crossrec serve" not in unpublished.stdout
    assert ReleaseStore().current("shop") == result["release"]

    sales = shop_domain.parent / "shop_files" / "sales.csv"
    sales.write_text(sales.read_text() + "c99,s1,1700000000,sale\n")
    run("data", "import", "shop", "--force")
    refused = run("evaluate", "shop", "--baseline", "popularity")
    assert refused.exit_code == 2
    assert "train again" in refused.stderr


def test_items_alone_go_from_init_to_a_release_that_says_it_has_no_figures(
    run: Run, tmp_path: Path
):
    items, _ = write_shop(tmp_path / "files")
    assert run("domain", "init", "shop", "--items", str(items), "--yes").exit_code == 0
    assert "0 interactions" in run("data", "import", "shop").stdout
    trained = run("train", "shop", "--workers", "0", *SMALL)
    assert trained.exit_code == 0, trained.stderr
    untaught = "no interaction of 'shop' was learned from: it ranks by item texts alone"
    assert untaught in trained.stdout
    shown = run("release", "show", "shop")
    assert shown.exit_code == 0, shown.stderr
    assert untaught in shown.stdout
    assert "ndcg" not in shown.stdout
    assert "NDCG" not in run("release", "list").stdout


OWN = "settings: {model: {dim: 64, n_heads: 4}, training: {mode: adapted}}\n"


def test_a_domain_s_own_settings_stand_below_the_command_s(run: Run, shop_domain: Path):
    run("data", "import", "shop")
    shop_domain.write_text(shop_domain.read_text() + OWN)
    assert "already imported" in run("data", "import", "shop").stderr
    trained = run("train", "shop", "--workers", "0", "--set", "training.mode=frozen", *SMALL)
    assert trained.exit_code == 0, trained.stderr
    [said] = [line for line in trained.stdout.splitlines() if line.startswith("shop: trained with")]
    assert "model.n_heads=4" in said
    assert "model.dim=16" in said
    assert "training.mode" not in said
    path = ReleaseStore().show("shop").folder / "config.json"
    recorded = json.loads(path.read_text())
    assert recorded["model"]["n_heads"] == 4
    assert recorded["model"]["dim"] == 16
    assert recorded["training"]["mode"] == "frozen"

    both = run("train", "shop", "--workers", "0", "--set", "model.dim=18")
    assert both.exit_code == 2
    assert "above those of the YAML of 'shop': " in both.stderr
    assert "dim 18 cannot be shared by 4 heads" in " ".join(both.stderr.split())


def test_searches_folds_transfers_and_ray_begin_with_a_domain_s_own_settings(
    run: Run, shop_domain: Path, monkeypatch: pytest.MonkeyPatch
):
    run("data", "import", "shop")
    shop_domain.write_text(shop_domain.read_text() + OWN)
    found: dict[str, RunConfig] = {}

    class Enough(Exception):
        pass

    def stop(name: str, pick: Callable[..., RunConfig]) -> Callable[..., Any]:
        def stopped(*given: Any, **more: Any) -> Any:
            found[name] = pick(*given)
            raise Enough

        return stopped

    monkeypatch.setattr("crossrec.tuning.search.tune_domain", stop("tune", lambda d, c, *r: c))
    monkeypatch.setattr("crossrec.training.folds.cross_validate", stop("fold", lambda d, c, *r: c))
    monkeypatch.setattr("crossrec.training.transfer.transfer", stop("move", lambda s, t, c, *r: c))
    monkeypatch.setattr(
        "crossrec.training.launch.train_on_ray", stop("ray", lambda c, p: c["shop"])
    )
    calls = (
        lambda **more: verbs.tune("shop", **more),
        lambda **more: verbs.cross_validate("shop", **more),
        lambda **more: verbs.transfer("shop", to="shop", **more),
        lambda **more: verbs.train("shop", workers=1, **more),
    )
    for call in calls:
        with pytest.raises(Enough):
            call(overrides=["training.seed=3"])
    assert set(found) == {"tune", "fold", "move", "ray"}
    for config in found.values():
        assert (config.model.n_heads, config.training.mode) == (4, "adapted")
        assert config.training.seed == 3


def test_a_release_of_another_task_is_warned_of(run: Run, shop_domain: Path, fresh_home: Path):
    run("data", "import", "shop")
    before = json.loads(run("train", "shop", "--workers", "0", "--json", *SMALL).stdout)
    again = run("train", "shop", "--workers", "0", *SMALL)
    assert "warning" not in again.stderr
    old = ReleaseStore().current("shop")
    assert old is not None
    assert old != before[0]["release"]
    # The same release with its settings' task changed: what a training leaves behind it.
    path = ReleaseStore().show("shop").folder / "config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"task": "classify"}))
    other = run("train", "shop", "--workers", "0", *SMALL)
    told = " ".join(other.stderr.split())
    assert "now has the task rank; the one before" in told
    assert f"{old}, had the task classify" in told
    assert f"crossrec release rollback shop --to {old}" in told


def test_all_data_are_looked_for_before_anything_is_trained(run: Run, shop_domain: Path):
    run("data", "import", "shop")
    result = run("train", "shop", "movies", "--workers", "0", *SMALL)
    assert result.exit_code == 2
    assert "crossrec data import movies" in result.stderr
    assert "on machine" not in result.stderr
    assert ReleaseStore().current("shop") is None


@pytest.mark.ray
def test_tune_leaves_a_config_that_train_takes(
    run: Run, shop_domain: Path, ray_cluster: None, tmp_path: Path
):
    run("data", "import", "shop")
    plot = tmp_path / "trials.svg"
    tuned = run("tune", "shop", "--trials", "2", "--plot", plot, "--json", *SMALL)
    assert tuned.exit_code == 0, tuned.stderr
    result = json.loads(tuned.stdout)
    assert len(result["trials"]) == 2
    assert "<svg" in plot.read_text()
    best = yaml.safe_load(Path(result["config_file"]).read_text())
    assert best["model"]["dim"] == 16
    trained = run("train", "shop", "--config", result["config_file"], "--json", "--no-publish")
    assert trained.exit_code == 0, trained.stderr
    assert json.loads(trained.stdout)[0]["release"] is None


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["train", "shop", "--set", "model.dmi=64"], "model.dmi"),
        (["train", "shop", "--set", "model.dim"], "model.dim=64"),
        (["train", "shop", "--config", "nowhere.yaml"], "no config file at nowhere.yaml"),
        (["train", "shop", "--workers", "0"], "crossrec data import shop"),
        (["train", "shop", "--workers", "0", "--run-name", "foo"], "got the name 'foo'; leave it"),
        (["train", "sohp"], "did you mean 'shop'?"),
        (["tune", "shop", "--space", "nowhere.yaml"], "nowhere.yaml"),
        (["evaluate", "shop"], "'shop' has no release"),
    ],
)
def test_what_cannot_be_done_is_said(
    run: Run, shop_domain: Path, arguments: list[str], message: str
):
    result = run(*arguments)
    assert result.exit_code == 2
    assert message in result.stderr
