"""The journal of a run: every finished trial, at once, one line; a torn last line is dropped when read.

A line is the CRC-32 of the JSON in eight hex digits, a blank, and the JSON. Lines are written
as soon as a trial is finished, so that they survive the process; a thread forces them to the
disk every 50 ms, so that they survive the machine.
"""

from __future__ import annotations

import fcntl
import json
import os
import threading
import zlib
from collections.abc import Container, Iterator
from pathlib import Path
from typing import Any

from evalkit import codec
from evalkit.errors import StorageError
from evalkit.records import Trace
from evalkit.store.schema import StoredTrial

__all__ = ["Journal", "is_written", "read_journal"]

_INTERVAL = 0.05


class Journal:
    """An append-only file of finished trials, locked while it is written. Use as a context manager.

    Args:
        path: The file; it is made where it is not there.

    Raises:
        StorageError: when it cannot be opened, or another process writes it.
    """

    def __init__(self, path: Path) -> None:
        try:
            self._descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
            fcntl.flock(self._descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            raise StorageError.from_os_error(error, "open the journal") from error
        self._dirty = threading.Event()
        self._stop = threading.Event()
        self._failure: OSError | None = None
        self._thread = threading.Thread(target=self._sync, name="evalkit-journal", daemon=True)
        self._thread.start()

    def __enter__(self) -> Journal:  # noqa: PYI034 - not made to be subclassed
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def append(self, trial: StoredTrial, redaction: str) -> None:
        """Write a finished trial.

        Raises:
            StorageError: when the disk does not take it.
        """
        head = {
            "key": trial.key,
            "case_digest": trial.case_digest,
            "source_run": trial.source_run,
            "redaction": redaction,
        }
        body = json.dumps(head).encode()[:-1] + b', "trace": ' + codec.encode(trial.trace) + b"}"
        line = b"%08x %s\n" % (zlib.crc32(body), body)
        try:
            if self._failure is not None:
                raise self._failure
            written = os.write(self._descriptor, line)
            while written < len(line):
                written += os.write(self._descriptor, line[written:])
        except OSError as error:
            raise StorageError.from_os_error(error, "write the journal") from error
        self._dirty.set()

    def _sync(self) -> None:
        while not self._stop.is_set():
            self._dirty.wait()
            self._dirty.clear()
            try:
                os.fdatasync(self._descriptor)
            except OSError as error:
                self._failure = error
                return
            self._stop.wait(_INTERVAL)

    def close(self) -> None:
        """Force everything to the disk and close the file."""
        self._stop.set()
        self._dirty.set()
        self._thread.join()
        try:
            os.fdatasync(self._descriptor)
        except OSError as error:
            self._failure = self._failure or error
        os.close(self._descriptor)
        if self._failure is not None:
            raise StorageError.from_os_error(self._failure, "write the journal")


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


def read_journal(path: Path, redaction: str, keys: Container[str] | None = None) -> Iterator[StoredTrial]:
    """The trials of a journal that were masked with the given rules; damaged lines are passed over.

    Args:
        path: The journal; one that is gone holds nothing.
        redaction: Fingerprint of the masking rules.
        keys: Only trials with these keys; default all.
    """
    try:
        handle = open(path, "rb")  # noqa: SIM115 - closed below
    except FileNotFoundError:
        return
    with handle:
        for line in handle:
            entry = _parse(line)
            if entry is None or entry["redaction"] != redaction or (keys is not None and entry["key"] not in keys):
                continue
            try:
                trace = codec.decode(Trace, entry["trace"])
            except codec.ValidationError:
                continue
            yield StoredTrial(trace, entry["case_digest"], entry["key"], entry["source_run"])


def _parse(line: bytes) -> dict[str, Any] | None:
    checksum, _, body = line.rstrip(b"\n").partition(b" ")
    if not line.endswith(b"\n") or checksum != b"%08x" % zlib.crc32(body):
        return None
    entry: dict[str, Any] = json.loads(body)
    return entry
