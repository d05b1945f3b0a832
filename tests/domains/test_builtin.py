"""Conformance: what every domain that ships with the package must do, found by its YAML."""

from __future__ import annotations

import json
from pathlib import Path

import polars as pl
import pytest
import yaml

from crossrec.domains import load_domain
from crossrec.domains.registry import domain_yaml, read_domain
from crossrec.schema import TABLES
from tests.conftest import MIRROR
from tests.domains.conftest import Imported

FILES = sorted(Path(str(pytest.importorskip("crossrec.domains").__path__[0])).glob("*.yaml"))
NAMES = [path.stem for path in FILES]
MIRRORED = [name for name in NAMES if not load_domain(name).simulated]
TIME_KINDS = {"none_row_order": "none", None: "none"}
KNOWN_WHEN_ASKED = {("ads", "campaign")}
"""Context that says something of the item, but stands before any is chosen: the page asked for."""
LEAKING = {"rating", "food_rating", "service_rating", "sales_value", "quantity", "duration_s"}


def facts(name: str) -> dict[str, dict[str, int]]:
    """What the publisher of the mirror counted."""
    facts = json.loads((MIRROR / name / "meta.json").read_text(encoding="utf-8"))
    assert isinstance(facts, dict)
    return facts


@pytest.mark.parametrize("name", NAMES)
def test_the_yaml_loads_and_survives_a_round_trip(name: str, tmp_path: Path):
    domain = load_domain(name)
    (tmp_path / f"{name}.yaml").write_text(domain_yaml(domain), encoding="utf-8")
    assert read_domain(tmp_path / f"{name}.yaml") == domain


@pytest.mark.parametrize("name", NAMES)
def test_a_person_learns_what_it_is_and_under_which_terms(name: str):
    domain = load_domain(name)
    assert domain.title
    assert domain.description.strip().endswith(".")
    assert domain.terms


@pytest.mark.parametrize("name", NAMES)
def test_no_context_field_tells_the_answer(name: str):
    fields = load_domain(name).context
    columns = {c for field in fields for c in field.columns or [field.name]}
    assert not columns & LEAKING


@pytest.mark.mirror
def test_every_data_set_of_the_mirror_has_a_domain():
    there = {path.parent.name for path in MIRROR.glob("*/meta.json")}
    assert there <= set(NAMES)


@pytest.mark.mirror
@pytest.mark.parametrize("name", MIRRORED)
class TestFromMirror:
    def test_nothing_is_rejected_or_changed(self, imported: Imported, name: str):
        dataset = imported(name)
        assert dataset.card["rejected"] == {}
        assert dataset.card["repaired"] == {}
        for table in dataset.card["tables"]:
            if not table.startswith("features_"):
                original = pl.scan_parquet(MIRROR / name / f"{table}.parquet")
                columns = original.collect_schema().names()
                kept = dataset.scan(table).select(columns).collect()
                assert kept.equals(original.collect()), table

    def test_no_context_field_half_tells_the_item(self, imported: Imported, name: str):
        """Fewer than a quarter of the rows lie on items that occur with one of its values only;
        items that occur once say nothing.
        """
        dataset = imported(name)
        fields = [f for f in dataset.domain.context if f.derive is None and f.kind == "category"]
        for field in fields:
            rows = dataset.scan("interactions").select("item_id", value=field.name)
            counts = pl.len().alias("rows"), pl.col("value").n_unique().alias("values")
            per_item = rows.group_by("item_id").agg(*counts).filter(pl.col("rows") > 1).collect()
            with_one = per_item.filter(pl.col("values") == 1)["rows"].sum() / per_item["rows"].sum()
            several = rows.select(pl.col("value").n_unique()).collect().item() > 1
            told = several and with_one > 0.25
            assert told == ((name, field.name) in KNOWN_WHEN_ASKED), field.name

    def test_every_canonical_table_has_its_schema(self, imported: Imported, name: str):
        dataset = imported(name)
        for table in dataset.card["tables"]:
            columns = dataset.scan(table).collect_schema()
            required = TABLES[table].required if table in TABLES else {"item_id", "vector"}
            assert set(required) <= set(columns.names())
        if dataset.has("interactions"):
            schema = dataset.scan("interactions").collect_schema()
            assert schema["timestamp"] == pl.Int64
            assert schema["rating"] == pl.Float32

    def test_counts_are_those_of_its_publisher(self, imported: Imported, name: str):
        tables, counts = imported(name).card["tables"], facts(name)["counts"]
        assert tables.get("items") == counts.get("items")
        assert tables.get("interactions") == counts.get("interactions")
        assert tables.get("requests") == counts.get("request_rows")
        assert tables.get("examples") == counts.get("examples")

    def test_time_means_what_its_publisher_says(self, imported: Imported, name: str):
        kind = facts(name).get("time_kind")
        if imported(name).has("interactions"):
            assert imported(name).domain.time_kind == TIME_KINDS.get(kind, kind)

    def test_features_are_vectors_of_one_length(self, imported: Imported, name: str):
        dataset = imported(name)
        for modality in dataset.features():
            vectors = dataset.scan(f"features_{modality}").collect()["vector"]
            assert vectors.dtype == pl.List(pl.Float32)
            assert vectors.list.len().n_unique() == 1

    def test_positive_and_dropped_events_occur(self, imported: Imported, name: str):
        dataset = imported(name)
        named = {*(dataset.domain.positive_events or []), *dataset.domain.dropped_events}
        if named:
            events = dataset.scan("interactions").select("event").unique().collect()["event"]
            assert named <= set(events)


@pytest.mark.mirror
def test_a_second_import_gives_the_same_hash(imported: Imported, tmp_path: Path):
    from crossrec.data.importing import import_domain

    again = import_domain(load_domain("travel"), tmp_path, progress=False)
    assert again.content_hash == imported("travel").content_hash


def test_yaml_files_hold_values_only():
    for path in FILES:
        text = path.read_text(encoding="utf-8")
        assert yaml.safe_load(text)["name"] == path.stem
        assert "/work" not in text
