"""Ray job: judge a release beside baselines and the peers' figures.

ray job submit --working-dir cluster/jobs -- python evaluate.py movies
"""

from __future__ import annotations

from typing import Any

import entry
import ray

from crossrec import verbs


def judge(domain: str, release: str, baselines: list[str] | None) -> dict[str, Any]:
    """The report of one release, as plain values."""
    return verbs.evaluate(domain, release=release, baselines=baselines).to_dict()


def main() -> dict[str, Any]:
    """Parse the command line and judge; the report of `crossrec evaluate --json`."""
    options = entry.parser(__doc__)
    options.add_argument("domain")
    options.add_argument("--release", default="current")
    options.add_argument("--baselines", nargs="*", help="names; none given: all")
    told = options.parse_args()
    # A task, not this process: the entry point runs on the head node, which should not work.
    ray.init(told.address, log_to_driver=False)
    report: dict[str, Any] = ray.get(
        ray.remote(judge).remote(told.domain, told.release, told.baselines)
    )
    return report


if __name__ == "__main__":
    entry.run(main)
