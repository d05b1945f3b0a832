"""Reading streams: files, standard input, times and topics."""

from __future__ import annotations

import io
import json
from datetime import datetime, time, timedelta
from pathlib import Path

import polars as pl
import pytest

from crossrec.errors import DataError
from crossrec.monitoring.stream import read_stream, tidy, with_topics


def test_files_of_every_kind_give_the_same_stream(tmp_path: Path) -> None:
    frame = pl.DataFrame({"text": ["later", "first"], "timestamp": [86400, 0]})
    frame.write_parquet(tmp_path / "a.parquet")
    frame.write_csv(tmp_path / "a.csv")
    frame.write_ndjson(tmp_path / "a.jsonl")
    for name in ("a.parquet", "a.csv", "a.jsonl"):
        stream = read_stream(tmp_path / name)
        assert stream["text"].to_list() == ["first", "later"]
        assert str(stream["time"][1]) == "1970-01-02 00:00:00"


@pytest.mark.parametrize(
    "moment", ["2020-04-29", "2020-04-29T00:00:00Z", "2020-04-29 00:00:00", "2020-04-29T00:00:00.5"]
)
def test_iso_dates_are_read_with_and_without_time(moment: str) -> None:
    stream = tidy(pl.DataFrame({"text": ["x"], "timestamp": [moment]}))
    assert str(stream["time"][0]) == "2020-04-29 00:00:00"


def test_standard_input_is_json_lines(monkeypatch: pytest.MonkeyPatch) -> None:
    lines = "\n".join(json.dumps({"text": f"t{n}", "timestamp": n}) for n in (1, 2))
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(lines.encode())))
    assert read_stream("-")["text"].to_list() == ["t1", "t2"]
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(b"no json")))
    with pytest.raises(DataError, match="standard input is no JSON Lines"):
        read_stream("-")
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(b" ")))
    with pytest.raises(DataError, match="standard input is empty"):
        read_stream("-")


def test_what_cannot_be_read_is_said(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no column 'timestamp'"):
        tidy(pl.DataFrame({"text": ["x"], "timestmp": [1]}))
    with pytest.raises(DataError, match=r"1 of 2 times .* 'soon'"):
        tidy(pl.DataFrame({"text": ["x", "y"], "timestamp": ["soon", "2020-01-01"]}))
    with pytest.raises(DataError, match="has no text with a time"):
        tidy(pl.DataFrame({"text": [" ", None], "timestamp": [1, 2]}))


@pytest.mark.parametrize(
    "moment",
    [1_588_125_422_000, float("nan"), float("inf"), 1e20, -1e12, [1], time(1, 2), timedelta(1)],
)
def test_what_is_no_moment_is_said(moment: object) -> None:
    with pytest.raises(DataError, match=r"1 of 1 times .* neither unix seconds nor ISO dates"):
        tidy(pl.DataFrame({"text": ["x"], "timestamp": [moment]}))


def test_one_wrong_row_of_a_text_file_is_the_one_that_is_named(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("text,timestamp\na,1588125422\nb,soon\n")
    with pytest.raises(DataError, match=r"1 of 2 times .* 'soon'"):
        read_stream(tmp_path / "a.csv")
    stream = tidy(pl.DataFrame({"text": ["a"], "timestamp": ["1588125422"]}))
    assert str(stream["time"][0]) == "2020-04-29 01:57:02"


def test_moments_with_a_time_zone_are_read_in_utc() -> None:
    berlin = pl.Series([datetime(2020, 1, 1)]).dt.replace_time_zone("Europe/Berlin")
    stream = tidy(pl.DataFrame({"text": ["x"], "timestamp": berlin}))
    assert str(stream["time"][0]) == "2019-12-31 23:00:00"


def test_lists_are_no_texts() -> None:
    with pytest.raises(DataError, match=r"has List\(String\) in 'text'"):
        tidy(pl.DataFrame({"text": [["x"]], "timestamp": [1]}))


def test_topics_are_tickers_and_the_column() -> None:
    texts = pl.DataFrame(
        {
            "text": ["$aapl and $TSLA fall", "nothing", "$AAPL again", "costs $5"],
            "timestamp": [1, 2, 3, 4],
            "topic": [None, "Nokia", "$AAPL", None],
        }
    )
    topics = with_topics(tidy(texts))["topics"].to_list()
    assert [sorted(one) for one in topics] == [
        ["$AAPL", "$TSLA", "all"],
        ["Nokia", "all"],
        ["$AAPL", "all"],
        ["all"],
    ]


def test_topics_by_words() -> None:
    texts = tidy(pl.DataFrame({"text": ["Apple FALLS", "Rates up"], "timestamp": [1, 2]}))
    found = with_topics(texts, {"apple": ["apple", "iphone"], "banks": ["rates", "fed"]})
    assert found["topics"].to_list() == [["all", "apple"], ["all", "banks"]]
