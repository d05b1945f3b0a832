"""Ray job: train domains and publish their releases.

ray job submit --working-dir cluster/jobs -- python train.py movies grocery --workers 2
"""

from __future__ import annotations

from typing import Any

import entry

from crossrec import verbs


def main() -> list[dict[str, Any]]:
    """Parse the command line and train; one result a domain."""
    options = entry.parser(__doc__)
    options.add_argument("domains", nargs="+")
    entry.add_run_options(options)
    told = options.parse_args()
    entry.have_data(told.domains)
    results = verbs.train(
        *told.domains,
        config=told.config,
        overrides=told.set,
        workers=told.workers,
        address=told.address,
        run_name=told.run_name,
        progress=True,
    )
    return [result.as_dict() for result in results]


if __name__ == "__main__":
    entry.run(main)
