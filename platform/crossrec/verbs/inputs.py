"""What several verbs take: settings, and the names of domains.

Leaves to others: what settings there are (config.py) and what domains (domains/).
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from crossrec.config import RunConfig, load_config
from crossrec.domains import load_domain
from crossrec.errors import ConfigError

Config = RunConfig | Path | str | None
"""Settings themselves, the path of a YAML of settings, or None for the defaults."""


def settings(config: Config = None, overrides: Sequence[str] = ()) -> RunConfig:
    """Settings from a file, or given ones, with `a.b=value` overrides on top.

    Raises:
        ConfigError: no such file, no such key, or a value out of range.

    >>> settings(overrides=["training.mode=adapted"]).training.mode
    'adapted'
    """
    if not isinstance(config, RunConfig):
        return load_config(Path(config) if config else None, list(overrides))
    if overrides:
        raise ConfigError("got settings and overrides; expected a file's path with overrides")
    return config


def expect_domains(names: Sequence[str]) -> None:
    """Raise before anything starts if a name is wrong."""
    if not names:
        raise ConfigError("got no domain; expected at least one name, e.g. movies")
    for name in names:
        load_domain(name)
