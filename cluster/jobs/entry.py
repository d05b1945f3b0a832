"""What the job entry points share: data on demand, results as JSON, errors as one line.

Leaves to others: the work (crossrec.verbs).
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable
from typing import Any

from crossrec.errors import CrossrecError
from crossrec.verbs.data import at_hand


def parser(description: str | None) -> argparse.ArgumentParser:
    """A parser with the options of every job."""
    options = argparse.ArgumentParser(
        description=description, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    options.add_argument(
        "--address", default="auto", help="Ray cluster to work on (default: the job's own)"
    )
    return options


def add_run_options(options: argparse.ArgumentParser) -> None:
    """The options of jobs that train."""
    options.add_argument("--workers", type=int, default=1, help="workers of one training")
    options.add_argument("--config", help="YAML of settings")
    options.add_argument(
        "--set", action="append", default=[], metavar="A.B=VALUE", help="override a setting"
    )
    options.add_argument(
        "--run-name", help="give the same name to a retry, and it resumes what was cut off"
    )


def have_data(domains: list[str]) -> None:
    """Import what is not in the home yet, so that a fresh cluster's first job needs no other.

    As the verb does it: with pseudonyms where they are kept, without whoever was erased.
    """
    for domain in domains:
        at_hand(domain)


def run(work: Callable[[], Any]) -> None:
    """Do the work and print what comes back as the last line, JSON; exit 1 with the reason."""
    try:
        print(json.dumps(work()))
    except CrossrecError as err:
        # An error from a task comes wrapped, with the task's traceback as its text (Ray 2.60).
        sys.exit(f"error: {getattr(err, 'cause', err)}")
