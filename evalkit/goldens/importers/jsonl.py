"""evalkit's own JSON lines."""

from __future__ import annotations

from pathlib import Path

from evalkit.errors import GoldenSetError
from evalkit.goldens.goldenset import from_cases
from evalkit.goldens.importers.source import read_bytes
from evalkit.goldens.jsonl import load_jsonl
from evalkit.records import Case

__all__ = ["read"]


def read(path: Path) -> list[Case]:
    """The cases of a file in the form that ``evalkit goldens export`` writes.

    Raises:
        GoldenSetError: when a line is not a case, an id occurs twice, or there are none.
    """
    if read_bytes(path).startswith(b"\xef\xbb\xbf"):
        raise GoldenSetError("the file starts with a byte order mark", file=path, line=1, fix="save it as plain UTF-8")
    try:
        cases = load_jsonl(path)
    except (RecursionError, ValueError) as error:
        raise GoldenSetError(
            f"not readable: {error}", file=path, fix="flatten the data, and shorten its numbers"
        ) from None
    from_cases(path.stem, "imported", cases, path=path)
    return cases
