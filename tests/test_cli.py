from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner

import crossrec
from crossrec import verbs
from crossrec.cli import app


def _commands(group: typer.core.TyperGroup, path: tuple[str, ...] = ()) -> Iterator[list[str]]:
    """The path of every command below a group, `data import` and its kind, itself first."""
    yield list(path)
    for name, command in group.commands.items():
        if isinstance(command, typer.core.TyperGroup):
            yield from _commands(command, (*path, name))
        else:
            yield [*path, name]


COMMANDS = list(_commands(typer.main.get_command(app)))


def test_every_verb_is_a_function_of_the_package():
    assert set(crossrec.__all__) == set(verbs.__all__)
    assert all(getattr(crossrec, name) is getattr(verbs, name) for name in verbs.__all__)


@pytest.mark.parametrize("command", COMMANDS, ids=" ".join)
def test_every_command_says_what_it_does(command: list[str]):
    result = CliRunner(env={"COLUMNS": "100"}).invoke(app, [*command, "--help"])
    assert result.exit_code == 0
    lines = [line.strip() for line in result.stdout.splitlines() if line.strip()]
    usage, sentence = lines[0], lines[1]
    assert usage.startswith("Usage: ")
    assert sentence[0].isupper()
    assert len(sentence) > 20


def test_version_is_the_packages():
    result = CliRunner().invoke(app, ["--version"])
    assert result.stdout == f"crossrec {crossrec.__version__}\n"


def _run(*arguments: str, home: Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-c", "from crossrec.cli import main; main()", *arguments]
    environment = {**os.environ, "CROSSREC_HOME": str(home), "COLUMNS": "200"}
    return subprocess.run(command, capture_output=True, text=True, env=environment, timeout=60)


def test_an_error_is_one_sentence_on_standard_error_with_exit_code_2(tmp_path: Path):
    done = _run("data", "import", "moveis", home=tmp_path)
    assert done.returncode == 2
    assert done.stdout == ""
    assert done.stderr.startswith("error: no domain is called 'moveis': did you mean 'movies'?")
    assert "Traceback" not in done.stderr


def test_debug_shows_the_traceback_of_an_error(tmp_path: Path):
    done = _run("--debug", "data", "import", "moveis", home=tmp_path)
    assert done.returncode != 0
    assert "Traceback" in done.stderr
    assert "UnknownDomainError" in done.stderr


def test_an_unknown_option_is_a_usage_error(tmp_path: Path):
    done = _run("train", "movies", "--wokers", "2", home=tmp_path)
    assert done.returncode == 2
    assert "--wokers" in done.stderr
