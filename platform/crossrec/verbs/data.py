"""The verbs about a domain and its data: describe one, import it, open what was imported.

Leaves to others: doing it (data/, domains/).
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from crossrec.config import home
from crossrec.domains import load_domain
from crossrec.domains.spec import NAME_PATTERN, Domain
from crossrec.errors import ConfigError
from crossrec.verbs.progress import import_steps

if TYPE_CHECKING:
    from crossrec.shown import domains as shown


def domain(name: str) -> shown.Domain:
    """A domain by its name: what it is, and what is here of it.

    `crossrec.domain("movies")` shows itself in Jupyter; `.data()`, `.releases()` and `.release()`
    go on from there.

    Raises:
        UnknownDomainError: no domain has that name; near matches are named.
        ConfigError: its YAML is wrong.
    """
    from crossrec.shown.domains import Domain

    return Domain.model_construct(**dict(load_domain(name)))


def import_data(domain: str, *, progress: bool = False) -> shown.ImportedData:
    """Fetch, check and store the data of one domain.

    Args:
        progress: show what is being done.

    Raises:
        UnknownDomainError: no domain has that name.
        SourceError: the data could not be fetched.
        DataError: a table, a column or too many rows are wrong.
    """
    from crossrec.data.importing import import_domain
    from crossrec.shown.base import shown_as
    from crossrec.shown.domains import ImportedData
    from crossrec.verbs.users import as_kept

    with import_steps(domain, progress) as steps:
        return shown_as(ImportedData, as_kept(import_domain(load_domain(domain), progress=steps)))


def at_hand(domain: str, *, progress: bool = False) -> shown.ImportedData:
    """The data of one domain, imported now if they are not here yet.

    Args:
        progress: show what is being done.

    Raises:
        UnknownDomainError, SourceError, DataError: see `import_data`.
    """
    from crossrec.data.dataset import CARD

    here = (home() / "data" / domain / CARD).is_file()
    return dataset(domain) if here else import_data(domain, progress=progress)


def infer_domain(
    name: str,
    items: Path | str,
    interactions: Path | str | None = None,
    columns: Mapping[str, str] | None = None,
) -> shown.Guesses:
    """Guess a domain from your own files (CSV, Parquet, JSON Lines), with a reason for each guess.

    Args:
        interactions: None: nobody has used the domain yet, and it is served by item texts alone.
        columns: `table.column` (such as `interactions.user_id`) → your column, or `-` for none.

    Raises:
        DataError: a file cannot be read, or has no column for a role that is required.
        ConfigError: the name is no domain's name, or `columns` names no role or no column.
    """
    from crossrec.data import infer
    from crossrec.shown.base import shown_as
    from crossrec.shown.domains import Guesses

    if not re.fullmatch(NAME_PATTERN, name):
        raise ConfigError(
            f"'{name}' cannot name a domain; expected lower-case letters, digits and _,"
            " beginning with a letter"
        )
    log = None if interactions is None else Path(interactions)
    found = infer.infer_domain(name, Path(items), log, dict(columns or {}))
    return shown_as(Guesses, found)


def init_domain(domain: Domain, *, force: bool = False) -> Path:
    """Write a domain's YAML among your own; gives its path.

    Raises:
        ConfigError: there is one of that name, and `force` was not given.
    """
    from crossrec.data import infer

    folder = home() / "domains"
    if (folder / f"{domain.name}.yaml").exists() and not force:
        raise ConfigError(
            f"{folder / domain.name}.yaml exists; choose another name, or --force to replace it"
        )
    return infer.write_domain(domain, folder)


def dataset(domain: str) -> shown.ImportedData:
    """The imported data of one domain.

    Raises:
        DataError: it was never imported.
    """
    from crossrec.data.dataset import Dataset
    from crossrec.shown.base import shown_as
    from crossrec.shown.domains import ImportedData

    return shown_as(ImportedData, Dataset.open(domain))
