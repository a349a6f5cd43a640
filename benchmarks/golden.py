"""Golden sets of a million cases, held against DuckDB on the same texts in the same job."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import duckdb
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from benchmarks.common import Table, cpu_of, medians, sample_case, scratch_folder
from evalkit.goldens import CASE_SCHEMA, GoldenSet, from_cases, load, load_and_validate, validate
from evalkit.goldens.goldenset import write_parquet
from evalkit.goldens.rows import TableRows
from evalkit.goldens.schema import cases_to_table

COUNT = int(os.environ.get("EVALKIT_BENCH_CASES", "1_000_000"))
"""Cases of the large set; fewer make a quick look."""
_WORDS = [
    *("order", "refund", "invoice", "return", "delivery", "policy", "contract", "days", "customer", "item", "account"),
    *("late", "damaged", "price", "payment", "agent", "notice", "term", "clause", "leave", "salary", "report"),
]

_CHECKS = """
SELECT count(*) - count(DISTINCT id),
       count(*) FILTER (id IS NULL OR id = ''),
       count(*) FILTER (input IS NULL OR trim(input) = ''),
       count(*) FILTER (expected IS NULL OR expected = ''),
       count(*) FILTER (risk NOT IN ('low', 'medium', 'high', 'critical')),
       count(*) FILTER (locale NOT IN ('en', 'de-DE', 'fr-FR'))
FROM yardstick
"""
_DIGEST = """
SELECT sha256(string_agg(digest, '' ORDER BY id)) FROM (
    SELECT id, sha256(concat_ws('|', id, input, context, expected, variables, intent, risk, locale, tenant)) AS digest
    FROM yardstick)
"""
_RESIDENT = """
import sys
from pathlib import Path
from evalkit.goldens import load
golden = load(Path(sys.argv[1]))
golden.digest
sum(1 for _ in golden.iter_cases())
print(int(Path("/proc/self/statm").read_text().split()[1]) * 4096)
"""


def measure() -> Table:
    """CPU seconds for each step, and how many times the yardstick that is."""
    table = _large_set(COUNT)
    connection = duckdb.connect()
    connection.execute("SET threads = 1")
    connection.register("yardstick", _flat(table))
    with scratch_folder() as folder:
        path = folder / "large.parquet"
        write_parquet(table, path)
        checks, rows, digest, valid, from_file = medians(
            3,
            lambda: cpu_of(lambda: connection.execute(_CHECKS).fetchall()),
            lambda: cpu_of(lambda: connection.execute(_DIGEST).fetchall()),
            lambda: cpu_of(lambda: GoldenSet("large", "1", TableRows(table)).digest),
            lambda: cpu_of(lambda: validate(GoldenSet("large", "1", TableRows(table)))),
            lambda: cpu_of(lambda: load_and_validate(path)),
        )
        trivial, rich = _decoding()
        small, large = (_resident(folder, count) for count in (1_000, 100_000))
    yardstick = checks + rows
    steps = [
        ("DuckDB: 6 checks", checks),
        ("DuckDB: sha256 of the ordered sha256 of rows", rows),
        ("validate", valid),
        ("canonical digest", digest),
        ("validate and canonical digest", valid + digest),
        ("the same from the Parquet file, read once", from_file),
    ]
    lines = [[name, f"{cost:.2f}", f"{COUNT / cost:,.0f}", f"{cost / yardstick:.2f}"] for name, cost in steps]
    lines += [
        ["trivial cases as Python objects", "", f"{trivial:,.0f}", ""],
        ["cases of the committed sets as Python objects", "", f"{rich:,.0f}", ""],
        [f"resident: 100,000 cases over 1,000, loaded and gone through: {(large - small) / 1e6:+.0f} MB", "", "", ""],
    ]
    return f"Golden set of {COUNT:,} cases", ["what", "CPU s", "cases a CPU s", "x DuckDB"], lines


def _large_set(count: int) -> pa.Table:
    """Cases of some 500 bytes of text, always the same."""
    random = np.random.default_rng(1)
    question, document = (_texts(random, count, words) for words in (20, 40))
    given: dict[str, Any] = {
        "id": pa.array([f"case-{number:07d}" for number in range(count)]),
        "input": _one_each(CASE_SCHEMA.field("input").type, {"role": "user", "content": question}, count),
        "context": _one_each(
            CASE_SCHEMA.field("context").type,
            {
                "id": "terms",
                "text": document,
                "title": "Terms",
                "date": "2026-01-01",
                "kind": "policy",
                "trusted": True,
            },
            count,
        ),
        "expect": {
            "behaviour": "answer",
            "facts": _lists(_lists(pc.utf8_slice_codeunits(document, 0, 12))),
        },
        "variables_json": '{"today":"2026-10-05"}',
        "tenant": "default",
        "role": "user",
        "locale": _picked(random, ["en", "de-DE", "fr-FR"], count),
        "intent": _picked(random, [f"intent-{number}" for number in range(12)], count),
        "risk": _picked(random, ["low", "medium", "high"], count),
        "critical": False,
        "provenance": {},
    }
    columns = [_column(field.type, given.get(field.name), count, needed=True) for field in CASE_SCHEMA]
    return pa.Table.from_arrays(columns, schema=CASE_SCHEMA)


def _column(kind: Any, value: Any, count: int, *, needed: bool) -> Any:
    """A column from an array, one value for all rows, or nothing: then empty where there must be something."""
    if isinstance(value, pa.Array):
        return value.cast(kind)
    if isinstance(value, dict):
        return _struct(kind, value, count)
    if value is None and needed:
        value = [] if pa.types.is_list(kind) else ""
    return pa.repeat(pa.scalar(value, kind), count)


def _struct(kind: Any, values: dict[str, Any], count: int) -> Any:
    optional = {"answer", "tools", "tool_call_id", "date", "tenant", "created"}
    columns = [_column(field.type, values.get(field.name), count, needed=field.name not in optional) for field in kind]
    return pa.StructArray.from_arrays(columns, fields=list(kind))


def _one_each(kind: Any, values: dict[str, Any], count: int) -> Any:
    return _lists(_struct(kind.value_type, values, count)).cast(kind)


def _lists(values: Any) -> Any:
    return pa.ListArray.from_arrays(pa.array(np.arange(len(values) + 1, dtype=np.int32)), values)


def _texts(random: np.random.Generator, count: int, words: int) -> Any:
    known = pa.array(_WORDS)
    picked = random.integers(0, len(_WORDS), (words, count))
    return pc.binary_join_element_wise(*(known.take(pa.array(row)) for row in picked), " ")


def _picked(random: np.random.Generator, values: list[str], count: int) -> Any:
    return pa.array(values).take(pa.array(random.integers(0, len(values), count)))


def _flat(table: pa.Table) -> pa.Table:
    """What the yardstick reads: the same texts in nine plain columns."""
    turns, documents = (table.column(name).combine_chunks().flatten() for name in ("input", "context"))
    facts = pc.list_flatten(pc.list_flatten(pc.struct_field(table.column("expect").combine_chunks(), "facts")))
    texts = {"input": turns.field("content"), "context": documents.field("text"), "expected": facts}
    plain = {name: table.column(name) for name in ("id", "intent", "risk", "locale", "tenant")}
    return pa.table({**plain, **texts, "variables": table.column("variables_json")})


def _decoding() -> tuple[float, float]:
    """Cases a CPU second, for trivial ones and for those of the committed sets, gone through without keeping any."""
    trivial = from_cases("trivial", "1", (sample_case(number) for number in range(20_000)))
    committed = [load(path).cases for path in sorted((Path(__file__).parents[1] / "goldensets").iterdir())]
    members = [case for cases in committed for case in cases]
    rich = pa.concat_tables([cases_to_table(members)] * (20_000 // len(members))).combine_chunks()
    sets = [trivial, GoldenSet("rich", "1", TableRows(rich))]
    for golden in sets:
        _ = golden.digest
    costs = medians(5, *(lambda golden=golden: cpu_of(lambda: sum(1 for _ in golden.iter_cases())) for golden in sets))
    return sets[0].count / costs[0], sets[1].count / costs[1]


def _resident(folder: Path, count: int) -> int:
    """Bytes resident of a process that has loaded and gone through a set of so many trivial cases."""
    path = folder / f"{count}.parquet"
    write_parquet(from_cases("trivial", "1", (sample_case(number) for number in range(count))).table, path)
    done = subprocess.run([sys.executable, "-c", _RESIDENT, str(path)], check=True, capture_output=True, text=True)
    return int(done.stdout)
