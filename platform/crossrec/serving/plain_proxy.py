"""Has Ray Serve's own proxy answer what is under way before it ends; checked on Ray 2.60.

Serve ends its proxy with whatever that has begun, but the server inside (uvicorn) knows how to stop
in good order: it is reached through the proxy's actor. Leaves to others: HAProxy, and when to stop
(service_process.py).
"""

from __future__ import annotations

import contextlib
import time
from typing import Any

import ray
from ray.exceptions import RayError
from ray.util import list_named_actors

NAME = "SERVE_PROXY_ACTOR"
"""With which Serve's names of its proxies begin."""
_LOOK_S = 0.05


def let_finish(timeout_s: float) -> None:
    """Close the proxies of this cluster to what is new; returns once they have answered what they
    had, or after `timeout_s` seconds.
    """
    until = time.monotonic() + timeout_s
    with contextlib.suppress(RayError):  # who has ended has nothing left to answer
        names = [one for one in list_named_actors(True) if one["name"].startswith(NAME)]
        for proxy in [ray.get_actor(**one) for one in names]:
            while not _has_finished(proxy, until) and time.monotonic() < until:
                time.sleep(_LOOK_S)


def _has_finished(proxy: Any, until: float) -> bool:
    asked = proxy.__ray_call__.remote(finish)
    return bool(ray.get(asked, timeout=max(_LOOK_S, until - time.monotonic())))


def finish(proxy: Any) -> bool:
    """In a proxy: take no more, end once all is answered; whether it has. May be called again."""
    serving, server = proxy._start_http_server_task.result()
    server.should_exit = True
    return bool(serving.done())
