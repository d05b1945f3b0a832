"""Importing 10 million interactions: peak memory and time, beside pandas doing the same work.

Rows `import_10m`: GiB and seconds, medians over `IMPORT_10M_RUNS` runs (default 5), both sides in
processes of their own, in turns. The data are synthetic: 500,000 users, 50,000 items, times in
milliseconds, one row in 500 without a user or with an unknown item. Both sides read the CSV files,
check ids, types and duplicates, set bad rows aside and write Parquet. crossrec also hashes what it
wrote; pandas reads with its faster engine (pyarrow).
"""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np

from tests.benchmarks.rows import write_rows

N_INTERACTIONS, N_USERS, N_ITEMS = 10_000_000, 500_000, 50_000
RUNS = int(os.environ.get("IMPORT_10M_RUNS", "5"))
GIB = 2**30


def make_files(folder: Path) -> None:
    """`items.csv` and `sales.csv`, the same on every machine."""
    import polars as pl

    generator = np.random.default_rng(0)
    items = pl.DataFrame({"sku": [f"i{n}" for n in range(N_ITEMS)]})
    items = items.with_columns(name=pl.format("Product {} of the shop", "sku"), kinds=pl.lit("a|b"))
    items.write_csv(folder / "items.csv")
    # One item id in a thousand is past the catalogue, one user in a thousand has no name.
    users = generator.integers(0, N_USERS, N_INTERACTIONS)
    products = (generator.random(N_INTERACTIONS) ** 2 * N_ITEMS * 1.0005).astype(np.int64)
    sales = pl.DataFrame(
        {
            "customer": users,
            "sku": products,
            "sold_at": generator.integers(1.5e12, 1.6e12, N_INTERACTIONS),
            "stars": generator.integers(1, 6, N_INTERACTIONS),
        }
    )
    named = pl.when(pl.int_range(pl.len()) % 1000 != 0).then(pl.format("u{}", "customer"))
    sales.with_columns(named.alias("customer"), pl.format("i{}", "sku").alias("sku")).write_csv(
        folder / "sales.csv"
    )


def with_crossrec(folder: Path) -> dict[str, Any]:
    """Import through the package; returns rows kept, rows rejected and the content hash."""
    from crossrec.data.importing import import_domain
    from crossrec.domains.spec import Domain

    columns = {"user_id": "customer", "item_id": "sku", "timestamp": "sold_at", "rating": "stars"}
    names = {"item_id": "sku", "title": "name", "category": "kinds"}
    domain = Domain.model_validate(
        {
            "name": "synthetic",
            "title": "Synthetic",
            "tables": {
                "items": {"path": str(folder / "items.csv"), "columns": names},
                "interactions": {"path": str(folder / "sales.csv"), "columns": columns},
            },
        }
    )
    dataset = import_domain(domain, folder / "crossrec", progress=False)
    rejected = sum(dataset.card["rejected"]["interactions"].values())
    return {
        "kept": dataset.card["tables"]["interactions"],
        "rejected": rejected,
        "hash": dataset.content_hash,
    }


def with_pandas(folder: Path) -> dict[str, Any]:
    """The same work by hand with pandas; returns rows kept and rejected."""
    import pandas as pd

    out = folder / "pandas"
    out.mkdir(exist_ok=True)
    items = pd.read_csv(folder / "items.csv", dtype=str, engine="pyarrow")
    items = items.rename(columns={"sku": "item_id", "name": "title", "kinds": "category"})
    items["category"] = items["category"].str.split("|")
    items["text"] = items["title"]
    items = items[~items["item_id"].duplicated() & items["text"].notna()]
    items.to_parquet(out / "items.parquet", index=False)
    sales = pd.read_csv(folder / "sales.csv", dtype={"customer": str, "sku": str}, engine="pyarrow")
    sales.columns = ["user_id", "item_id", "timestamp", "rating"]
    reason = pd.Series(None, index=sales.index, dtype="object")
    reason[~sales["item_id"].isin(items["item_id"])] = "unknown item_id"
    reason[sales["timestamp"].isna()] = "missing timestamp"
    blank_item = sales["item_id"].isna() | (sales["item_id"].str.strip() == "")
    reason[blank_item] = "missing item_id"
    blank_user = sales["user_id"].isna() | (sales["user_id"].str.strip() == "")
    reason[blank_user] = "missing user_id"
    milliseconds = sales["timestamp"].abs() >= 10**11
    sales["timestamp"] = sales["timestamp"].where(~milliseconds, sales["timestamp"] // 1000)
    sales["rating"] = pd.to_numeric(sales["rating"], errors="coerce").astype("float32")
    sales["event"] = "interaction"
    good = reason.isna()
    rejected = sales[~good].assign(reason=reason[~good])
    rejected.to_parquet(out / "rejected.parquet")
    sales[good].to_parquet(out / "interactions.parquet", index=False)
    return {"kept": int(good.sum()), "rejected": len(rejected)}


SIDES = {"crossrec": with_crossrec, "pandas": with_pandas}


def measure(side: str, folder: Path) -> dict[str, Any]:
    """One run in a process of its own: seconds, peak GiB, and what it counted."""
    command = [sys.executable, "-m", "tests.benchmarks.import_10m", side, str(folder)]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    result: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return result


def run_side(side: str, folder: Path) -> None:
    """What the process of `measure` does; the last line it prints is the result as JSON."""
    start = time.perf_counter()
    counted = SIDES[side](folder)
    seconds = time.perf_counter() - start
    status = Path("/proc/self/status").read_text(encoding="utf-8")
    [peak] = [line for line in status.splitlines() if line.startswith("VmHWM")]
    print(json.dumps({"s": seconds, "gib": int(peak.split()[1]) * 1024 / GIB, **counted}))


def main() -> None:
    """Measure both sides and write the rows."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        make_files(folder)
        runs: dict[str, list[dict[str, Any]]] = {side: [] for side in SIDES}
        for _ in range(RUNS):
            for side in SIDES:
                runs[side].append(measure(side, folder))
                print(side, runs[side][-1])
    [ours], [theirs] = ({(r["kept"], r["rejected"]) for r in runs[side]} for side in SIDES)
    if ours != theirs:
        raise RuntimeError(f"the two sides did not do the same: {ours} and {theirs} rows")
    write_rows("import_10m", [row(runs, "gib", "GiB"), row(runs, "s", "s")])


def row(runs: dict[str, list[dict[str, Any]]], figure: str, unit: str) -> dict[str, Any]:
    """Medians of both sides; `ci95` is the span of all runs."""
    values = [run[figure] for run in runs["crossrec"]]
    value = statistics.median(values)
    peer = statistics.median(run[figure] for run in runs["pandas"])
    return {
        "name": "import_10m",
        "domain": "synthetic",
        "value": round(value, 3),
        "unit": unit,
        "peer": "pandas",
        "peer_value": round(peer, 3),
        "ratio": round(value / peer, 3),
        "n": RUNS,
        "ci95": [round(min(values), 3), round(max(values), 3)],
        "seeds": [0],
        "protocol": f"median of {RUNS} runs, ci95 is their span; {N_INTERACTIONS:,} rows",
        "data_hash": runs["crossrec"][0]["hash"],
    }


if __name__ == "__main__":
    if len(sys.argv) == 3 and sys.argv[1] in SIDES:
        run_side(sys.argv[1], Path(sys.argv[2]))
    else:
        main()
