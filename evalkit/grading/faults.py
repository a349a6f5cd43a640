"""What to say of an exception that somebody's grader raised."""

from __future__ import annotations

import traceback
from pathlib import Path

__all__ = ["place", "said", "short_path"]


def said(error: BaseException) -> str:
    """Type and text of an exception, also where making the text fails."""
    try:
        text = str(error)
    except Exception:  # noqa: BLE001 - __str__ of an exception is somebody's program too
        text = "its text cannot be made"
    return f"{type(error).__name__}: {text}"


def place(error: BaseException, file: str) -> str:
    """``folder/file:line`` where it was raised: the innermost line of ``file``, or of any file where that has none."""
    lines = [(frame.f_code.co_filename, line) for frame, line in traceback.walk_tb(error.__traceback__)]
    name, line = ([found for found in lines if found[0] == file] or lines)[-1]
    return f"{short_path(name)}:{line}"


def short_path(file: str) -> str:
    """Folder and name: reports are read by people who need not know where somebody's project lies."""
    return "/".join(Path(file).parts[-2:])
