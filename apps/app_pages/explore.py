"""Explore: who or what is asked for, what is recommended, why, and what feedback changes.

Leaves to others: the widgets of the question (controls.py), calls (service.py), charts (plots).
"""

from __future__ import annotations

import uuid

import streamlit as st

from app_pages import controls, frames, moments, service, view, why
from app_pages.sentences import said
from app_pages.words import t
from crossrec import plots
from crossrec.errors import CrossrecError
from crossrec.serving.messages import (
    DomainCard,
    FeedbackEvent,
    Recommendation,
    RecommendRequest,
    RecommendResponse,
    UserCard,
)


def show() -> None:
    """The whole page: fetch, choose, show."""
    where = service.address()
    domain = controls.domain()
    with service.or_stop():
        card = service.card(where, domain)
    request = controls.question(card)
    with service.or_stop():
        answer = service.recommend(where, domain, card.release, request)
        known = service.user(where, domain, request.user_id) if request.user_id else None
    controls.begin_at(card.objectives, answer.weights)
    header(card, answer, request)
    ranked_by(answer)
    basis(answer, request)
    if not answer.items:
        empty(request)
        return
    ranking, details = st.columns([6, 5], gap="medium")
    with ranking:
        ranked_items(answer, request, card)
    with details:
        panels(answer, known, request, card)


def header(card: DomainCard, answer: RecommendResponse, request: RecommendRequest) -> None:
    """What is looked at: the domain, the release that answers, what the answer rests on; and what
    is asked.
    """
    view.note("heading", card.title, "")
    facts = [
        t("based on {what}", what=", ".join(t(one) for one in answer.based_on)),
        t("{n} items", n=f"{card.n_items:,}"),
        t("{n} users", n=f"{card.n_users:,}"),
        t("release {name}", name=answer.release),
    ]
    with st.container(horizontal=True, vertical_alignment="center", gap="small"):
        st.subheader(frames.plain(card.title), anchor=False, width="content")
        view.badges(facts, simulated=card.simulated)
    if asked := question(card, request, answer.user_known or bool(request.history)):
        view.tell("caption", " · ".join(asked))


def question(card: DomainCard, request: RecommendRequest, after_items: bool) -> list[str]:
    """What is asked, in words, but for the weights (`ranked_by` has them); see `moments.told`."""
    had = ", ".join(st.session_state.get("had", []))
    return [
        *([f"{t('User')} {request.user_id}"] if request.user_id else []),
        *([f"{t('They had')}: {had}"] if request.history else []),
        *([f"“{request.text}”"] if request.text else []),
        *moments.told(card.context, request.context, after_items),
        *(frames.allowed(name, values) for name, values in request.filters.items()),
        *([] if request.exclude_seen else [t("also items that the user has had")]),
    ]


def ranked_by(answer: RecommendResponse) -> None:
    """The weights of the list and whose they are, where more than relevance ranks it; the arm."""
    facts = [t("arm {name}", name=answer.arm)] if answer.arm else []
    if answer.weights_version is not None:
        facts.append(t("learned weights, version {n}", n=answer.weights_version))
    if set(answer.weights) - {"relevance"}:
        named = [f"{moments.named(one)} {weight:.2g}" for one, weight in answer.weights.items()]
        facts.append(t("ranked by {what}", what=", ".join(named)))
    if facts:
        view.tell("caption", " · ".join(facts))


def basis(answer: RecommendResponse, request: RecommendRequest) -> None:
    """What the answer rests on, and what of the question could not be used."""
    if request.user_id and not answer.user_known:
        text = t(
            "No history of user “{name}” is stored; the answer rests on {what}.",
            name=request.user_id,
            what=t(" and ").join(t(one) for one in answer.based_on),
        )
        view.tell("info", text, "person_off")
    for sentence in answer.ignored:
        view.tell("warning", said(sentence), "info")
    notice = st.session_state.get("explore.notice")
    if notice and notice["question"] == (answer.domain, request):
        view.tell("error" if notice["failed"] else "success", notice["text"])


def empty(request: RecommendRequest) -> None:
    """No item is left to show: say why and what to do."""
    if request.filters:
        view.nothing(t("No item passes these filters. Remove one, or widen its range."))
    else:
        view.nothing(t("Nothing is left to recommend: the user has had every item of this domain."))


def ranked_items(answer: RecommendResponse, request: RecommendRequest, card: DomainCard) -> None:
    """The ranking as cards with thumbs, or as a table to sort and download."""
    shown = len(answer.items)
    if request.history:
        title = t("Top {n} for the user described", n=shown)
    elif request.user_id:
        title = t("Top {n} for user {name}", n=shown, name=request.user_id)
    else:
        title = t("Top {n} for a new visitor", n=shown)
    with st.container(
        horizontal=True, horizontal_alignment="distribute", vertical_alignment="center"
    ):
        st.markdown(f"**{frames.plain(title)}**", width="content")
        if request.user_id:
            view.to_whatif(answer.domain)
        looks = st.segmented_control(
            t("View"),
            [t("Cards"), t("Table")],
            default=t("Cards"),
            required=True,
            label_visibility="collapsed",
            key="view",
            bind="query-params",
        )
    rated = card.task == "rate"
    frame = frames.ranking(answer.items, why.spoken(), rated=rated)
    if looks == t("Table"):
        view.table(frame, "ranking", title)
        return
    view.note_table(frame, "ranking", title)
    moved = frames.movements(earlier(request, answer), answer.items)
    for item in answer.items:
        with st.container(border=True, gap="xsmall"):
            item_head(item, moved.get(item.item_id), answer, request)
            if item.explanation:
                st.markdown(f":small[{frames.plain(why.sentence(item, rated=rated))}]")
    view.numbers(frame, "ranking", title)


def earlier(request: RecommendRequest, answer: RecommendResponse) -> list[str]:
    """Item ids of the list before the last feedback to this question, else of this list."""
    before = st.session_state.get("explore.before")
    if before and before["question"] == (answer.domain, request):
        return list(before["items"])
    return [item.item_id for item in answer.items]


def item_head(
    item: Recommendation, moved: str | None, answer: RecommendResponse, request: RecommendRequest
) -> None:
    """Title, three buttons, and facts."""
    with st.container(horizontal=True, vertical_alignment="center", gap="small"):
        st.markdown(f"**{item.rank}. {frames.plain(item.title)}**", width="stretch")
        if moved:
            colour = "gray" if moved.startswith("▼") else "green"
            st.badge(t("new") if moved == "new" else moved, color=colour)
        buttons(item, answer, request)
    st.caption(frames.plain(frames.facts(item)))


def buttons(item: Recommendation, answer: RecommendResponse, request: RecommendRequest) -> None:
    """Thumbs and the way to the reasons; they stay together when a long title wraps."""
    with st.container(horizontal=True, width="content", gap="small"):
        thumb("like", item, answer, request)
        thumb("dislike", item, answer, request)
        st.button(
            t("Why?"),
            key=f"why.{item.item_id}",
            icon=":material/bar_chart:",
            type="tertiary",
            on_click=look_at,
            args=(item.item_id,),
        )


LABELS = {"like": ("Like", ":material/thumb_up:"), "dislike": ("Dislike", ":material/thumb_down:")}


def thumb(
    event: str, item: Recommendation, answer: RecommendResponse, request: RecommendRequest
) -> None:
    """A button that stores the event and lets the page ask again."""
    label, icon = LABELS[event]
    st.button(
        t(label),
        key=f"{event}.{item.item_id}",
        icon=icon,
        type="tertiary",
        disabled=request.user_id is None,
        help=None if request.user_id else t("Choose a user first: feedback belongs to a user."),
        on_click=give_feedback,
        args=(event, item, answer, request),
    )


def look_at(item_id: str) -> None:
    """Show the reasons of this item in the panel."""
    st.session_state["item"] = item_id
    st.session_state["panel"] = t(PANELS[0])


def give_feedback(
    event: str, item: Recommendation, answer: RecommendResponse, request: RecommendRequest
) -> None:
    """Send one event; the page runs again after it, with answers asked anew."""
    message = FeedbackEvent(
        event_id=str(uuid.uuid4()),
        user_id=str(request.user_id),
        item_id=item.item_id,
        event=event,
        request_id=answer.request_id,
    )
    try:
        result = service.send(service.address(), answer.domain, message)
        refused = result.rejected[0].reason if result.rejected else None
    except CrossrecError as err:
        refused = str(err)
    named = {"event": t(event), "title": item.title}
    text = t("Stored the {event} of {title} and asked for the list again.", **named)
    question = (answer.domain, request)
    if refused:
        why_not = said(refused)
        text = t("The {event} of {title} was not stored: {why}", why=why_not, **named)
    else:
        order = [other.item_id for other in answer.items]
        st.session_state["explore.before"] = {"question": question, "items": order}
    notice = {"question": question, "text": text, "failed": bool(refused)}
    st.session_state["explore.notice"] = notice


PANELS = ["Reasons", "Item", "Signals", "History"]


def panels(
    answer: RecommendResponse, known: UserCard | None, request: RecommendRequest, card: DomainCard
) -> None:
    """Reasons of one item, signals of the ranking, history of the user."""
    tabs = view.tabs(PANELS, "panel")
    draw = (
        lambda: reasons(answer, request, rated=card.task == "rate"),
        lambda: all_fields(answer, request),
        lambda: signals(answer),
        lambda: history(known, clock=frames.has_clock(card)),
    )
    for tab, content in zip(tabs, draw, strict=True):
        if tab.open:
            with tab:
                content()


def reasons(answer: RecommendResponse, request: RecommendRequest, *, rated: bool) -> None:
    """One item taken apart, in figures that add up to its score, and what would take it out."""
    item = chosen_item(answer)
    if item.explanation is None or not item.explanation.parts:
        view.tell("info", t("This release gives no reasons."))
        return
    view.tell("markdown", why.sentence(item, rated=rated))
    title = t("Parts of the score of {title}", title=item.title)
    frame = frames.parts(item.explanation, why.spoken())
    view.chart(plots.explanation(frame), title)
    text = t(
        "Measured by scoring again without each part, and with it alone; the parts add up to"
        " the score of {score}.",
        score=f"{item.explanation.score:.3f}",
    )
    view.tell("caption", text)
    view.numbers(frame, "reasons", title)
    why.deeper(answer, item, request)


def chosen_item(answer: RecommendResponse) -> Recommendation:
    """The item that the panel looks at, the first of the list at first."""
    items = {item.item_id: item for item in answer.items}
    first = answer.items[0].item_id
    chosen = st.session_state.get("item") or st.query_params.get("item")
    st.session_state["item"] = chosen if chosen in items else first
    item_id = st.selectbox(
        t("Item"),
        list(items),
        format_func=lambda item_id: f"{items[item_id].rank}. {items[item_id].title}",
        key="item",
    )
    view.mirror("item", None if item_id == first else item_id)
    return items[item_id]


def all_fields(answer: RecommendResponse, request: RecommendRequest) -> None:
    """Everything that the catalogue says of one item, what the ranking measured of it, and what
    the words of its text give.
    """
    item = chosen_item(answer)
    with service.or_stop():
        card = service.item(service.address(), answer.domain, item.item_id)
    view.tell("markdown", card.text)
    view.table(frames.fields(card, item), f"item-{item.item_id}", card.title)
    why.own_words(answer, item, request)


def signals(answer: RecommendResponse) -> None:
    """Which signals carry each item."""
    frame = frames.signals(answer.items)
    if frame.is_empty():
        view.tell("info", t("This release gives no signals."))
        return
    title = t("Signals of each item")
    view.chart(plots.signals(frame), title)
    text = t("The parts of one bar sum to the item's score; parts left of zero lower it.")
    view.tell("caption", text)
    view.numbers(frame, "signals", title)


def history(known: UserCard | None, *, clock: bool) -> None:
    """What is stored of the user, newest first; where there is no clock, by position."""
    if known is None:
        view.tell("info", t("Choose a user on the left to see what is stored of them."))
        return
    if not known.history:
        text = t("Nothing is stored of this user yet. A like or dislike is the first entry.")
        view.tell("info", text)
        return
    frame = frames.history(known.history, clock=clock)
    view.chart(plots.timeline(frame, ordered_only=not clock), t("What the user did and when"))
    shown = {"n": min(20, len(frame)), "all": len(frame)}
    view.tell("caption", t("The newest {n} of {all} entries that the service sent.", **shown))
    columns = ["title", "event", "source", "item_id"]
    if clock:
        frame, columns = frames.dated(frame.rename({"timestamp": "at"})), [*columns, "at"]
    view.table(frame.select(columns), "history", t("History"))


show()
