"""Finds the YAML of a domain: the user's own first, then those that ship with the package.

Adding a domain is adding one file; there is no list to edit.
"""

from __future__ import annotations

from importlib import resources
from pathlib import Path

import yaml
from pydantic import ValidationError

from crossrec.config import home
from crossrec.domains.spec import Domain
from crossrec.errors import ConfigError, UnknownDomainError, suggest


def _folders() -> list[Path]:
    return [home() / "domains", Path(str(resources.files("crossrec.domains")))]


def domain_files() -> dict[str, Path]:
    """Name → YAML file of every domain; a user's file hides a built-in one of the same name."""
    return {
        path.stem: path for folder in reversed(_folders()) for path in sorted(folder.glob("*.yaml"))
    }


def domain_names() -> list[str]:
    """Names of all domains, sorted."""
    return sorted(domain_files())


def read_domain(path: Path) -> Domain:
    """Parse one YAML.

    Raises:
        ConfigError: not YAML, or a key or value is wrong; the message names file and key.
    """
    try:
        values = yaml.safe_load(path.read_text(encoding="utf-8"))
        domain = Domain.model_validate(values)
    except ValidationError as err:
        lines = "; ".join(
            f"{'.'.join(map(str, e['loc'])) or 'file'}: {e['msg']}" for e in err.errors()
        )
        raise ConfigError(f"{path}: {lines}") from err
    except (yaml.YAMLError, ValueError) as err:  # an impossible date is a ValueError
        raise ConfigError(f"{path} is not valid YAML: {_reason(err)}") from err
    if domain.name != path.stem:
        raise ConfigError(
            f"{path} names the domain '{domain.name}'; expected '{path.stem}': rename either"
        )
    return domain


def _reason(err: Exception) -> str:
    """Line and problem, in one line of text."""
    if isinstance(err, yaml.MarkedYAMLError) and err.problem_mark:
        return f"line {err.problem_mark.line + 1}: {err.problem}"
    return " ".join(str(err).split())


def load_domain(name: str) -> Domain:
    """The domain called `name`.

    Raises:
        UnknownDomainError: no YAML has that name; near matches are named.
        ConfigError: its YAML is wrong.
    """
    files = domain_files()
    if name not in files:
        raise UnknownDomainError(
            f"no domain is called '{name}': {suggest(name, files)}"
            " To add your own: crossrec domain init NAME --items FILE --interactions FILE"
        )
    return read_domain(files[name])


def domain_yaml(domain: Domain) -> str:
    """The YAML text of a domain: what differs from the defaults, in the order of the spec.

    >>> print(domain_yaml(Domain(name="shop", title="My shop")), end="")
    name: shop
    title: My shop
    """
    values = domain.model_dump(mode="json", exclude_defaults=True)
    if "source" in values:
        values["source"] = {"kind": domain.source.kind, **values["source"]}
    return yaml.safe_dump(values, sort_keys=False, allow_unicode=True, width=100)
