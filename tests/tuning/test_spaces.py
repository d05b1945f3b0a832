"""Search spaces: every corner is a valid config, adapter settings only where they matter."""

from __future__ import annotations

from pathlib import Path

import pytest

from crossrec.config import RunConfig, load_config
from crossrec.domains import load_domain
from crossrec.errors import ConfigError
from crossrec.tuning.search import _as_point
from crossrec.tuning.spaces import (
    ADAPTER,
    Options,
    Span,
    apply_point,
    check_space,
    default_space,
    read_space,
)


@pytest.mark.parametrize("mode", ["frozen", "adapted"])
def test_every_corner_of_a_default_space_is_a_valid_config(mode: str):
    check_space(default_space(mode))


def test_adapter_settings_vary_in_adapted_mode_only():
    assert not set(ADAPTER) & set(default_space("frozen"))
    assert set(ADAPTER) < set(default_space("adapted"))


def test_how_many_layers_are_adapted_varies_and_holds_what_domains_begin_with():
    layers = ADAPTER["adapter.n_layers"]
    assert isinstance(layers, Options)
    for name in ("movies", "finance_sentiment", "support", "concierge"):
        own = RunConfig().above(load_domain(name).settings)
        assert own.adapter.n_layers in layers.options.values()
        assert _as_point(own, default_space("adapted")) is not None


def test_a_point_changes_its_settings_and_nothing_else():
    config = load_config(overrides=["model.dim=32"])
    space = default_space("adapted")
    point = {"training.learning_rate": 0.005, "adapter.targets": "attention"}
    changed = apply_point(config, space, point)
    assert changed.training.learning_rate == 0.005
    assert changed.adapter.targets == ["query", "key", "value"]
    undone = apply_point(
        changed,
        {
            "training.learning_rate": Span(low=0.001, high=0.01),
            "adapter.targets": Options(options={"a": ["query", "value"], "b": []}),
        },
        {"training.learning_rate": config.training.learning_rate, "adapter.targets": "a"},
    )
    assert undone == config


def test_a_space_is_read_from_yaml(tmp_path: Path):
    path = tmp_path / "space.yaml"
    path.write_text(
        "training.learning_rate: {low: 0.001, high: 0.01, log: true}\n"
        "model.dim: {options: {small: 32, large: 128}}\n"
    )
    assert read_space(path) == {
        "training.learning_rate": Span(low=0.001, high=0.01, log=True),
        "model.dim": Options(options={"small": 32, "large": 128}),
    }


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("training.learning_rat: {low: 0.001, high: 0.01}", "did you mean 'training.learning_rate"),
        ("model.dropout: {low: 0.5, high: 1.5}", "model.dropout: Input should be less than 1"),
        ("model.dropout: {low: 0.5, high: 0.1}", "must be below high"),
        ("model.dim: {options: {only: 32}}", "two options or more"),
        ("{}", "space is empty"),
        ("model.dropout: [", "is no search space"),
    ],
)
def test_a_wrong_space_is_refused_with_the_reason(tmp_path: Path, text: str, message: str):
    path = tmp_path / "space.yaml"
    path.write_text(text)
    with pytest.raises(ConfigError, match=message):
        read_space(path)


def test_a_missing_space_file_is_named(tmp_path: Path):
    with pytest.raises(ConfigError, match=f"no search space at {tmp_path}/none.yaml"):
        read_space(tmp_path / "none.yaml")
