"""Opens Parquet, CSV, TSV and JSON Lines files as lazy frames, without loading them.

Leaves to others: which file is which table (importing.py), what its columns mean (clean.py).
"""

from __future__ import annotations

import codecs
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import NoReturn

import polars as pl

from crossrec.errors import DataError

SAMPLE_ROWS = 10_000
"""Rows read to guess the types of columns in text files."""
_BLOCK_BYTES = 1 << 23
_SEPARATORS = ",;\t|"


@dataclass(frozen=True)
class Table:
    """A table as its source has it: lazily readable, columns not yet renamed."""

    frame: pl.LazyFrame
    columns: list[str]
    label: str
    """What to call it in messages: the file's path, or the reader's table."""
    guessed: Mapping[str, pl.DataType] = field(default_factory=dict)
    """Text files are read as text, so that an id such as 007 stays; these are the types that
    their first rows suggest, for columns whose type is not decided otherwise."""

    @classmethod
    def of(cls, frame: pl.LazyFrame, label: str) -> Table:
        """A frame that carries its own types."""
        return cls(frame, frame.collect_schema().names(), label)


def scan_table(path: Path) -> Table:
    """The file at `path`, by its ending: .parquet, .csv, .tsv, .jsonl or .ndjson.

    Raises:
        DataError: no such file, a folder, an unknown ending, an empty file, text that is not
            UTF-8, or contents that do not fit the ending.
    """
    _check_is_file(path)
    reader = _READERS.get(path.suffix.lower())
    if reader is None:
        raise DataError(
            f"{path} ends in '{path.suffix}'; expected one of {', '.join(sorted(_READERS))}"
            " (a .json array becomes JSON Lines with one object a line)"
        )
    try:
        return reader(path)
    except (pl.exceptions.PolarsError, OSError) as err:
        raise DataError(f"{path} cannot be read as {path.suffix}: {first_line(err)}") from err


def find_table(folder: Path, name: str) -> Path | None:
    """The file of table `name` in `folder` (`interactions.csv`, …), or None.

    Raises:
        DataError: two files claim to be that table.
    """
    found = [
        folder / f"{name}{end}" for end in sorted(_READERS) if (folder / f"{name}{end}").exists()
    ]
    if len(found) > 1:
        raise DataError(
            f"{folder} has {' and '.join(p.name for p in found)}; expected one file of table"
            f" '{name}': remove the others or name one in the domain's tables.{name}.path"
        )
    return found[0] if found else None


def first_line(err: BaseException) -> str:
    """The first line of an error's message; Polars adds paragraphs of hints below it."""
    return (str(err).strip().splitlines() or [type(err).__name__])[0]


def _check_is_file(path: Path) -> None:
    if path.is_dir():
        raise DataError(f"{path} is a folder; expected a file: name the table's file inside it")
    if not path.is_file():
        near = sorted(p.name for p in path.parent.glob("*") if p.suffix in _READERS)[:8]
        there = f"; that folder has: {', '.join(near)}" if near else ""
        raise DataError(f"no file at {path}{there}")
    if path.stat().st_size == 0:
        raise DataError(f"{path} is empty (0 bytes); expected a header line and rows")


def _check_utf8(path: Path) -> None:
    decoder = codecs.getincrementaldecoder("utf-8")()
    offset = 0
    with path.open("rb") as file:
        while block := file.read(_BLOCK_BYTES):
            pending = decoder.getstate()[0]  # the beginning of a character
            if pending or not block.isascii():  # isascii takes a tenth of the time
                try:
                    decoder.decode(block)
                except UnicodeDecodeError as err:
                    _refuse_byte(path, offset - len(pending) + err.start, err)
            offset += len(block)
    pending = decoder.getstate()[0]
    try:
        decoder.decode(b"", final=True)
    except UnicodeDecodeError as err:
        _refuse_byte(path, offset - len(pending), err)


def _refuse_byte(path: Path, offset: int, err: UnicodeDecodeError) -> NoReturn:
    with path.open("rb") as file:
        line = 1 + file.read(offset).count(b"\n")
        byte = file.read(1)[0]
    raise DataError(
        f"{path} is not UTF-8: byte {byte:#04x} in line {line}; save it as UTF-8"
        " (for example: iconv -f WINDOWS-1252 -t UTF-8 in > out)"
    ) from err


def _scan_parquet(path: Path) -> Table:
    return Table.of(pl.scan_parquet(path), str(path))


def _scan_csv(path: Path) -> Table:
    _check_utf8(path)
    with path.open(encoding="utf-8-sig") as file:
        header = file.readline()
    counts = {separator: header.count(separator) for separator in _SEPARATORS}
    separator = "\t" if path.suffix.lower() == ".tsv" else max(_SEPARATORS, key=counts.__getitem__)
    frame = pl.scan_csv(path, separator=separator, infer_schema=False)
    sample = pl.read_csv(
        path,
        separator=separator,
        n_rows=SAMPLE_ROWS,
        infer_schema_length=SAMPLE_ROWS,
        ignore_errors=True,
    )
    return Table(frame, frame.collect_schema().names(), str(path), dict(sample.schema))


def _scan_json_lines(path: Path) -> Table:
    _check_utf8(path)
    # The whole file decides the types: a key may first appear after any sample.
    return Table.of(pl.scan_ndjson(path, infer_schema_length=None), str(path))


_READERS: dict[str, Callable[[Path], Table]] = {
    ".parquet": _scan_parquet,
    ".csv": _scan_csv,
    ".tsv": _scan_csv,
    ".jsonl": _scan_json_lines,
    ".ndjson": _scan_json_lines,
}
