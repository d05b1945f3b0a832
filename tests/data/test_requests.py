from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

from crossrec.data.dataset import Dataset
from crossrec.data.requests import request_split
from crossrec.data.split import Split, fingerprint, make_split
from crossrec.domains.spec import Domain
from crossrec.errors import DataError

ITEMS = [f"i{n}" for n in range(6)]


def dataset(
    folder: Path, requests: list[dict[str, Any]], **tables: list[dict[str, Any]]
) -> Dataset:
    items = [{"item_id": item, "title": item, "text": f"{item} text"} for item in ITEMS]
    for name, rows in {"items": items, "requests": requests, **tables}.items():
        pl.DataFrame(rows).write_parquet(folder / f"{name}.parquet")
    return Dataset(folder, Domain(name="d", title="D", time_kind="none"), "0" * 64, {})


def request(number: int, item: str, split: str, **more: Any) -> dict[str, Any]:
    return {
        "request_id": f"r{number}",
        "text": f"words {number}",
        "item_id": item,
        "split": split,
        **more,
    }


def answers(split: Split, row: int) -> set[str]:
    assert split.relevant is not None
    return {split.sequences.item_ids[item] for item in split.relevant[[row]].indices}


def histories(split: Split, cases: Any) -> list[list[str]]:
    seqs = split.sequences
    return [
        [seqs.item_ids[item] for item in seqs.items[seqs.rows(user)][:cut]]
        for user, cut in zip(cases.users, cases.cuts, strict=True)
    ]


def test_each_request_is_a_user_without_history(tmp_path: Path) -> None:
    rows = [request(0, "i0", "train"), request(1, "i1", "valid"), request(2, "i2", "test")]
    split = request_split(dataset(tmp_path, rows))
    assert split.sequences.user_ids == ["r0#0", "r1#0", "r2#0"]
    assert split.sequences.requests == ["words 0", "words 1", "words 2"]
    assert split.train.tolist() == [True, False, False]
    assert [len(split.validation), len(split.test)] == [1, 1]
    assert histories(split, split.test) == [[]]
    assert split.warm.tolist() == [True, False, False, False, False, False]
    assert split.relevant is None  # one right answer each: targets say it all


def test_all_items_that_satisfy_a_request_are_right_and_known_from_training(tmp_path: Path) -> None:
    rows = [request(0, "i0", "train"), request(1, "i1", "test"), request(2, "i2", "test")]
    matches = [
        {"request_id": "r0", "item_id": "i0"},
        {"request_id": "r0", "item_id": "i5"},
        {"request_id": "r1", "item_id": "i3"},
    ]
    split = request_split(dataset(tmp_path, rows, request_matches=matches))
    assert answers(split, 0) == {"i0", "i5"}
    assert answers(split, 1) == {"i3"}
    assert answers(split, 2) == {"i2"}  # nothing satisfies it: what was chosen
    assert split.warm.tolist() == [True, False, False, False, False, True]


def test_a_training_request_that_names_its_item_has_no_other_answer(tmp_path: Path) -> None:
    rows = [
        request(0, "i0", "train", names_item=True),
        request(1, "i1", "test", names_item=True),
        request(2, "i2", "test", names_item=False),
    ]
    matches = [{"request_id": r, "item_id": i} for r in ("r0", "r2") for i in ("i2", "i3")]
    split = request_split(dataset(tmp_path, rows, request_matches=matches))
    assert split.sequences.user_ids == ["r0#0", "r2#0"]  # in test it would be reading, not wishing
    assert answers(split, 0) == {"i0"}


def dialogue(number: int, item: str, split: str, named: list[str], **more: Any) -> dict[str, Any]:
    return request(number, item, split, mentioned_item_ids=named, **more)


def test_what_a_dialogue_named_is_the_history_of_its_requests(tmp_path: Path) -> None:
    rows = [
        dialogue(0, "i2", "train", ["i0"], dialog_id="a", liked=True),
        dialogue(1, "i4", "train", ["i0", "i2", "i3"], dialog_id="a", liked=None),
        dialogue(2, "i1", "test", ["i5"], dialog_id="b", liked=True),
        dialogue(2, "i3", "test", ["i5"], dialog_id="b", liked=True),
        dialogue(3, "i0", "valid", [], dialog_id="c", liked=True),
    ]
    split = request_split(dataset(tmp_path, rows))
    seqs = split.sequences
    assert seqs.user_ids == ["a", "b", "c"]
    assert [seqs.item_ids[item] for item in seqs.items[seqs.rows(0)]] == ["i0", "i2", "i3", "i4"]
    assert seqs.requests is not None
    assert seqs.requests[seqs.rows(0)] == ["", "words 0", "", "words 1"]
    assert split.train[seqs.rows(0)].all()  # what was only named is an interaction too
    assert histories(split, split.test) == [["i5"]]  # two items, one request, one case
    assert answers(split, int(seqs.offsets[1]) + 1) == {"i1", "i3"}
    assert histories(split, split.validation) == [[]]


def test_what_was_turned_down_is_history_and_no_target(tmp_path: Path) -> None:
    rows = [
        dialogue(0, "i2", "train", [], dialog_id="a", liked=False),
        dialogue(1, "i4", "train", ["i2"], dialog_id="a", liked=True),
        dialogue(2, "i1", "test", [], dialog_id="b", liked=False),
        dialogue(3, "i3", "test", ["i1"], dialog_id="b", liked=True),
        dialogue(4, "i0", "valid", [], dialog_id="c", liked=True),
    ]
    split = request_split(dataset(tmp_path, rows))
    assert split.train[split.sequences.rows(0)].tolist() == [False, True]
    assert histories(split, split.test) == [["i1"]]


def test_a_dialogue_is_in_one_part_and_equal_texts_stay_together(tmp_path: Path) -> None:
    rows = [dialogue(n, "i0", "train", ["i1"], dialog_id=f"d{n // 2}") for n in range(200)]
    rows += [dialogue(200, "i2", "test", [], dialog_id="t")]
    split = request_split(dataset(tmp_path, rows))
    validated = {split.sequences.user_ids[user] for user in split.validation.users}
    trained = {split.sequences.user_ids[u] for u in range(split.sequences.n_users)} - validated
    assert 1 <= len(validated) <= 30
    for user in range(split.sequences.n_users):
        name = split.sequences.user_ids[user]
        assert split.train[split.sequences.rows(user)].any() == (name in trained - {"t"})


def test_drawn_users_keep_their_words_and_answers(tmp_path: Path) -> None:
    rows = [request(n, ITEMS[n % 6], ("train", "valid", "test")[n % 3]) for n in range(60)]
    matches = [{"request_id": f"r{n}", "item_id": ITEMS[(n + 1) % 6]} for n in range(60)]
    split = request_split(dataset(tmp_path, rows, request_matches=matches), max_users=20)
    seqs = split.sequences
    assert seqs.requests is not None
    for row, (user, text) in enumerate(zip(seqs.user_ids, seqs.requests, strict=True)):
        number = int(user[1:].split("#")[0])
        assert text == f"words {number}"
        assert answers(split, row) == {ITEMS[(number + 1) % 6]}


def test_requests_need_parts_called_train_and_test(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"have parts .'train'.; expected 'train' and 'test'"):
        request_split(dataset(tmp_path, [request(0, "i0", "train")]))


@pytest.mark.mirror
def test_every_test_request_of_the_published_sets_is_one_case(
    data_mirror: Path, tmp_path: Path
) -> None:
    from crossrec.data.importing import import_domain
    from crossrec.domains.registry import load_domain

    cases = {"movie_requests": 3595, "concierge": 831, "support": 3292}
    for name, n in cases.items():
        split = make_split(import_domain(load_domain(name), tmp_path, progress=False), "requests")
        assert len(split.test) == n
        assert fingerprint(split, split.test)
        trained = set(np.asarray(split.sequences.user_ids)[_users(split)])
        assert not trained & {split.sequences.user_ids[user] for user in split.test.users}


def _users(split: Split) -> Any:
    return np.searchsorted(split.sequences.offsets, np.flatnonzero(split.train), "right") - 1
