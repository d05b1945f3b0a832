"""Runs in the environment of obp 0.5.7: its estimates of a policy from arrays that we hand it.

`python obp_estimates.py LOG.npz` prints a JSON object, estimator → value. The estimators are
obp's own, from `obp/ope/estimators.py`. They compute with numpy alone; the packages' `__init__`s
import plotting and torch, so they are entered beside them, and torch, of which `obp/utils.py` takes
names for annotations only, is an empty module.
"""

import importlib
import importlib.metadata
import json
import sys
import types
from pathlib import Path

import numpy as np


def estimators():
    """obp's module of estimators, without what its packages import on top."""
    root = Path(importlib.metadata.distribution("obp").locate_file("obp"))
    for name, folder in (("obp", root), ("obp.ope", root / "ope")):
        package = types.ModuleType(name)
        package.__path__ = [str(folder)]
        sys.modules[name] = package
    torch = types.ModuleType("torch")
    torch.tensor = torch.Tensor = type("Tensor", (), {})
    sys.modules["torch"] = torch
    return importlib.import_module("obp.ope.estimators")


def main():
    """Read the log, print the estimates."""
    ope = estimators()
    log = np.load(sys.argv[1])
    n, n_actions = log["q_hat"].shape
    common = {
        "reward": log["reward"],
        "action": log["action"],
        "pscore": log["propensity"],
        "position": np.zeros(n, int),
        "action_dist": log["chance"].reshape(n, n_actions, 1),
        "estimated_rewards_by_reg_model": log["q_hat"].reshape(n, n_actions, 1),
    }
    kinds = {
        "direct": ope.DirectMethod(),
        "inverse propensity": ope.InverseProbabilityWeighting(),
        "self-normalised": ope.SelfNormalizedInverseProbabilityWeighting(),
        "doubly robust": ope.DoublyRobust(),
    }
    found = {name: float(kind.estimate_policy_value(**common)) for name, kind in kinds.items()}
    print(json.dumps({"version": importlib.metadata.version("obp"), "estimates": found}))


if __name__ == "__main__":
    main()
