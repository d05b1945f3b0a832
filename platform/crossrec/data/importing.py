"""Imports a domain's data: fetch, read, clean, write Parquet by streaming, move into place.

Leaves to others: where the bytes come from (sources.py), which rows are bad (clean.py).
"""

from __future__ import annotations

import errno
import json
import os
import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from uuid import uuid4

import polars as pl
import pyarrow as pa
from rich.console import Console
from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

import crossrec
from crossrec.config import home
from crossrec.data.clean import KEY, KnownItems, Plan, check_declared, plan_table
from crossrec.data.content_hash import combined_hash, table_hash
from crossrec.data.dataset import CARD, Dataset
from crossrec.data.freshness import Stamps, own_files, table_files
from crossrec.data.locks import only_one
from crossrec.data.read import Table, first_line, scan_table
from crossrec.data.sources import Fetched, Progressing, fetch
from crossrec.domains.registry import domain_yaml, load_domain
from crossrec.domains.spec import Domain
from crossrec.errors import DataError
from crossrec.schema import EVENT, ITEM_ID, RATING, REASON, TABLES, TIMESTAMP, USER_ID

UNORDERED = {"users", "kg", "kg_entities", "kg_links", "request_matches"}
"""Tables whose row order means nothing: their hash is that of the sorted rows."""
TRUTH = "truth"
"""Sub-folder of a simulated data set for what its simulator knows and no model may read."""
NOBODYS = "interactions of nobody"
_PURPOSES = ("interactions", "requests", "examples")


@dataclass
class _Outcome:
    """What became of the tables so far."""

    rows: dict[str, int] = field(default_factory=dict)
    rejected: dict[str, dict[str, int]] = field(default_factory=dict)
    repaired: dict[str, dict[str, int]] = field(default_factory=dict)
    hashes: dict[str, str] = field(default_factory=dict)


def imported(name: str, progress: bool = True) -> Dataset:
    """The data set of a domain, imported now if it is not here yet: with every id and every user
    of the source. What a home is to keep of them, `verbs.data.at_hand` sees to.

    Raises:
        UnknownDomainError: no domain has that name.
        SourceError, DataError: see `import_domain`.
    """
    if (home() / "data" / name / CARD).is_file():
        return Dataset.open(name)
    return import_domain(load_domain(name), progress=progress)


def import_domain(
    domain: Domain, root: Path | None = None, progress: Progressing = True
) -> Dataset:
    """Import all tables of `domain` into `<root>/<name>` (default `<home>/data`).

    The new data set appears in one rename; until then, and after a failure, the former one stays.
    Rows keep the order of their source. Memory stays flat in the number of interactions.

    Args:
        progress: True draws what is being done; a function is told.

    Raises:
        SourceError: the data could not be fetched.
        DataError: a table, a column or too many rows are wrong; rejected rows are kept in
            `<root>/<name>.rejected.parquet` then.
    """
    root = root or home() / "data"
    root.mkdir(parents=True, exist_ok=True)
    started = time.monotonic()
    scratch = root / f".{domain.name}-{uuid4().hex[:8]}"
    folder = scratch / domain.name
    folder.mkdir(parents=True)
    try:
        fetched = fetch(domain, progress, scratch / "made")
        files = own_files(domain, fetched)  # before they are read: a later change shows
        tables, skipped = _open_tables(domain, fetched)
        outcome = _Outcome()
        with _steps(progress) as step:
            for name in sorted(tables, key=lambda n: n != "items"):
                step(f"{domain.name}: importing {name}")
                _import_table(name, tables[name], domain, fetched.canonical, folder, outcome)
        check_declared(domain, {n: _columns(folder, n) for n in outcome.rows})
        _gather_rejected(folder, outcome)
        _check_shares(domain, outcome, folder, root)
        if domain.source.kind == "simulator":
            _keep_truth([fetched.folder / name for name in skipped], folder / TRUTH)
        card = _card(domain, fetched, outcome, skipped, files, time.monotonic() - started)
        (folder / "domain.yaml").write_text(domain_yaml(domain), encoding="utf-8")
        (folder / CARD).write_text(json.dumps(card, indent=1, ensure_ascii=False), encoding="utf-8")
        with only_one(root, domain.name):
            move_into_place(folder, root / domain.name)
    except OSError as err:
        raise DataError(
            f"'{domain.name}' could not be written to {root}: {err.strerror or err};"
            " the former data, if any, are unchanged"
        ) from err
    finally:
        shutil.rmtree(scratch, ignore_errors=True)
    return Dataset.open(domain.name, root)


def _open_tables(domain: Domain, fetched: Fetched) -> tuple[dict[str, Table], list[str]]:
    """The source's tables by canonical name, and what was found but is no canonical table.

    Items alone are a domain that nobody has used yet.
    """
    skipped: list[str] = []
    if fetched.reader is not None:
        frames = fetched.reader(fetched.folder)
        tables = {name: Table.of(frame, f"table '{name}'") for name, frame in frames.items()}
    elif fetched.canonical:
        tables, skipped = _canonical_tables(fetched.folder)
    else:
        tables = _mapped_tables(domain, fetched.folder)
    if not any(name in tables for name in _PURPOSES):
        if "items" not in tables or any(name in domain.tables for name in _PURPOSES):
            raise DataError(
                f"'{domain.name}' has none of the tables {', '.join(_PURPOSES)} in"
                f" {fetched.folder}; expected at least one, or a table 'items' alone: name its"
                " file under tables in the domain's YAML"
            )
        tables["interactions"] = _nobodys(domain)
    if "items" not in tables and any(TABLES[n].item_columns for n in tables if n in TABLES):
        raise DataError(f"'{domain.name}' has no table 'items' in {fetched.folder}")
    return tables, skipped


def _nobodys(domain: Domain) -> Table:
    """Interactions without a row, of a domain that nobody has used yet; feedback will fill them."""
    kinds = {USER_ID: pl.String, ITEM_ID: pl.String, TIMESTAMP: pl.Int64}
    kinds |= {EVENT: pl.String, RATING: pl.Float32}
    for one in domain.context:
        kind = pl.String if one.kind == "category" else pl.Float32
        kinds |= dict.fromkeys((one.columns or [one.name]) if one.derive is None else [], kind)
    return Table.of(pl.LazyFrame(schema=kinds), NOBODYS)


def _canonical_tables(folder: Path) -> tuple[dict[str, Table], list[str]]:
    tables: dict[str, Table] = {}
    skipped: list[str] = []
    for path in sorted(folder.glob("*.parquet")):
        table = scan_table(path)
        if path.stem in TABLES or (path.stem.startswith("features_") and ITEM_ID in table.columns):
            tables[path.stem] = table
        else:
            skipped.append(path.name)
    return tables, skipped


def _mapped_tables(domain: Domain, folder: Path) -> dict[str, Table]:
    return {name: scan_table(path) for name, path in table_files(domain, folder).items()}


def _import_table(
    name: str, table: Table, domain: Domain, canonical: bool, folder: Path, outcome: _Outcome
) -> None:
    items = _known_items(folder) if (folder / "items.parquet").is_file() else None
    plan = plan_table(name, table, domain, items, canonical)
    counts = _run(plan, folder / f"{name}.parquet", folder / f"rejected_{name}.parquet", table)
    outcome.rows[name] = (
        pl.scan_parquet(folder / f"{name}.parquet").select(pl.len()).collect().item()
    )
    if not counts.pop("rows") and table.label != NOBODYS:
        raise DataError(f"{table.label} has no rows; expected at least one below the header")
    repaired = {what: n for what, n in counts.items() if n}
    if repaired:
        outcome.repaired[name] = repaired
    outcome.hashes[name] = canonical_hash(name, folder / f"{name}.parquet")


def _run(plan: Plan, kept: Path, rejected: Path, table: Table) -> dict[str, int]:
    """Run the plan in one streaming pass over the source; returns its counts."""
    try:
        results = pl.collect_all(
            [
                plan.kept.sink_parquet(kept, compression="lz4", lazy=True),
                plan.rejected.sink_parquet(rejected, lazy=True),
                plan.counts,
            ],
            engine="streaming",
        )
    except (pl.exceptions.PolarsError, OSError) as err:
        if "No space left" in str(err):  # Polars wraps what the disk says
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC)) from err
        raise DataError(f"{table.label} cannot be read: {first_line(err)}") from err
    return results[2].row(0, named=True)


def _known_items(folder: Path) -> KnownItems:
    kept = pl.read_parquet(folder / "items.parquet", columns=[ITEM_ID])[ITEM_ID]
    rejected = pl.read_parquet(folder / "rejected_items.parquet", columns=[KEY])[KEY]
    return KnownItems(kept, rejected.drop_nulls().unique())


def _columns(folder: Path, name: str) -> list[str]:
    return pl.scan_parquet(folder / f"{name}.parquet").collect_schema().names()


def canonical_hash(name: str, path: Path) -> str:
    """Hash of the canonical table `name` in a file, by the order of its rows if that counts."""
    if name not in UNORDERED and not name.startswith("features_"):
        return table_hash(path)
    frame = pl.scan_parquet(path)
    keys = [c for c, kind in frame.collect_schema().items() if not kind.is_nested()]
    ordered = path.with_suffix(".sorted")
    frame.sort(keys).sink_parquet(ordered)
    try:
        return table_hash(ordered)
    finally:
        ordered.unlink()


def _gather_rejected(folder: Path, outcome: _Outcome) -> None:
    """One `rejected.parquet` from those of the tables, counted by table and reason."""
    parts = [folder / f"rejected_{name}.parquet" for name in outcome.rows]
    rejected = pl.concat([pl.scan_parquet(part).drop(KEY) for part in parts])
    rejected.sink_parquet(folder / "rejected.parquet")
    for part in parts:
        part.unlink()
    counts = pl.scan_parquet(folder / "rejected.parquet").group_by("table", REASON).len()
    for table, reason, n in counts.sort("len", REASON, descending=[True, False]).collect().rows():
        outcome.rejected.setdefault(table, {})[reason] = n


def _check_shares(domain: Domain, outcome: _Outcome, folder: Path, root: Path) -> None:
    for name, reasons in outcome.rejected.items():
        bad = sum(reasons.values())
        total = bad + outcome.rows[name]
        if bad <= domain.max_rejected_share * total and outcome.rows[name]:
            continue
        kept_for_look = root / f"{domain.name}.rejected.parquet"
        (folder / "rejected.parquet").replace(kept_for_look)
        counted = ", ".join(f"{reason}: {n:,}" for reason, n in reasons.items())
        raise DataError(
            f"{name}: {bad:,} of {total:,} rows were rejected ({counted}), more than the"
            f" {domain.max_rejected_share:.0%} that '{domain.name}' allows; the rows are in"
            f" {kept_for_look}: correct the file or its column mapping, or raise"
            " max_rejected_share in the domain's YAML"
        )


def _card(
    domain: Domain,
    fetched: Fetched,
    outcome: _Outcome,
    skipped: list[str],
    files: Stamps | None,
    seconds: float,
) -> dict[str, Any]:
    return {
        "domain": domain.model_dump(mode="json"),
        "content_hash": combined_hash(outcome.hashes),
        "tables": outcome.rows,
        "table_hashes": outcome.hashes,
        "rejected": outcome.rejected,
        "repaired": outcome.repaired,
        "source": fetched.note,
        "files": files,
        "not_imported": skipped,
        "imported_at": datetime.now(UTC).isoformat(timespec="seconds"),
        "import_s": round(seconds, 2),
        "versions": {
            "crossrec": crossrec.__version__,
            "polars": pl.__version__,
            "pyarrow": pa.__version__,
        },
    }


def _keep_truth(files: list[Path], folder: Path) -> None:
    folder.mkdir()
    for file in files:
        file.rename(folder / file.name)


def move_into_place(folder: Path, target: Path) -> None:
    """Rename `folder` to `target`; a former data set steps aside and goes with the scratch."""
    former = folder.with_name(f"{folder.name}-former")
    if target.exists():
        target.rename(former)
    try:
        folder.rename(target)
    except OSError:
        if former.exists():
            former.rename(target)
        raise


@contextmanager
def _steps(progress: Progressing) -> Iterator[Callable[[str], None]]:
    if callable(progress):
        yield progress
        return
    columns = (SpinnerColumn(), TextColumn("{task.description}"), TimeElapsedColumn())
    console = Console(stderr=True)
    with Progress(*columns, console=console, transient=True, disable=not progress) as bar:
        task = bar.add_task("", total=None)
        yield lambda text: bar.update(task, description=text)
