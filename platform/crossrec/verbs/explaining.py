"""The verb that asks a running service why an item was recommended.

Leaves to others: finding it out (serving/explaining.py), other words (explanation/reword.py).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from crossrec.config import DEFAULT_URL

if TYPE_CHECKING:
    from crossrec.explanation.phrases import Language
    from crossrec.serving.explanation_messages import ExplainResponse
    from crossrec.shown.answers import Explanation


def explain(
    domain: str,
    item_id: str,
    *,
    against: str | None = None,
    language: Language = "en",
    reword: str | None = None,
    url: str = DEFAULT_URL,
    api_key: str | None = None,
    **fields: Any,
) -> Explanation:
    """Ask why an item is in an answer: `explain("movies", "50", user_id="196", against="181")`.

    Args:
        against: another item of the answer to compare with; None: the next one.
        language: of the sentences, en or zh.
        reword: a Hugging Face language model, by name or folder, that says the sentences in other
            words here; one with a name or number that the figures do not hold stays as it was.
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
            domain, item_id=item_id, against=against, language=language, request=fields
        )
    return Explanation.of(answer if reword is None else _reworded(answer, reword, language))


def _reworded(answer: ExplainResponse, model: str, language: Language) -> ExplainResponse:
    """Every sentence of the answer in other words, where these hold."""
    from crossrec.explanation.reword import Reworder

    say = Reworder(model)

    def other(value: Any) -> Any:
        """A message, or a list of them, with its sentences reworded."""
        if isinstance(value, list):
            return [other(one) for one in value]
        if value is None or not hasattr(value, "sentence"):
            return value
        return value.model_copy(update={"sentence": say(value.sentence, language)})

    names = ("explanation", "counterfactuals", "contrast", "similar_users", "paths")
    return answer.model_copy(update={name: other(getattr(answer, name)) for name in names})
