"""Two small simulated cities, and settings that train on them in seconds."""

from __future__ import annotations

from pathlib import Path

import yaml

from crossrec.config import RunConfig, load_config
from crossrec.data.importing import import_domain
from crossrec.domains.registry import domain_files, load_domain

N_USERS = 80

TOWNS = ("tiny_city", "tiny_town")

SMALL = [
    "model.dim=16",
    "model.n_blocks=1",
    "model.history_length=20",
    "model.max_text_tokens=16",
    "training.learning_rate=0.01",
]


def small(*overrides: str) -> RunConfig:
    """A config whose epochs take well under a second on the towns."""
    return load_config(overrides=[*SMALL, *overrides])


def make_home(home: Path) -> Path:
    """Write YAMLs of the towns below `home`, and import them; `$CROSSREC_HOME` is `home`."""
    values = yaml.safe_load(domain_files()["restaurants_sim"].read_text(encoding="utf-8"))
    (home / "domains").mkdir(parents=True)
    for seed, name in enumerate(TOWNS):
        values |= {"name": name}
        values["source"]["options"] = {"n_users": N_USERS, "n_items": 100, "seed": seed}
        (home / "domains" / f"{name}.yaml").write_text(yaml.safe_dump(values), encoding="utf-8")
        import_domain(load_domain(name), progress=False)
    return home
