"""Test cases from elsewhere as cases of a golden set.

Nothing in a file is executed, rendered or fetched, and no second file is opened. What a case
cannot hold is named in notes for the person; what would change the meaning of a case is an error.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from types import MappingProxyType

from evalkit.errors import GoldenSetError
from evalkit.goldens.importers import csv_table, jsonl, openai_evals, parquet_table, promptfoo
from evalkit.goldens.importers.assemble import Draft, assemble
from evalkit.goldens.importers.notes import Notes
from evalkit.goldens.source import read_bytes
from evalkit.records import Case, Json

__all__ = ["FORMATS", "detect_format", "import_cases"]

FORMATS: Mapping[str, str] = MappingProxyType(
    {
        "jsonl": "evalkit's own JSON lines",
        "csv": "a table as CSV",
        "parquet": "a table as Parquet, or a golden set",
        "promptfoo": "a promptfoo configuration or test file (YAML, JSON, JSON lines)",
        "openai-evals": "samples of openai/evals or of OpenAI's hosted evals (JSON lines)",
    }
)
"""The formats by name, with what each is."""

_READERS: Mapping[str, Callable[[Path, Notes], list[Draft]]] = {
    "csv": csv_table.read,
    "parquet": parquet_table.read,
    "promptfoo": promptfoo.read,
    "openai-evals": openai_evals.read,
}
_SUFFIXES: Mapping[str, str] = {
    ".csv": "csv",
    ".json": "promptfoo",
    ".parquet": "parquet",
    ".pq": "parquet",
    ".tsv": "csv",
    ".yaml": "promptfoo",
    ".yml": "promptfoo",
}
_HINT = f"say which format it is: --from {' | '.join(FORMATS)}"


def import_cases(path: Path | str, format: str | None = None) -> tuple[list[Case], list[str]]:  # noqa: A002
    """Read the cases of a file.

    Args:
        path: The file.
        format: One of :data:`FORMATS`; by default what :func:`detect_format` says.

    Returns:
        The cases in the order of the file, and notes for the person: what was not taken over, and why.

    Raises:
        GoldenSetError: naming the file, the line or row, the key and the value of the first
            problem, and what to do about it. Nothing half-read is returned.
    """
    file = Path(path)
    kind = format or detect_format(file)
    if kind not in FORMATS:
        raise GoldenSetError("no such format", file=file, key="format", value=kind, fix=_HINT)
    notes = Notes()
    own = _own_cases(file, kind)
    cases = assemble(_READERS[kind](file, notes), file, kind, notes) if own is None else own
    return cases, notes.lines()


def _own_cases(path: Path, kind: str) -> list[Case] | None:
    if kind == "jsonl":
        return jsonl.read(path)
    return parquet_table.read_golden_set(path) if kind == "parquet" else None


def detect_format(path: Path | str) -> str:
    """Which of :data:`FORMATS` a file is in, by its name and, for JSON lines, its first line.

    Raises:
        GoldenSetError: when the file cannot be read, is empty, or could be anything.
    """
    file = Path(path)
    data = read_bytes(file)
    if data.startswith(b"PAR1"):
        return "parquet"
    if file.suffix.lower() in _SUFFIXES:
        return _SUFFIXES[file.suffix.lower()]
    found = _kind_of_line(next((line for line in data.removeprefix(b"\xef\xbb\xbf").split(b"\n") if line.strip()), b""))
    if found is None:
        raise GoldenSetError("the format cannot be told from the file", file=file, fix=_HINT)
    return found


def _kind_of_line(line: bytes) -> str | None:
    """What the first of the JSON lines is; None where it is no JSON object, or an unknown one."""
    try:
        record: Json = json.loads(line)
    except (ValueError, RecursionError):
        return None
    if not isinstance(record, dict):
        return None
    if record.keys() & {"vars", "assert"}:
        return "promptfoo"
    if record.keys() & {"item", "ideal"}:
        return "openai-evals"
    if "expect" in record or {"id", "input"} <= record.keys():
        return "jsonl"
    return "openai-evals" if "input" in record else None
