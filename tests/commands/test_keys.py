from __future__ import annotations

import json

import pytest

from crossrec.serving.auth import KeyRing
from tests.commands.conftest import Run


def test_a_key_is_printed_once_and_works(run: Run):
    key = run("keys", "create", "shop", "--scope", "read", "--scope", "feedback").stdout.strip()
    assert KeyRing().check(key, "feedback").name == "shop"
    listed = run("keys", "list").stdout
    assert "shop" in listed
    assert key not in listed


def test_a_key_reads_only_unless_told_otherwise(run: Run):
    made = json.loads(run("keys", "create", "shop", "--json").stdout)
    assert made["scopes"] == ["read"]
    assert KeyRing().check(made["key"], "read").scopes == ["read"]


def test_a_revoked_key_is_gone(run: Run):
    run("keys", "create", "shop")
    [key] = json.loads(run("keys", "list", "--json").stdout)
    assert "sha256" not in key
    assert "revoked" in run("keys", "revoke", key["key_id"]).stdout
    assert json.loads(run("keys", "list", "--json").stdout) == []


def test_an_unknown_scope_and_an_unknown_id_are_errors(run: Run):
    assert "did you mean 'feedback'?" in run("keys", "create", "x", "--scope", "feedbak").stderr
    assert run("keys", "revoke", "nobody").exit_code == 2


def test_a_rotated_key_works_on_for_a_while(run: Run):
    old = run("keys", "create", "shop", "--rate", "5").stdout.strip()
    [stored] = json.loads(run("keys", "list", "--json").stdout)
    new = json.loads(run("keys", "rotate", stored["key_id"], "--json").stdout)["key"]
    assert KeyRing().check(old, "read").expires_at is not None
    assert KeyRing().check(new, "read").requests_per_s == 5
    listed = run("keys", "list").stdout
    assert listed.count("5/s") == 2
    assert run("keys", "rotate", "nobody").exit_code == 2
    assert run("keys", "create", "shop", "--rate", "0").exit_code == 2


@pytest.mark.parametrize("hours", ["nan", "inf", "-1", "1e300"])
def test_a_time_that_is_none_is_refused_in_a_sentence(run: Run, hours: str):
    run("keys", "create", "shop")
    [stored] = json.loads(run("keys", "list", "--json").stdout)
    refused = run("keys", "rotate", stored["key_id"], "--grace-hours", hours)
    assert refused.exit_code == 2
    assert "Traceback" not in refused.stderr
    assert "hours for the old key; expected 0 to 87,600" in " ".join(refused.stderr.split())
    assert len(json.loads(run("keys", "list", "--json").stdout)) == 1
