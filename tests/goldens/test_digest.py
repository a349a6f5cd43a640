"""The canonical digest against its readable definition, and what it must and must not depend on."""

from __future__ import annotations

import copy
import hashlib
import math
import struct
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import duckdb
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from evalkit.codec import decode, plain
from evalkit.goldens import CASE_SCHEMA, build, from_cases, load
from evalkit.goldens.digest import canonical_value, case_digests, row_digests, set_digest
from evalkit.goldens.parquet import PIECE, read_table
from evalkit.goldens.schema import cases_to_table
from evalkit.records import Case
from tests.goldens.strategies import CASES, RICH, SETS, card, case, exact


def readable(table: pa.Table) -> list[str]:
    """The digests by the readable definition, row by row."""
    return [hashlib.sha256(canonical_value(row)).hexdigest() for row in table.to_pylist()]


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (None, b"N"),
        (True, b"T"),
        (False, b"F"),
        (0, b"I0;"),
        (-42, b"I-42;"),
        (2**64, b"I18446744073709551616;"),
        (1.0, b"D3ff0000000000000"),
        (-0.0, b"D0000000000000000"),
        (0.1, b"D" + struct.pack(">d", 0.1).hex().encode()),
        (math.inf, b"D7ff0000000000000"),
        ("", b"S0:"),
        ("ab", b"S2:ab"),
        ("ü\x00", b"S3:\xc3\xbc\x00"),
        ([], b"L0[]"),
        (["a", None], b"L2[S1:aN]"),
        ([[], [1]], b"L2[L0[]L1[I1;]]"),
        ({}, b"{}"),
        ({"a": 1, "b": {"c": "x"}}, b"{S1:aI1;S1:b{S1:cS1:x}}"),
    ],
)
def test_the_readable_definition_is_the_documented_table(value: Any, expected: bytes) -> None:
    assert canonical_value(value) == expected


VALUES: st.SearchStrategy[Any] = st.recursive(
    st.sampled_from([None, True, False, 0, 1, 12, 0.0, 1.0, "", "N", "1", "a", "S1:a", "]", "I1;", "ab"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["a", "b"]), inner, max_size=2),
    max_leaves=5,
)


@settings(deadline=None, max_examples=150)
@given(VALUES, VALUES)
def test_two_values_have_the_same_form_only_when_they_are_the_same(left: Any, right: Any) -> None:
    assert (canonical_value(left) == canonical_value(right)) == (repr(left) == repr(right))


@settings(deadline=None, max_examples=25)
@given(SETS)
def test_the_digest_of_every_case_is_that_of_the_readable_definition(cases: list[Case]) -> None:
    table = cases_to_table(cases)
    assert case_digests(table) == readable(table)


FIELD_TYPES: st.SearchStrategy[pa.DataType] = st.recursive(
    st.sampled_from(
        [
            pa.string(),
            pa.large_string(),
            pa.bool_(),
            pa.int8(),
            pa.int64(),
            pa.uint64(),
            pa.float32(),
            pa.float64(),
            pa.null(),
        ]
    ),
    lambda inner: st.one_of(
        inner.map(pa.list_),
        inner.map(pa.large_list),
        st.lists(inner, min_size=1, max_size=3).map(
            lambda kinds: pa.struct([(f"é{index}", kind) for index, kind in enumerate(kinds)])
        ),
    ),
    max_leaves=4,
)


def values_of(kind: pa.DataType) -> st.SearchStrategy[Any]:
    if pa.types.is_struct(kind):
        values: st.SearchStrategy[Any] = st.fixed_dictionaries({field.name: values_of(field.type) for field in kind})
    elif pa.types.is_list(kind) or pa.types.is_large_list(kind):
        values = st.lists(values_of(kind.value_type), max_size=3)
    elif pa.types.is_boolean(kind):
        values = st.booleans()
    elif pa.types.is_floating(kind):
        values = st.floats(width=kind.bit_width)
    elif pa.types.is_integer(kind):
        low = 0 if kind == pa.uint64() else -(2 ** (kind.bit_width - 1))
        values = st.integers(low, low + 2**kind.bit_width - 1)
    elif pa.types.is_null(kind):
        values = st.none()
    else:
        values = st.text(max_size=4)
    return st.none() | values


@st.composite
def columns(draw: st.DrawFn) -> pa.Array:
    kind = draw(FIELD_TYPES)
    return pa.array(draw(st.lists(values_of(kind), max_size=5)), kind)


@settings(deadline=None, max_examples=60)
@given(columns(), st.data())
def test_any_column_sliced_or_in_chunks_has_the_readable_digest(column: pa.Array, data: st.DataObject) -> None:
    table = pa.table({"value": column})
    assert case_digests(table) == readable(table)
    start = data.draw(st.integers(0, len(column)))
    assert case_digests(table.slice(start)) == readable(table)[start:]
    chunked = pa.table({"value": pa.chunked_array([column.slice(0, start), column.slice(start)], column.type)})
    assert case_digests(chunked) == readable(table)


def test_values_hidden_below_a_missing_one_do_not_count() -> None:
    inner = pa.array(["hidden", "shown"])
    hidden = pa.StructArray.from_arrays([inner], ["a"], mask=pa.array([True, False]))
    assert case_digests(pa.table({"value": hidden})) == readable(pa.table({"value": [None, {"a": "shown"}]}))
    lists = pa.ListArray.from_arrays(pa.array([0, 1, 2]), inner, mask=pa.array([True, False]))
    assert case_digests(pa.table({"value": lists})) == readable(pa.table({"value": [None, ["shown"]]}))


def test_rows_beyond_those_encoded_together_are_digested_too() -> None:
    row = from_cases("x", "1", [RICH]).table
    count = 2 * PIECE + 3
    table = pa.concat_tables([row] * count)
    assert row_digests(table) == row_digests(row) * count
    assert set_digest(row_digests(table)) == set_digest(bytes.fromhex(readable(row)[0]) * count)


def test_texts_of_any_length_have_the_readable_form() -> None:
    texts = ["x" * length for length in (0, 1, 9, 10, 4_094, 4_095, 4_096, 4_097, 20_000)]
    lists = [["y"] * length for length in (0, 1, 2, 3, 4, 5, 4_095, 4_096, 5_000)]
    table = pa.table({"text": texts, "list": lists})
    assert case_digests(table) == readable(table)


def test_a_type_without_canonical_form_is_refused() -> None:
    with pytest.raises(TypeError, match="no canonical form for timestamp"):
        case_digests(pa.table({"value": pa.array([0], pa.timestamp("us"))}))


def test_the_digest_of_a_set_is_sha_256_over_schema_version_and_case_digests() -> None:
    golden = from_cases("shop", "1", [case("b"), case("a")])
    digests = readable(golden.table)
    content = b"evalkit/1/golden-set/1\x00" + "\n".join(digests).encode()
    assert golden.digest == set_digest(b"".join(map(bytes.fromhex, digests))) == hashlib.sha256(content).hexdigest()
    assert golden.digests == dict(zip(["a", "b"], digests, strict=True))


def test_name_and_version_are_no_content() -> None:
    assert from_cases("a", "1", [RICH]).digest == from_cases("b", "2", [RICH]).digest


MEMBERS = [RICH, case("b", variables={"z": 1, "a": [1.5, None]}), case("ä", tags=("x",)), case("c"), case("\U0001f600")]


@settings(deadline=None, max_examples=8)
@given(st.permutations(MEMBERS))
def test_the_order_in_which_cases_are_given_does_not_matter(members: list[Case]) -> None:
    assert from_cases("shop", "1", members).digest == from_cases("shop", "1", MEMBERS).digest


@settings(deadline=None, max_examples=12)
@given(CASES, st.randoms(use_true_random=False))
def test_the_order_of_keys_does_not_matter(member: Case, random: Any) -> None:
    def shuffled(value: Any) -> Any:
        if isinstance(value, dict):
            items = [(key, shuffled(item)) for key, item in value.items()]
            random.shuffle(items)
            return dict(items)
        return [shuffled(item) for item in value] if isinstance(value, list) else value

    again = decode(Case, shuffled(plain(member)))
    assert from_cases("x", "1", [again]).digest == from_cases("x", "1", [member]).digest


def shuffled_rows(table: pa.Table) -> pa.Table:
    return table.take([3, 0, 4, 1, 2])


def in_chunks(table: pa.Table) -> pa.Table:
    return pa.concat_tables([table.slice(0, 1), table.slice(1, 0), table.slice(1, 3), table.slice(4)])


def large_types(table: pa.Table) -> pa.Table:
    return table.set_column(0, "id", table.column("id").cast(pa.large_string()))


def dictionaries(table: pa.Table) -> pa.Table:
    return table.set_column(8, "role", table.column("role").dictionary_encode())


def columns_reversed(table: pa.Table) -> pa.Table:
    return table.select(table.column_names[::-1])


@pytest.mark.parametrize("change", [shuffled_rows, in_chunks, large_types, dictionaries, columns_reversed])
@pytest.mark.parametrize(
    "options",
    [
        {},
        {"compression": "none"},
        {"compression": "gzip", "row_group_size": 2},
        {"compression": "snappy", "row_group_size": 1, "use_dictionary": False},
        {"data_page_version": "2.0", "data_page_size": 16, "version": "1.0"},
        {"compression": "brotli", "write_statistics": False, "store_schema": False},
    ],
    ids=lambda options: "-".join(map(str, options.values())) or "default",
)
def test_rows_chunks_types_row_groups_and_compression_do_not_matter(
    tmp_path: Path, change: Callable[[pa.Table], pa.Table], options: dict[str, Any]
) -> None:
    golden = from_cases("shop", "1", MEMBERS)
    path = tmp_path / "other.parquet"
    pq.write_table(change(golden.table), path, **options)
    again = load(path)
    assert again.digest == golden.digest
    assert again.digests == golden.digests
    assert exact(again.cases) == exact(golden.cases)


@pytest.mark.parametrize("order", ["id", "id DESC", "hash(id)"])
def test_a_set_rewritten_by_duckdb_is_the_same_set(tmp_path: Path, order: str) -> None:
    golden = build(MEMBERS, tmp_path, "1", card=card())
    duckdb.execute(
        f"COPY (SELECT * FROM read_parquet('{tmp_path / '1.parquet'}') ORDER BY {order}) "  # noqa: S608
        f"TO '{tmp_path / 'other.parquet'}' (FORMAT parquet, COMPRESSION snappy)"
    )
    assert (tmp_path / "other.parquet").read_bytes() != (tmp_path / "1.parquet").read_bytes()
    assert load(tmp_path / "other.parquet").digest == golden.digest


def test_a_set_rewritten_by_pandas_is_the_same_set(tmp_path: Path) -> None:
    golden = build(MEMBERS, tmp_path, "1", card=card())
    frame = pd.read_parquet(tmp_path / "1.parquet").iloc[::-1].reset_index(drop=True)
    frame.to_parquet(tmp_path / "other.parquet", index=False)
    assert load(tmp_path / "other.parquet").digest == golden.digest


def changes(value: Any, path: tuple[str | int, ...] = ()) -> Iterator[tuple[str, Any]]:
    """Each way to change one thing of plain data: every value, and every item of a list or object left out."""
    if isinstance(value, dict):
        for key, item in value.items():
            for name, other in changes(item, (*path, key)):
                yield name, {**value, key: other}
            if isinstance(path[-1] if path else "", str) and _free(path):
                yield f"{_name((*path, key))} left out", {other: value[other] for other in value if other != key}
    elif isinstance(value, list):
        for index, item in enumerate(value):
            for name, other in changes(item, (*path, index)):
                yield name, [*value[:index], other, *value[index + 1 :]]
            yield f"{_name((*path, index))} left out", value[:index] + value[index + 1 :]
        if len(value) > 1:
            yield f"{_name(path)} reversed", value[::-1]
    else:
        yield _name(path), OTHER.get(str(path[-1]), {}).get(value, _other(value))


OTHER: dict[str, dict[Any, Any]] = {
    "role": {"system": "user", "assistant": "user", "tool": "user"},
    "behaviour": {"refuse": "answer"},
    "order": {"strict": "any"},
    "side_effect": {"read": "write"},
    "risk": {"high": "low"},
    "arguments": {None: {}},
}


def _other(value: Any) -> Any:
    if isinstance(value, bool):
        return not value
    if isinstance(value, (int, float)):
        return value + 1
    return "x" if value is None else value + "x"


def _free(path: tuple[str | int, ...]) -> bool:
    return bool({"variables", "arguments", "parameters", "result", "slices"} & set(path))


def _name(path: tuple[str | int, ...]) -> str:
    return ".".join(map(str, path))


CHANGES = {name: data for name, data in changes(plain(RICH)) if name != "expect.match"}


def test_the_changes_touch_every_column() -> None:
    touched = {name.partition(".")[0].partition(" ")[0] for name in CHANGES}
    assert touched == {name.removesuffix("_json") for name in CASE_SCHEMA.names}
    assert len(CHANGES) > 100


@pytest.mark.parametrize("name", CHANGES)
def test_the_digest_notices_a_change_of(name: str) -> None:
    changed = decode(Case, copy.deepcopy(CHANGES[name]))
    assert from_cases("x", "1", [changed]).digest != from_cases("x", "1", [RICH]).digest


@pytest.mark.parametrize(
    ("left", "right"),
    [
        ({"variables": {"n": 1}}, {"variables": {"n": 1.0}}),
        ({"variables": {"n": 1}}, {"variables": {"n": True}}),
        ({"variables": {"n": None}}, {"variables": {}}),
        ({"variables": {"n": "1"}}, {"variables": {"n": 1}}),
        ({"tags": ("a", "b")}, {"tags": ("ab",)}),
        ({"tags": ("a,b",)}, {"tags": ("a", "b")}),
        ({"tags": ()}, {"tags": ("",)}),
        ({"notes": "é"}, {"notes": "e\u0301"}),
        ({"notes": "a", "cluster": "b"}, {"notes": "b", "cluster": "a"}),
    ],
)
def test_values_that_look_alike_are_told_apart(left: dict[str, Any], right: dict[str, Any]) -> None:
    assert from_cases("x", "1", [case(**left)]).digest != from_cases("x", "1", [case(**right)]).digest


def test_a_case_more_or_less_or_under_another_id_is_another_set() -> None:
    sets = [[case("a"), case("b")], [case("a")], [case("b")], [case("a"), case("c")], [case("ab")]]
    assert len({from_cases("x", "1", members).digest for members in sets}) == len(sets)


def test_a_table_read_back_is_in_the_schema_whatever_it_was_written_in(tmp_path: Path) -> None:
    pq.write_table(large_types(dictionaries(from_cases("x", "1", MEMBERS).table)), tmp_path / "x.parquet")
    assert read_table(tmp_path / "x.parquet").schema.equals(CASE_SCHEMA)
