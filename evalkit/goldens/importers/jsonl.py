"""evalkit's own JSON lines."""

from __future__ import annotations

from pathlib import Path

from evalkit.goldens.goldenset import from_cases
from evalkit.goldens.jsonl import load_jsonl
from evalkit.records import Case

__all__ = ["read"]


def read(path: Path) -> list[Case]:
    """The cases of a file in the form that ``evalkit goldens export`` writes.

    Raises:
        GoldenSetError: when a line is not a case, an id occurs twice, or there are none.
    """
    cases = load_jsonl(path)
    from_cases(path.stem, "imported", cases, path=path)
    return cases
