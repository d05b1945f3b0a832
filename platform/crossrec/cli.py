"""The command line: puts the sub-commands together; `crossrec --help` lists them.

Leaves to others: what they do (verbs/ and the rooms), how they talk (commands/output.py).
"""

from __future__ import annotations

from typing import Annotated

import typer

import crossrec
from crossrec.commands import (
    benchmark,
    capacity,
    data,
    demo,
    doctor,
    domain,
    explaining,
    feedback,
    folds,
    keys,
    learner,
    live,
    refresh,
    release,
    serving,
    training,
    transfer,
    users,
    watching,
)
from crossrec.commands.output import Commands, Lists, out

app = typer.Typer(
    name="crossrec",
    cls=Commands,
    no_args_is_help=True,
    rich_markup_mode="rich",
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
    epilog="First: crossrec data import movies · crossrec train movies"
    " · crossrec serve movies --open-on-loopback",
)
app.add_typer(data.app, name="data", help="Fetch, list and look at data sets.")
app.add_typer(domain.app, name="domain", help="List domains; make one from your own files.")
app.command()(training.train)
app.command()(training.tune)
app.command()(training.evaluate)
app.command(cls=Lists)(transfer.transfer)
app.command()(folds.crossvalidate)
app.add_typer(benchmark.app, name="benchmark", help="Ours beside peers on public data.")
app.add_typer(release.app, name="release", help="List, verify, roll back and delete releases.")
app.command()(serving.serve)
app.command()(live.deploy)
app.command()(live.undeploy)
app.command()(live.status)
app.command()(capacity.capacity)
app.add_typer(live.experiment, name="experiment", help="Releases side by side: A/B, canary.")
app.add_typer(live.shadow, name="shadow", help="A release that gets copies of requests.")
app.command()(serving.recommend)
app.command()(explaining.explain)
app.command()(watching.watch)
app.command()(refresh.refresh)
app.add_typer(feedback.app, name="feedback", help="Count, export and prune what users did.")
app.add_typer(
    learner.app, name="learner", help="Weights learned online: look, order, judge off-line."
)
app.add_typer(users.app, name="users", help="Erase users; keep pseudonyms in place of ids.")
app.add_typer(keys.app, name="keys", help="API keys of the service.")
app.command()(doctor.doctor)
app.command()(demo.demo)


def _version(asked: bool) -> None:
    if asked:
        out.print(f"crossrec {crossrec.__version__}")
        raise typer.Exit


@app.callback()
def _options(
    debug: Annotated[bool, typer.Option("--debug", help="Show the traceback of an error.")] = False,
    version: Annotated[
        bool, typer.Option("--version", help="Print the version.", callback=_version, is_eager=True)
    ] = False,
) -> None:
    """One shared language model recommends in many domains: import, train, serve, look."""


def main() -> None:
    """Entry point of the script `crossrec`."""
    app()
