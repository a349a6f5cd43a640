"""The journal of a run: every finished call, at once, one line; a torn last line is dropped when read.

A line is the CRC-32 of what follows in eight hex digits, a blank, a letter and its parts, which are JSON, by tabs
(JSON text holds none):

* ``P`` the plan that is executed: the first line, and again whenever the run is taken up.
* ``C`` a finished call of a trial that is not finished: its place, the answer.
* ``F`` a finished trial that waits for its graders: its row of the trials segment, its trace, no scores.
* ``J`` a paid reply of a model to a grader: what it cost. The reply is kept elsewhere.
* ``T`` a graded trial: its row of the trials segment, its trace, its rows of the scores segment.

Lines are written as soon as there is something to write, so that they survive the process. A thread forces them to
the disk every 50 ms and says how far it has come, so that what is counted survives the machine.
"""

from __future__ import annotations

import fcntl
import os
import threading
import time
import weakref
import zlib
from collections.abc import Callable, Container, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO, Self

from pydantic_core import from_json, to_json

from evalkit import codec
from evalkit.atomic import sync_folder
from evalkit.errors import StorageError, StoreError
from evalkit.providers import ChatResponse
from evalkit.records import Score
from evalkit.store.schema import StoredTrial, score_row, trial_row

__all__ = [
    "Entry",
    "Journal",
    "JournalLock",
    "JournalReader",
    "PlanHead",
    "is_written",
    "lock_journal",
    "read_entries",
    "read_head",
]

_INTERVAL = 0.05
_BLOCK = 1 << 13
"""Bytes read at once: most lines are shorter."""
_LOOKS = 20
"""How often a lock is tried for, a hundredth of a second apart: who only looks holds it for a moment."""


@dataclass(frozen=True, slots=True)
class PlanHead:
    """Which run a journal is of: equal heads but for the run itself are the same work."""

    run_id: str
    created_us: int
    workflow: str
    plan: str
    """Fingerprint of configuration, golden set, selection, trials a case, graders and masking together."""
    redaction: str
    grading: str
    configuration: str = ""
    options: dict[str, Any] | None = None
    """What the command line said of it, so that it can be taken up without saying it again."""


@dataclass(frozen=True, slots=True)
class Entry:
    """A line of a journal, read but not decoded."""

    kind: str
    parts: tuple[bytes, ...]
    offset: int
    """Where the line begins."""
    length: int

    @property
    def head(self) -> dict[str, Any]:
        """The first part: the row of a trial, the place of a call."""
        data: dict[str, Any] = from_json(self.parts[0])
        return data


class JournalLock:
    """While it is held, nobody else writes or removes the journal. Use as a context manager.

    Made by :func:`lock_journal`.
    """

    def __init__(self, descriptor: int) -> None:
        self.descriptor = descriptor

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        os.close(self.descriptor)

    @property
    def size(self) -> int:
        """Bytes of the journal."""
        return os.fstat(self.descriptor).st_size


def lock_journal(path: Path, *, make: bool = False) -> JournalLock | None:
    """Hold a journal; None where it is not there, or another process holds it.

    Args:
        path: The journal.
        make: Whether it is made where it is not there.

    Raises:
        StorageError: when it cannot be opened.
    """
    try:
        descriptor = os.open(path, os.O_RDWR | os.O_APPEND | (os.O_CREAT if make else 0), 0o600)
    except FileNotFoundError:
        return None
    except OSError as error:
        raise StorageError.from_os_error(error, "open the journal") from error
    for _ in range(_LOOKS):
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            time.sleep(_INTERVAL / 5)
            continue
        except OSError as error:
            os.close(descriptor)
            raise StorageError.from_os_error(error, "open the journal") from error
        # whoever held it may have removed it
        with suppress(OSError):
            if os.path.samestat(path.stat(), os.fstat(descriptor)):
                return JournalLock(descriptor)
        break
    os.close(descriptor)
    return None


class Journal:
    """An append-only file, locked while it is written. Use as a context manager.

    Args:
        path: The file; it is made where it is not there. A torn last line of a process that was killed is cut off.
        on_commit: Told, from a thread of its own, up to which byte the file is on the disk; -1 when that failed.
        lock: The lock of the file, where it is held already; it is held on when the journal is closed.

    Raises:
        StorageError: when it cannot be opened, or another process writes it.
    """

    def __init__(
        self, path: Path, on_commit: Callable[[int], None] | None = None, lock: JournalLock | None = None
    ) -> None:
        held = lock or lock_journal(path, make=True)
        if held is None:
            raise StorageError("cannot open the journal: another process holds it", file=path)
        try:
            self._descriptor = os.dup(held.descriptor) if lock else held.descriptor
            self.size = _whole_lines(self._descriptor)
            os.ftruncate(self._descriptor, self.size)
        except OSError as error:
            raise StorageError.from_os_error(error, "open the journal") from error
        for folder in (path.parent, path.parent.parent):
            sync_folder(folder)
        self.path = path
        self._on_commit = on_commit
        self._dirty = threading.Event()
        self._stop = threading.Event()
        self._failure: Exception | None = None
        self._thread = threading.Thread(target=self._sync, name="evalkit-journal", daemon=True)
        self._thread.start()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def begin(self, head: PlanHead) -> None:
        """Say which run this is."""
        self._write(b"P", codec.encode(head))

    def append(self, trial: StoredTrial, scores: Sequence[Score] = (), encoded: bytes | None = None) -> tuple[int, int]:
        """Write a finished trial.

        Args:
            trial: The trial.
            scores: What the graders say of it.
            encoded: Its trace as JSON, where that is known.

        Returns:
            Where its line begins and ends.

        Raises:
            StorageError: when the disk does not take it.
        """
        row, rows = to_json(trial_row(trial)), to_json([score_row(score) for score in scores])
        return self._write(b"T", row, encoded if encoded is not None else codec.encode(trial.trace), rows)

    def hold(self, trial: StoredTrial, encoded: bytes) -> tuple[int, int]:
        """Write a finished trial whose graders must be waited for; :meth:`append` follows.

        Returns:
            Where its line begins and ends.

        Raises:
            StorageError: when the disk does not take it.
        """
        return self._write(b"F", to_json(trial_row(trial)), encoded, b"[]")

    def paid(self, microusd: int) -> None:
        """Write what a reply of a model to a grader has cost.

        Raises:
            StorageError: when the disk does not take it.
        """
        self._write(b"J", to_json({"cost_microusd": microusd}))

    def remember(self, key: str, step: int, digest: str, response: ChatResponse) -> None:
        """Write a finished call of a trial that goes on.

        Raises:
            StorageError: when the disk does not take it.
        """
        place = to_json({"key": key, "step": step, "digest": digest})
        self._write(b"C", place, codec.encode(response))

    def _write(self, kind: bytes, *parts: bytes) -> tuple[int, int]:
        self.check()
        body = b"\t".join((kind, *parts))
        line = b"%08x %s\n" % (zlib.crc32(body), body)
        start = self.size
        try:
            written = os.write(self._descriptor, line)
            while written < len(line):
                written += os.write(self._descriptor, line[written:])
        except OSError as error:
            # a line that follows half a line would be lost with it
            self._failure = error
            with suppress(OSError):
                os.ftruncate(self._descriptor, start)
            raise StorageError.from_os_error(error, "write the journal") from error
        self.size = start + len(line)
        self._dirty.set()
        return start, self.size

    def check(self) -> None:
        """Make sure that what is written is kept: before a call is made that would have to be.

        Raises:
            StorageError: when the disk has not taken something.
        """
        if self._failure is not None:
            raise _storage_error(self._failure) from self._failure

    def _sync(self) -> None:
        while not self._stop.is_set():
            self._dirty.wait()
            self._dirty.clear()
            size = self.size
            try:
                os.fdatasync(self._descriptor)
                if self._on_commit is not None:
                    self._on_commit(size)
            except Exception as error:  # noqa: BLE001 - whatever it is, nothing is durable any more
                self._failure = error
                if self._on_commit is not None:
                    with suppress(Exception):
                        self._on_commit(-1)
                return
            self._stop.wait(_INTERVAL)

    def close(self) -> None:
        """Force everything to the disk and close the file.

        Raises:
            StorageError: when the disk did not take it.
        """
        self._stop.set()
        self._dirty.set()
        self._thread.join()
        try:
            os.fdatasync(self._descriptor)
        except OSError as error:
            self._failure = self._failure or error
        os.close(self._descriptor)
        # its number may be that of another file soon
        self._descriptor = -1
        self.check()
        if self._on_commit is not None:
            self._on_commit(self.size)


def _storage_error(failure: Exception) -> StorageError:
    if isinstance(failure, StorageError):
        return failure
    if isinstance(failure, OSError):
        return StorageError.from_os_error(failure, "write the journal")
    return StorageError(f"cannot write the journal: {failure}")


def _whole_lines(descriptor: int) -> int:
    """Bytes up to the end of the last line that has one."""
    size = os.fstat(descriptor).st_size
    block = 1 << 16
    end = size
    while end > 0:
        start = max(0, end - block)
        found = os.pread(descriptor, end - start, start).rfind(b"\n")
        if found >= 0:
            return start + found + 1
        end = start
    return 0


def is_written(path: Path) -> bool:
    """Whether a process is writing the journal right now; one that is gone is not written."""
    try:
        with open(path, "rb") as handle:
            fcntl.flock(handle, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except FileNotFoundError:
        pass
    return False


def read_entries(path: Path, kinds: Container[str] = "PCFJT") -> Iterator[Entry]:
    """The lines of a journal, in order; damaged ones are passed over, one that is gone holds nothing."""
    try:
        handle = open(path, "rb")  # noqa: SIM115 - closed below
    except FileNotFoundError:
        return
    with handle:
        yield from _entries(handle, kinds)


def _entries(handle: BinaryIO, kinds: Container[str]) -> Iterator[Entry]:
    offset = 0
    for line in handle:
        entry = parse_line(line, offset)
        offset += len(line)
        if entry is not None and entry.kind in kinds:
            yield entry


class JournalReader:
    """A journal held open: it can be read on although whoever finishes its run removes it meanwhile.

    Raises:
        FileNotFoundError: when it is gone already.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._descriptor = os.open(path, os.O_RDONLY)
        self._close = weakref.finalize(self, os.close, self._descriptor)

    @property
    def size(self) -> int:
        """Bytes that it has now."""
        return os.fstat(self._descriptor).st_size

    def entries(self, kinds: Container[str] = "PCFJT") -> Iterator[Entry]:
        """As :func:`read_entries`."""
        with open(self._descriptor, "rb", closefd=False) as handle:
            handle.seek(0)
            yield from _entries(handle, kinds)

    def trial(self, offset: int) -> tuple[bytes, bytes, bytes]:
        """The row, the trace and the scores of the trial whose line begins here.

        Raises:
            StoreError: when no such line does.
        """
        parts = [os.pread(self._descriptor, _BLOCK, offset)]
        size = len(parts[0])
        while parts[-1] and b"\n" not in parts[-1]:
            parts.append(os.pread(self._descriptor, _BLOCK, offset + size))
            size += len(parts[-1])
        entry = parse_line(b"".join(parts).split(b"\n", 1)[0] + b"\n")
        if entry is None or len(entry.parts) != 3:
            raise StoreError("the journal was changed while the run was made", file=self.path)
        head, trace, scores = entry.parts
        return head, trace, scores

    def close(self) -> None:
        """Release the file."""
        self._close()


def parse_line(line: bytes, offset: int = 0) -> Entry | None:
    """A line of a journal; None where it is torn or damaged."""
    checksum, _, body = line.rstrip(b"\n").partition(b" ")
    if not line.endswith(b"\n") or checksum != b"%08x" % zlib.crc32(body):
        return None
    kind, *parts = body.split(b"\t")
    return Entry(kind.decode("ascii", "replace"), tuple(parts), offset, len(line))


def read_head(path: Path) -> PlanHead | None:
    """Which run a journal is of; None where that cannot be read."""
    entry = next(read_entries(path, "P"), None)
    if entry is None:
        return None
    try:
        return codec.decode(PlanHead, entry.parts[0])
    except codec.ValidationError:
        return None
