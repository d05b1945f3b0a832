from __future__ import annotations

from pathlib import Path

import numpy as np
import polars as pl
import pytest
from pydantic import ValidationError

from crossrec.data.dataset import Dataset
from crossrec.data.profiles import FOLDS, profile_split, sentences
from crossrec.data.split import make_split
from crossrec.domains.spec import Domain
from crossrec.errors import DataError

TEMPLATE = "[Likes {tastes} food. ][Budget: {budget}.]"


def dataset(folder: Path, template: str | None = TEMPLATE, n_users: int = 60) -> Dataset:
    users = [
        {"user_id": f"u{n}", "tastes": ["thai", "greek"] if n % 2 else [], "budget": "low"}
        for n in range(n_users)
    ]
    users.append({"user_id": "nobody", "tastes": [], "budget": None})
    visits = [
        {"user_id": user["user_id"], "item_id": f"i{(n + k) % 8}", "timestamp": k}
        for n, user in enumerate(users)
        for k in range(3)
    ]
    items = [{"item_id": f"i{n}", "title": f"I{n}", "text": f"I{n}"} for n in range(8)]
    for name, rows in {"users": users, "interactions": visits, "items": items}.items():
        pl.DataFrame(rows, strict=False).write_parquet(folder / f"{name}.parquet")
    domain = Domain(name="d", title="D", time_kind="none", profile_template=template)
    return Dataset(folder, domain, "0" * 64, {})


def test_a_sentence_says_what_is_known_of_a_user(tmp_path: Path) -> None:
    said = sentences(dataset(tmp_path))
    assert said["u1"] == "Likes thai, greek food. Budget: low."
    assert said["u2"] == "Budget: low."
    assert said["nobody"] == ""


def test_a_described_user_is_one_case_without_history_and_all_its_items_are_right(
    tmp_path: Path,
) -> None:
    split = profile_split(dataset(tmp_path))
    assert split.relevant is not None
    assert not split.test.cuts.any()
    seqs = split.sequences
    for user in split.test.users:
        number = int(seqs.user_ids[user].split("#")[0][1:])
        right = {seqs.item_ids[item] for item in split.relevant[[user]].indices}
        assert right == {f"i{(number + k) % 8}" for k in range(3)}
    assert not any(name.startswith("nobody") for name in seqs.user_ids)


def test_seeds_in_a_row_test_each_user_once_and_parts_share_nobody(tmp_path: Path) -> None:
    data, tested = dataset(tmp_path), []
    for seed in range(FOLDS):
        split = make_split(data, "profiles", seed=seed)
        names = np.array([name.split("#")[0] for name in split.sequences.user_ids])
        held_out = set(names[split.test.users]) | set(names[split.validation.users])
        assert not held_out & set(names[split.train])
        tested += names[split.test.users].tolist()
    assert sorted(tested) == sorted(f"u{n}" for n in range(60))


def test_users_cannot_be_described_without_a_template(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"'d' cannot describe its users.*profile_template"):
        profile_split(dataset(tmp_path, template=None))
    with pytest.raises(DataError, match="no column 'taste'"):
        profile_split(dataset(tmp_path, template="Likes {taste}."))


def test_a_profile_never_holds_what_is_for_audits_only() -> None:
    with pytest.raises(ValidationError, match="profile_template names religion"):
        Domain(name="d", title="D", audit_columns=["religion"], profile_template="Is {religion}.")
