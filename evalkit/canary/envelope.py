"""Envelopes of live requests: one JSON line each, from either arm of a rollout."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from evalkit import codec
from evalkit.errors import ConfigError, StorageError
from evalkit.records import Severity

__all__ = ["Envelope", "FolderSource", "Violation"]

SCHEMA = "evalkit.envelope/1"


@dataclass(frozen=True, slots=True)
class Violation:
    """A policy violation that was found in a request."""

    rule: str
    severity: Severity = "major"
    message: str = ""


@dataclass(frozen=True, slots=True)
class Envelope:
    """What a canary judges a request by. Money and times are integers, as everywhere."""

    request_id: str
    arm: Literal["control", "canary"]
    workflow: str = ""
    configuration: str = ""
    success: bool | None = None
    """Whether the request reached its goal; None where that is not known (yet)."""
    violations: tuple[Violation, ...] = ()
    latency_us: int | None = None
    cost_microusd: int | None = None
    ts_us: int = 0
    tenant: str = ""
    simulated: bool = False
    schema: str = field(default=SCHEMA)


class FolderSource:
    """Reads envelopes from the ``*.jsonl`` files of a folder that grows.

    Files are read in the order of their names, each from where the last look ended; a last
    line without its newline is still being written and is left for the next look. A request id
    that came before is passed over and counted.

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
            raise StorageError("no folder of envelopes here", file=self._folder, fix="give --envelopes FOLDER")
        for path in sorted(self._folder.glob("*.jsonl")):
            yield from self._read_file(path)

    def _read_file(self, path: Path) -> Iterator[Envelope]:
        try:
            with open(path, "rb") as handle:
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
            return
        self._seen.add(envelope.request_id)
        yield envelope


def _parse(line: bytes, path: Path, number: int) -> Envelope:
    try:
        data = json.loads(line)
        schema = data.get("schema", SCHEMA) if isinstance(data, dict) else None
        if schema != SCHEMA:
            raise ConfigError(f"not an envelope of {SCHEMA}", file=path, line=number, value=schema)
        return codec.decode(Envelope, data)
    except ValueError as error:
        if isinstance(error, codec.ValidationError):
            problem = error.errors(include_url=False)[0]
            key = ".".join(str(part) for part in problem["loc"])
            raise ConfigError(problem["msg"], file=path, line=number, key=key, value=problem["input"]) from None
        raise ConfigError(f"not valid JSON: {error}", file=path, line=number) from None
