from __future__ import annotations

import hashlib
import io
import socket
import tarfile
import zipfile
from collections.abc import Iterator
from pathlib import Path

import polars as pl
import pytest

from crossrec.data.importing import import_domain
from crossrec.data.sources import fetch, load_function
from crossrec.domains.spec import Domain
from crossrec.errors import ConfigError, SourceError
from tests.data.shop import ITEMS, SALES, shop, write
from tests.data.web import Site, serve


@pytest.fixture(autouse=True)
def no_mirror(monkeypatch: pytest.MonkeyPatch, fresh_home: Path) -> None:
    monkeypatch.delenv("CROSSREC_DATA_MIRROR", raising=False)


@pytest.fixture
def site() -> Iterator[Site]:
    with serve(Site()) as running:
        yield running


def sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def https(site: Site, path: str, content: bytes, digest: str | None = None) -> Domain:
    site.files[path] = content
    source = {
        "kind": "https",
        "url": site.address + path,
        "sha256": digest or sha256(content),
    }
    return Domain.model_validate({"name": "shop", "title": "Shop", "source": source})


def zipped(**members: str) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name, text in members.items():
            archive.writestr(name, text)
    return buffer.getvalue()


def tarred(*members: tuple[tarfile.TarInfo, bytes]) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as archive:
        for info, content in members:
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content))
    return buffer.getvalue()


def test_a_file_is_downloaded_once(site: Site):
    domain = https(site, "/t.csv", b"id\n1\n")
    for _ in range(2):
        folder = fetch(domain, progress=False).folder
        assert (folder / "t.csv").read_bytes() == b"id\n1\n"
    assert site.requests == [("/t.csv", None)]


def test_a_download_goes_on_where_it_stopped(site: Site, fresh_home: Path):
    content = bytes(range(256)) * 100
    domain = https(site, "/t.bin", content)
    folder = fresh_home / "downloads" / sha256(content)[:16]
    folder.mkdir(parents=True)
    (folder / "t.bin.part").write_bytes(content[:1000])
    assert (fetch(domain, progress=False).folder / "t.bin").read_bytes() == content
    assert site.requests == [("/t.bin", "bytes=1000-")]
    assert not (folder / "t.bin.part").exists()


@pytest.mark.parametrize("resumable", [True, False])
@pytest.mark.parametrize("left", [b"of another file", b"x" * 999])
def test_what_does_not_continue_the_file_is_downloaded_anew(
    site: Site, fresh_home: Path, resumable: bool, left: bytes
):
    site.resumable = resumable
    content = b"the whole content of the file"
    domain = https(site, "/t.bin", content)
    folder = fresh_home / "downloads" / sha256(content)[:16]
    folder.mkdir(parents=True)
    (folder / "t.bin.part").write_bytes(left)
    assert (fetch(domain, progress=False).folder / "t.bin").read_bytes() == content


def test_a_wrong_checksum_is_refused_and_the_download_deleted(site: Site, fresh_home: Path):
    domain = https(site, "/t.csv", b"altered", digest="0" * 64)
    with pytest.raises(SourceError, match=f"has SHA-256 {sha256(b'altered')}, expected 000000"):
        fetch(domain, progress=False)
    assert [path for path in (fresh_home / "downloads").rglob("*") if path.is_file()] == []


def test_a_missing_page_and_a_dead_server_are_told(site: Site):
    domain = https(site, "/t.csv", b"x")
    del site.files["/t.csv"]
    with pytest.raises(SourceError, match=r"cannot be downloaded .*404.*CROSSREC_DATA_MIRROR"):
        fetch(domain, progress=False)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        dead = Site(address=f"http://127.0.0.1:{free.getsockname()[1]}")
    with pytest.raises(SourceError, match="cannot be downloaded"):
        fetch(https(dead, "/t.csv", b"x"), progress=False)


def test_plain_http_is_refused_but_to_this_machine(site: Site):
    outside = Site(address="http://example.org")
    with pytest.raises(SourceError, match="is not https"):
        fetch(https(outside, "/t.csv", b"x"), progress=False)
    domain = https(site, "/there.csv", b"x")
    site.redirects["/there.csv"] = "http://example.org/t.csv"
    with pytest.raises(SourceError, match=r"example\.org/t\.csv is not https"):
        fetch(domain, progress=False)


def test_a_redirect_within_the_rules_is_followed(site: Site):
    domain = https(site, "/new.csv", b"id\n")
    site.redirects["/old.csv"] = "/new.csv"
    source = domain.source.model_copy(update={"url": f"{site.address}/old.csv"})
    folder = fetch(domain.model_copy(update={"source": source}), progress=False).folder
    assert (folder / "old.csv").read_bytes() == b"id\n"


@pytest.mark.parametrize("kind", ["zip", "tar.gz"])
def test_archives_are_unpacked_and_imported(site: Site, tmp_path: Path, kind: str):
    texts = {"items.csv": "\n".join(ITEMS), "sales.csv": "\n".join(SALES)}
    members = [(tarfile.TarInfo(name), text.encode()) for name, text in texts.items()]
    content = zipped(**texts) if kind == "zip" else tarred(*members)
    source = https(site, f"/shop.{kind}", content).source
    tables = shop(Path()).tables
    dataset = import_domain(shop(Path(), source=source, tables=tables), tmp_path, progress=False)
    assert dataset.card["tables"] == {"items": 3, "interactions": 3}
    assert dataset.card["source"] == f"{site.address}/shop.{kind}"


@pytest.mark.parametrize("name", ["../out.csv", "/tmp/out.csv", "a/../../out.csv"])
def test_members_that_lead_outside_are_refused(site: Site, fresh_home: Path, name: str):
    with pytest.raises(SourceError, match="leads outside"):
        fetch(https(site, "/t.zip", zipped(**{name: "x"})), progress=False)
    tar = tarred((tarfile.TarInfo(name), b"x"))
    if not name.startswith("/"):  # tarfile takes absolute names as relative ones
        with pytest.raises(SourceError, match="cannot be unpacked"):
            fetch(https(site, "/t.tar.gz", tar), progress=False)
    assert [p for p in fresh_home.parent.rglob("out.csv") if "downloads" not in p.parts] == []


def test_links_in_archives_are_refused(site: Site):
    info = zipfile.ZipInfo("link")
    info.external_attr = 0o120777 << 16
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr(info, "/etc/passwd")
    with pytest.raises(SourceError, match="is a link"):
        fetch(https(site, "/t.zip", buffer.getvalue()), progress=False)
    link = tarfile.TarInfo("link")
    link.type, link.linkname = tarfile.SYMTYPE, "/etc/passwd"
    with pytest.raises(SourceError, match="cannot be unpacked"):
        fetch(https(site, "/t.tar.gz", tarred((link, b""))), progress=False)


def test_a_broken_archive_is_refused_and_nothing_half_unpacked_stays(site: Site, fresh_home: Path):
    with pytest.raises(SourceError, match=r"t\.zip cannot be unpacked"):
        fetch(https(site, "/t.zip", b"no archive"), progress=False)
    assert list(fresh_home.rglob("unpack*")) == []


def _wheel(folder: Path, members: dict[str, str]) -> tuple[Path, str]:
    """A tiny wheel that pip takes; returns its path and checksum."""
    meta = {
        "tiny_data-1.0.dist-info/METADATA": "Metadata-Version: 2.1\nName: tiny-data\n"
        "Version: 1.0\n",
        "tiny_data-1.0.dist-info/WHEEL": "Wheel-Version: 1.0\nRoot-Is-Purelib: true\n"
        "Tag: py3-none-any\n",
        "tiny_data-1.0.dist-info/RECORD": "",
    }
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "tiny_data-1.0-py3-none-any.whl"
    path.write_bytes(zipped(**members, **meta))
    return path, sha256(path.read_bytes())


def _wheel_domain(digest: str, *members: str) -> Domain:
    source = {
        "kind": "wheel",
        "package": "tiny-data",
        "version": "1.0",
        "sha256": digest,
        "members": list(members),
    }
    return Domain.model_validate({"name": "shop", "title": "Shop", "source": source})


def test_a_wheel_is_downloaded_without_being_installed(
    tmp_path: Path, fresh_home: Path, monkeypatch: pytest.MonkeyPatch
):
    wheel, digest = _wheel(tmp_path / "index", {"tiny/a.csv": "id\n1\n", "tiny/b.csv": "id\n"})
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(wheel.parent))
    domain = _wheel_domain(digest, "tiny/a.csv")
    folder = fetch(domain, progress=False).folder
    assert (folder / "tiny" / "a.csv").read_text() == "id\n1\n"
    assert not (folder / "tiny" / "b.csv").exists()
    with pytest.raises(ModuleNotFoundError):
        __import__("tiny")
    wheel.unlink()  # from now on the copy below downloads must do
    assert fetch(domain, progress=False).folder == folder
    with pytest.raises(SourceError, match=r"no member 'tiny/c\.csv': did you mean 'tiny/"):
        fetch(_wheel_domain(digest, "tiny/c.csv"), progress=False)


def test_an_altered_wheel_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    wheel, _ = _wheel(tmp_path / "index", {"tiny/a.csv": "id\n"})
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(wheel.parent))
    with pytest.raises(SourceError, match=r"the wheel of tiny-data has SHA-256 .* expected 1111"):
        fetch(_wheel_domain("1" * 64, "tiny/a.csv"), progress=False)


def test_no_index_and_no_mirror_says_what_to_do(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.delenv("PIP_FIND_LINKS", raising=False)
    with pytest.raises(SourceError, match=r"pip could not download tiny-data==1.0.*MIRROR"):
        fetch(_wheel_domain("1" * 64, "tiny/a.csv"), progress=False)


def _mirrored(root: Path, name: str = "shop") -> Path:
    folder = root / name
    folder.mkdir(parents=True)
    frame = pl.DataFrame({"item_id": ["m"], "title": ["from the mirror"], "text": ["m"]})
    frame.write_parquet(folder / "items.parquet")
    log = pl.DataFrame({"user_id": ["u"], "item_id": ["m"], "timestamp": [1_700_000_000]})
    log.write_parquet(folder / "interactions.parquet")
    log.write_parquet(folder / "listens.parquet")
    return folder


def test_a_mirror_that_holds_the_domain_wins_and_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
):
    folder = _mirrored(tmp_path / "mirror")
    monkeypatch.setenv("CROSSREC_DATA_MIRROR", str(tmp_path / "mirror"))
    write(tmp_path / "items.csv", ITEMS)
    dataset = import_domain(shop(tmp_path), tmp_path / "data", progress=True)
    assert dataset.card["source"] == f"the mirror {folder}"
    assert dataset.card["tables"] == {"items": 1, "interactions": 1}
    assert dataset.card["not_imported"] == ["listens.parquet"]
    shown = capfd.readouterr().err.replace("\n", "")
    assert "shop: data from the mirror" in shown


def test_a_caller_is_told_each_step_and_nothing_is_drawn(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
):
    files = [write(tmp_path / "items.csv", ITEMS), write(tmp_path / "sales.csv", SALES)]
    told: list[str] = []
    import_domain(shop(tmp_path), tmp_path / "data", progress=told.append)
    steps = [f"data from {', '.join(map(str, files))}", "importing items", "importing interactions"]
    assert told == [f"shop: {step}" for step in steps]
    assert capfd.readouterr() == ("", "")


def test_a_mirror_without_the_domain_is_passed_over(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    _mirrored(tmp_path / "mirror", "other")
    monkeypatch.setenv("CROSSREC_DATA_MIRROR", str(tmp_path / "mirror"))
    write(tmp_path / "items.csv", ITEMS)
    write(tmp_path / "sales.csv", SALES)
    dataset = import_domain(shop(tmp_path), tmp_path / "data", progress=False)
    assert dataset.card["source"] == f"{tmp_path}/items.csv, {tmp_path}/sales.csv"


def test_data_that_only_a_mirror_has_say_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    domain = Domain.model_validate({"name": "shop", "title": "Shop", "source": {"kind": "mirror"}})
    with pytest.raises(SourceError, match="CROSSREC_DATA_MIRROR is not set; set it to a folder"):
        fetch(domain, progress=False)
    _mirrored(tmp_path / "mirror", "shops")
    monkeypatch.setenv("CROSSREC_DATA_MIRROR", str(tmp_path / "mirror"))
    with pytest.raises(
        SourceError, match="holds no Parquet tables of 'shop': did you mean 'shops'"
    ):
        fetch(domain, progress=False)
    monkeypatch.setenv("CROSSREC_DATA_MIRROR", str(tmp_path / "nowhere"))
    with pytest.raises(SourceError, match="that folder is empty or missing"):
        fetch(domain, progress=False)


def test_a_reader_beside_the_yaml_makes_the_tables(tmp_path: Path, fresh_home: Path):
    reader = [
        "import polars as pl",
        "def read(folder):",
        "    frame = pl.LazyFrame({'item_id': ['1'], 'title': ['one']})",
        "    log = pl.LazyFrame({'user_id': ['u'], 'item_id': ['1'], 'timestamp': [1]})",
        "    return {'items': frame, 'interactions': log}",
    ]
    write(fresh_home / "domains" / "odd.py", reader)
    yaml = ["name: odd", "title: Odd", "source: {kind: file, reader: 'odd:read'}"]
    write(fresh_home / "domains" / "odd.yaml", yaml)
    from crossrec.domains import load_domain

    dataset = import_domain(load_domain("odd"), tmp_path, progress=False)
    assert dataset.scan("items").collect()["text"].to_list() == ["one"]


def test_a_simulator_writes_canonical_tables(tmp_path: Path, fresh_home: Path):
    simulator = [
        "import polars as pl",
        "def make(folder, n):",
        "    ids = [str(i) for i in range(n)]",
        "    pl.DataFrame({'item_id': ids, 'title': ids, 'text': ids})"
        ".write_parquet(folder / 'items.parquet')",
        "    pl.DataFrame({'user_id': ids, 'item_id': ids, 'timestamp': list(range(n))})"
        ".write_parquet(folder / 'interactions.parquet')",
        "    pl.DataFrame({'taste': [1.0]}).write_parquet(folder / 'truth_tastes.parquet')",
    ]
    write(fresh_home / "domains" / "toy.py", simulator)
    source = "source: {kind: simulator, function: 'toy:make', options: {n: 7}}"
    write(fresh_home / "domains" / "toy.yaml", ["name: toy", "title: Toy", source])
    from crossrec.domains import load_domain

    dataset = import_domain(load_domain("toy"), tmp_path, progress=False)
    assert dataset.card["tables"] == {"items": 7, "interactions": 7}
    assert "simulated" in dataset.card["source"]
    assert [path.name for path in (dataset.folder / "truth").iterdir()] == ["truth_tastes.parquet"]
    assert {path.name for path in tmp_path.iterdir() if path != fresh_home} == {"toy", ".toy.lock"}


@pytest.mark.parametrize(
    ("reference", "message"),
    [
        ("crossrec.nowhere:read", "no module 'crossrec.nowhere'"),
        ("crossrec.domains.movies:raed", "has no function 'raed'"),
        ("crossrec.domains.movies", "has no function ''"),
    ],
)
def test_a_reference_to_nothing_is_a_config_error(reference: str, message: str):
    with pytest.raises(ConfigError, match=message):
        load_function(reference)
