"""What crossrec does, as plain functions: the command line's verbs, and a notebook's.

`import crossrec; crossrec.train("movies")`. Leaves to others: doing it (the rooms), talking about
it (commands/). Rooms are imported when a verb is used, so that importing this stays light.
"""

from crossrec.diagnosis import diagnose
from crossrec.domains import domain_names
from crossrec.verbs.data import dataset, domain, import_data, infer_domain, init_domain
from crossrec.verbs.explaining import explain
from crossrec.verbs.feedback import (
    add_feedback,
    count_feedback,
    export_feedback,
    prune_feedback,
)
from crossrec.verbs.inputs import settings
from crossrec.verbs.learning import judge, learner
from crossrec.verbs.refreshing import refresh
from crossrec.verbs.releases import evaluate, list_releases, release, watch
from crossrec.verbs.serving import capacity, recommend, serve
from crossrec.verbs.training import cross_validate, train, transfer, tune
from crossrec.verbs.users import erase_user, erasures, pseudonymise

__all__ = [
    "add_feedback",
    "capacity",
    "count_feedback",
    "cross_validate",
    "dataset",
    "diagnose",
    "domain",
    "domain_names",
    "erase_user",
    "erasures",
    "evaluate",
    "explain",
    "export_feedback",
    "import_data",
    "infer_domain",
    "init_domain",
    "judge",
    "learner",
    "list_releases",
    "prune_feedback",
    "pseudonymise",
    "recommend",
    "refresh",
    "release",
    "serve",
    "settings",
    "train",
    "transfer",
    "tune",
    "watch",
]
