"""Verdicts on disk, one JSON file each. Their types belong to the gate; here they are plain data."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from evalkit.atomic import write_bytes
from evalkit.errors import StorageError, StoreError

__all__ = ["VerdictEntry", "Verdicts"]

_KEYS = frozenset(
    "id workflow verdict sentence candidate_run baseline_run baseline_name created_us rules".split()  # noqa: SIM905
)
_FIX = "remove the file, and judge its run again: evalkit gate RUN"
_INDEX = ".index"


@dataclass(frozen=True, slots=True)
class VerdictEntry:
    """What the index knows of a verdict's file without reading it."""

    id: str
    candidate_run: str
    created_us: int
    state: tuple[int, int, int]
    """Inode, time of the last change in nanoseconds and size of the file that was read."""


class Verdicts:
    """All verdicts of a store.

    Beside them lies an index of the files that were found whole, so that a file is read again only
    after it has changed. It can be removed at any time.

    Args:
        root: The store's folder.
    """

    def __init__(self, root: Path) -> None:
        self._folder = root / "verdicts"

    def save(self, verdict_id: str, content: bytes) -> Path:
        """Keep a verdict; judging the same again replaces it."""
        path = self._folder / f"{verdict_id}.json"
        write_bytes(path, content)
        return path

    def check(self) -> None:
        """Make sure that all verdicts can be read, before any money is spent.

        Raises:
            StoreError: when one cannot; names the file.
        """
        self.entries()

    def entries(self) -> dict[Path, VerdictEntry]:
        """All verdicts, by file. Those that have changed since they were last seen are read.

        Raises:
            StoreError: when one of these cannot be read; names the file.
        """
        known = self._load_index()
        found: dict[Path, VerdictEntry] = {}
        for path, state in self._states():
            entry = known.get(path.name)
            if entry is None or entry.state != state:
                data = self.read(path)
                entry = VerdictEntry(data["id"], data["candidate_run"], data["created_us"], state)
            found[path] = entry
        index = {path.name: entry for path, entry in found.items()}
        if index != known:
            with suppress(StorageError):  # it only saves time
                write_bytes(self._folder / _INDEX, json.dumps({k: asdict(v) for k, v in index.items()}).encode())
        return found

    def all(self) -> Iterator[dict[str, Any]]:
        """All verdicts as plain data.

        Raises:
            StoreError: when one cannot be read.
        """
        for path, _ in self._states():
            yield self.read(path)

    def of_run(self, run_id: str) -> dict[str, Any] | None:
        """The newest verdict on a run.

        Raises:
            StoreError: when a verdict cannot be read.
        """
        mine = [(entry.created_us, path) for path, entry in self.entries().items() if entry.candidate_run == run_id]
        return self.read(max(mine)[1]) if mine else None

    def _states(self) -> list[tuple[Path, tuple[int, int, int]]]:
        states = []
        try:
            with os.scandir(self._folder) as found:
                for entry in found:
                    if entry.name.endswith(".json"):
                        with suppress(FileNotFoundError):  # removed meanwhile; the others are still there
                            state = entry.stat()
                            states.append((Path(entry), (state.st_ino, state.st_mtime_ns, state.st_size)))
        except FileNotFoundError:
            return []
        except OSError as error:
            raise StoreError(f"the verdicts cannot be read: {error}", file=self._folder) from None
        return sorted(states)

    def _load_index(self) -> dict[str, VerdictEntry]:
        """The index; one that cannot be read is as good as none."""
        try:
            data = json.loads((self._folder / _INDEX).read_bytes())
            return {name: _entry(fields) for name, fields in data.items()}
        except (OSError, ValueError, LookupError, TypeError, AttributeError, RecursionError):
            return {}

    @staticmethod
    def read(path: Path) -> dict[str, Any]:
        """One verdict as plain data.

        Raises:
            StoreError: when it cannot be read; names the file.
        """
        try:
            data: dict[str, Any] = json.loads(path.read_bytes())
        except (OSError, ValueError, RecursionError) as error:
            raise StoreError(f"not a readable verdict: {error}", file=path, fix=_FIX) from None
        if not isinstance(data, dict) or not data.keys() >= _KEYS:
            raise StoreError("not a verdict: it lacks keys that every verdict has", file=path, fix=_FIX)
        if not isinstance(data["created_us"], int):
            raise StoreError("not a verdict: its time is no number", file=path, key="created_us", fix=_FIX)
        return data


def _entry(fields: Mapping[str, Any]) -> VerdictEntry:
    inode, changed, size = fields["state"]
    return VerdictEntry(fields["id"], fields["candidate_run"], fields["created_us"], (inode, changed, size))
