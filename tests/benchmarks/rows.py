"""Writes a benchmark's rows to `results/<benchmark>.json`, with the machine and the command.

Leaves to others: measuring (the other modules here), tables and bars (tables.py).
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

RESULTS = Path(__file__).parent / "results"

COLUMNS = (
    "name",
    "domain",
    "value",
    "unit",
    "peer",
    "peer_value",
    "ratio",
    "n",
    "ci95",
    "seeds",
    "command",
    "protocol",
    "data_hash",
    "hardware",
)
"""A row's fields. `value` in `unit`; `peer`, `peer_value`: what it is compared with; `ratio`: ours
over the peer's; `n`: users, requests or repetitions behind it; `ci95`: [low, high] of `value`, or
of the ratio where `protocol` says so; `seeds`: list of them; `protocol`: how it was measured, which
tells rows of one name apart."""


def hardware() -> str:
    """This machine in words: processor, cores, memory, accelerator; never its name."""
    gib = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    cores = len(os.sched_getaffinity(0))
    return f"{_processor()}, {cores} cores, {gib:.0f} GiB{_accelerator()}"


def _processor() -> str:
    info = Path("/proc/cpuinfo")
    lines = info.read_text(encoding="utf-8").splitlines() if info.is_file() else []
    models = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    flags = next((line for line in lines if line.startswith("flags")), "")
    bf16 = "bf16" if "avx512_bf16" in flags or "amx_bf16" in flags else "no bf16"
    return f"{models[0] if models else 'unknown processor'} ({bf16})"


def _accelerator() -> str:
    torch = sys.modules.get("torch")  # only a benchmark that uses torch can have used a GPU
    if torch is None or not torch.cuda.is_available():
        return ""
    return f", {torch.cuda.get_device_name(0)}"


def write_rows(benchmark: str, rows: list[dict[str, Any]]) -> Path:
    """Write all rows of one benchmark, replacing what an earlier run wrote.

    `command` and `hardware` are filled in where a row has none; other missing fields are null.

    Raises:
        ValueError: a row has an unknown field, or no name, value or unit.
    """
    command = " ".join(["python", "-m", f"tests.benchmarks.{benchmark}", *sys.argv[1:]])
    full = [_complete(row, {"command": command, "hardware": hardware()}) for row in rows]
    RESULTS.mkdir(exist_ok=True)
    path = RESULTS / f"{benchmark}.json"
    lines = ",\n".join("  " + json.dumps(row, ensure_ascii=False) for row in full)
    path.write_text(f"[\n{lines}\n]\n", encoding="utf-8")
    for row in full:
        print(f"{row['name']} {row['domain'] or ''}: {row['value']} {row['unit']}")
    return path


def update_rows(benchmark: str, rows: list[dict[str, Any]]) -> Path:
    """Write one part of a benchmark: rows of other names stay as an earlier part wrote them.

    Raises:
        ValueError: as `write_rows`.
    """
    path = RESULTS / f"{benchmark}.json"
    known = json.loads(path.read_text(encoding="utf-8")) if path.is_file() else []
    names = {row["name"] for row in rows}
    return write_rows(benchmark, [*(row for row in known if row["name"] not in names), *rows])


def common_seeds(rows: Sequence[dict[str, Any]]) -> list[int]:
    """The seeds that all of the rows have: those that a mean over them stands on.

    >>> common_seeds([{"seeds": [0, 1, 2]}, {"seeds": [0, 2]}])
    [0, 2]
    """
    return sorted(set.intersection(*(set(row["seeds"]) for row in rows)))


def _complete(row: dict[str, Any], defaults: dict[str, Any]) -> dict[str, Any]:
    unknown = sorted(set(row) - set(COLUMNS))
    if unknown:
        raise ValueError(f"unknown fields {unknown}; expected some of {COLUMNS}")
    missing = [field for field in ("name", "value", "unit") if row.get(field) is None]
    if missing:
        raise ValueError(f"row {row} lacks {missing}")
    given = {field: value for field, value in row.items() if value is not None}
    return {field: (defaults | given).get(field) for field in COLUMNS}
