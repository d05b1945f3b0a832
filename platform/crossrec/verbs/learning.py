"""The verbs about learning online: look at a domain's learner, order it, judge weights off-line.

Leaves to others: learning (serving/learning.py), the estimators (evaluation/off_policy.py).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, NamedTuple, cast

from crossrec.config import DEFAULT_URL
from crossrec.domains import load_domain
from crossrec.errors import ConfigError, DataError, suggest
from crossrec.verbs.data import dataset
from crossrec.verbs.feedback import moment

if TYPE_CHECKING:
    from crossrec.evaluation.logged import Policy
    from crossrec.evaluation.off_policy import Judgement
    from crossrec.serving.learning_judge import WeightsOf
    from crossrec.serving.learning_log import LearningLog, ShownList
    from crossrec.serving.learning_messages import Action, LearnerStatus
    from crossrec.serving.learning_store import ToLearn

OWN = ("learned", "declared")
RECORDED = ("uniform", "popular")


class Judged(NamedTuple):
    """What a policy would have earned."""

    policy: str
    log: str
    logged: float
    """What the log itself earned, a round."""
    unit: str
    judgement: Judgement


def learner(
    domain: str,
    action: Action | None = None,
    version: int | None = None,
    share: float | None = None,
    *,
    url: str = DEFAULT_URL,
    api_key: str | None = None,
) -> LearnerStatus:
    """What the learner of a served domain has learned, after an order.

    Args:
        action: freeze, resume, reset, rollback, trial, go-live, explore (needs a key with the scope
            admin); None: only look.
        version: that `rollback` goes back to; None: the one before.
        share: of requests, at most, that `explore` is about; None: what the YAML declares.

    Raises:
        RequestError: no such version, or more exploring than the YAML declares.
        ServiceError: no service answers, or no learner.
    """
    from crossrec.serving.client import Client

    with Client(url, api_key) as client:
        if action is None:
            return client.learner(domain)
        return client.order_learner(domain, action, version, share)


def judge(
    domain: str,
    policy: str | Mapping[str, float] = "learned",
    *,
    since: str = "all",
    logged_by: str = "random",
    pool: str | None = None,
) -> Judged:
    """What a policy would have earned, judged on logged propensities; no service is needed.

    Args:
        policy: weights by objective, `learned` or `declared`, judged on this domain's own answers;
            `uniform` or `popular`, judged on exposures that the data recorded with propensities
            (such as `ads`). What is learned, `learned` and `popular`, is learned from their
            earlier half and judged on the later one; else it would look better than it is.
        since: of own answers, those given then or later, see `moment`.
        logged_by: of recorded exposures, the policy that logged them.
        pool: of recorded exposures, the value of the domain's pool column.

    Raises:
        ConfigError: no such policy.
        DataError: nothing is logged that it could be judged on.
    """
    if isinstance(policy, str) and policy in RECORDED:
        return _judge_recorded(domain, cast("Policy", policy), logged_by, pool)
    if isinstance(policy, str) and policy not in OWN:
        raise ConfigError(f"no policy '{policy}': {suggest(policy, [*OWN, *RECORDED])}")
    return _judge_own(domain, policy, moment(since))


def _judge_own(domain: str, policy: str | Mapping[str, float], since: float) -> Judged:
    from contextlib import closing

    from crossrec.evaluation.off_policy import judge as judged
    from crossrec.serving.learning_judge import logged_answers
    from crossrec.serving.learning_log import LearningLog
    from crossrec.serving.learning_store import LearnerStore

    store = LearnerStore(domain)
    state, to_learn = store.state(), store.to_learn()
    if state is None or to_learn is None:
        load_domain(domain)  # where it is the name that is wrong, that is said
        raise DataError(
            f"nothing was learned of '{domain}' yet, so no answers are kept; serve it and run:"
            f" crossrec learner trial {domain}"
        )
    if not isinstance(policy, str):
        for name in policy:
            if name not in state.frame.objectives:
                raise ConfigError(
                    f"the learner of '{domain}' does not know '{name}':"
                    f" {suggest(name, state.frame.objectives)}"
                )

    with closing(LearningLog()) as log:
        if policy == "learned":
            wanted = _relearned(log, domain, to_learn, state.salt, since)
        else:
            said = {} if isinstance(policy, str) else dict(policy)
            weights = dict(zip(state.frame.objectives, state.frame.declared, strict=True)) | said
            wanted = _Wanted(lambda shown: weights, since, "answers given while learning")
        found = logged_answers(log, domain, to_learn.interests, wanted.since, wanted.weights_of)
    named = policy if isinstance(policy, str) else _named(policy)
    name = f"{found.n_answers:,} {wanted.judged_on}"
    return Judged(named, name, found.logged, "choices an answer", judged(found.rounds))


class _Wanted(NamedTuple):
    """A policy, and the answers that it can be judged on."""

    weights_of: WeightsOf
    since: float
    judged_on: str


def _relearned(
    log: LearningLog, domain: str, to_learn: ToLearn, salt: str, since: float
) -> _Wanted:
    """The learner's weights after the earlier half of the answers, for the later half."""
    from crossrec.serving.learning_judge import relearned

    later = log.middle(domain, since)
    found = relearned(log, domain, to_learn, salt, since, later)
    frame = to_learn.frame
    names = [feature.name for feature in frame.features]
    declared = dict(zip(frame.objectives, frame.declared, strict=True))

    def weights_of(shown: ShownList) -> dict[str, float]:
        fits = shown.features == names
        return frame.weights(found.belief.mean, shown.context) if fits else declared

    judged_on = (
        "answers given while learning, the later half; weights learned anew from"
        f" {found.n_choices:,} choices out of the earlier half"
    )
    return _Wanted(weights_of, later, judged_on)


def _named(weights: Mapping[str, float]) -> str:
    return ", ".join(f"{name}={weight:g}" for name, weight in weights.items())


def _judge_recorded(domain: str, policy: Policy, logged_by: str, pool: str | None) -> Judged:
    import polars as pl

    from crossrec.evaluation.logged import chances, read_exposures, rounds_of
    from crossrec.evaluation.off_policy import judge as judged
    from crossrec.schema import ITEM_ID

    data = dataset(domain)
    items = data.catalogue()
    column = data.domain.pool_column
    if column is not None:
        pools = items[column].unique().sort().to_list()
        if pool not in pools:
            raise ConfigError(f"got the {column} {pool!r}: {suggest(str(pool), pools)}")
        items = items.filter(pl.col(column) == pool)
    path = data.folder / "interactions.parquet"
    positive = data.domain.positive_events or []
    log = read_exposures(pl.read_parquet(path), items[ITEM_ID].to_list(), logged_by, positive)
    earlier, later = log.halves()
    judged_on = later if policy == "popular" else log
    part = "later half" if policy == "popular" else "all"
    found = judged(rounds_of(judged_on, chances(policy, earlier)))
    name = f"{found.n:,} rounds logged by {logged_by}{f' of {pool}' if pool else ''}, {part}"
    return Judged(policy, name, float(judged_on.reward.mean()), "rewards a round", found)
