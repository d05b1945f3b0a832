"""How commands talk: tables and progress for people, JSON for scripts, one sentence for an error.

Results go to standard output, progress and errors to standard error, so that pipes stay clean.
"""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    SpinnerColumn,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)
from rich.table import Table
from typer.core import TyperCommand, TyperGroup

from crossrec.errors import CrossrecError

EXIT_ERROR = 2

out = Console(highlight=False, soft_wrap=True)
err = Console(stderr=True, highlight=False, soft_wrap=True)

AsJson = Annotated[bool, typer.Option("--json", help="Print JSON, for scripts.")]
ConfigFile = Annotated[
    str | None, typer.Option("--config", metavar="FILE", help="YAML of settings.")
]
Overrides = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="KEY=VALUE", help="One setting, e.g. model.dim=64; repeatable."),
]
Domains = Annotated[list[str], typer.Argument(metavar="DOMAIN", help="Names of domains.")]
OneDomain = Annotated[str, typer.Argument(metavar="DOMAIN", help="Name of a domain.")]
Address = Annotated[
    str | None,
    typer.Option(help="Address of a Ray cluster, e.g. auto; none: a local one, ended after."),
]


class Commands(TyperGroup):
    """A group whose commands end with one sentence and exit code 2 where they cannot go on."""

    def invoke(self, ctx: Any) -> Any:
        """Run the command; `--debug` lets the traceback through."""
        try:
            return super().invoke(ctx)
        except (CrossrecError, OSError, ModuleNotFoundError) as error:
            if ctx.find_root().params.get("debug") or _is_ours(error):
                raise
            err.print(f"error: {sentence(error)}", style="red", markup=False)
            raise typer.Exit(EXIT_ERROR) from error


class Lists(TyperCommand):
    """A command whose list options take several values at once: `--domains movies travel`."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Repeat the option before each value, which is what the parser understands."""
        lists = {name for option in self.params if option.multiple for name in option.opts}
        spread: list[str] = []
        current = None
        for arg, after in zip(args, [*args[1:], "-"], strict=True):
            if arg.startswith("-"):
                current = arg if arg in lists else None
                if current and after.startswith("-"):  # else none would mean all
                    ctx.fail(f"Option '{arg}' requires at least one value.")
                spread += [] if current else [arg]
            else:
                spread += [current, arg] if current else [arg]
        rest: list[str] = super().parse_args(ctx, spread)
        return rest


def _is_ours(error: Exception) -> bool:
    """Whether a module of this package is missing, which no installing cures."""
    return isinstance(error, ModuleNotFoundError) and str(error.name).startswith("crossrec")


def sentence(error: Exception) -> str:
    """What to tell a person about an error.

    >>> sentence(OSError(28, "No space left on device", "/data/x"))
    'No space left on device: /data/x'
    """
    if isinstance(error, OSError) and error.strerror:
        return f"{error.strerror}: {error.filename}" if error.filename else error.strerror
    if isinstance(error, ModuleNotFoundError):
        return f"package '{error.name}' is not installed; crossrec doctor says what to install"
    return str(error) or type(error).__name__


def print_json(value: Any) -> None:
    """One JSON document on standard output; what JSON does not know becomes its text."""
    typer.echo(json.dumps(value, indent=2, ensure_ascii=False, default=str))


def print_table(columns: Sequence[str], rows: Iterable[Sequence[Any]], empty: str) -> None:
    """A table for people; `empty` is the sentence shown when there is no row."""
    table = Table(box=None, pad_edge=False, header_style="bold")
    for column in columns:
        table.add_column(column, overflow="fold")
    for row in rows:
        table.add_row(*("" if value is None else str(value) for value in row))
    out.print(table if table.row_count else empty)


@contextmanager
def progress_bars() -> Iterator[Progress]:
    """Bars with time left, on standard error, for the length of a `with` block."""
    columns = (
        SpinnerColumn(finished_text="[green]✓[/]"),
        TextColumn("{task.description}"),
        BarColumn(bar_width=30),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TextColumn("left"),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=err) as progress:
        yield progress


@contextmanager
def expecting(what: str, about_s: float) -> Iterator[None]:
    """A bar for a step that says nothing while it runs: it goes by the time usually taken."""
    columns = (TextColumn("{task.description}"), BarColumn(bar_width=30), TimeElapsedColumn())
    ended = threading.Event()
    with Progress(*columns, TextColumn("left about"), TimeRemainingColumn(), console=err) as bar:
        task = bar.add_task(what, total=about_s)

        def follow() -> None:
            started = time.monotonic()
            while not ended.wait(0.25):
                bar.update(task, completed=min(time.monotonic() - started, 0.97 * about_s))

        follower = threading.Thread(target=follow, daemon=True)
        follower.start()
        try:
            yield
        finally:
            ended.set()
            follower.join()
        bar.update(task, completed=about_s)
