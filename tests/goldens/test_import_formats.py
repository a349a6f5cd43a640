"""evalkit's own JSON lines, and telling formats apart."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from evalkit.goldens import dump_jsonl
from evalkit.goldens.importers import FORMATS, detect_format, import_cases
from tests.goldens.importing import CASE, problem, write


def test_own_json_lines_come_back_as_they_were(tmp_path: Path) -> None:
    cases = [CASE, replace(CASE, id="c-2")]
    assert import_cases(write(tmp_path, "cases.jsonl", dump_jsonl(cases))) == (cases, [])


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("", "the file is empty"),
        (" \n\n", "the file is empty"),
        ('{"id": "a", "input": "x"}\n{"id": "a", "input": "y"}\n', "the case id occurs twice"),
        ('{"id": "a", "input": "x", "colour": "red"}\n', "unknown key `colour`"),
        ('{"id": "a", "input": "x", "variables": ' + "[" * 3000 + "}\n", "nested deeper than 100 levels"),
        ('{"id": "a", "input": "x", "variables": {"n": ' + "9" * 5000 + "}}\n", "not valid JSON"),
    ],
)
def test_bad_json_lines_are_refused(tmp_path: Path, content: str, message: str) -> None:
    assert message in problem(write(tmp_path, "cases.jsonl", content), "jsonl").message


@pytest.mark.parametrize(
    ("name", "content", "kind"),
    [
        ("a.csv", "input\nx\n", "csv"),
        ("a.TSV", "input\nx\n", "csv"),
        ("a.yml", "tests: []", "promptfoo"),
        ("a.json", "[]", "promptfoo"),
        ("a.bin", b"PAR1....", "parquet"),
        ("a.jsonl", '\n{"id": "a", "input": "x"}\n', "jsonl"),
        ("a.jsonl", '{"id": "a", "input": "x", "expect": {}}\n', "jsonl"),
        ("a.jsonl", '{"vars": {}}\n', "promptfoo"),
        ("a.jsonl", '{"item": {}}\n', "openai-evals"),
        ("a.jsonl", '\ufeff{"input": [], "ideal": "x"}\n', "openai-evals"),
        ("a.txt", '{"input": "x"}\n', "openai-evals"),
    ],
)
def test_the_format_is_told_from_the_file(tmp_path: Path, name: str, content: str | bytes, kind: str) -> None:
    assert detect_format(write(tmp_path, name, content)) == kind
    assert kind in FORMATS


@pytest.mark.parametrize("content", ["hello\n", "[1]\n", '{"a": 1}\n', "\ufeff", "[" * 5000])
def test_a_file_that_could_be_anything_is_refused(tmp_path: Path, content: str) -> None:
    error = problem(write(tmp_path, "a.txt", content))
    assert "cannot be told" in error.message
    assert all(kind in (error.fix or "") for kind in FORMATS)


def test_an_unknown_format_and_a_missing_file_are_refused(tmp_path: Path) -> None:
    assert "no such format" in problem(write(tmp_path, "a.csv", "input\nx\n"), "xlsx").message
    assert "cannot read the file" in problem(tmp_path / "none.csv").message
    assert "cannot read the file" in problem(tmp_path, "csv").message
