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
"""Settings themselves, the path of a YAML of settings, or None for the defaults. What is left open
gives way to the `settings` in the domain's own YAML."""


def settings(
    config: Config = None, overrides: Sequence[str] = (), domain: str | None = None
) -> RunConfig:
    """Settings from a file, or given ones, with `a.b=value` overrides on top.

    Args:
        domain: whose YAML says what stands in place of the defaults (`Domain.settings`), as every
            training of it does; None: the defaults.

    Raises:
        ConfigError: no such file, no such key, or a value out of range.
        UnknownDomainError: no domain of that name.

    >>> settings(overrides=["training.mode=adapted"]).training.mode
    'adapted'
    >>> settings(overrides=["adapter.rank=4"], domain="finance_sentiment").training.mode
    'adapted'
    """
    if not isinstance(config, RunConfig):
        given = load_config(Path(config) if config else None, list(overrides))
    elif overrides:
        raise ConfigError("got settings and overrides; expected a file's path with overrides")
    else:
        given = config
    if domain is None:
        return given
    try:
        return given.above(load_domain(domain).settings)
    except ValueError as err:  # each is valid alone, and together they are not
        raise ConfigError(f"settings above those of the YAML of '{domain}': {err}") from err


def expect_domains(names: Sequence[str]) -> None:
    """Raise before anything starts if a name is wrong."""
    if not names:
        raise ConfigError("got no domain; expected at least one name, e.g. movies")
    for name in names:
        load_domain(name)
