"""Files that are either wholly there or not there: write beside, sync, rename."""

from __future__ import annotations

import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from evalkit.errors import StorageError

__all__ = ["atomic_path", "make_folder", "sync_folder", "write_bytes", "write_text"]


@contextmanager
def atomic_path(target: str | os.PathLike[str]) -> Iterator[Path]:
    """Yield a path beside ``target``; on success it is synced and renamed, on failure removed.

    Raises:
        StorageError: when the disk is full, read-only or not ours to write.
    """
    final = Path(target)
    make_folder(final.parent)
    partial = final.with_name(f".{final.name}.{secrets.token_hex(4)}.partial")
    try:
        yield partial
        with open(partial, "rb+") as handle:
            os.fsync(handle.fileno())
        os.replace(partial, final)
        sync_folder(final.parent)
    except OSError as error:
        raise StorageError.from_os_error(error, f"write {final.name}") from error
    finally:
        with suppress(OSError):
            partial.unlink()


def make_folder(folder: Path) -> Path:
    """Create a folder and its parents.

    Raises:
        StorageError: when that is not possible.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise StorageError.from_os_error(error, "make a folder") from error
    return folder


def sync_folder(folder: Path) -> None:
    """Make a rename in ``folder`` durable, where the platform can."""
    with suppress(OSError):
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def write_bytes(target: str | os.PathLike[str], content: bytes) -> None:
    """Write a file atomically."""
    with atomic_path(target) as partial:
        partial.write_bytes(content)


def write_text(target: str | os.PathLike[str], content: str) -> None:
    """Write a UTF-8 file atomically; lone surrogates become ``?``."""
    write_bytes(target, content.encode("utf-8", "replace"))
