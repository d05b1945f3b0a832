"""A PostgreSQL server of Debian's package for tests, in a temporary folder, on a free port.

Leaves to others: what is tried on it.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.ports import free_port

START_TIMEOUT_S = 30
OWNER = "postgres"
"""Who runs the server where we are root, which it refuses to be; Debian's package adds them."""


def server_program() -> Path | None:
    """Path of `postgres`: of Debian's newest, or on the path; None where it is not installed."""
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/postgres"), key=_release)
    path = shutil.which("postgres")
    return found[-1] if found else Path(path) if path else None


def _release(program: Path) -> int:
    return int(program.parts[-3])


class Server:
    """A running server; may be stopped and started again with what it holds."""

    def __init__(self, folder: Path, program: Path) -> None:
        self._folder, self._program = folder, program
        self._owner = {"user": OWNER, "group": OWNER} if os.geteuid() == 0 else {}
        self._process: subprocess.Popen[bytes] | None = None
        self.port = free_port()
        if self._owner:
            shutil.chown(folder, OWNER, OWNER)
        command = [program.with_name("initdb"), "-D", folder / "data", "-U", OWNER, "-A", "trust"]
        command += ["--no-sync"]
        subprocess.run(command, check=True, capture_output=True, **self._owner)

    def url(self, database: str = OWNER) -> str:
        return f"postgresql://{OWNER}:secret@127.0.0.1:{self.port}/{database}"

    def start(self) -> None:
        command = [self._program, "-D", self._folder / "data", "-p", str(self.port)]
        # Our processes are killed, never the machine: nothing has to wait for its disk.
        command += ["-k", self._folder, "-h", "127.0.0.1", "-c", "fsync=off"]
        with (self._folder / "server.log").open("ab") as log:
            self._process = subprocess.Popen(command, stdout=log, stderr=log, **self._owner)
        ready = [self._program.with_name("pg_isready"), "-q", "-h", "127.0.0.1"]
        ends = time.monotonic() + START_TIMEOUT_S
        while subprocess.run([*ready, "-p", str(self.port)], check=False).returncode:
            assert time.monotonic() < ends, (self._folder / "server.log").read_text()
            time.sleep(0.05)

    def stop(self) -> None:
        """At once, as after a failure of the machine."""
        if self._process is not None:
            self._process.send_signal(3)  # immediate shutdown
            self._process.wait()
            self._process = None


@contextmanager
def postgres() -> Iterator[Server]:
    """A running server; its folder goes with it."""
    program = server_program()
    assert program is not None
    with tempfile.TemporaryDirectory(prefix="crossrec-pg-", dir="/tmp") as folder:
        server = Server(Path(folder), program)
        server.start()
        try:
            yield server
        finally:
            server.stop()
