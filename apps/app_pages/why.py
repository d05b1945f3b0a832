"""Why one item is in the list: what would take it out, and why it is above another.

Leaves to others: the parts of its score (explore.py), calls (service.py), sentences (the service).
"""

from __future__ import annotations

import streamlit as st

from app_pages import frames, service, view
from app_pages.sentences import said
from app_pages.words import language, t
from crossrec import plots, release_plots
from crossrec.errors import CrossrecError, ServiceError
from crossrec.explanation.phrases import LANGUAGES, Language
from crossrec.serving.explanation_messages import Contrast, ExplainRequest, ExplainResponse
from crossrec.serving.messages import Recommendation, RecommendRequest, RecommendResponse


def spoken() -> Language:
    """The language that the visitor reads."""
    return "zh" if language() == "zh" else "en"


def sentence(item: Recommendation, *, rated: bool) -> str:
    """Why the item is there, in the visitor's language.

    Args:
        rated: scores are ratings.
    """
    return frames.reason(item.explanation, spoken(), rated=rated)


def deeper(answer: RecommendResponse, item: Recommendation, request: RecommendRequest) -> None:
    """Ask the service about this item, and show what it says."""
    others = {one.item_id: one for one in answer.items if one.item_id != item.item_id}
    against, chosen = _choices(others, item)
    asked = ExplainRequest(
        request=request.model_copy(update={"explain": False}),
        request_id=answer.request_id,
        item_id=item.item_id,
        against=against,
        language="zh" if chosen == "zh" else "en",
        text_parts=False,
    )
    found = _explained(answer, asked)
    if found is None:
        return
    if chosen != spoken():
        view.tell("markdown", found.explanation.sentence)
    _counterfactuals(found, len(answer.items))
    if found.contrast is not None:
        _contrast(found.contrast)
    for path in found.paths:
        strength = t("strength {n}", n=f"{path.strength:.1f}")
        view.tell("markdown", f"{path.sentence} ({strength})", "hub")
    if found.paths:
        text = t("Strength: the rarer what both share, the higher; 0 for what all items have.")
        view.tell("caption", text)
    if found.similar_users is not None:
        view.tell("markdown", found.similar_users.sentence, "group")


def _explained(answer: RecommendResponse, asked: ExplainRequest) -> ExplainResponse | None:
    """What the service says; None, and a sentence, where it says nothing. The rest of the page
    stays; where the service went away, all is asked for again after a while.
    """
    try:
        with st.spinner(t("Asking the service: taking things away and ranking again …")):
            return service.explain(service.address(), answer.domain, answer.release, asked)
    except CrossrecError as err:
        view.tell("warning", said(str(err)), "info")
        if isinstance(err, ServiceError):
            service.try_again()
    return None


def _choices(others: dict[str, Recommendation], item: Recommendation) -> tuple[str | None, str]:
    """The item to compare with, and the language of the sentences."""
    following = [one.item_id for one in others.values() if one.rank == item.rank + 1]
    order = following + [item_id for item_id in others if item_id not in following]
    left, right = st.columns([3, 2], vertical_alignment="bottom")
    # With another item its own neighbour comes first; what was chosen expressly (it is in the
    # address) stays.
    same = st.session_state.get("against.of") == item.item_id
    kept = st.session_state.get("against") if same else None
    kept = kept or st.query_params.get("against")
    st.session_state["against.of"] = item.item_id
    st.session_state["against"] = kept if kept in others else next(iter(order), None)
    against = left.selectbox(
        t("Compare with"),
        order,
        format_func=lambda item_id: f"{others[item_id].rank}. {others[item_id].title}",
        key="against",
    )
    view.mirror("against", against if order and against != order[0] else None)
    chosen = right.segmented_control(
        t("Sentences in"),
        LANGUAGES,
        default=language(),
        required=True,
        help="en: English, zh: 中文",
        key="language",
        bind="query-params",
    )
    return against, str(chosen)


def _counterfactuals(found: ExplainResponse, k: int) -> None:
    """What would take it out of the list, each verified by the service."""
    for one in found.counterfactuals:
        view.tell("markdown", one.sentence, "remove_circle")
    known = any(part.kind == "history" for part in found.explanation.parts)
    if known and not found.counterfactuals:
        text = t(
            "No part of the history was found without which it would leave the first {k}.", k=k
        )
        view.tell("caption", text)


def _contrast(found: Contrast) -> None:
    """The differences of the parts, as a sentence and a chart."""
    view.tell("markdown", found.sentence, "compare_arrows")
    frame, title = frames.differences(found), t("Differences of the parts")
    view.chart(plots.explanation(frame), title)
    text = t("Each part less that of “{title}”; they add up to the gap.", title=found.title)
    view.tell("caption", text)
    view.numbers(frame, "contrast", title)


def own_words(answer: RecommendResponse, item: Recommendation, request: RecommendRequest) -> None:
    """What the words of the item's own text give to its score, or why none are told."""
    asked = ExplainRequest(
        request=request.model_copy(update={"explain": False}),
        request_id=answer.request_id,
        item_id=item.item_id,
        counterfactuals=False,
    )
    found = _explained(answer, asked)
    if found is None:
        return
    if not found.text_parts:
        text = t(
            "The words of its text are not weighed: that takes an encoder that answers and,"
            " where the release has an adapter, a wish in words."
        )
        view.tell("caption", text)
        return
    view.section(
        t("Words of its own text"),
        t("Each word taken out, and alone, and compared again; they add up to what texts give."),
    )
    frame, title = frames.words(found), t("Words of the text of {title}", title=found.title)
    view.chart(release_plots.words(frame), title)
    view.numbers(frame, "words", title)
