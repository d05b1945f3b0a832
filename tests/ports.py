"""Ports for tests' own services and clusters."""

from __future__ import annotations

import random
import socket

BELOW_EPHEMERAL = range(31_000, 32_700)
"""Above the ports of Serve and its replicas, below those of outgoing connections (Linux)."""
_given: set[int] = set()


def free_port() -> int:
    """One that nobody on this machine listens on now, and that no other call was given."""
    return free_ports(1)[0]


def free_ports(n: int) -> list[int]:
    """Several such.

    A port that the kernel chose is free when asked and may be another process's a second later,
    when the service that it was meant for starts; these are not in the kernel's own range.
    """
    found: list[int] = []
    while len(found) < n:
        port = random.choice(BELOW_EPHEMERAL)
        if port not in _given and _is_free(port):
            _given.add(port)
            found.append(port)
    return found


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True
