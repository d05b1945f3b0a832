from __future__ import annotations

from pathlib import Path

import pytest

import crossrec
from crossrec.errors import ReleaseError, UnknownDomainError
from crossrec.releases import store


def test_a_release_shows_what_made_it_and_its_figures(home: Path):
    release = crossrec.release("films")
    assert isinstance(release, store.Release)
    assert release.to_polars().rows() == [
        ("all", "ndcg@10", 0.5, None, None, None),
        ("all", "recall@10", 0.7, None, None, None),
    ]
    shown = release._repr_html_()
    assert f"films {release.version}, current" in shown
    assert "leave_one_out" in shown
    assert "all-MiniLM-L6-v2" in shown


def test_releases_are_one_table(home: Path):
    releases = crossrec.list_releases("films")
    frame = releases.to_polars()
    assert frame.select("domain", "current", "ndcg@10").rows() == [("films", True, 0.5)]
    assert releases.to_pandas().shape[0] == 1
    assert "1 release, oldest first" in releases._repr_html_()


def test_what_there_is_not_is_an_error(home: Path):
    with pytest.raises(UnknownDomainError):
        crossrec.release("films_two")
    with pytest.raises(UnknownDomainError, match="did you mean 'films'"):
        crossrec.list_releases("flims")
    with pytest.raises(ReleaseError, match="has no release '20200101-000000-000'"):
        crossrec.release("films", "20200101-000000-000")


def test_no_release_is_an_empty_table(fresh_home: Path):
    assert crossrec.list_releases().to_polars().is_empty()
    assert "0 releases" in crossrec.list_releases()._repr_html_()
    assert crossrec.list_releases("movies") == []
