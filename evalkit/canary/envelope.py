"""Envelopes of live requests: one JSON line each, from either arm of a rollout."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Annotated, Literal, TypeAlias

from pydantic import Field

from evalkit import codec
from evalkit.errors import ConfigError, StorageError
from evalkit.records import Severity
from evalkit.text import excerpt, log_safe, scrub_json

__all__ = ["Envelope", "FolderSource", "Violation"]

SCHEMA = "evalkit.envelope/1"

Amount: TypeAlias = Annotated[int, Field(ge=0, le=2**53)]
"""Micro-seconds or micro-dollars; beyond the limit sums of them would not be exact."""


@dataclass(frozen=True, slots=True)
class Violation:
    """A policy violation that was found in a request."""

    rule: str
    severity: Severity = "major"
    message: str = ""


@dataclass(frozen=True, slots=True)
class Envelope:
    """What a canary judges a request by. Money and times are integers, as everywhere."""

    request_id: Annotated[str, Field(min_length=1)]
    arm: Literal["control", "canary"]
    workflow: str = ""
    configuration: str = ""
    success: bool | None = None
    """Whether the request reached its goal; None where that is not known (yet)."""
    violations: tuple[Violation, ...] = ()
    latency_us: Amount | None = None
    cost_microusd: Amount | None = None
    ts_us: int = 0
    tenant: str = ""
    simulated: bool = False
    schema: str = field(default=SCHEMA)


class FolderSource:
    """Reads envelopes from the ``*.jsonl`` files of a folder that grows.

    Files are read in the order of their names, each from where the last look ended; a last
    line without its newline is still being written and is left for the next look. A request id
    that came before is passed over and counted, unless it brings a critical violation.

    Args:
        folder: The folder.
        workflow: Only envelopes of this workflow, or without one.
    """

    def __init__(self, folder: Path, workflow: str) -> None:
        self._folder = folder
        self._workflow = workflow
        self._offsets: dict[Path, int] = {}
        self._lines: dict[Path, int] = {}
        self._seen: set[str] = set()
        self.repeated = 0

    def read(self) -> Iterator[Envelope]:
        """Envelopes that are new since the last look.

        Raises:
            ConfigError: for a line that is no envelope, naming file and line.
            StorageError: when the folder cannot be read.
        """
        if not self._folder.is_dir():
            raise StorageError(
                "no folder of envelopes here",
                file=self._folder,
                fix="give --envelopes FOLDER: where both arms write *.jsonl files; make it if none has begun yet",
            )
        for path in sorted(self._folder.glob("*.jsonl")):
            yield from self._read_file(path)

    def _read_file(self, path: Path) -> Iterator[Envelope]:
        try:
            with open(path, "rb") as handle:
                if handle.seek(0, os.SEEK_END) < self._offsets.get(path, 0):
                    raise ConfigError(
                        "the file is shorter than at the last look",
                        file=path,
                        fix="only add lines; rotate to a new file",
                    )
                handle.seek(self._offsets.get(path, 0))
                for line in handle:
                    if not line.endswith(b"\n"):
                        return
                    self._offsets[path] = self._offsets.get(path, 0) + len(line)
                    self._lines[path] = self._lines.get(path, 0) + 1
                    if line.strip():
                        yield from self._accept(_parse(line, path, self._lines[path]))
        except OSError as error:
            raise StorageError.from_os_error(error, "read the envelopes") from error

    def _accept(self, envelope: Envelope) -> Iterator[Envelope]:
        if envelope.workflow not in ("", self._workflow):
            return
        if envelope.request_id in self._seen:
            self.repeated += 1
            if not any(found.severity == "critical" for found in envelope.violations):
                return
        self._seen.add(envelope.request_id)
        yield envelope


def _parse(line: bytes, path: Path, number: int) -> Envelope:
    try:
        data, _ = scrub_json(json.loads(line))
        schema = data.get("schema", SCHEMA) if isinstance(data, dict) else None
        if schema != SCHEMA:
            raise ConfigError(f"not an envelope of {SCHEMA}", file=path, line=number, value=schema)
        return codec.strict(Envelope, data)
    except codec.ValidationError as error:
        problem = error.errors(include_url=False)[0]
        place = problem["loc"][1:]
        raise ConfigError(
            problem["msg"],
            file=path,
            line=number,
            key=log_safe(excerpt(".".join(str(part) for part in place))),
            value=problem["input"],
            fix=_known_keys(place) if problem["type"] == "unexpected_keyword_argument" else None,
        ) from None
    except (ValueError, RecursionError) as error:
        raise ConfigError(f"not valid JSON: {error}", file=path, line=number) from None


def _known_keys(place: tuple[int | str, ...]) -> str:
    """What to do about a key that is not known there."""
    return f"known keys here: {', '.join(item.name for item in fields(Envelope if len(place) == 1 else Violation))}"
