"""What a visitor asks, and what if: run by AppTest against a real small service."""

from __future__ import annotations

import calendar
import re
from urllib.parse import parse_qs

import pytest

from crossrec.serving.client import Client
from crossrec.serving.explanation_messages import ExplainRequest, ExplainResponse
from crossrec.serving.messages import (
    MAX_HISTORY,
    ContextCard,
    DomainCard,
    RecommendRequest,
    RecommendResponse,
    UserCard,
    UserHistoryItem,
)
from tests.apps.pages.opened import Open, said


def _listened(monkeypatch: pytest.MonkeyPatch) -> list[RecommendRequest]:
    """What the service is asked from now on."""
    asked: list[RecommendRequest] = []
    recommend = Client.recommend

    def listen(self: Client, domain: str, request: RecommendRequest) -> RecommendResponse:
        asked.append(request)
        return recommend(self, domain, request)

    monkeypatch.setattr(Client, "recommend", listen)
    return asked


def test_both_sides_of_what_if_have_a_context_and_weekdays_move_with_the_clock(
    open_page: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = _listened(monkeypatch)
    app = open_page("whatif", user="user-1")
    app.selectbox(key="context.weather").set_value("rain").run()
    app.select_slider(key="context.hour").set_value("7").run()
    app.select_slider(key="context2.hour").set_value("9").run()
    assert [one.context for one in asked[-2:]] == [
        {"weather": "rain", "hour": 7.0},
        {"weather": "rain", "hour": 9.0},
    ]
    app.selectbox(key="context2.weather").set_value("any").run()
    assert asked[-1].context == {"hour": 9.0}
    from app_pages import moments

    monkeypatch.setattr(moments, "_given", lambda *_: {"weekday": None})
    field = ContextCard(name="weekday", kind="cycle", period=7)
    assert moments.other_context([field], "", {"weekday": 6.0}, days=3) == {"weekday": 2.0}
    assert moments.other_context([field], "", {}, days=3) == {}
    of_clock = field.model_copy(update={"derive": "weekday"})
    monkeypatch.setattr(moments, "_now", lambda field: 6.0)
    assert moments.other_context([of_clock], "", {}, days=3) == {"weekday": 2.0}
    assert moments.other_context([of_clock], "", {}) == {}


def test_months_have_names(open_page: Open) -> None:
    open_page("whatif")  # puts the app's folder on the path
    from app_pages import moments

    month = ContextCard(name="month", kind="cycle", period=12)
    steps = moments._steps(month)
    assert list(steps) == list(calendar.month_name[1:])
    assert (steps["January"], steps["December"]) == (1.0, 0.0)
    assert moments.told([month], {"month": 0.0}) == ["Month December"]


def test_where_the_service_takes_its_clock_nothing_chosen_is_now(
    open_page: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = _listened(monkeypatch)
    app = open_page("whatif", user="user-1")
    assert app.select_slider(key="context.hour").options[:2] == ["now", "0"]
    assert app.select_slider(key="context2.hour").options[:3] == ["as before", "now", "0"]
    assert "any" not in app.select_slider(key="context2.hour").options
    assert re.search(r"Hour now \(\d+, UTC\)", said(app))
    assert "no context given" not in said(app)
    assert "Where Hour is left at “now”, the service uses its own clock" in said(app)
    app.select_slider(key="context.hour").set_value("7").run()
    assert "its own clock" not in said(app)  # both questions name an hour
    app.select_slider(key="context2.hour").set_value("now").run()
    app.slider(key="k").set_value(3).run()  # which nobody asked for yet
    assert [one.context for one in asked[-2:]] == [{"hour": 7.0}, {}]
    assert "its own clock" in said(app)
    app.segmented_control(key="lang").set_value("中文").run()
    assert app.select_slider(key="context2.hour").value == "现在"


def test_what_the_service_takes_from_the_last_item_says_so(
    open_page: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = Client.card

    def of_last(self: Client, domain: str) -> DomainCard:
        card = real(self, domain)
        fields = {one.name: one for one in card.context}
        fields["weather"] = fields["weather"].model_copy(update={"derive": "last_item"})
        return card.model_copy(update={"context": list(fields.values())})

    monkeypatch.setattr(Client, "card", of_last)
    app = open_page("whatif", user="user-1")
    assert app.selectbox(key="context.weather").placeholder == "from the last item"
    assert app.selectbox(key="context2.weather").placeholder == "as before"
    assert app.selectbox(key="context2.weather").options[0] == "from the last item"
    assert "Weather from the last item" in said(app)
    app.selectbox(key="context2.weather").set_value("from the last item").run()
    app.segmented_control(key="lang").set_value("中文").run()
    assert app.selectbox(key="context2.weather").value == "取自上一个物品"
    assert "Weather from the last item" in said(open_page("explore", user="user-1"))
    assert "Weather" not in said(open_page("explore"))  # nobody, who had nothing


def test_a_user_and_a_wish_are_taken_to_what_if(open_page: Open) -> None:
    app = open_page("explore", user="user-1", wish="space", **{"context.weather": "rain"})
    [link] = [one.proto for one in app.get("page_link")]
    assert link.label == "What if for this user"
    assert parse_qs(link.query_string) == {
        "user": ["user-1"],
        "wish": ["space"],
        "context.weather": ["rain"],
        "domain": ["films"],
        "take": ["true"],
    }
    assert not open_page("explore", wish="space").get("page_link")


def test_users_are_found_by_what_they_had(open_page: Open) -> None:
    app = open_page("whatif")
    app.text_input(key="find_user").set_value("horror number 2").run()
    found = [one for one in app.button if (one.key or "").startswith("found.")]
    assert found
    assert "horror number 2" in found[0].label
    found[0].click().run()
    assert not app.exception
    assert app.selectbox(key="user").value == found[0].key.removeprefix("found.")
    app.text_input(key="find_user").set_value("zzz").run()
    assert "Nobody was found." in said(app)


def test_a_search_for_users_is_sent_with_the_view(open_page: Open) -> None:
    app = open_page("explore", find_user="horror number 2")
    assert any((one.key or "").startswith("found.") for one in app.button)


def test_somebody_is_described_by_what_they_had_and_words(open_page: Open) -> None:
    app = open_page("whatif")
    app.switch_page("app_pages/explore.py").run()
    app.segmented_control(key="asker").set_value("Described").run()
    app.text_input(key="find_had").set_value("horror number 2").run()
    app.multiselect(key="had").set_value(app.multiselect(key="had").options[:1]).run()
    app.text_input(key="wish").set_value("a friend of space films").run()
    assert not app.exception
    assert "for the user described" in said(app)
    assert "based on history, request" in said(app)


def test_an_item_is_shown_with_all_its_fields(open_page: Open) -> None:
    app = open_page("explore", user="user-1", panel="Item")
    fields = dict(app.dataframe[0].value.values.tolist())
    assert fields["item_id"].startswith("film-")
    assert {"category", "year", "price", "studio", "tags"} <= fields.keys()


def test_words_of_an_items_own_text_are_weighed(open_page: Open) -> None:
    app = open_page("explore", user="user-1", panel="Item")
    assert "Words of its own text" in said(app)
    assert len(app.get("vega_lite_chart")) == 1


def test_what_if_the_user_had_not_seen_it(open_page: Open) -> None:
    app = open_page("whatif", user="user-1")
    assert "Nothing is changed yet" in said(app)
    history = app.multiselect(key="out").options
    app.multiselect(key="out").set_value(history[:1]).run()
    assert not app.exception
    assert "Nothing is changed yet" not in said(app)
    frame = app.dataframe[0].value
    assert history[0] in set(frame["title"].dropna())  # what one has not had may be recommended
    app.text_input(key="wish2").set_value("horror").run()
    assert not app.dataframe[0].value.equals(frame)


def test_an_item_is_found_and_added_to_the_history(open_page: Open) -> None:
    app = open_page("whatif", user="user-1", find="horror number 2", k="50")
    first = app.multiselect(key="add").options[0]
    item_id = first.rpartition("(")[2].removesuffix(")")
    assert item_id in set(app.dataframe[0].value["item_id"])
    app.multiselect(key="add").set_value([first]).run()
    assert not app.exception
    assert item_id not in set(app.dataframe[0].value.dropna(subset=["after"])["item_id"])
    again = open_page("whatif", user="user-1", add=first)  # from the address alone
    assert again.multiselect(key="add").value == [first]
    assert open_page("whatif", user="user-1", add="No such (x)").multiselect(key="add").value == []


def test_what_if_asks_twice_alike_and_says_where_two_arms_answered(
    open_page: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[RecommendRequest] = []
    recommend = Client.recommend

    def in_turns(self: Client, domain: str, request: RecommendRequest) -> RecommendResponse:
        asked.append(request)
        answer = recommend(self, domain, request)
        return answer.model_copy(update={"arm": "ab"[len(asked) % 2]})

    monkeypatch.setattr(Client, "recommend", in_turns)
    app = open_page("whatif", user="user-1", wish2="horror")
    before, after = asked[-2:]
    assert (before.text, after.text) == (None, "horror")
    assert before.objectives == after.objectives
    assert before.objectives["relevance"] == 1
    assert any("Two releases or arms answered" in one.value for one in app.warning)


def _knows(monkeypatch: pytest.MonkeyPatch, *steps: tuple[int, str]) -> None:
    """What is stored of everybody: number of a film and event of each step, newest first."""
    history = [
        UserHistoryItem(
            item_id=f"film-{film}",
            title=f"Film {film}",
            event=event,
            timestamp=1_790_000_000 - row,
            source="feedback",
        )
        for row, (film, event) in enumerate(steps)
    ]
    found = UserCard(user_id="user-1", known=True, history=history)
    monkeypatch.setattr(Client, "user", lambda *asked, **how: found)


def test_a_dislike_that_is_left_out_blocks_no_more_and_impressions_are_not_offered(
    open_page: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    steps = [(1, "dislike"), (2, "like"), (2, "dislike"), (3, "impression"), (1, "like")]
    _knows(monkeypatch, *steps)
    asked = _listened(monkeypatch)
    app = open_page("whatif", user="user-1")
    assert app.multiselect(key="out").options == ["Film 1", "Film 2"]
    assert [step.item_id for step in asked[-1].history] == ["film-2"]  # the last word counts
    assert asked[-1].blocked == ["film-1"]
    assert "1 steps of history · 1 dislikes" in said(app)
    assert "in Explore it also lowers items" in said(app)
    app.multiselect(key="out").set_value(["Film 1"]).run()
    assert "Nothing is changed yet" not in said(app)
    assert asked[-1].blocked == []


def test_somebody_known_by_feedback_alone_has_a_clock(
    open_page: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    _knows(monkeypatch, (1, "like"))
    asked = _listened(monkeypatch)
    app = open_page("whatif", user="user-1")
    app.slider(key="days").set_value(10).run()
    assert asked[-1].history[0].timestamp == 1_790_000_000 - 10 * 24 * 3600


def test_of_a_long_history_the_newest_steps_are_asked_with(
    open_page: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    _knows(monkeypatch, *((row % 20, "like") for row in range(MAX_HISTORY)))
    asked = _listened(monkeypatch)
    app = open_page("whatif", user="user-1", add="The horror number 23 (film-23)")
    assert app.multiselect(key="add").value == ["The horror number 23 (film-23)"]
    before, after = asked[-2:]
    assert (len(before.history), len(after.history)) == (MAX_HISTORY - 1, MAX_HISTORY)
    assert before.history == after.history[:-1]  # the same steps are cut on both sides
    assert before.history[-1].item_id == "film-0"
    assert "A question holds 1000 steps" in said(app)


def test_an_item_whose_words_are_not_weighed_says_why(
    open_page: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    explain = Client.explain

    def wordless(self: Client, domain: str, asked: ExplainRequest) -> ExplainResponse:
        return explain(self, domain, asked).model_copy(update={"text_parts": []})

    monkeypatch.setattr(Client, "explain", wordless)
    app = open_page("explore", user="user-1", panel="Item")
    assert "The words of its text are not weighed" in said(app)
    assert not app.get("vega_lite_chart")


def test_what_if_says_that_nobody_knows_the_user(
    open_page: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    stranger = UserCard(user_id="user-1", known=False, history=[])
    monkeypatch.setattr(Client, "user", lambda *asked, **how: stranger)
    app = open_page("whatif", user="user-1")
    assert app.info[0].value == "No history of user “user-1” is stored."


def test_reasons_are_chinese_where_the_interface_is(open_page: Open) -> None:
    app = open_page("explore", user="user-1", lang="中文")
    assert "因为您选择过" in said(app)
    assert "Because" not in said(app)
    app.segmented_control(key="language").set_value("en").run()
    assert "Because you chose" in said(app)
