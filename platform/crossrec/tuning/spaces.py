"""What a search may vary, as data: setting of a `RunConfig` by dotted path → its dimension.

Leaves to others: drawing points from it (search.py).
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

import yaml
from pydantic import BaseModel, ConfigDict, TypeAdapter, ValidationError, model_validator

from crossrec.config import OF_RANKING, RunConfig
from crossrec.errors import ConfigError, suggest
from crossrec.evaluation.protocols import Task


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Span(_Strict):
    """A number between two bounds, both included."""

    low: float
    high: float
    log: bool = False
    """Drawn evenly in its logarithm."""

    @model_validator(mode="after")
    def _ordered(self) -> Span:
        if not self.low < self.high or (self.log and self.low <= 0):
            raise ValueError(f"low {self.low} must be below high {self.high} (log: above 0)")
        return self


class Options(_Strict):
    """One of several values, by name; a value may be a list."""

    options: dict[str, Any]

    @model_validator(mode="after")
    def _some(self) -> Options:
        if len(self.options) < 2:
            raise ValueError("a choice needs two options or more")
        return self


Space = dict[str, Span | Options]
Point = dict[str, float | str]
"""Setting → a number of its span, or the name of an option."""


def _sizes(*values: int) -> Options:
    return Options(options={str(value): value for value in values})


COMMON: Space = {
    "training.learning_rate": Span(low=3e-4, high=1e-2, log=True),
    "training.temperature": Span(low=0.03, high=0.3, log=True),
    "training.weight_decay": Span(low=1e-4, high=0.1, log=True),
    "model.dropout": Span(low=0.0, high=0.5),
    "model.id_dropout": Span(low=0.0, high=0.5),
    "model.history_length": _sizes(20, 50, 100),
}
"""Worth varying in both modes."""

ADAPTER: Space = {
    "training.adapter_learning_rate": Span(low=1e-4, high=2e-3, log=True),
    "adapter.rank": _sizes(4, 8, 16),
    "adapter.n_layers": _sizes(1, 2, 3),
    "adapter.dropout": Span(low=0.0, high=0.2),
    "adapter.targets": Options(
        options={
            "query and value": ["query", "value"],
            "attention": ["query", "key", "value"],
            "attention and dense": ["query", "key", "value", "dense"],
        }
    ),
}
"""Only where LoRA trains along: in frozen mode these change nothing."""


def default_space(mode: Literal["frozen", "adapted", "auto"], task: Task = "rank") -> Space:
    """The dimensions that change something in `mode` and `task`; `auto` often ends as frozen.

    >>> "adapter.rank" in default_space("frozen"), "adapter.rank" in default_space("adapted")
    (False, True)
    >>> "training.temperature" in default_space("frozen", "rate")
    False
    """
    space = COMMON | ADAPTER if mode == "adapted" else COMMON
    idle = {f"training.{name}" for name in OF_RANKING} if task == "rate" else set()
    return {name: dimension for name, dimension in space.items() if name not in idle}


def read_space(path: Path) -> Space:
    """A space from a YAML: `training.learning_rate: {low: 0.001, high: 0.01, log: true}`.

    Raises:
        ConfigError: no such file, not a space, or a setting that no config has.
    """
    if not path.is_file():
        raise ConfigError(f"no search space at {path}; expected a YAML of settings and bounds")
    try:
        space = TypeAdapter(Space).validate_python(yaml.safe_load(path.read_text("utf-8")))
    except (yaml.YAMLError, ValidationError) as err:
        raise ConfigError(f"{path} is no search space: {err}") from err
    check_space(space)
    return space


def check_space(space: Space) -> None:
    """Every corner of every dimension gives a valid config.

    Raises:
        ConfigError: an unknown setting (near matches named), or a bound out of its range.
    """
    if not space:
        raise ConfigError("the search space is empty; expected at least one setting")
    known = _paths(RunConfig().model_dump())
    for name, dimension in space.items():
        if name not in known:
            raise ConfigError(f"a search cannot vary '{name}': {suggest(name, known)}")
        corners = (
            [dimension.low, dimension.high]
            if isinstance(dimension, Span)
            else list(dimension.options)
        )
        for corner in corners:
            apply_point(RunConfig(), space, {name: corner})


def apply_point(config: RunConfig, space: Space, point: Point) -> RunConfig:
    """`config` with the settings of a point.

    Raises:
        ConfigError: a value out of its setting's range.
    """
    values = config.model_dump()
    for name, drawn in point.items():
        dimension = space[name]
        *parents, leaf = name.split(".")
        target = values
        for parent in parents:
            target = target[parent]
        target[leaf] = dimension.options[str(drawn)] if isinstance(dimension, Options) else drawn
    try:
        return RunConfig.model_validate(values)
    except ValidationError as err:
        told = "; ".join(f"{'.'.join(map(str, e['loc']))}: {e['msg']}" for e in err.errors())
        raise ConfigError(f"a point of the search is no valid config: {told}") from err


def _paths(values: dict[str, Any], prefix: str = "") -> list[str]:
    found: list[str] = []
    for name, value in values.items():
        path = f"{prefix}{name}"
        found += _paths(value, f"{path}.") if isinstance(value, dict) else [path]
    return found
