"""What people said of answers: a file of lines beside evalkit.yaml, one for each workflow, kept in version control.

A label names the output that it was given to, by hash: it holds wherever that output is stored, and for no other.
"""

from __future__ import annotations

import csv
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, TypeVar

from pydantic import Field, ValidationError

from evalkit.atomic import make_folder, write_text
from evalkit.configfile import FileModel
from evalkit.errors import ConfigError
from evalkit.fingerprint import fingerprint, short
from evalkit.records import Trace

__all__ = ["HumanLabel", "Labels", "SaidOfCase", "agreed_labels", "output_of", "read_label_file"]

FileT = TypeVar("FileT", bound=FileModel)
FOLDER = "labels"
_YES = {"true": True, "yes": True, "1": True, "pass": True, "good": True,
        "false": False, "no": False, "0": False, "fail": False, "bad": False}  # fmt: skip


def output_of(trace: Trace) -> str:
    """Hash of what a trial put out: its answer and its tool calls, as they are stored."""
    calls = [[event.name, event.arguments] for event in trace.tool_events]
    return short(fingerprint("output", [trace.case_id, trace.answer, calls]))


class SaidOfCase(FileModel):
    """One line of a file of labels that somebody made: a case of a run, and whether its answer is good."""

    case_id: str = Field(min_length=1)
    passed: bool
    grader: str = ""
    """Whose question is answered; empty takes the grader that is asked for."""
    trial: int = Field(default=0, ge=0)
    label: str = ""
    by: str = ""
    note: str = ""
    chosen: Literal["random", "review", "file"] = "file"
    output: str = ""
    """Hash of the answer that was looked at, where the row comes from evalkit."""


class HumanLabel(FileModel):
    """What a person said of one output, as one grader's question."""

    grader: str = Field(min_length=1)
    case_id: str = Field(min_length=1)
    output: str = Field(min_length=1)
    passed: bool
    label: str = ""
    by: str = ""
    day: str = ""
    """ISO date."""
    chosen: Literal["random", "review", "file"] = "file"
    """How the case came to be looked at: only a random choice says something of the cases that nobody looked at."""
    note: str = ""

    @property
    def key(self) -> tuple[str, str, str]:
        """What it is a label of: a later one of the same person takes its place."""
        return self.grader, self.output, self.by


@dataclass(frozen=True)
class Labels:
    """The labels of a project.

    Args:
        root: Folder of evalkit.yaml.
    """

    root: Path

    def path(self, workflow: str) -> Path:
        """The file of a workflow."""
        return self.root / FOLDER / f"{workflow}.jsonl"

    def of(self, workflow: str) -> tuple[HumanLabel, ...]:
        """All labels of a workflow, in the order of the file.

        Raises:
            ConfigError: for a file that cannot be read, or a line that is no label; names file and line.
        """
        path = self.path(workflow)
        if not path.exists():
            return ()
        return tuple(_validated(HumanLabel, row, path, number) for number, row in _rows(path))

    def add(self, workflow: str, labels: Iterable[HumanLabel]) -> Path:
        """Add labels; one of the same person on the same output takes the place of the earlier one.

        Raises:
            ConfigError: when the file that is there does not hold labels.
            StorageError: when it cannot be written.
        """
        kept = {label.key: label for label in self.of(workflow)}
        for label in labels:
            kept[label.key] = label
        path = self.path(workflow)
        make_folder(path.parent)
        write_text(path, "".join(f"{label.model_dump_json(exclude_defaults=True)}\n" for label in kept.values()))
        return path


def read_label_file(path: Path) -> tuple[SaidOfCase, ...]:
    """Labels that somebody made by hand or exported: JSON lines, CSV or Parquet, with ``case_id`` and ``passed``.

    A row whose ``passed`` is empty has not been looked at and is left out.

    Raises:
        ConfigError: for a file that cannot be read, or a row that is no label; names file and line.
    """
    found = []
    for number, row in _rows(path):
        known = {key: value for key, value in row.items() if key in SaidOfCase.model_fields and value not in (None, "")}
        passed = known.get("passed")
        if passed is None:
            continue
        if isinstance(passed, str):
            if passed.strip().lower() not in _YES:
                raise ConfigError(
                    "`passed` says whether the answer is good", file=path, line=number, key="passed", value=passed,
                    fix="write true or false (also yes, no, pass, fail, 1, 0)",
                )  # fmt: skip
            known["passed"] = _YES[passed.strip().lower()]
        found.append(_validated(SaidOfCase, known, path, number))
    if not found:
        raise ConfigError("no row has a label", file=path, key="passed", fix="fill in `passed`: true or false")
    return tuple(found)


def _rows(path: Path) -> Iterator[tuple[int, Mapping[str, Any]]]:
    kind = path.suffix.lower()
    try:
        if kind == ".parquet":
            import pyarrow.parquet as pq

            yield from enumerate(pq.read_table(path).to_pylist(), 1)
        elif kind == ".csv":
            with path.open(encoding="utf-8-sig", newline="") as file:
                yield from enumerate(csv.DictReader(file), 2)
        elif kind in (".jsonl", ".ndjson"):
            for number, line in enumerate(path.read_text(encoding="utf-8").split("\n"), 1):
                if line.strip():
                    yield number, _object(line, path, number)
        else:
            raise ConfigError("not a file of labels", file=path, fix="give .jsonl, .csv or .parquet")
    except (OSError, UnicodeDecodeError, csv.Error, ValueError) as error:
        raise ConfigError(f"the labels cannot be read: {error}", file=path) from None


def _object(line: str, path: Path, number: int) -> Mapping[str, Any]:
    try:
        row = json.loads(line)
    except (json.JSONDecodeError, RecursionError):
        row = None
    if not isinstance(row, dict):
        raise ConfigError("not a JSON object", file=path, line=number, value=line[:80])
    return row


def _validated(kind: type[FileT], row: Mapping[str, Any], path: Path, number: int) -> FileT:
    try:
        return kind.model_validate(row)
    except ValidationError as error:
        problem = error.errors(include_url=False)[0]
        raise ConfigError(
            problem["msg"], file=path, line=number, key=".".join(map(str, problem["loc"])), value=problem["input"]
        ) from None


def agreed_labels(labels: Sequence[HumanLabel], grader: str) -> dict[str, HumanLabel]:
    """One label an output for a grader: where several people said something, what most of them said; a tie is none."""
    by_output: dict[str, list[HumanLabel]] = {}
    for label in labels:
        if label.grader == grader:
            by_output.setdefault(label.output, []).append(label)
    agreed = {}
    for output, said in by_output.items():
        good = sum(label.passed for label in said)
        if 2 * good == len(said):
            continue
        agreed[output] = next(label for label in said if label.passed == (2 * good > len(said)))
    return agreed
