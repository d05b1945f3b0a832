from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.commands.processes import processes_of_home

TIMEOUT_S = 400


class Demo:
    """`crossrec demo --smoke`, as a person at a terminal runs it."""

    def __init__(self, home: Path) -> None:
        self.process = subprocess.Popen(
            [
                sys.executable,
                "-u",
                "-c",
                "from crossrec.cli import main; main()",
                "demo",
                "--smoke",
            ],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            env=os.environ | {"CROSSREC_HOME": str(home)},
            start_new_session=True,
        )
        self.lines: list[str] = []

    def read_until(self, words: str) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            self.lines.append(line)
            if words in line:
                return
        pytest.fail(f"'{words}' never came; the output was:\n{''.join(self.lines)}")

    def press_ctrl_c(self) -> int:
        os.killpg(self.process.pid, signal.SIGINT)  # a terminal sends it to the whole group
        return self.process.wait(60)


@pytest.mark.ray
@pytest.mark.slow
@pytest.mark.timeout(TIMEOUT_S)
def test_the_demo_goes_all_the_way_ends_by_itself_and_leaves_nothing(tmp_path: Path):
    first = Demo(tmp_path)
    first.read_until("everything is up")
    assert first.process.wait(60) == 0
    assert processes_of_home(tmp_path) == []
    said = "".join(first.lines)
    for domain in ("movies", "grocery", "restaurants_sim"):
        assert f"{domain}, release" in said
    assert "at most 200 users" in said

    again = Demo(tmp_path)  # now everything is there but the service
    again.read_until("answers")
    assert processes_of_home(tmp_path)
    assert again.press_ctrl_c() == 130
    assert processes_of_home(tmp_path) == []


@pytest.mark.ray
@pytest.mark.timeout(TIMEOUT_S)
def test_ctrl_c_while_training_leaves_nothing(tmp_path: Path):
    demo = Demo(tmp_path)
    demo.read_until("movies: preparing")
    assert demo.press_ctrl_c() == 130
    assert processes_of_home(tmp_path) == []
