"""`crossrec doctor`: what is here, what is missing and what to do.

Leaves to others: looking (diagnosis.py).
"""

from __future__ import annotations

import typer
from rich.markup import escape

from crossrec import verbs
from crossrec.commands.output import AsJson, out, print_json

MARKS = {"ok": "[green]✓[/]", "note": "[yellow]·[/]", "missing": "[red]✗[/]"}


def doctor(as_json: AsJson = False) -> None:
    """Versions, devices, data, releases, services: what is missing and what to do.

    The exit code is 1 if something needed is missing.
    """
    findings = verbs.diagnose()
    if as_json:
        print_json([finding.as_dict() for finding in findings])
    group = ""
    for finding in [] if as_json else findings:
        if finding.group != group:
            group = finding.group
            out.print(f"[bold]{group}[/]")
        remedy = f"  → {finding.remedy}" if finding.remedy else ""
        text = escape(f"{finding.name:<26} {finding.found}{remedy}")
        out.print(f"  {MARKS[finding.status]} {text}")
    if any(finding.status == "missing" for finding in findings):
        raise typer.Exit(1)
