"""Settings: values from YAML and overrides, and what is said of wrong ones."""

from __future__ import annotations

from pathlib import Path

import pytest

from crossrec.config import RunConfig, load_config
from crossrec.errors import ConfigError


def test_overrides_win_over_the_file_and_the_file_over_defaults(tmp_path: Path) -> None:
    path = tmp_path / "config.yaml"
    path.write_text("model: {dim: 32, n_blocks: 3}\ntraining: {seed: 7}\n")
    config = load_config(path, ["model.dim=64"])
    assert (config.model.dim, config.model.n_blocks, config.training.seed) == (64, 3, 7)
    assert config.model.n_heads == RunConfig().model.n_heads


def test_modalities_are_all_none_or_a_list_of_names() -> None:
    for given, expected in (("all", "all"), ("none", "none"), ("[image]", ["image"])):
        config = load_config(overrides=[f"model.modalities={given}"])
        assert config.model.modalities == expected


def test_equal_settings_have_equal_digests_and_others_another() -> None:
    assert load_config().digest() == RunConfig().digest()
    assert load_config(overrides=["training.seed=1"]).digest() != RunConfig().digest()


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("model.dimm=3", "no setting is called model.dimm: did you mean 'dim'"),
        ("modle.dim=3", "no setting is called modle: did you mean 'model'"),
        ("model.dim=3", "model.dim: .* greater than or equal to 8"),
        ("model.dim=65", "dim 65 cannot be shared by 2 heads"),
        ("model.dim", "has no '='"),
        ("training.mode=thawed", "'frozen', 'adapted' or 'auto'"),
        ("model.modalities=image", "modalities: .*'image' is neither all, none, nor a list"),
    ],
)
def test_a_wrong_override_is_one_clear_sentence(override: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        load_config(overrides=[override])


def test_settings_above_others_keep_what_was_given_and_take_the_rest() -> None:
    given = load_config(overrides=["training.seed=3", "adapter.rank=8"])
    both = given.above({"training": {"seed": 1, "mode": "adapted"}, "adapter": {"rank": 16}})
    assert (both.training.seed, both.training.mode) == (3, "adapted")
    assert both.adapter.rank == 8  # given, though it is the default
    assert both.changed() == {"training.mode": "adapted", "training.seed": 3}
    assert both.above({"training": {"mode": "frozen"}}) == both
    whole = RunConfig.model_validate(RunConfig().model_dump())
    assert whole.above({"training": {"mode": "adapted"}}).training.mode == "frozen"


def test_files_that_are_no_settings_are_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="no config file at"):
        load_config(tmp_path / "absent.yaml")
    broken = tmp_path / "broken.yaml"
    broken.write_text("model: {dim: [")
    with pytest.raises(ConfigError, match=r"broken\.yaml is not valid YAML"):
        load_config(broken)
    broken.write_text("- a list")
    with pytest.raises(ConfigError, match="holds a list; expected settings by name"):
        load_config(broken)
