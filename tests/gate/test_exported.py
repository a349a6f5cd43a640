"""Verdicts out of somebody's JSON report."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from evalkit.errors import UsageError
from evalkit.gate.exported import read_exported
from evalkit.gate.report import renderer
from tests.reports.comment_shapes import SHAPES


@pytest.mark.parametrize("name", ["blocked-critical", "several-workflows", "accepted-regressions", "error"])
def test_what_was_written_is_read_again(tmp_path: Path, name: str) -> None:
    report, file = SHAPES[name](), tmp_path / "report.json"
    file.write_text(renderer("json")(report), encoding="utf-8")
    found = read_exported(file)
    assert [verdict.verdict for verdict in found] == [verdict.verdict for verdict in report.ordered]
    assert renderer("markdown")(type(report)(found)).startswith(report.marker.replace("project=evals ", ""))


def document(**changes: Any) -> dict[str, Any]:
    data: dict[str, Any] = json.loads(renderer("json")(SHAPES["blocked-margin"]()))
    data["workflows"][0].update(changes)
    return data


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (b"", "not JSON"),
        (b"\xff\xfe", "not JSON"),
        (b"[" * 100_000, "not JSON"),
        (b"[]", "not a JSON report"),
        (b'{"schema": "evalkit.report/2", "workflows": [{}]}', "not a JSON report"),
        (b'{"schema": "evalkit.report/1", "workflows": []}', "not a JSON report"),
        (json.dumps({"schema": "evalkit.report/1", "workflows": [{}] * 201}).encode(), "not a JSON report"),
        (json.dumps(document(verdict="FINE")).encode(), "not a verdict"),
        (json.dumps(document(created_us="yesterday")).encode(), "not a verdict"),
        (json.dumps(document(rules=[{"id": 1}])).encode(), "not a verdict"),
    ],
)
def test_what_is_no_report_is_refused_in_words(tmp_path: Path, content: bytes, told: str) -> None:
    file = tmp_path / "report.json"
    file.write_bytes(content)
    with pytest.raises(UsageError, match=told):
        read_exported(file)


def test_one_that_is_too_long_is_not_parsed(tmp_path: Path) -> None:
    file = tmp_path / "report.json"
    file.write_text(json.dumps(document()), encoding="utf-8")
    with pytest.raises(UsageError, match="more than 100 bytes"):
        read_exported(file, most_bytes=100)
    with pytest.raises(UsageError, match="cannot be read"):
        read_exported(tmp_path / "absent.json")


def test_lone_surrogates_are_replaced(tmp_path: Path) -> None:
    file = tmp_path / "report.json"
    file.write_text(json.dumps(document(workflow="a\ud800b")), encoding="utf-8")
    assert read_exported(file)[0].workflow == "a\ufffdb"
