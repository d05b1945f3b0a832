"""crossrec: one pre-trained language model, many recommendation domains.

Importing starts nothing and stays light: each verb's module is loaded when it is first used.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from crossrec.verbs import (
        add_feedback,
        capacity,
        count_feedback,
        cross_validate,
        dataset,
        diagnose,
        domain,
        domain_names,
        erase_user,
        erasures,
        evaluate,
        explain,
        export_feedback,
        import_data,
        infer_domain,
        init_domain,
        judge,
        learner,
        list_releases,
        prune_feedback,
        pseudonymise,
        recommend,
        refresh,
        release,
        serve,
        settings,
        train,
        transfer,
        tune,
        watch,
    )

__version__ = "0.1.0"

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


def __getattr__(name: str) -> Any:
    """The verbs, loaded on first use (PEP 562)."""
    if name in __all__:
        from crossrec import verbs

        return getattr(verbs, name)
    raise AttributeError(f"module 'crossrec' has no attribute '{name}'")


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__])
