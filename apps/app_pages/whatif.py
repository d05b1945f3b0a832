"""What if: another history, another sentence, another moment; both answers side by side.

Both are asked in the same way, by telling the service the history and the declared weights (learned
ones are drawn for each answer), so that they differ by what the visitor changed alone. A request
can name disliked items only as blocked ones. Leaves to others: the widgets (controls.py), calls
(service.py), charts.
"""

from __future__ import annotations

from typing import NamedTuple

import polars as pl
import streamlit as st

from app_pages import controls, frames, moments, people, service, state, view
from app_pages.sentences import said
from app_pages.words import t
from crossrec import release_plots
from crossrec.serving.messages import (
    MAX_HISTORY,
    DomainCard,
    HistoryItem,
    RecommendRequest,
    RecommendResponse,
    UserCard,
    UserHistoryItem,
)

DAY_S = 24 * 3600


class Side(NamedTuple):
    """What is said and true beside the history."""

    text: str
    context: moments.Context


class Change(NamedTuple):
    """What is different in the second question."""

    left_out: list[str]
    """Item ids."""
    added: list[str]
    days: int
    side: Side


def show() -> None:
    """The whole page: fetch, choose, show."""
    state.take_over()
    where, domain = service.address(), controls.domain()
    view.heading(t("What if"), t("What would change if the user had done or said something else?"))
    with service.or_stop():
        card = service.card(where, domain)
    with st.sidebar:
        user_id = people.user(card)
        with service.or_stop():
            known = service.whole_history(where, domain, user_id) if user_id else None
        history = counting(known.history) if known else []
        k = controls.n_items()
        text = controls.wish(t("Wish in words, before"), "wish")
        asked = Side(text, moments.context(card.context, t("Context, before")))
        change = changes(card, history, asked)
    controls.subject(
        t("release {name}", name=card.release), *([f"{t('User')} {user_id}"] if user_id else [])
    )
    if known and not known.known:
        text = t("No history of user “{name}” is stored.", name=known.user_id)
        view.tell("info", text, "person_off")
    weights = {one.name: one.weight for one in card.objectives}
    requests = questions(history, asked, change, k, weights)
    with service.or_stop():
        before, after = (service.recommend(where, domain, card.release, one) for one in requests)
    if requests[0] == requests[1]:
        view.nothing(t("Nothing is changed yet: choose on the left what would be different."))
    sides(card, requests)
    cautions(card, requests, known)
    lists(before, after)


def counting(history: list[UserHistoryItem]) -> list[UserHistoryItem]:
    """Those of the entries, newest first, that a list rests on: the last word on an item counts, so
    a dislike stands for all that came before it, and goes when the item was chosen again.
    """
    said = [one for one in history if one.event != "impression"]
    disliked = {one.item_id: one.event == "dislike" for one in reversed(said)}
    return [one for one in said if (one.event == "dislike") == disliked[one.item_id]]


def changes(card: DomainCard, history: list[UserHistoryItem], asked: Side) -> Change:
    """The widgets of what would be different."""
    st.markdown(f"**{t('What would be different')}**")
    steps = {frames.unique(step.title, step.item_id, history): step.item_id for step in history}
    out = st.multiselect(
        t("Leave out of the history"),
        list(steps),
        placeholder=t("nothing"),
        key="out",
        bind=controls.URL,
        help=t("A dislike that is left out keeps its item out of the list no longer."),
    )
    added = people.items(card, t("Add to the history"), "add", "find", t("Find items to add"))
    text = other_wish(asked.text)
    days = 0
    if history and frames.has_clock(card):
        days = st.slider(
            t("Days later"),
            0,
            365,
            0,
            key="days",
            bind=controls.URL,
            help=t("Moves the clock: as if so many days more had passed since the last step."),
        )
    context = moments.other_context(card.context, t("Context, after"), asked.context, days)
    return Change([steps[one] for one in out], added, days, Side(text, context))


def other_wish(before: str) -> str:
    """The wish after the change: it follows that of before until it is made another."""
    former = st.session_state.get("whatif.wish", before)
    if st.session_state.get("wish2", "").strip() == former != before:
        st.session_state["wish2"] = before
    st.session_state["whatif.wish"] = before
    return controls.wish(t("Wish in words, after"), "wish2", before)


def questions(
    history: list[UserHistoryItem], asked: Side, change: Change, k: int, weights: dict[str, float]
) -> tuple[RecommendRequest, RecommendRequest]:
    """The same question twice, without the changes and with them.

    Args:
        history: what counts, newest first. Of more steps than a request holds, with those that are
            added, both questions lack the oldest.
    """
    steps = [step for step in history if step.event != "dislike"]
    steps = steps[: MAX_HISTORY - len(change.added)][::-1]
    blocked = list(dict.fromkeys(step.item_id for step in history if step.event == "dislike"))
    kept = [step for step in steps if step.item_id not in change.left_out]
    last = max((step.timestamp for step in steps), default=None)
    moved = [_told(step, change.days) for step in kept]
    moved += [
        HistoryItem(item_id=item_id, timestamp=None if last is None else last - change.days * DAY_S)
        for item_id in change.added
    ]
    before = RecommendRequest(
        history=[_told(step, 0) for step in steps],
        text=asked.text or None,
        context=asked.context,
        k=k,
        blocked=blocked,
        objectives=weights,
    )
    after = change.side
    changed = {
        "history": moved,
        "text": after.text or None,
        "context": after.context,
        "blocked": [item_id for item_id in blocked if item_id not in change.left_out],
    }
    return before, before.model_copy(update=changed)


def _told(step: UserHistoryItem, days: int) -> HistoryItem:
    """A step as a request tells it: time goes on by letting the history be so much older."""
    return HistoryItem(
        item_id=step.item_id, timestamp=step.timestamp - days * DAY_S, event=step.event
    )


def sides(card: DomainCard, requests: tuple[RecommendRequest, RecommendRequest]) -> None:
    """Both questions beside each other, in words."""
    names = (t("before"), t("after"))
    for column, name, request in zip(st.columns(2, gap="medium"), names, requests, strict=True):
        context = moments.told(card.context, request.context, bool(request.history))
        facts = [
            t("{n} steps of history", n=len(request.history)),
            *([t("{n} dislikes", n=len(request.blocked))] if request.blocked else []),
            f"“{request.text}”" if request.text else t("no wish in words"),
            *(context or [t("no context given")]),
        ]
        with column:
            view.section(name.capitalize(), " · ".join(facts))


def cautions(
    card: DomainCard, requests: tuple[RecommendRequest, RecommendRequest], known: UserCard | None
) -> None:
    """In what the lists differ from those of Explore, beside the weights; what cannot be asked."""
    before, after = requests
    if by_clock := moments.by_clock(card.context, before.context, after.context):
        text = t(
            "Where {fields} is left at “now”, the service uses its own clock (UTC); a question"
            " cannot do without it.",
            fields=", ".join(by_clock),
        )
        view.tell("caption", text)
    if before.blocked:
        text = t(
            "A dislike keeps its own item out of these lists; in Explore it also lowers items that"
            " are like it."
        )
        view.tell("caption", text)
    cut = known is not None and len(known.history) == MAX_HISTORY
    if cut or MAX_HISTORY in (len(before.history), len(after.history)):
        text = t("A question holds {n} steps: no older ones are asked with.", n=MAX_HISTORY)
        view.tell("caption", text)


def lists(before: RecommendResponse, after: RecommendResponse) -> None:
    """Both answers, and what became of each item."""
    if not before.items and not after.items:
        view.nothing(t("Nothing is left to recommend: the user has had every item of this domain."))
        return
    frame = frames.rank_changes(before.items, after.items)
    stay = frame.drop_nulls(["before", "after"])
    gone, new = frame["after"].null_count(), frame["before"].null_count()
    moved = stay.filter(pl.col("before") != pl.col("after"))
    view.figures(
        [
            (t("Stay in the list"), str(len(stay)), t("{n} of them move", n=len(moved))),
            (t("New"), str(new), ""),
            (t("Gone"), str(gone), ""),
        ]
    )
    left, right = st.columns([6, 5], gap="medium")
    with left:
        view.chart(
            release_plots.rank_changes(frame.select("title", "before", "after")),
            t("Rank of each item before and after the change"),
        )
    with right:
        view.table(frame.select("title", "before", "after", "item_id"), "what-if", t("What if"))
    by = [(one.release, one.arm) for one in (before, after)]
    if by[0] != by[1]:
        text = t("Two releases or arms answered, so the lists differ by more than your change.")
        view.tell("warning", text, "call_split")
    for sentence in {*before.ignored, *after.ignored}:
        view.tell("warning", said(sentence), "info")


show()
