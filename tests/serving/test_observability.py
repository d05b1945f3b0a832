"""The files for Prometheus and Grafana; what a running service fills them with is integration."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from pathlib import Path

import pytest
import yaml

from crossrec.serving.metrics import FAMILIES
from tests.prometheus import FILES, programs_missing

EXPECTED = Path(__file__).with_name("alerts_test.yml")
NEEDS_PROMETHEUS = pytest.mark.skipif(
    programs_missing(), reason="Debian's package prometheus is not installed"
)


@NEEDS_PROMETHEUS
def test_each_alert_fires_when_it_should_and_is_silent_otherwise(tmp_path: Path):
    shutil.copy(FILES / "alerts.yml", tmp_path)
    shutil.copy(EXPECTED, tmp_path)
    for command in (["check", "rules", "alerts.yml"], ["test", "rules", "alerts_test.yml"]):
        done = subprocess.run(
            ["promtool", *command], cwd=tmp_path, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stdout + done.stderr


def test_every_alert_is_expected_to_fire_and_to_be_silent_in_a_quiet_service():
    groups = yaml.safe_load((FILES / "alerts.yml").read_text(encoding="utf-8"))["groups"]
    alerts = {rule["alert"] for group in groups for rule in group["rules"] if "alert" in rule}
    tests = yaml.safe_load(EXPECTED.read_text(encoding="utf-8"))["tests"]
    expected = [(test["name"], one) for test in tests for one in test["alert_rule_test"]]
    assert {one["alertname"] for _, one in expected if one.get("exp_alerts")} == alerts
    quiet = [one for name, one in expected if name == "a quiet service"]
    assert {one["alertname"] for one in quiet if not one.get("exp_alerts")} == alerts


@NEEDS_PROMETHEUS
def test_prometheus_takes_the_configuration(tmp_path: Path):
    for name in ("alerts.yml", "prometheus.yml"):
        shutil.copy(FILES / name, tmp_path)
    (tmp_path / "key").write_text("secret")
    command = ["promtool", "check", "config", "prometheus.yml"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def test_rules_and_dashboard_ask_for_names_that_exist():
    exported = {
        name + suffix
        for name, family in FAMILIES.items()
        for suffix in {
            "counter": ["_total"], "gauge": [""], "histogram": ["_bucket", "_sum", "_count"]
        }[family.kind]
    }  # fmt: skip
    asked = set()
    for name in ("alerts.yml", "dashboard.json"):
        asked |= set(re.findall(r"\bcrossrec_[a-z_]+", (FILES / name).read_text(encoding="utf-8")))
    groups = {"crossrec_figures", "crossrec_service", "crossrec_drift"}
    assert asked - groups <= exported


def test_panels_do_not_overlap_and_say_what_they_show():
    dashboard = json.loads((FILES / "dashboard.json").read_text(encoding="utf-8"))
    places = [(panel["gridPos"]["x"], panel["gridPos"]["y"]) for panel in dashboard["panels"]]
    assert len(set(places)) == len(places)
    assert all(panel["title"] and panel["description"] for panel in dashboard["panels"])
