from __future__ import annotations

from pathlib import Path

import pytest

from crossrec.domains import domain_names, load_domain
from crossrec.domains.registry import domain_yaml
from crossrec.domains.spec import Domain
from crossrec.errors import ConfigError, UnknownDomainError
from tests.data.shop import write


def test_a_file_in_the_home_is_a_domain_and_hides_a_builtin_one(fresh_home: Path):
    write(fresh_home / "domains" / "shop.yaml", ["name: shop", "title: Mine"])
    write(fresh_home / "domains" / "movies.yaml", ["name: movies", "title: My films"])
    assert "shop" in domain_names()
    assert load_domain("movies").title == "My films"


def test_an_unknown_domain_names_near_matches():
    with pytest.raises(UnknownDomainError, match="did you mean 'movies'"):
        load_domain("moveis")


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        (["name: shop", "title: x", "titel: y"], r"shop\.yaml: titel: Extra inputs"),
        (["name: [", "title: x"], r"shop\.yaml is not valid YAML: line 3: [^\n]+$"),
        (["name: shop", "title: 2020-13-45"], "is not valid YAML: month must be in 1..12"),
        (["- name: shop"], r"shop\.yaml: file: Input should be"),
        ([""], r"shop\.yaml: file: Input should be"),
        (["name: stop", "title: x"], "names the domain 'stop'; expected 'shop'"),
        (["name: shop", "title: x", "source: {kind: ftp}"], "source"),
        (["name: shop", "title: x", "tables: {itmes: {}}"], "did you mean 'items'"),
        (["name: shop", "title: x", "context: [{name: h, kind: cycle}]"], "needs a period"),
        (
            ["name: shop", "title: x", "settings: {training: {mood: adapted}}"],
            r"shop\.yaml: settings: .*no setting is called training\.mood: did you mean 'mode'",
        ),
        (
            ["name: shop", "title: x", "settings: {adapter: {rank: 0}}"],
            r"shop\.yaml: settings: .*adapter\.rank: .*greater than or equal to 1",
        ),
    ],
)
def test_a_wrong_yaml_names_file_and_key(fresh_home: Path, lines: list[str], message: str):
    write(fresh_home / "domains" / "shop.yaml", lines)
    with pytest.raises(ConfigError, match=message):
        load_domain("shop")


def test_a_dumped_source_keeps_its_kind():
    source = {"kind": "file", "reader": "shop:read"}
    domain = Domain.model_validate({"name": "shop", "title": "Shop", "source": source})
    assert "kind: file" in domain_yaml(domain)
