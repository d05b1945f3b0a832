"""Ports for tests' own services and clusters."""

from __future__ import annotations

from crossrec.serving.environment import free_ports

__all__ = ["free_port", "free_ports"]


def free_port() -> int:
    """One that nobody on this machine listens on now, and that no other call was given."""
    return free_ports(1)[0]
