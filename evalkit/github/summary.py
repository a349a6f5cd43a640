"""The job summary: a file that the runner shows below the job, dropped as a whole when it is too large."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from evalkit.errors import StorageError

__all__ = ["SUMMARY_BYTES", "write_summary"]

SUMMARY_BYTES = 900 * 1024
"""GitHub shows 1,024 KiB of a step, and nothing of a file that is longer."""
_CUT = "\n\n(cut: a job summary holds no more; the full text is in the report)\n"


def write_summary(path: Path, render: Callable[[int], str], *, most: int = SUMMARY_BYTES) -> None:
    """Append a text to the job summary; with what is there already it stays within ``most`` bytes.

    Args:
        path: The file, ``GITHUB_STEP_SUMMARY``.
        render: Makes the text in at most so many characters.
        most: Bytes that the whole file may have.

    Raises:
        StorageError: when the file cannot be written.
    """
    try:
        written = path.stat().st_size if path.exists() else 0
        free = most - written
        text = render(max(0, free))
        if len(text.encode()) > free:
            text = render(max(0, free // 4))  # a character has at most four bytes
        data = text.encode()
        if len(data) > free:
            room = max(0, free - len(_CUT.encode()))
            data = data[:room].decode("utf-8", "ignore").encode() + (_CUT.encode() if room else b"")
        with open(path, "ab") as handle:
            handle.write(data)
    except OSError as error:
        raise StorageError.from_os_error(error, "write the job summary") from error
