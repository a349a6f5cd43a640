"""Every error that evalkit raises on purpose, and the exit codes of the command line.

The tree, with the exit code of each class::

    EvalkitError                     3
    ├── UsageError                   2   the command line asks for something that cannot be
    ├── NotComparableError           4   baseline and candidate cannot be compared
    ├── BudgetError                  6   a budget is spent
    ├── ConfigError                 10   evalkit.yaml, workflow.yaml, routes, policies, gates
    │   ├── PromptError             12   a prompt does not parse or names an unknown variable
    │   └── ToolSchemaError         13   a tool's parameters are not JSON Schema
    ├── GoldenSetError              11   a golden set is missing, damaged, foreign or invalid
    ├── GraderError                 14   a grader cannot be loaded or configured
    ├── ProviderError               15   a target cannot be reached or refuses us
    ├── TerminatedError            143   SIGTERM; what finished is kept
    └── StoreError                   3
        ├── StoreVersionError       16   the store was written by a newer version
        ├── StorageError            17   the disk is full, read-only or not ours to write
        └── StoreBusyError          18   another process holds the store for too long

Catch :class:`EvalkitError` to catch them all; its ``str`` is what the command line prints.
"""

from __future__ import annotations

import errno
import os
from enum import IntEnum
from typing import Any, ClassVar

__all__ = [
    "BudgetError",
    "ConfigError",
    "EvalkitError",
    "ExitCode",
    "GoldenSetError",
    "GraderError",
    "NotComparableError",
    "PromptError",
    "ProviderError",
    "StorageError",
    "StoreBusyError",
    "StoreError",
    "StoreVersionError",
    "TerminatedError",
    "ToolSchemaError",
    "UsageError",
]


class ExitCode(IntEnum):
    """What the process says to the shell. Only ``PASS`` is zero: nothing fails open."""

    PASS = 0
    """The gate passed, with or without notes; or the command did what was asked."""
    BLOCKED = 1
    """A gate rule found a regression or a limit was broken; a canary must be rolled back."""
    USAGE = 2
    """The command line is wrong (click's own code)."""
    ERROR = 3
    """A trial or a grader failed, or evalkit itself: not a statement about quality."""
    NOT_COMPARABLE = 4
    """No baseline, or baseline and candidate differ in something that must be equal."""
    INCONCLUSIVE = 5
    """Not enough evidence for a verdict; a canary must hold."""
    BUDGET = 6
    """The budget is spent; what finished is kept and the run can go on."""
    CONTINUE = 7
    """The canary is neither promoted nor rolled back yet: keep the traffic share and look again."""
    CONFIG = 10
    GOLDEN_SET = 11
    PROMPT = 12
    TOOL_SCHEMA = 13
    GRADER = 14
    PROVIDER = 15
    STORE_VERSION = 16
    STORAGE = 17
    STORE_BUSY = 18
    NOT_POSTED = 19
    """The comment on the pull request could not be written; the verdict is what it is."""
    INTERRUPTED = 130
    """Ctrl-C; what finished is kept and the run can go on."""
    TERMINATED = 143
    """SIGTERM; the same."""


class EvalkitError(Exception):
    """Base class. Says where (file, line, key, value), what is wrong, and what to do.

    Args:
        message: What is wrong, in one sentence without a full stop.
        file: The file that holds the mistake.
        line: Its line, from 1.
        key: The key or field, dotted.
        value: The offending value; shown shortened, never a secret.
        fix: What to do about it.
    """

    exit_code: ClassVar[ExitCode] = ExitCode.ERROR

    def __init__(
        self,
        message: str,
        *,
        file: str | os.PathLike[str] | None = None,
        line: int | None = None,
        key: str | None = None,
        value: Any = None,
        fix: str | None = None,
    ) -> None:
        super().__init__(message)
        self.message = message
        self.file = os.fspath(file) if file is not None else None
        self.line = line
        self.key = key
        self.value = value
        self.fix = fix

    def __str__(self) -> str:
        where = self.file or ""
        if self.file and self.line is not None:
            where = f"{self.file}:{self.line}"
        lines = [f"{where}: {self.message}" if where else self.message]
        if self.key is not None:
            lines.append(f"  key:   {self.key}")
        if self.value is not None:
            lines.append(f"  value: {_shorten(repr(self.value))}")
        if self.fix is not None:
            lines.append(f"  fix:   {self.fix}")
        return "\n".join(lines)


def _shorten(text: str, limit: int = 200) -> str:
    return text if len(text) <= limit else f"{text[:limit]}… ({len(text)} characters)"


class UsageError(EvalkitError):
    """The command line, or a call of the library, asks for something that cannot be."""

    exit_code = ExitCode.USAGE


class NotComparableError(EvalkitError):
    """Baseline and candidate differ in something that must be equal."""

    exit_code = ExitCode.NOT_COMPARABLE


class BudgetError(EvalkitError):
    """A budget is spent."""

    exit_code = ExitCode.BUDGET


class ConfigError(EvalkitError):
    """A project or workflow file does not say what it must."""

    exit_code = ExitCode.CONFIG


class PromptError(ConfigError):
    """A prompt template does not parse, or uses a variable that nothing defines."""

    exit_code = ExitCode.PROMPT


class ToolSchemaError(ConfigError):
    """A tool's parameters are not a JSON Schema."""

    exit_code = ExitCode.TOOL_SCHEMA


class GoldenSetError(EvalkitError):
    """A golden set is missing, damaged, foreign, empty or breaks a rule of its schema."""

    exit_code = ExitCode.GOLDEN_SET


class GraderError(EvalkitError):
    """A grader cannot be found, loaded or configured."""

    exit_code = ExitCode.GRADER


class ProviderError(EvalkitError):
    """A target cannot be reached, refuses us, or answers outside its protocol."""

    exit_code = ExitCode.PROVIDER


class TerminatedError(EvalkitError):
    """The process was told to end."""

    exit_code = ExitCode.TERMINATED


class StoreError(EvalkitError):
    """The store cannot do what was asked."""


class StoreVersionError(StoreError):
    """The store was written by a newer evalkit or a newer DuckDB."""

    exit_code = ExitCode.STORE_VERSION


class StorageError(StoreError):
    """The disk is full, read-only, or not ours to write."""

    exit_code = ExitCode.STORAGE

    @classmethod
    def from_os_error(cls, error: OSError, doing: str) -> StorageError:
        """Turn an ``OSError`` into one that says which path and what to do."""
        fixes = {
            errno.EROFS: "the file system is read-only: set `store:` in evalkit.yaml to a writable folder",
            errno.EACCES: "give this user write permission, or set `store:` in evalkit.yaml elsewhere",
            errno.EPERM: "give this user write permission, or set `store:` in evalkit.yaml elsewhere",
            errno.ENOTDIR: "a file is where a folder should be: remove it, or set `store:` in evalkit.yaml elsewhere",
            errno.ENOENT: "the file system does not take it: set `store:` in evalkit.yaml to a writable folder",
            errno.ENOSPC: "free some space and run again: what finished is kept",
            errno.EDQUOT: "the quota is used up: free some space and run again, what finished is kept",
        }
        reason = error.strerror or type(error).__name__
        return cls(f"cannot {doing}: {reason}", file=error.filename, fix=fixes.get(error.errno or 0))


class StoreBusyError(StoreError):
    """Another process held the store for longer than we wait."""

    exit_code = ExitCode.STORE_BUSY
