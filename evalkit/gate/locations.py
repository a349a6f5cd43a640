"""Where a changed component stands in its file: the lines that a CI server pins messages to."""

from __future__ import annotations

import posixpath
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

from evalkit.gate.verdict import ComponentChange, RuleStatus

__all__ = ["LEVELS", "Location", "locations"]

LEVELS: Mapping[RuleStatus, str] = {
    "block": "error",
    "error": "error",
    "not_comparable": "warning",
    "inconclusive": "warning",
}
"""How a CI server calls a message about a rule that decides; of other rules there is none."""
_KINDS = ("prompt", "routes")
"""Kinds that come first: what a reviewer looks at."""
_MOST_BYTES = 1_000_000
_HUNK = re.compile(r"@@ -\d+(?:,\d+)? \+(\d+)(?:,\d+)? @@")


@dataclass(frozen=True)
class Location:
    """A line of a file, from 1. The path is relative to the root of the repository, with slashes."""

    path: str
    line: int
    change: ComponentChange


def locations(changes: Sequence[ComponentChange], *, source_root: str = "", folder: str = "") -> tuple[Location, ...]:
    """The first changed line of every changed file: prompts first, then routes, then the others; a file once.

    Args:
        changes: What changed.
        source_root: The project's folder as seen from the root of the repository.
        folder: The project's folder on this machine. A component other than a prompt is compared in a canonical form,
            so its line is looked up in the file; without the file it is line 1.
    """
    order = sorted(changes, key=lambda change: _KINDS.index(change.kind) if change.kind in _KINDS else len(_KINDS))
    found: dict[str, Location] = {}
    for change in order:
        path = _inside(change.path, source_root)
        if path and path not in found:
            found[path] = Location(path, _line(change, folder), change)
    return tuple(found.values())


def _inside(path: str | None, source_root: str) -> str:
    """The path from the repository's root; empty where there is none, or it leads out of the repository."""
    if not path or path.startswith("/"):
        return ""
    whole = posixpath.normpath(posixpath.join(source_root, path))
    return "" if whole == "." or whole.split("/")[0] == ".." else whole


def _line(change: ComponentChange, folder: str) -> int:
    """The first line that is new, or, where lines are only gone, the one that follows them."""
    lines = _read(Path(folder) / change.path) if folder and change.path else None
    if lines is not None:
        places = {text: number for number, text in reversed(list(enumerate(lines, 1)))}
        for wanted in _traces(change.diff):
            if wanted in places:
                return places[wanted]
        return 1
    if change.kind != "prompt" or any(line[1:].startswith("=== ") for line in change.diff.splitlines()):
        return 1
    return _first_new(change.diff)


def _read(path: Path) -> list[str] | None:
    try:
        with open(path, "rb") as handle:
            return [line.strip() for line in handle.read(_MOST_BYTES).decode("utf-8", "replace").splitlines()]
    except (OSError, ValueError):
        return None


def _traces(diff: str) -> Iterator[str]:
    """Texts to look for, the most telling first: lines that are new, then what stands behind lines that are gone."""
    lines = diff.splitlines()
    yield from (line[1:].strip() for line in lines if line.startswith("+") and line[1:].strip())
    for line, following in pairwise(lines):
        if line.startswith("-") and following.startswith(" ") and following.strip():
            yield following.strip()


def _first_new(diff: str) -> int:
    """The number, in the new text, of the first line that a diff adds; of mere removals, where the first was."""
    number, removed = 1, 1
    for line in diff.splitlines():
        hunk = _HUNK.match(line)
        if hunk:
            number = int(hunk.group(1))
        elif line.startswith("+"):
            return max(1, number)
        elif line.startswith("-"):
            removed = number if removed == 1 else removed
        else:
            number += 1
    return max(1, removed)
