"""The verb that asks a running service why an item was recommended.

Leaves to others: finding it out (serving/explaining.py), other words (explanation/reword.py).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Unpack

from crossrec.config import DEFAULT_URL

if TYPE_CHECKING:
    from crossrec.explanation.phrases import Language
    from crossrec.serving.messages import RequestFields
    from crossrec.shown.answers import Explanation


def explain(
    domain: str,
    item_id: str,
    *,
    against: str | None = None,
    request_id: str | None = None,
    language: Language = "en",
    counterfactuals: bool = True,
    text_parts: bool = True,
    reword: str | None = None,
    url: str = DEFAULT_URL,
    api_key: str | None = None,
    **fields: Unpack[RequestFields],
) -> Explanation:
    """Ask why an item is in an answer: `explain("movies", "50", user_id="196", against="181")`.

    Args:
        against: another item of the answer to compare with; None: the next one.
        request_id: of the answer; it matters where an experiment runs or weights are learned.
        language: of the sentences, en or zh.
        counterfactuals: look for what would take the item out; the search is half of the time.
        text_parts: say what the words of the item's own text give; each is encoded anew.
        reword: a Hugging Face language model, by name or folder, that says the sentences in other
            words here; one with a name or number that the figures do not hold stays as it was, and
            `wording` says of how many that is true.
        fields: those of the request that was answered, see `serving.messages.RecommendRequest`.

    Raises:
        ServiceError: no service answers at `url`.
        UnknownItemError, RequestError: no such item, or it is not in the answer.
        ConfigError: `reword` is no model that can be loaded.
    """
    from crossrec.serving.client import Client
    from crossrec.shown.answers import Explanation

    with Client(url, api_key) as client:
        answer = client.explain(
            domain,
            item_id=item_id,
            against=against,
            request_id=request_id,
            language=language,
            counterfactuals=counterfactuals,
            text_parts=text_parts,
            request=fields,
        )
    found = Explanation.of(answer)
    return found if reword is None else reworded(found, reword, language)


def reworded(answer: Explanation, model: str, language: Language) -> Explanation:
    """Every sentence of the answer in other words, where these hold; `wording` says how many.

    Raises:
        ConfigError: `model` cannot be loaded.
    """
    from crossrec.explanation.reword import Reworded, Reworder, summary

    say, said = Reworder(model).say, list[Reworded]()

    def other(value: Any) -> Any:
        """A message, or a list of them, with its sentences reworded."""
        if isinstance(value, list):
            return [other(one) for one in value]
        if value is None:
            return value
        said.append(say(value.sentence, language))
        return value.model_copy(update={"sentence": said[-1].text})

    names = ("explanation", "counterfactuals", "contrast", "similar_users", "paths")
    update = {name: other(getattr(answer, name)) for name in names}
    return answer.model_copy(update=update | {"wording": summary(said, model)})
