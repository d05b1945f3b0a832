"""A release that answers in this process: recommend, explain and feedback without a service.

The same classes as in a service, with an event loop in a thread of its own: a notebook's kernel
has one running already. Leaves to others: the answers (serving/), services (verbs/serving.py).
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Coroutine, Mapping, Sequence
from typing import TYPE_CHECKING, Any, TypeVar, Unpack

from crossrec.errors import ConfigError, ReleaseError, RequestError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
    from pydantic import BaseModel

    from crossrec.explanation.phrases import Language
    from crossrec.serving.encoder_service import EncoderService
    from crossrec.serving.learned_weights import LearnedWeights
    from crossrec.serving.learning import DomainLearner
    from crossrec.serving.learning_messages import LearnerStatus
    from crossrec.serving.messages import FeedbackEvent, FeedbackResponse, RequestFields
    from crossrec.shown.answers import Explanation, Recommendations
    from crossrec.shown.releases import Release

Result = TypeVar("Result")
Asked = TypeVar("Asked", bound="BaseModel")


class Opened:
    """One release, ready to answer; `with crossrec.release("movies").open() as answers: …`.

    Words are encoded by the release's own encoder and adapter, which are loaded when the first
    request has some. Feedback goes to the log of this home, as a service's does.
    """

    def __init__(self, release: Release, learning: bool = False) -> None:
        """Verify a release and read it.

        Args:
            learning: weigh objectives as the domain's learner says, and note what is shown, as a
                service does; then `learn` learns from the feedback on it. Not beside a running
                service, which has the learner. False: the declared weights hold.

        Raises:
            ReleaseError: a file is missing or altered, or asks to learn what it cannot.
        """
        from crossrec.releases.store import ReleaseStore
        from crossrec.serving.explaining import Explainer
        from crossrec.serving.feedback_log import FeedbackLog
        from crossrec.serving.recommender import Recommender

        self.release = release
        self._store = ReleaseStore(release.folder.parent.parent)
        self._loaded = self._store.load(release.domain, release.version)
        self._log = FeedbackLog()
        self._encoder: EncoderService | None = None
        self._weights: LearnedWeights | None = None
        self._learner: DomainLearner | None = None
        if learning:
            from crossrec.serving.learned_weights import LearnedWeights

            self._weights = LearnedWeights(release.domain)
        self._recommender = Recommender(self._loaded, self._encode, self._log, weigh=self._weights)
        if self._weights is not None:
            self._weights.declare(self._recommender)
        self._explainer = Explainer(self._recommender)
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._thread.start()

    def __enter__(self) -> Opened:
        return self

    def __exit__(self, *ended: object) -> None:
        self.close()

    def __repr__(self) -> str:
        state = "closed" if self._loop.is_closed() else "answers"
        return f"<Opened {self.release.headline()}: {state}>"

    def recommend(self, **fields: Unpack[RequestFields]) -> Recommendations:
        """Answer a request: `recommend(user_id="196", text="…", k=5, explain=True)`.

        Args:
            fields: those of a request, see `serving.messages.RecommendRequest`.

        Raises:
            RequestError: a field that there is not, or a value it cannot have.
        """
        from crossrec.serving.messages import RecommendRequest
        from crossrec.shown.answers import Recommendations

        request = _built(RecommendRequest, fields)
        return Recommendations.of(self._wait(self._recommender.recommend(request)))

    def explain(
        self,
        item_id: str,
        *,
        against: str | None = None,
        request_id: str | None = None,
        language: Language = "en",
        counterfactuals: bool = True,
        text_parts: bool = True,
        reword: str | None = None,
        **fields: Unpack[RequestFields],
    ) -> Explanation:
        """Say why an item is in an answer: `explain("50", user_id="196", against="181")`.

        Args:
            against: another item of the answer to compare with; None: the next one.
            request_id: of the answer; it matters where weights are learned.
            language: of the sentences, en or zh.
            counterfactuals: look for what would take the item out, as in `crossrec.explain`.
            text_parts: say what the words of the item's text give, which needs the encoder.
            reword: a language model that says them in other words, as in `crossrec.explain`.
            fields: those of the request that was answered.

        Raises:
            UnknownItemError, RequestError: no such item, it is not in the answer, or a value that
                an argument cannot have.
            ConfigError: `reword` is no model that can be loaded.
        """
        from crossrec.serving.explanation_messages import ExplainRequest
        from crossrec.serving.messages import RecommendRequest
        from crossrec.shown.answers import Explanation
        from crossrec.verbs.explaining import reworded

        asked = _built(
            ExplainRequest,
            {
                "request": _built(RecommendRequest, fields),
                "item_id": item_id,
                "against": against,
                "request_id": request_id,
                "language": language,
                "counterfactuals": counterfactuals,
                "text_parts": text_parts,
            },
        )
        found = Explanation.of(self._wait(self._explainer.explain(asked)))
        return found if reword is None else reworded(found, reword, language)

    def feedback(self, events: Sequence[FeedbackEvent]) -> FeedbackResponse:
        """Keep what users did; it is on disk when this returns, and the next answer knows it.

        Raises:
            ServiceError: nothing could be stored.
        """
        return self._wait(self._recommender.feedback(list(events)))

    def learn(self) -> LearnerStatus:
        """Learn the weights of objectives from the feedback that came; what was learned so far.

        The next answer is weighed by it.

        Raises:
            ConfigError: it was not opened with `learning`.
            ServiceError: another process is the domain's learner.
        """
        if self._weights is None:
            raise ConfigError("this release was opened without learning; open(learning=True)")
        if self._learner is None:
            from crossrec.serving.learning import DomainLearner
            from crossrec.serving.learning_log import LearningLog

            self._notes = LearningLog()
            self._learner = DomainLearner(self.release.domain, self._notes)
        self._weights.close()  # what was shown is on disk then
        while self._learner.step():
            pass
        return self._learner.status()

    def users(self, n: int = 5) -> list[str]:
        """A few users with a stored history, to start from."""
        return self._loaded.catalogue.example_users(n)

    def close(self) -> None:
        """Let go of files, threads and the encoder; may be called again."""
        if self._loop.is_closed():
            return
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()
        if self._encoder is not None:
            self._encoder.close()
        if self._weights is not None:
            self._weights.close()
        if self._learner is not None:
            self._learner.close()
            self._notes.close()
        self._log.close()
        self._loaded.close()

    def _wait(self, work: Coroutine[Any, Any, Result]) -> Result:
        if self._loop.is_closed():
            work.close()
            raise ReleaseError(
                f"{self.release.headline()} was closed; open it again:"
                f" crossrec.release('{self.release.domain}').open()"
            )
        return asyncio.run_coroutine_threadsafe(work, self._loop).result()

    async def _encode(self, texts: list[str]) -> NDArray[np.float32]:
        from crossrec.models.encoder import TextEncoder
        from crossrec.serving.encoder_service import EncoderService

        if self._encoder is None:
            encoder = TextEncoder.load(self._loaded.model.config.encoder)
            self._encoder = EncoderService(encoder, self._store)
        return await self._encoder.encode(texts, self.release.domain, self.release.version)


def _built(message: type[Asked], fields: Mapping[str, Any]) -> Asked:
    """A message of these fields.

    Raises:
        RequestError: one that there is not, or a value it cannot have.
    """
    from pydantic import ValidationError

    try:
        return message.model_validate(fields)
    except ValidationError as err:
        wrong = "; ".join(f"{'.'.join(map(str, e['loc']))}: {e['msg']}" for e in err.errors())
        raise RequestError(
            f"the request cannot be read: {wrong}; expected the fields of"
            f" {message.__module__}.{message.__name__}"
        ) from err
