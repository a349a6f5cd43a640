"""Sets that stay in their file: what is read, in which order, and what a change of the file does."""

from __future__ import annotations

import os
from itertools import pairwise
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from evalkit.errors import GoldenSetError
from evalkit.goldens import CASE_SCHEMA, GoldenSet, build, dump_jsonl, from_cases, load
from evalkit.goldens.goldenset import write_parquet
from evalkit.goldens.parquet import ROW_GROUP, read_groups, read_table, row_groups, write_tables
from evalkit.goldens.rows import FileRows, TableRows
from evalkit.records import Case
from tests.goldens.strategies import RICH, SETS, card, case, exact

MANY = [case(f"c{number:05d}", str(number), variables={"n": number, "today": "x"}) for number in range(ROW_GROUP + 900)]


@pytest.fixture(scope="module")
def many(tmp_path_factory: pytest.TempPathFactory) -> GoldenSet:
    """A set of more than one row group, in its file."""
    folder = tmp_path_factory.mktemp("many")
    build(MANY, folder, "1", card=card())
    return load(folder)


def ids(golden: GoldenSet, **options: Any) -> list[str]:
    return [member.id for member, _ in golden.iter_cases(**options)]


@pytest.mark.parametrize("count", [0, 1, 7, 2_000])
def test_few_or_many_cases_by_id_come_in_order_from_where_they_are_asked_for(many: GoldenSet, count: int) -> None:
    wanted = frozenset(["nobody", *(member.id for member in MANY[:: max(1, len(MANY) // (count or 1))][:count])])
    in_range = [member.id for member in MANY[1_000:4_500] if member.id in wanted]
    assert ids(many, ids=wanted) == [member.id for member in MANY if member.id in wanted]
    assert ids(many, ids=wanted, start=1_000, stop=4_500) == in_range


def sources(cases: list[Case], folder: Path) -> list[GoldenSet]:
    """The same set in memory, in its file, in a file of many groups, and in one of lines."""
    golden = from_cases("shop", "1", cases)
    write_parquet(golden.table, folder / "a.parquet")
    pq.write_table(golden.table, folder / "b.parquet", row_group_size=2)
    (folder / "c.jsonl").write_bytes(dump_jsonl(cases).encode())
    return [golden, *(load(folder / name) for name in ("a.parquet", "b.parquet", "c.jsonl"))]


@settings(deadline=None, max_examples=15)
@given(SETS, st.integers(-5, 5), st.none() | st.integers(-5, 5), st.integers(1, 3), st.data())
def test_a_part_of_a_set_is_that_part_of_its_cases(
    tmp_path_factory: pytest.TempPathFactory,
    cases: list[Case],
    start: int,
    stop: int | None,
    batch: int,
    data: st.DataObject,
) -> None:
    ordered = sorted(cases, key=lambda member: member.id)
    wanted = data.draw(st.none() | st.sets(st.sampled_from([member.id for member in cases])))
    expected = [member for member in ordered[start:stop] if wanted is None or member.id in wanted]
    digests = from_cases("shop", "1", cases).digests
    for golden in sources(cases, tmp_path_factory.mktemp("set")):
        found = list(golden.iter_cases(wanted, start, stop, batch))
        assert exact([member for member, _ in found]) == exact(expected)
        assert [digest for _, digest in found] == [digests[member.id] for member in expected]
        assert golden.count == len(cases) == golden.ref.cases
        assert golden.ids.to_pylist() == [member.id for member in ordered]
        assert golden.digests == digests


@settings(deadline=None, max_examples=15)
@given(SETS)
def test_common_variables_are_those_of_every_case(tmp_path_factory: pytest.TempPathFactory, cases: list[Case]) -> None:
    expected = frozenset.intersection(*(frozenset(member.variables) for member in cases))
    for golden in sources(cases, tmp_path_factory.mktemp("set")):
        assert golden.common_variables() == expected


def test_common_variables_of_many_cases(many: GoldenSet) -> None:
    assert many.common_variables() == {"n", "today"}
    assert from_cases("x", "1", [*MANY[:3], case("other", variables={"today": 1})]).common_variables() == {"today"}


def test_common_variables_of_a_row_that_is_no_case_name_it(tmp_path: Path) -> None:
    table = from_cases("x", "1", [case("a", variables={"n": 1}), case("b")]).table
    index = table.column_names.index("variables_json")
    pq.write_table(table.set_column(index, "variables_json", pa.array(['{"n":1}', "{"])), tmp_path / "x.parquet")
    with pytest.raises(GoldenSetError) as caught:
        load(tmp_path / "x.parquet").common_variables()
    assert (caught.value.file, caught.value.key) == (str(tmp_path / "x.parquet"), "b")


def test_a_set_from_a_file_stays_there(many: GoldenSet) -> None:
    assert isinstance(many.rows, FileRows)
    assert many.rows.groups == (ROW_GROUP, 900)
    assert many.path is not None
    assert row_groups(many.path) == [ROW_GROUP, 900]
    assert many.table.schema.equals(CASE_SCHEMA)
    assert many.table.num_rows == many.count == len(MANY)


def test_cases_across_row_groups_come_in_order(many: GoldenSet) -> None:
    names = [member.id for member in MANY]
    assert ids(many) == names
    assert ids(many, start=ROW_GROUP - 1, stop=ROW_GROUP + 1) == names[ROW_GROUP - 1 : ROW_GROUP + 1]
    assert ids(many, ids={names[-1], names[0], "nobody"}) == [names[0], names[-1]]
    assert ids(many, ids=set()) == []
    assert ids(many, start=5, stop=5) == []
    assert [many.case(name).input[0].content for name in (names[0], names[ROW_GROUP], names[-1])] == [
        "0",
        str(ROW_GROUP),
        str(len(MANY) - 1),
    ]


def test_row_groups_without_a_wanted_case_are_not_read(many: GoldenSet, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[list[int]] = []

    def watched(path: Path, groups: list[int], columns: list[str] | None = None) -> Any:
        asked.append(list(groups))
        return read_groups(path, groups, columns)

    monkeypatch.setattr("evalkit.goldens.rows.read_groups", watched)
    assert many.case(MANY[-1].id) == MANY[-1]
    assert ids(many, stop=2) == [MANY[0].id, MANY[1].id]
    assert asked == [[1], [0]]


@pytest.mark.parametrize("order", [[1, 0, 2], [2, 1, 0]])
def test_a_file_in_another_order_is_held_sorted(tmp_path: Path, order: list[int]) -> None:
    golden = from_cases("shop", "1", [case("a"), case("b"), RICH])
    pq.write_table(golden.table.take(order), tmp_path / "x.parquet", row_group_size=1)
    found = load(tmp_path / "x.parquet")
    assert isinstance(found.rows, TableRows)
    assert (found.digest, found.cases) == (golden.digest, golden.cases)


def test_ids_that_differ_beyond_ascii_are_in_order_for_every_reader(tmp_path: Path) -> None:
    names = sorted(["Z", "a", "é", "\uffff", "\U00010000", "z", "a\0", "a!"])
    write_parquet(from_cases("x", "1", map(case, names)).table, tmp_path / "x.parquet")
    golden = load(tmp_path / "x.parquet")
    assert isinstance(golden.rows, FileRows)
    assert ids(golden) == names
    assert [golden.case(name).id for name in names] == names


@pytest.mark.parametrize("name", ["", "C", "c99999", "c00000x"])
def test_an_id_that_is_not_there_is_refused(many: GoldenSet, name: str) -> None:
    with pytest.raises(GoldenSetError, match="no case `"):
        many.case(name)


@pytest.mark.parametrize("way", ["replaced", "rewritten", "gone"])
def test_a_file_that_changes_while_in_use_is_refused(tmp_path: Path, way: str) -> None:
    build([case("a", "one"), case("b")], tmp_path, "1", card=card())
    golden, path = load(tmp_path), tmp_path / "1.parquet"
    write_parquet(from_cases("x", "1", [case("a", "two"), case("b")]).table, tmp_path / "other.parquet")
    if way == "replaced":
        os.replace(tmp_path / "other.parquet", path)
    elif way == "rewritten":
        path.write_bytes((tmp_path / "other.parquet").read_bytes())
    else:
        path.unlink()
    for read in (
        lambda: list(golden.iter_cases()),
        lambda: golden.case("a"),
        lambda: golden.table,
        lambda: golden.cases,
    ):
        with pytest.raises(GoldenSetError, match=r"changed while it was in use|cannot read the file") as caught:
            read()
        assert caught.value.file == str(path)
    assert golden.digest == golden.ref.digest


def test_a_file_that_changes_between_two_cases_is_refused(tmp_path: Path) -> None:
    write_parquet(from_cases("x", "1", MANY).table, tmp_path / "x.parquet")
    cases = load(tmp_path / "x.parquet").iter_cases()
    next(cases)
    (tmp_path / "x.parquet").write_bytes((tmp_path / "x.parquet").read_bytes() + b" ")
    with pytest.raises(GoldenSetError):
        list(cases)


def test_a_table_in_pieces_makes_the_same_file(tmp_path: Path) -> None:
    table = from_cases("x", "1", MANY).table
    write_parquet(table, tmp_path / "whole.parquet")
    cuts = [0, 1, 700, 700, ROW_GROUP - 1, ROW_GROUP + 1, table.num_rows]
    pieces = [table.slice(start, end - start) for start, end in pairwise(cuts)]
    write_tables(iter(pieces), tmp_path / "pieces.parquet")
    assert (tmp_path / "pieces.parquet").read_bytes() == (tmp_path / "whole.parquet").read_bytes()
    assert read_table(tmp_path / "pieces.parquet").equals(table)
