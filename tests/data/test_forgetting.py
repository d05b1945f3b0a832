from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from crossrec.data.dataset import Dataset
from crossrec.data.forgetting import forget_users, known_again, pseudonymise
from crossrec.data.pseudonyms import UserKeys
from tests.data.shop import import_shop

PEOPLE = [f"u{n}" for n in range(6)]
SALES = ["customer,sku,sold_at,stars", *(f"{one},001,1700000000,4" for one in PEOPLE)]


def test_users_forgotten_at_once_are_all_gone(tmp_path: Path):
    data = import_shop(tmp_path, sales=SALES)
    with ThreadPoolExecutor(len(PEOPLE)) as pool:
        removed = list(pool.map(lambda user: forget_users(data, [user]), PEOPLE[:-1]))
    assert removed == [{"interactions": 1}] * 5
    left = Dataset.open("shop", data.folder.parent)
    assert left.scan("interactions").collect()["user_id"].to_list() == PEOPLE[-1:]
    assert left.card["tables"]["interactions"] == 1


def test_somebody_erased_before_pseudonyms_is_known_again_after(tmp_path: Path):
    data = import_shop(tmp_path, sales=SALES)
    users = UserKeys(tmp_path / "users.json")
    erased = {users.make().digest("u3")}
    assert known_again(data, users.make(), erased) == {"u3"}
    key = users.make(pseudonymise=True)
    data = pseudonymise(data, key)
    assert known_again(data, key, erased) == {key.inside("u3")}
    assert known_again(data, key, {key.digest(key.inside("u4"))}) == {key.inside("u4")}
