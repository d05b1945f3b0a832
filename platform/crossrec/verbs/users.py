"""The verbs about users as people: erase one, list what was erased, keep pseudonyms.

Leaves to others: doing it (serving/erasure.py, data/forgetting.py, data/pseudonyms.py).
"""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import closing
from typing import TYPE_CHECKING

from crossrec.config import home
from crossrec.errors import ConfigError
from crossrec.verbs.inputs import expect_domains

if TYPE_CHECKING:
    from crossrec.data.dataset import Dataset
    from crossrec.serving.feedback_log import Erasure
    from crossrec.serving.messages import ErasureResponse


def erase_user(domain: str, user_id: str) -> ErasureResponse:
    """Erase a user of a domain: feedback, stored history, identity; on this machine, by exact id.

    Running services hide what they still hold from the next request on. A later import leaves the
    user out.

    Returns:
        what went, and which releases' weights were trained with the user's events.

    Raises:
        ServiceError: a place could not be changed; ask again.
    """
    from crossrec.releases.store import ReleaseStore
    from crossrec.serving.erasure import Erasures
    from crossrec.serving.feedback_log import FeedbackLog

    expect_domains([domain])
    with closing(FeedbackLog()) as log:
        return Erasures(domain, log, ReleaseStore()).erase(user_id)


def erasures(domain: str) -> list[Erasure]:
    """When users were erased from a domain, and which releases were trained with them."""
    from crossrec.serving.feedback_log import FeedbackLog

    expect_domains([domain])
    with closing(FeedbackLog()) as log:
        return log.erasures(domain)


def pseudonymise() -> list[str]:
    """Keep keyed hashes in place of user ids from now on; the domains to import and train again.

    Raises:
        ConfigError: feedback, or answers for learning from it, were kept under ids, which nobody
            would be known by any more.
    """
    from crossrec.data.dataset import CARD
    from crossrec.data.pseudonyms import UserKeys
    from crossrec.serving.feedback_log import FeedbackLog
    from crossrec.serving.learning_log import kept_answers

    users = UserKeys()
    known = users.read()
    with closing(FeedbackLog()) as log, kept_answers() as answers:
        n_events = sum(count.n_events for count in log.counts())
        n_answers = 0 if answers is None else answers.n_of_users()
    if (n_events or n_answers) and not (known and known.pseudonymise):
        raise ConfigError(
            f"{n_events:,} events of feedback and {n_answers:,} answers are kept under user ids;"
            " forget them first, with: crossrec feedback prune --keep-days 0"
        )
    users.make(pseudonymise=True)
    return sorted(path.parent.name for path in (home() / "data").glob(f"*/{CARD}"))


def as_kept(data: Dataset) -> Dataset:
    """A data set just imported as this home keeps it: pseudonyms if asked for, nobody erased."""
    from crossrec.data.forgetting import pseudonymise as with_pseudonyms
    from crossrec.data.pseudonyms import UserKeys
    from crossrec.verbs.data import dataset

    key = UserKeys().read()
    if key is None:
        return data
    if key.pseudonymise:
        with_pseudonyms(data, key)
    forget_again(data.domain.name)
    return dataset(data.domain.name)


def known_users(domain: str) -> set[str]:
    """Everybody in the data of a domain, whom a training of now reads; nobody without data."""
    from crossrec.data.dataset import CARD
    from crossrec.data.forgetting import users_of
    from crossrec.verbs.data import dataset

    return users_of(dataset(domain)) if (home() / "data" / domain / CARD).is_file() else set()


def forget_again(domain: str, versions: Iterable[str] = (), read: Iterable[str] = ()) -> None:
    """Forget whoever was erased in what came, or came back, since: the data, and new releases.

    An erasure reaches what is there when it is asked for; a training that runs meanwhile has read
    the data before, and publishes or restores them after. Its releases are added to those that the
    erasure says were trained with the user.

    Args:
        versions: releases that were published since.
        read: users whose events they were trained with.

    Raises:
        ReleaseError: a release is damaged.
        ServiceError: another process changes the data or the releases and does not end.
    """
    from crossrec.data.dataset import CARD
    from crossrec.data.forgetting import forget_users, known_again
    from crossrec.data.pseudonyms import UserKeys
    from crossrec.releases.forgetting import forget_those
    from crossrec.releases.store import ReleaseStore
    from crossrec.serving.feedback_log import FeedbackLog
    from crossrec.verbs.data import dataset

    key = UserKeys().read()
    if key is None:
        return
    with closing(FeedbackLog()) as log:
        digests = {one.user_key for one in log.erasures(domain)}
        if not digests:
            return
        for version in versions:
            held = forget_those(
                ReleaseStore(), domain, version, lambda user: bool(key.digests(user) & digests)
            )
            for digest in {one for user in {*held, *read} for one in key.digests(user) & digests}:
                log.note(domain, digest, [version])
    if (home() / "data" / domain / CARD).is_file():
        data = dataset(domain)
        forget_users(data, known_again(data, key, digests))
