"""Figures of the Prometheus page as rows and alerts; expected ones are worked by hand."""

from __future__ import annotations

from crossrec.serving.live_figures import read_page

PAGE = """
# TYPE crossrec_request_seconds histogram
crossrec_request_seconds_bucket{domain="films",le="0.1",route="recommendations",status="200"} 900
crossrec_request_seconds_bucket{domain="films",le="0.5",route="recommendations",status="200"} 1000
crossrec_request_seconds_bucket{domain="films",le="+Inf",route="recommendations",status="200"} 1000
crossrec_request_seconds_count{domain="films",route="recommendations",status="200"} 1000
crossrec_request_seconds_sum{domain="films",route="recommendations",status="200"} 50
crossrec_request_seconds_bucket{domain="films",le="+Inf",route="card",status="500"} 20
crossrec_request_seconds_count{domain="films",route="card",status="500"} 20
crossrec_request_seconds_sum{domain="films",route="card",status="500"} 1
# TYPE crossrec_top_score counter
crossrec_top_score_total{domain="films",tenth="1"} 1000
crossrec_top_score_total{domain="books",tenth="1"} 5
# TYPE crossrec_words counter
crossrec_words_total{domain="films",known="yes"} 30
crossrec_words_total{domain="films",known="no"} 10
"""


def test_times_are_told_by_route_with_their_quantiles():
    row = next(row for row in read_page(PAGE.encode()).requests if row["status"] == "200")
    assert (row["n"], row["mean_ms"]) == (1000, 50.0)
    assert row["p50_ms"] == 55.556  # 500 of the 900 below 100 ms
    assert row["p95_ms"] == 300.0  # half of the way from 100 to 500


def test_drift_is_told_only_of_enough_answers():
    films, books = sorted(read_page(PAGE.encode()).drift, key=lambda row: -row["answers"])
    assert films["psi"] > 2  # all answers in one tenth
    assert films["unknown_words"] == 0.25
    assert (books["psi"], books["unknown_words"]) == (None, None)


def test_what_is_wrong_is_one_sentence_each():
    alerts = read_page(PAGE.encode()).alerts
    assert alerts[0] == "films: 20 of 1,020 requests failed"
    assert "a twentieth of the answers takes over 300 ms" in alerts[1]
    assert "best scores are not what they were" in alerts[2]
    assert len(alerts) == 3


def test_a_page_without_figures_is_no_error():
    found = read_page(b"")
    assert (found.requests, found.drift, found.alerts) == ([], [], [])
