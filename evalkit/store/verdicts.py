"""Verdicts on disk, one JSON file each. Their types belong to the gate; here they are plain data."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from evalkit.atomic import write_bytes
from evalkit.errors import StoreError

__all__ = ["Verdicts"]

_KEYS = frozenset(
    "id workflow verdict sentence candidate_run baseline_run baseline_name created_us rules".split()  # noqa: SIM905
)
_FIX = "remove the file, and judge its run again: evalkit gate RUN"


class Verdicts:
    """All verdicts of a store.

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
        for _ in self.all():
            pass

    def all(self) -> Iterator[dict[str, Any]]:
        """All verdicts as plain data.

        Raises:
            StoreError: when one cannot be read.
        """
        for path in sorted(self._folder.glob("*.json")):
            yield self._read(path)

    def of_run(self, run_id: str) -> dict[str, Any] | None:
        """The newest verdict on a run."""
        mine = [verdict for verdict in self.all() if verdict["candidate_run"] == run_id]
        return max(mine, key=lambda verdict: verdict["created_us"], default=None)

    @staticmethod
    def _read(path: Path) -> dict[str, Any]:
        try:
            data: dict[str, Any] = json.loads(path.read_bytes())
        except (OSError, ValueError, RecursionError) as error:
            raise StoreError(f"not a readable verdict: {error}", file=path, fix=_FIX) from None
        if not isinstance(data, dict) or not data.keys() >= _KEYS:
            raise StoreError("not a verdict: it lacks keys that every verdict has", file=path, fix=_FIX)
        return data
