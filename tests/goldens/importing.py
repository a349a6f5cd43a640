"""What the tests of the importers share: files to import, and what comes of them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from evalkit.errors import GoldenSetError
from evalkit.goldens.importers import import_cases
from evalkit.records import Case, Document, Expectation, Message

CASE = Case(
    "c-1",
    (Message("user", "hi"),),
    Expectation("refuse", facts=(("a", "b"),)),
    context=(Document("d", "text"),),
    variables={"n": 1.5},
    slices={"team": "x"},
    tags=("t",),
)


def write(folder: Path, name: str, content: str | bytes) -> Path:
    path = folder / name
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return path


def table(folder: Path, columns: dict[str, list[Any]], name: str = "cases.parquet") -> Path:
    pq.write_table(pa.table(columns), folder / name)
    return folder / name


def problem(path: Path, kind: str | None = None) -> GoldenSetError:
    with pytest.raises(GoldenSetError) as caught:
        import_cases(path, kind)
    assert caught.value.file == str(path)
    return caught.value


def one(path: Path, kind: str | None = None) -> Case:
    cases, _ = import_cases(path, kind)
    assert len(cases) == 1
    return cases[0]


def lines(*records: object) -> str:
    return "".join(json.dumps(record) + "\n" for record in records)
