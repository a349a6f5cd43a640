"""Files that are truncated, foreign, from the future, or hold what no case can hold."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from evalkit.errors import ExitCode, GoldenSetError
from evalkit.goldens import GoldenSet, build, from_cases, load
from evalkit.goldens.goldenset import read_table
from tests.goldens.strategies import RICH, card, case

TABLE = from_cases("shop", "1", [case("a"), case("b"), RICH]).table


def refused(path: Path, message: str) -> GoldenSetError:
    with pytest.raises(GoldenSetError) as caught:
        load(path)
    assert re.search(message, caught.value.message)
    assert caught.value.file == str(path)
    assert caught.value.exit_code == ExitCode.GOLDEN_SET
    return caught.value


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, bytes, GoldenSet]:
    """A built set, the bytes of its file, and the set as built."""
    folder = tmp_path_factory.mktemp("whole")
    golden = build([case("a"), case("b"), RICH], folder, "1", card=card())
    return folder, (folder / "1.parquet").read_bytes(), golden


@settings(deadline=None, max_examples=40)
@given(share=st.floats(0, 1, exclude_max=True))
def test_a_file_cut_anywhere_is_refused(whole: tuple[Path, bytes, GoldenSet], share: float) -> None:
    folder, content, _ = whole
    path = folder / "1.parquet"
    path.write_bytes(content[: int(share * len(content))])
    try:
        with pytest.raises(GoldenSetError, match="not a readable Parquet file: ") as caught:
            load(folder)
    finally:
        path.write_bytes(content)
    assert caught.value.file == str(path)
    assert "restore it from version control" in str(caught.value.fix)


@settings(deadline=None, max_examples=60)
@given(share=st.floats(0, 1, exclude_max=True), bit=st.integers(0, 7))
def test_a_flipped_bit_is_refused_or_harmless(whole: tuple[Path, bytes, GoldenSet], share: float, bit: int) -> None:
    folder, content, golden = whole
    path = folder / "1.parquet"
    footer = len(content) - 8 - int.from_bytes(content[-8:-4], "little")
    damaged = bytearray(content)
    damaged[4 + int(share * (footer - 4))] ^= 1 << bit
    path.write_bytes(damaged)
    try:
        digest = load(folder).digest
    except GoldenSetError as error:
        digest = golden.digest if error.file == str(path) else "an error about something else"
    finally:
        path.write_bytes(content)
    assert digest == golden.digest


def test_a_damaged_column_name_is_refused(tmp_path: Path) -> None:
    pq.write_table(TABLE, tmp_path / "x.parquet", store_schema=False)
    content = (tmp_path / "x.parquet").read_bytes()
    (tmp_path / "x.parquet").write_bytes(content.replace(b"intent", b"\xe9ntent"))
    refused(tmp_path / "x.parquet", "^not a readable Parquet file: ")


@pytest.mark.parametrize(
    "content",
    [b"", b"PAR1", b"PAR1PAR1", b"PAR1\x00\x00\x00\x00PAR1", b"case,answer\n1,2\n", b"PK\x03\x04" * 20, b"\x00" * 1000],
    ids=["empty", "magic", "twice", "bare", "csv", "zip", "zeros"],
)
def test_what_is_no_parquet_is_refused(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "x.parquet"
    path.write_bytes(content)
    error = refused(path, "^not a readable Parquet file: ")
    assert "\n" not in error.message
    assert error.fix == "the file is truncated or of another kind: restore it from version control, or build it again"


def test_a_foreign_file_is_refused_with_the_columns_that_differ(tmp_path: Path) -> None:
    pd.DataFrame({"question": ["a"], "answer": ["b"], "id": ["c"]}).to_parquet(tmp_path / "x.parquet")
    error = refused(tmp_path / "x.parquet", "^not a golden set: columns missing: input, expect, ")
    assert error.message.endswith("; columns unknown: question, answer")
    assert error.fix == "import it: evalkit goldens import FILE --to FOLDER"


@pytest.mark.parametrize("name", TABLE.column_names)
def test_a_file_without_one_of_the_columns_names_it(tmp_path: Path, name: str) -> None:
    pq.write_table(TABLE.drop_columns([name]), tmp_path / "x.parquet")
    refused(tmp_path / "x.parquet", f"^not a golden set: columns missing: {name}$")


def test_a_column_too_many_is_named(tmp_path: Path) -> None:
    pq.write_table(TABLE.append_column("score", pa.array([1, 2, 3])), tmp_path / "x.parquet")
    refused(tmp_path / "x.parquet", "^not a golden set: columns unknown: score$")


def with_metadata(path: Path, metadata: dict[str, str]) -> Path:
    with pq.ParquetWriter(path, TABLE.schema, store_schema=False) as writer:
        writer.write_table(TABLE)
        writer.add_key_value_metadata(metadata)
    return path


def test_a_newer_schema_is_refused(tmp_path: Path) -> None:
    path = with_metadata(tmp_path / "x.parquet", {"evalkit.golden.schema": "2"})
    error = refused(path, "^the file has golden set schema 2, this evalkit reads 1$")
    assert error.fix == "upgrade evalkit"


def test_the_schema_of_a_newer_file_is_told_before_its_columns(tmp_path: Path) -> None:
    table = TABLE.append_column("new", pa.array([1, 2, 3])).replace_schema_metadata({"evalkit.golden.schema": "2"})
    pq.write_table(table, tmp_path / "x.parquet")
    refused(tmp_path / "x.parquet", "golden set schema 2")


def test_this_schema_and_foreign_metadata_are_fine(tmp_path: Path) -> None:
    path = with_metadata(tmp_path / "x.parquet", {"evalkit.golden.schema": "1", "writer": "other"})
    assert load(path).digest == from_cases("x", "1", [case("a"), case("b"), RICH]).digest


def altered(path: Path, name: str, values: list[Any], kind: pa.DataType | None = None) -> Path:
    """The set with other values in one column, one a row: a, b and rich."""
    index = TABLE.column_names.index(name)
    kind = kind or TABLE.schema.field(name).type
    pq.write_table(TABLE.set_column(index, name, pa.array(values, kind)), path)
    return path


@pytest.mark.parametrize(
    ("name", "values", "kind"),
    [
        ("critical", ["yes", "perhaps", "no"], pa.string()),
        ("tags", ["a", "b", "c"], pa.string()),
        ("input", [1, 2, 3], pa.int64()),
        ("expect", ["answer", "refuse", "answer"], pa.string()),
        ("variables_json", [{"a": 1}, {"a": 1}, {"a": 1}], pa.struct([("a", pa.int64())])),
    ],
)
def test_a_column_of_another_type_is_refused(tmp_path: Path, name: str, values: list[Any], kind: pa.DataType) -> None:
    error = refused(altered(tmp_path / "x.parquet", name, values, kind), "^a column has the wrong type: ")
    assert "\n" not in error.message


def test_ids_as_numbers_become_texts(tmp_path: Path) -> None:
    assert list(load(altered(tmp_path / "x.parquet", "id", [3, 1, 20], pa.int64())).digests) == ["1", "20", "3"]


@pytest.mark.parametrize(
    ("ids", "message"),
    [
        ([None, "b", "c"], "^a case has no id$"),
        (["", "b", "c"], "^a case has no id$"),
        (["a", "b", "a"], "^the case id occurs twice$"),
    ],
)
def test_bad_ids_in_a_file_are_refused(tmp_path: Path, ids: list[str | None], message: str) -> None:
    assert refused(altered(tmp_path / "x.parquet", "id", ids), message).key == "id"


def test_a_file_without_rows_is_refused(tmp_path: Path) -> None:
    pq.write_table(TABLE.slice(0, 0), tmp_path / "x.parquet")
    assert refused(tmp_path / "x.parquet", "no cases: nothing would be tested").fix == "add cases before running"


IMPOSSIBLE: list[tuple[str, list[Any]]] = [
    ("expect", [None, None, None]),
    ("input", [None, None, None]),
    ("slices", [None, None, None]),
    ("tenant", [None, "t", "t"]),
    ("critical", [None, False, False]),
    ("risk", ["huge", "low", "low"]),
    ("variables_json", ["{", "{}", "{}"]),
    ("variables_json", ["[1]", "{}", "{}"]),
    ("variables_json", [None, "{}", "{}"]),
    ("variables_json", ['{"n": NaN}', "{}", "{}"]),
    ("variables_json", ['{"n": 1e999}', "{}", "{}"]),
    ("variables_json", [r'{"n": "\ud800"}', "{}", "{}"]),
    ("variables_json", ["[" * 3000, "{}", "{}"]),
    ("provenance", [{"source": None, "author": "", "created": None, "reference": ""}, None, None]),
]


@pytest.mark.parametrize(
    ("name", "values"), IMPOSSIBLE, ids=lambda item: item if isinstance(item, str) else repr(item[0])[:20]
)
def test_values_that_no_case_can_hold_are_refused_with_file_and_case(
    tmp_path: Path, name: str, values: list[Any]
) -> None:
    path = altered(tmp_path / "x.parquet", name, values)
    with pytest.raises(GoldenSetError) as caught:
        assert load(path).cases
    assert caught.value.file == str(path)
    assert str(caught.value.key).startswith("a")
    assert "evalkit goldens build" in str(caught.value.fix)


@pytest.mark.parametrize("name", ["id", "notes"])
def test_text_that_is_not_utf_8_is_refused(tmp_path: Path, name: str) -> None:
    broken = pa.array([b"\xff", b"b", b"c"], pa.binary()).view(pa.string())
    index = TABLE.column_names.index(name)
    pq.write_table(TABLE.set_column(index, name, broken), tmp_path / "x.parquet")
    refused(tmp_path / "x.parquet", "^not a readable Parquet file: .*UTF8")


def test_a_file_of_another_kind_by_its_name_is_still_read_as_parquet(tmp_path: Path) -> None:
    pq.write_table(TABLE, tmp_path / "cases.pq")
    assert read_table(tmp_path / "cases.pq").num_rows == 3
    (tmp_path / "cases.csv").write_text("id,input\na,x\n", encoding="utf-8")
    refused(tmp_path / "cases.csv", "^not a readable Parquet file: ")
