"""`crossrec release`: list, look at, verify, publish, roll back and delete releases.

Leaves to others: what a release holds and how it is written (releases/).
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from crossrec.commands.output import AsJson, Commands, OneDomain, out, print_json, print_table
from crossrec.errors import ConfigError, ReleaseError
from crossrec.releases.store import Release, ReleaseStore

app = typer.Typer(cls=Commands, no_args_is_help=True)

FIGURES = {
    "rank": ("ndcg@10", "NDCG@10"),
    "rate": ("rmse", "RMSE"),
    "classify": ("macro_f1", "macro-F1"),
}
"""Task → key in the metrics and name of the figure that a release is known by."""

Version = Annotated[str, typer.Argument(metavar="[VERSION]", help="A version, or current.")]


@app.command("list")
def list_(
    domain: Annotated[
        str | None, typer.Argument(metavar="[DOMAIN]", help="Only of this one.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """All releases, oldest first; the current one of each domain is marked."""
    found = ReleaseStore().list(domain)
    if as_json:
        print_json([_facts(release) for release in found])
        return
    print_table(
        ("domain", "version", "", "task", "figure (test)"),
        [_row(release) for release in found],
        "there is no release; try: crossrec train movies",
    )


@app.command()
def show(domain: OneDomain, version: Version = "current", as_json: AsJson = False) -> None:
    """What made a release, its figures and its files."""
    release = ReleaseStore().show(domain, version)
    if as_json:
        print_json(_facts(release) | {"manifest": release.manifest.model_dump(mode="json")})
        return
    manifest = release.manifest
    out.print(f"[bold]{release.domain}[/] {release.version}", end="")
    out.print(" (current)" if release.is_current else "")
    out.print(f"  encoder   {manifest.encoder}")
    out.print(f"  data hash {manifest.data_hash[:12]}")
    out.print(f"  protocol  {release.metrics.get('protocol')}")
    if untaught := release.metrics.get("untaught"):
        out.print(f"  {untaught}", markup=False, soft_wrap=True)
    intervals = release.metrics.get("ci95", {})
    for name, value in release.metrics.get("metrics", {}).items():
        if value is None:
            continue
        interval = "[{:.4f}, {:.4f}]".format(*intervals[name]) if name in intervals else ""
        out.print(f"  {name:<9} {value:.4f} {interval}", markup=False)
    print_table(
        ("file", "bytes"), [(n, f"{f.size_bytes:,}") for n, f in manifest.files.items()], ""
    )


@app.command()
def verify(domain: OneDomain, version: Version = "current") -> None:
    """Check every file's hash and score the probe requests again."""
    release = ReleaseStore().verify(domain, version)
    out.print(f"{release.domain} {release.version} is whole: files and probe scores agree")


@app.command()
def publish(
    folder: Annotated[Path, typer.Argument(metavar="FOLDER", help="Of a release, made elsewhere.")],
) -> None:
    """Take over a release folder made elsewhere: verify it, copy it, make it current.

    What train makes here is published by train itself; this is for folders from other machines.

    \b
    crossrec release publish /mnt/cluster/releases/movies/20260131-142500-003
    """
    release = ReleaseStore().adopt(folder)
    out.print(f"current release of {release.domain} is now {release.version}")


@app.command()
def rollback(
    domain: OneDomain,
    to: Annotated[str | None, typer.Option(help="Version; none: the one before.")] = None,
) -> None:
    """Make an earlier release current; it is verified first.

    A running service goes on with the release it serves until it is told: by crossrec deploy
    (which also takes --previous, and then makes that one current), without downtime.
    """
    release = ReleaseStore().roll_back(domain, to)
    out.print(f"current release of {release.domain} is now {release.version}")
    out.print(
        "a running service goes on with its release until it is told, by:"
        f" crossrec deploy {release.domain}",
        markup=False,
    )


@app.command()
def delete(
    domain: OneDomain,
    version: Annotated[str | None, typer.Argument(metavar="[VERSION]", help="A version.")] = None,
    keep: Annotated[
        int | None, typer.Option(min=1, help="Instead: all but this many newest ones.")
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="Even the current one.")] = False,
) -> None:
    """Delete one release, or old ones; never the current one unless forced.

    \b
    crossrec release delete movies 20260131-142500-003
    crossrec release delete movies --keep 3
    """
    store = ReleaseStore()
    if (version is None) == (keep is None):
        raise ConfigError("got neither or both of VERSION and --keep; expected one of them")
    if version is not None:
        store.delete(domain, version, force)
    deleted = [version] if version is not None else store.delete_old(domain, keep or 1)
    out.print(f"deleted {', '.join(map(str, deleted))}" if deleted else "nothing to delete")


def _facts(release: Release) -> dict[str, Any]:
    return {
        "domain": release.domain,
        "version": release.version,
        "current": release.is_current,
        "task": _task(release),
        "folder": str(release.folder),
        "metrics": release.metrics,
    }


def _row(release: Release) -> tuple[str, ...]:
    mark, task = "current" if release.is_current else "", _task(release)
    if task is None:
        return release.domain, release.version, mark, "", "unreadable; train again"
    key, name = FIGURES[task]
    value = release.metrics.get("metrics", {}).get(key)
    figure = "" if value is None else f"{name} {value:.4f}"
    return release.domain, release.version, mark, task, figure


def _task(release: Release) -> str | None:
    """None where the release cannot be read: it is listed all the same, to be deleted."""
    try:
        return release.task
    except ReleaseError:
        return None
