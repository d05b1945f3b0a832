"""Ray job: search a domain's best config, and keep it as one YAML in the home.

ray job submit --working-dir cluster/jobs -- python tune.py movies --trials 20 --workers 2
"""

from __future__ import annotations

from typing import Any

import entry

from crossrec import verbs


def main() -> dict[str, Any]:
    """Parse the command line and search; trials, best config and the path of its YAML."""
    options = entry.parser(__doc__)
    options.add_argument("domain")
    options.add_argument("--trials", type=int, default=20)
    options.add_argument("--space", help="YAML of what varies")
    options.add_argument("--seed", type=int, default=0)
    entry.add_run_options(options)
    told = options.parse_args()
    entry.have_data([told.domain])
    result = verbs.tune(
        told.domain,
        trials=told.trials,
        config=told.config,
        overrides=told.set,
        space=told.space,
        workers=told.workers,
        address=told.address,
        seed=told.seed,
        run_name=told.run_name,
        progress=True,
    )
    return result.as_dict()


if __name__ == "__main__":
    entry.run(main)
