from __future__ import annotations

from pathlib import Path

import polars as pl
import pytest

import crossrec
from crossrec.domains import load_domain
from crossrec.domains.spec import Domain
from crossrec.errors import DataError, UnknownDomainError


def test_a_domain_is_its_yaml_and_shows_what_is_here_of_it(home: Path):
    films = crossrec.domain("films")
    assert isinstance(films, Domain)
    assert films.model_dump() == load_domain("films").model_dump()
    shown = films._repr_html_()
    assert "films: Films (imported)" in shown
    assert "weather, hour" in shown
    assert "data:image/svg+xml" in shown
    assert repr(films) == "<Domain films: Films (imported)>"
    assert films.release().is_current
    assert [one.version for one in films.releases()] == [films.release().version]


def test_a_domain_gives_its_tables_as_frames(home: Path):
    films = crossrec.domain("films")
    assert films.to_polars().height == 24
    assert films.to_polars("interactions")["user_id"].n_unique() == 20
    assert list(films.to_pandas().columns) == films.to_polars().columns
    with pytest.raises(DataError, match=r"has no table 'users'.*expected one of: .*interactions"):
        films.to_polars("users")


def test_a_domain_without_data_says_what_to_do(fresh_home: Path):
    movies = crossrec.domain("movies")
    assert not movies.is_imported
    assert "crossrec.import_data(&quot;movies&quot;)" in movies._repr_html_()
    assert movies.chart() is None
    with pytest.raises(DataError, match="crossrec data import movies"):
        movies.to_polars()


def test_an_unknown_domain_is_an_error_with_near_names():
    with pytest.raises(UnknownDomainError, match="movies"):
        crossrec.domain("movis")


def test_guesses_show_each_column_with_its_reason(tmp_path: Path, fresh_home: Path):
    items = pl.DataFrame({"sku": [f"s{n}" for n in range(30)], "name": ["tea & mug"] * 30})
    sales = pl.DataFrame(
        {
            "customer": [f"c{n % 5}" for n in range(60)],
            "sku": [f"s{n % 30}" for n in range(60)],
            "date": ["2026-01-31"] * 60,
        }
    )
    items.write_csv(tmp_path / "items.csv")
    sales.write_csv(tmp_path / "sales.csv")
    guesses = crossrec.infer_domain("shop", tmp_path / "items.csv", tmp_path / "sales.csv")
    frame = guesses.to_polars()
    roles = dict(frame.select(pl.concat_str("table", "column", separator="."), "role").iter_rows())
    assert roles["interactions.customer"] == "user_id"
    assert roles["items.sku"] == "item_id"
    assert "user_id" in guesses._repr_html_()
    crossrec.init_domain(guesses.domain)
    data = crossrec.domain("shop").data()
    assert dict(data.tables().select("table", "rows").iter_rows()) == {
        "items": 30,
        "interactions": 60,
    }
    assert data.to_polars()["title"].unique().to_list() == ["tea & mug"]
