"""A domain, its imported data, and what was guessed of files, as a notebook shows them.

Leaves to others: YAML (domains/), importing and guessing (data/), releases (releases.py here).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from crossrec.config import home
from crossrec.data.dataset import CARD, Dataset
from crossrec.data.infer import Inference
from crossrec.domains import spec
from crossrec.shown.base import Shown, as_pandas, shown_as

if TYPE_CHECKING:
    import polars as pl

    from crossrec.chart_parts import Chart
    from crossrec.shown.releases import Release, Releases

CATALOGUE = "items"


@dataclass(frozen=True, repr=False, eq=False)
class ImportedData(Shown, Dataset):
    """The imported data of a domain: its tables, what was rejected, and its content hash."""

    def headline(self) -> str:
        """Title, with the first digits of the content hash."""
        return f"{self.domain.title}: data {self.content_hash[:12]}"

    def facts(self) -> dict[str, Any]:
        """Where they come from."""
        rejected = sum(self._rejected().values())
        return {
            "source": self.domain.source.kind,
            "simulated": True if self.domain.simulated else None,
            "rejected rows": rejected,
            "terms": self.domain.terms or None,
        }

    def tables(self) -> pl.DataFrame:
        """Columns `table`, `rows`, `rejected`; one row a canonical table."""
        import polars as pl

        rejected = self._rejected()
        counts: dict[str, int] = self.card.get("tables", {})
        rows = [(name, count, rejected.get(name, 0)) for name, count in counts.items()]
        schema = {"table": pl.String, "rows": pl.Int64, "rejected": pl.Int64}
        return pl.DataFrame(rows, schema, orient="row")

    def _rejected(self) -> dict[str, int]:
        found: dict[str, dict[str, int]] = self.card.get("rejected", {})
        return {table: sum(reasons.values()) for table, reasons in found.items()}

    def to_polars(self, table: str = CATALOGUE) -> pl.DataFrame:
        """A canonical table: `items`, `interactions`, `users` and others that the domain has.

        Raises:
            DataError: the data have no such table.
        """
        return self.catalogue() if table == CATALOGUE else self.scan(table).collect()

    def to_pandas(self, table: str = CATALOGUE) -> Any:
        """The same in pandas.

        Raises:
            DataError: the data have no such table.
            ConfigError: pandas is not installed.
        """
        return as_pandas(self.to_polars(table))

    def chart(self) -> Chart | None:
        """How many users have how many interactions; None where nobody did anything."""
        import polars as pl

        from crossrec import plots

        if not self.has("interactions"):
            return None
        counts = self.scan("interactions").group_by("user_id").agg(n_interactions=pl.len())
        table = counts.with_columns(domain=pl.lit(self.domain.name)).collect()
        return None if table.is_empty() else plots.activity(table)

    def rows_shown(self) -> pl.DataFrame:
        """Tables with their counts."""
        return self.tables()


class Domain(Shown, spec.Domain):
    """A domain as its YAML describes it, with what is here of it: data and releases."""

    @property
    def is_imported(self) -> bool:
        """Whether its data are in this home."""
        return (home() / "data" / self.name / CARD).is_file()

    def data(self, *, progress: bool = False) -> ImportedData:
        """Its data, imported now if they are not here yet.

        Args:
            progress: show what is being done.

        Raises:
            SourceError, DataError: they cannot be fetched, or are wrong.
        """
        from crossrec.verbs.data import at_hand

        return shown_as(ImportedData, at_hand(self.name, progress=progress))

    def releases(self) -> Releases:
        """Its releases, oldest first."""
        from crossrec.verbs.releases import list_releases

        return list_releases(self.name)

    def release(self, version: str = "current") -> Release:
        """One of its releases.

        Raises:
            UnknownDomainError, ReleaseError: it has none, or no such one.
        """
        from crossrec.verbs.releases import release

        return release(self.name, version)

    def headline(self) -> str:
        """Name, title, and whether it is simulated."""
        simulated = "simulated, " if self.simulated else ""
        state = "imported" if self.is_imported else "not imported yet"
        return f"{self.name}: {self.title} ({simulated}{state})"

    def facts(self) -> dict[str, Any]:
        """What a request may say, and what there is."""
        releases = self.releases()
        current = [one.version for one in releases if one.is_current]
        return {
            "task": self.task,
            "language": self.language,
            "context": [one.name for one in self.context] or None,
            "modalities": [one.name for one in self.modalities] or None,
            "objectives": [one.name for one in self.objectives] or None,
            "releases": len(releases),
            "current": current[0] if current else None,
        }

    def sentences(self) -> list[str]:
        """Its description, and what to do where the data are missing."""
        said = [" ".join(self.description.split())] if self.description else []
        if not self.is_imported:
            said.append(f'Its data are not here yet: crossrec.import_data("{self.name}")')
        return said

    def to_polars(self, table: str = CATALOGUE) -> pl.DataFrame:
        """A table of its data, by default its catalogue.

        Raises:
            DataError: it was never imported, or its data have no such table.
        """
        return self._opened().to_polars(table)

    def to_pandas(self, table: str = CATALOGUE) -> Any:
        """The same in pandas; raises as `to_polars`, and ConfigError without pandas."""
        return self._opened().to_pandas(table)

    def chart(self) -> Chart | None:
        """That of its data; None where they are not here."""
        return self._opened().chart() if self.is_imported else None

    def rows_shown(self) -> pl.DataFrame | None:
        """Tables of its data; None where they are not here."""
        return self._opened().tables() if self.is_imported else None

    def _opened(self) -> ImportedData:
        return shown_as(ImportedData, Dataset.open(self.name))


@dataclass(frozen=True, repr=False, eq=False)
class Guesses(Shown, Inference):
    """A domain guessed from files, and why each column was taken for what."""

    def headline(self) -> str:
        """Of which domain, and how much was recognised."""
        kept = sum(one.role == "kept as it is" for one in self.guesses)
        known = len(self.guesses) - kept
        return f"{self.domain.name}: {known} of {len(self.guesses)} columns have a role"

    def facts(self) -> dict[str, Any]:
        """What the domain would be."""
        return {
            "text of an item": self.domain.text_template,
            "context": [one.name for one in self.domain.context] or None,
            "objectives": [one.name for one in self.domain.objectives] or None,
        }

    def to_polars(self) -> pl.DataFrame:
        """Columns `table`, `column`, `role`, `reason`; one row a column of the files."""
        import polars as pl

        rows = [(one.table, one.column, one.role, one.reason) for one in self.guesses]
        schema = dict.fromkeys(("table", "column", "role", "reason"), pl.String)
        return pl.DataFrame(rows, schema, orient="row")
