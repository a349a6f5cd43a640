"""The masked cases of the runs in the store."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from evalkit.errors import StoreError
from evalkit.goldens import CASE_SCHEMA, from_cases
from evalkit.records import Case, GoldenSetRef, Message
from evalkit.store.cases import (
    adopt_cases,
    cases_path,
    iter_cases_of,
    load_case_columns,
    load_cases,
    read_case_schema,
    save_cases,
)

REDACTION = "0123456789"
CASES = [
    Case(
        f"c{number:04d}",
        (Message("user", str(number)),),
        critical=number % 7 == 0,
        cluster=f"k{number % 5}",
        slices={"team": "a"},
    )
    for number in range(2_500)
]
REF = from_cases("shop", "1", CASES).ref


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store with one set."""
    folder = tmp_path_factory.mktemp("store")
    save_cases(folder, REF, REDACTION, iter(CASES))
    return folder


def test_cases_come_back_as_they_were_in_their_order(root: Path) -> None:
    assert load_cases(root, REF, REDACTION) == CASES
    assert list(iter_cases_of(root, REF, REDACTION)) == CASES


def test_only_the_cases_asked_for_come_back(root: Path) -> None:
    wanted = {"c0000", "c1024", "c2499", "nobody"}
    found = [case.id for case in iter_cases_of(root, REF, REDACTION, wanted)]
    assert found == ["c0000", "c1024", "c2499"]
    assert list(iter_cases_of(root, REF, REDACTION, set())) == []


def test_columns_come_without_cases_in_the_order_asked_for(root: Path) -> None:
    names = ["critical", "id", "cluster", "slices", "intent", "risk", "locale", "role"]
    table = load_case_columns(root, REF, REDACTION, names)
    assert table.column_names == names
    assert table.schema.equals(pa.schema([CASE_SCHEMA.field(name) for name in names]))
    assert table.column("id").to_pylist() == [case.id for case in CASES]
    assert table.column("critical").to_pylist() == [case.critical for case in CASES]
    assert table.column("slices")[3].as_py() == [{"key": "team", "value": "a"}]


def test_a_version_is_written_once_and_then_not_asked_for_again(root: Path) -> None:
    before = cases_path(root, REF.digest, REDACTION).read_bytes()

    offered = iter(CASES)
    save_cases(root, REF, REDACTION, offered)
    assert next(offered) == CASES[0]
    assert cases_path(root, REF.digest, REDACTION).read_bytes() == before


@pytest.mark.parametrize(
    ("cases", "message"),
    [
        ([CASES[1], CASES[0]], "in order of id: `c0000` after `c0001`"),
        ([CASES[0], CASES[0]], "in order of id: `c0000` after `c0000`"),
        ([CASES[0]], "has 2 cases: 1 were given"),
        (CASES[:3], "has 2 cases: 3 were given"),
        ([], "has 2 cases: 0 were given"),
    ],
)
def test_cases_out_of_order_or_too_few_leave_nothing_behind(tmp_path: Path, cases: list[Case], message: str) -> None:
    ref = GoldenSetRef("shop", "1", "d" * 64, 2)
    with pytest.raises(ValueError, match=message):
        save_cases(tmp_path, ref, REDACTION, iter(cases))
    assert [name for _, _, names in os.walk(tmp_path) for name in names] == []


def test_an_interrupted_write_leaves_nothing_behind(tmp_path: Path) -> None:
    def broken() -> Iterator[Case]:
        yield from CASES[:2_000]
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        save_cases(tmp_path, REF, REDACTION, broken())
    assert [name for _, _, names in os.walk(tmp_path) for name in names] == []


def test_sets_that_are_masked_otherwise_are_kept_apart(tmp_path: Path) -> None:
    save_cases(tmp_path, REF, "a" * 8, CASES)
    save_cases(tmp_path, REF, "b" * 8, [replace(case, notes="masked") for case in CASES])
    assert {case.notes for case in iter_cases_of(tmp_path, REF, "a" * 8)} == {""}
    assert {case.notes for case in iter_cases_of(tmp_path, REF, "b" * 8)} == {"masked"}


READERS: list[Callable[[Path, GoldenSetRef, str], object]] = [
    load_cases,
    read_case_schema,
    lambda root, golden, redaction: list(iter_cases_of(root, golden, redaction)),
    lambda root, golden, redaction: load_case_columns(root, golden, redaction, ["id"]),
]


@pytest.mark.parametrize("read", READERS)
def test_cases_that_are_not_there_are_named(tmp_path: Path, read: Callable[[Path, GoldenSetRef, str], object]) -> None:
    with pytest.raises(StoreError, match="the cases of shop@1 are not in the store") as caught:
        read(tmp_path, REF, REDACTION)
    assert caught.value.file == str(cases_path(tmp_path, REF.digest, REDACTION))


@pytest.mark.parametrize("read", READERS)
@pytest.mark.parametrize("content", [b"", b"PAR1", b"\0" * 500])
def test_cases_that_cannot_be_read_are_named(
    tmp_path: Path, read: Callable[[Path, GoldenSetRef, str], object], content: bytes
) -> None:
    path = cases_path(tmp_path, REF.digest, REDACTION)
    path.parent.mkdir(parents=True)
    path.write_bytes(content)
    with pytest.raises(StoreError, match="not a readable Parquet file") as caught:
        read(tmp_path, REF, REDACTION)
    assert caught.value.file == str(path)


def other_store(folder: Path, cases: list[Case], count: int = REF.cases) -> Path:
    """A store with other cases under the same name."""
    save_cases(folder, replace(REF, cases=count), REDACTION, iter(cases))
    return folder


def test_cases_of_another_store_are_brought_along_though_it_wrote_them_otherwise(root: Path, tmp_path: Path) -> None:
    again = other_store(tmp_path / "again", CASES)
    file = cases_path(again, REF.digest, REDACTION)
    pq.write_table(pq.read_table(file), file, compression="none")
    adopt_cases(tmp_path / "own", REF, REDACTION, [tmp_path / "nothing", root, again])
    assert load_cases(tmp_path / "own", REF, REDACTION) == CASES
    adopt_cases(tmp_path / "own", REF, REDACTION, [again])


def test_stores_that_hold_different_cases_under_one_name_are_refused(root: Path, tmp_path: Path) -> None:
    changed = other_store(tmp_path / "changed", [replace(CASES[0], critical=False), *CASES[1:]])
    for own, others in ((tmp_path / "own", [root, changed]), (root, [changed])):
        with pytest.raises(StoreError, match="other cases of shop@1") as caught:
            adopt_cases(own, REF, REDACTION, others)
        assert caught.value.file == str(cases_path(changed, REF.digest, REDACTION))
    assert not (tmp_path / "own").exists()


@pytest.mark.parametrize("damage", ["short", "truncated"])
def test_damaged_cases_are_not_brought_along(tmp_path: Path, damage: str) -> None:
    there = other_store(tmp_path / "there", CASES[:-1], REF.cases - 1)
    file = cases_path(there, REF.digest, REDACTION)
    if damage == "truncated":
        file.write_bytes(file.read_bytes()[:-100])
    with pytest.raises(StoreError, match="holds 2,499 of the 2,500" if damage == "short" else "not a readable"):
        adopt_cases(tmp_path / "own", REF, REDACTION, [there])
    with pytest.raises(StoreError, match="in none of the stores"):
        adopt_cases(tmp_path / "own", REF, REDACTION, [tmp_path])
