"""What a visitor of the Explore page sees and can do; only the client is replaced."""

from __future__ import annotations

import pytest
from streamlit.testing.v1 import AppTest

from crossrec.errors import ServiceError
from crossrec.serving.explanation_messages import ExplainRequest, ExplainResponse
from crossrec.serving.messages import DomainCard, RecommendRequest, RecommendResponse
from tests.apps.conftest import Open
from tests.apps.fake_client import FakeClient


def texts(app: AppTest) -> str:
    """All that is written on the page."""
    kinds = ("markdown", "caption", "subheader", "info", "success", "error", "warning")
    return "\n".join(element.value for kind in kinds for element in app.get(kind))


def test_the_first_visit_shows_a_ranking_for_a_new_visitor(
    open_app: Open, client: type[FakeClient]
) -> None:
    app = open_app()
    assert "Top 5 for a new visitor" in texts(app)
    assert "**1. Alien**" in texts(app)
    domain, request = client.asked[-1]
    assert (domain, request.user_id, request.k, request.explain) == ("movies", None, 10, True)


def test_everything_in_the_address_is_asked_for(open_app: Open, client: type[FakeClient]) -> None:
    query = {"context.weather": "rain", "context.hour": "19", "context.weekday": "Sunday"}
    place = {"context.location.latitude": "48.1", "context.location.longitude": "11.5"}
    open_app(
        domain="restaurants_sim",
        user="8",
        wish="cheap sushi",
        k="3",
        fresh="false",
        **query,
        **place,
    )
    domain, request = client.asked[-1]
    assert domain == "restaurants_sim"
    assert (request.user_id, request.text, request.k) == ("8", "cheap sushi", 3)
    assert not request.exclude_seen
    expected = {"weather": "rain", "hour": 19, "weekday": 6, "location": [48.1, 11.5]}
    assert request.context == expected


def test_own_weights_are_all_sent_those_of_the_domain_too(
    open_app: Open, client: type[FakeClient]
) -> None:
    app = open_app(domain="restaurants_sim")
    assert client.asked[-1][1].objectives == {}
    app.toggle(key="weigh").set_value(True).run()
    assert client.asked[-1][1].objectives == {"price": 0.2, "diversity": 0}
    assert app.slider(key="objective.price").help == "lower price_eur is better"
    app.slider(key="objective.price").set_value(1.5).run()
    assert client.asked[-1][1].objectives == {"price": 1.5, "diversity": 0}
    assert app.query_params["objective.price"] == "1.5"
    open_app(**{"domain": "restaurants_sim", "weigh": "true", "objective.diversity": "0.5"})
    assert client.asked[-1][1].objectives == {"price": 0.2, "diversity": 0.5}


def test_learned_weights_are_told_and_own_ones_begin_at_them(
    open_app: Open, client: type[FakeClient], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(client, "learned", {"price": -0.437, "diversity": 0.1})
    app = open_app(domain="restaurants_sim")
    told = r"learned weights, version 7 · ranked by Relevance 1, Price -0.44, Diversity 0.1"
    assert told in texts(app)
    app.toggle(key="weigh").set_value(True).run()
    assert client.asked[-1][1].objectives == {"price": -0.44, "diversity": 0.1}
    assert "learned weights" not in texts(app)
    address = {name: app.query_params[name] for name in app.query_params}
    assert address["objective.price"] == "-0.44"
    app.slider(key="objective.price").set_value(0.2).run()
    assert client.asked[-1][1].objectives == {"price": 0.2, "diversity": 0.1}
    assert "objective.price=0.2" in next(m.value for m in app.markdown if "Link to" in m.value)
    again = open_app(**(address | {"weigh": "true"}))  # which a browser writes by itself
    shown = [again.slider(key=f"objective.{name}").value for name in ("price", "diversity")]
    assert shown == [-0.44, 0.1]


def test_the_arm_that_answered_is_told(
    open_app: Open, client: type[FakeClient], monkeypatch: pytest.MonkeyPatch
) -> None:
    recommend = client.recommend

    def in_an_arm(self: FakeClient, domain: str, request: RecommendRequest) -> RecommendResponse:
        return recommend(self, domain, request).model_copy(update={"arm": "newer"})

    monkeypatch.setattr(client, "recommend", in_an_arm)
    assert "arm newer" in texts(open_app())


def test_half_a_place_is_not_sent(open_app: Open, client: type[FakeClient]) -> None:
    open_app(**{"domain": "restaurants_sim", "context.location.latitude": "48.1"})
    assert client.asked[-1][1].context == {}


def test_context_that_restricts_is_sent_and_says_what_it_does(
    open_app: Open, client: type[FakeClient]
) -> None:
    app = open_app(**{"domain": "restaurants_sim", "context.city": "Vienna"})
    assert client.asked[-1][1].context == {"city": "Vienna"}
    assert app.selectbox(key="context.city").help == "only items of this town are recommended"
    assert not app.selectbox(key="context.weather").help


def test_reasons_are_a_chart_that_adds_up_and_a_sentence(open_app: Open) -> None:
    app = open_app(user="7", item="2")
    assert "Because of Fargo." in texts(app)
    assert "score of 0.500" in texts(app)
    assert app.get("vega_lite_chart")


def test_why_moves_the_reasons_to_that_item(open_app: Open) -> None:
    app = open_app(user="7")
    app.button(key="why.4").click().run()
    assert app.selectbox(key="item").value == "4"
    assert app.query_params["item"] == "4"
    assert "score of 0.250" in texts(app)


def test_a_like_is_stored_and_changes_the_list(open_app: Open, client: type[FakeClient]) -> None:
    app = open_app(user="7")
    app.button(key="like.1").click().run()
    (event,) = client.told
    assert (event.user_id, event.item_id, event.event) == ("7", "1", "like")
    assert event.request_id == "request-1"
    assert "Stored the like of Alien" in texts(app)
    assert "**1. Brazil**" in texts(app)
    assert "▲1" in texts(app)


def test_feedback_is_seen_by_the_next_visitor_too(open_app: Open) -> None:
    later = open_app(user="7")
    open_app(user="7").button(key="like.1").click().run()
    assert "**1. Brazil**" in texts(later.run())


def test_a_refused_event_is_told_and_changes_nothing(open_app: Open) -> None:
    app = open_app(user="7")
    app.button(key="dislike.4").click().run()
    assert app.error[0].value == "The dislike of Duel was not stored\\: no item '4'"
    assert "**1. Alien**" in texts(app)
    assert "▲" not in texts(app)


def test_feedback_needs_a_user(open_app: Open) -> None:
    app = open_app()
    assert app.button(key="like.1").disabled
    assert not app.button(key="why.1").disabled


def test_an_unknown_user_is_told_so(open_app: Open) -> None:
    app = open_app(user="nobody")
    assert "No history of user “nobody” is stored" in app.info[0].value
    from app_pages import view

    told = [part for (kind, _), part in app.session_state[view.PARTS].items() if kind == "told"]
    assert {"kind": "info", "text": app.info[0].value} in told  # of the report


def test_titles_are_shown_as_written(open_app: Open) -> None:
    assert r"**3. \*batteries not included**" in texts(open_app())


def test_a_filter_that_nothing_passes_says_what_to_do(
    open_app: Open, client: type[FakeClient]
) -> None:
    app = open_app(**{"filters": "year", "filter.year.min": "2990"})
    assert client.asked[-1][1].filters == {"year": {"min": 2990}}
    assert "No item passes these filters" in app.info[0].value


def test_the_table_has_score_signals_and_reason(open_app: Open) -> None:
    table = open_app(user="7", view="Table").dataframe[0].value
    assert {"rank", "title", "score", "sequence", "text", "reason", "year"} <= set(table.columns)


def test_history_and_signals_are_drawn(open_app: Open) -> None:
    assert open_app(user="7", panel="Signals").get("vega_lite_chart")
    app = open_app(user="7", panel="History")
    assert list(app.dataframe[0].value["title"]) == ["Fargo"]
    assert "time (UTC)" in app.get("vega_lite_chart")[0].proto.spec


def test_a_history_without_a_clock_is_drawn_by_position(
    open_app: Open, client: type[FakeClient], monkeypatch: pytest.MonkeyPatch
) -> None:
    card = client.card

    def timeless(self: FakeClient, domain: str) -> DomainCard:
        return card(self, domain).model_copy(update={"time_kind": "none"})

    monkeypatch.setattr(client, "card", timeless)
    [chart] = open_app(user="7", panel="History").get("vega_lite_chart")
    assert "position in the history" in chart.proto.spec


def test_another_domain_forgets_user_and_words(open_app: Open, client: type[FakeClient]) -> None:
    app = open_app(domain="movies", user="7", wish="space")
    app.selectbox(key="domain").select("restaurants_sim").run()
    domain, request = client.asked[-1]
    assert (domain, request.user_id, request.text) == ("restaurants_sim", None, None)


def test_another_domain_forgets_context_filters_and_weights(
    open_app: Open, client: type[FakeClient], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(client, "served", ["restaurants_sim", "cafes_sim"])
    moment = {"context.weather": "rain", "context.hour": "19", "context.temperature": "12"}
    place = {"context.location.latitude": "48.1", "context.location.longitude": "11.5"}
    weights = {"weigh": "true", "objective.price": "1.5"}
    filters = {"filters": "director", "filter.director": "Scott"}
    app = open_app(domain="restaurants_sim", **moment, **place, **weights, **filters)
    asked = client.asked[-1][1]
    assert (len(asked.context), asked.filters, asked.objectives["price"]) == (
        4,
        {"director": ["Scott"]},
        1.5,
    )
    app.selectbox(key="domain").select("cafes_sim").run()
    domain, asked = client.asked[-1]
    assert (domain, asked.context, asked.filters, asked.objectives) == ("cafes_sim", {}, {}, {})
    app.toggle(key="weigh").set_value(True).run()
    app.multiselect(key="filters").set_value(["director"]).run()
    asked = client.asked[-1][1]
    assert (asked.filters, asked.objectives) == ({}, {"price": 0.2, "diversity": 0})
    app.selectbox(key="domain").select("restaurants_sim").run()
    assert client.asked[-1][1].context == {}


def test_a_domain_that_is_not_served_is_told_until_another_is_chosen(open_app: Open) -> None:
    app = open_app(domain="moovies")
    said = [one.value for one in app.sidebar.warning]
    assert said == ["The address names the domain “moovies”, which this service does not serve."]
    app.selectbox(key="domain").select("restaurants_sim").run()
    assert not app.sidebar.warning


def test_a_service_that_is_down_is_one_sentence(
    open_app: Open, client: type[FakeClient], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(client, "down", True)
    monkeypatch.setenv("CROSSREC_API", "http://127.0.0.1:9")
    app = open_app()
    assert [error.value for error in app.error] == [
        "no crossrec service answers at http://127.0.0.1:9"
    ]
    assert not app.selectbox
    monkeypatch.setattr(client, "down", False)
    app.button[0].click().run()
    assert "**1. Alien**" in texts(app)


def test_a_card_that_cannot_be_had_again_while_a_page_is_made_is_not_asked_for(
    open_app: Open, client: type[FakeClient], monkeypatch: pytest.MonkeyPatch
) -> None:
    from app_pages import service

    recommend = client.recommend

    def then_gone(self: FakeClient, domain: str, request: RecommendRequest) -> RecommendResponse:
        answer = recommend(self, domain, request)
        service.card.clear()
        monkeypatch.setattr(client, "down", True)
        return answer

    monkeypatch.setattr(client, "recommend", then_gone)
    assert "**1. Alien**" in texts(open_app())  # which asserts that there is no exception


def test_why_is_asked_again_where_the_service_went_away(
    open_app: Open, client: type[FakeClient], monkeypatch: pytest.MonkeyPatch
) -> None:
    explain = client.explain

    def gone(self: FakeClient, domain: str, asked: ExplainRequest) -> ExplainResponse:
        raise ServiceError("no crossrec service answers at here")

    monkeypatch.setattr(client, "explain", gone)
    app = open_app(user="7")
    assert [one.value for one in app.warning] == ["no crossrec service answers at here"]
    assert "**1. Alien**" in texts(app)
    monkeypatch.setattr(client, "explain", explain)
    app.button(key="try_again").click().run()
    assert "Alien is above Brazil by 0.50." in texts(app)
    assert "try_again" not in [one.key for one in app.button]


def test_no_served_domain_says_how_to_start_one(
    open_app: Open, client: type[FakeClient], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(client, "served", [])
    assert "crossrec serve movies" in open_app().info[0].value


def test_domains_page_shows_figures_with_their_origin(open_app: Open) -> None:
    app = open_app(page="app_pages/domains.py")
    assert [metric.value for metric in app.metric] == ["0.113", "0.210", "0.500"]
    assert r"protocol leave\_one\_out · 943 test users · data 0123456789ab" in texts(app)
    assert "published without an evaluation" in app.info[0].value


def test_domains_page_leads_to_a_domain(open_app: Open) -> None:
    app = open_app(page="app_pages/domains.py")
    links = [one.proto for one in app.get("page_link")]
    assert [one.query_string for one in links] == ["domain=movies", "domain=restaurants_sim"]
    assert {one.label for one in links} == {"Explore"}


def test_what_would_take_an_item_out_and_why_it_is_above_another(
    open_app: Open, client: type[FakeClient]
) -> None:
    app = open_app(user="7")
    assert "Without Fargo it would be number 14." in texts(app)
    assert "Alien is above Brazil by 0.50." in texts(app)
    asked = client.explained[-1]
    assert (asked.item_id, asked.against, asked.request.user_id) == ("1", "2", "7")
    assert asked.request_id == "request-1"  # of the list that is shown
    app.selectbox(key="against").set_value("5").run()
    assert "Alien is above Fargo by 0.50." in texts(app)
    assert client.explained[-1].against == "5"


def test_sentences_come_in_chinese(open_app: Open, client: type[FakeClient]) -> None:
    app = open_app(user="7", language="zh")
    assert "如果没有Fargo" in texts(app)
    assert client.explained[-1].language == "zh"


def test_an_item_that_stays_and_one_that_cannot_be_explained_say_so(open_app: Open) -> None:
    assert "without which it would leave the first 5" in texts(open_app(user="7", item="2"))
    app = open_app(user="7", item="4")
    assert "item '4' is not among those that are recommended" in texts(app)
    assert "try_again" not in [one.key for one in app.button]
    assert not app.exception
