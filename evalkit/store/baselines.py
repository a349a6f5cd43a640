"""Baselines: a name for accepted runs of a workflow, with their history."""

from __future__ import annotations

import fcntl
import re
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from evalkit import codec
from evalkit.atomic import make_folder, write_bytes
from evalkit.errors import StorageError, StoreError, UsageError
from evalkit.records import Run

__all__ = ["Accepted", "Baseline", "Baselines"]

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")


@dataclass(frozen=True, slots=True)
class Accepted:
    """A run that was accepted into a baseline."""

    run_id: str
    configuration: str
    golden_set: str
    accepted_us: int
    reason: str = ""


@dataclass(frozen=True)
class Baseline:
    """A named reference to accepted runs, oldest first."""

    name: str
    workflow: str
    history: tuple[Accepted, ...] = ()

    @property
    def current(self) -> Accepted | None:
        """The newest accepted run."""
        return self.history[-1] if self.history else None


class Baselines:
    """All baselines of a store.

    Args:
        root: The store's folder.
    """

    def __init__(self, root: Path) -> None:
        self._folder = root / "baselines"

    def _path(self, workflow: str, name: str) -> Path:
        if not _NAME.fullmatch(name):
            raise UsageError(
                "a baseline's name is letters, digits, dot, dash and underscore", key="baseline", value=name
            )
        return self._folder / workflow / f"{name}.json"

    def get(self, workflow: str, name: str) -> Baseline | None:
        """A baseline, or None where there is none.

        Raises:
            StoreError: when its file cannot be read.
        """
        path = self._path(workflow, name)
        try:
            return codec.decode(Baseline, path.read_bytes())
        except FileNotFoundError:
            return None
        except (OSError, codec.ValidationError) as error:
            raise StoreError(f"not a readable baseline: {str(error).splitlines()[0]}", file=path) from None

    def all(self) -> list[Baseline]:
        """All baselines, by workflow and name."""
        found = [self.get(path.parent.name, path.stem) for path in sorted(self._folder.glob("*/*.json"))]
        return [baseline for baseline in found if baseline is not None]

    def accept(self, name: str, run: Run, reason: str = "") -> Baseline:
        """Add a run to a baseline; a run that is there already moves to the end.

        Raises:
            UsageError: for a run that must not be a baseline: a part of the golden set, or one with errors.
        """
        if run.selection != "all":
            raise UsageError(f"run {run.run_id} covers only {run.selection}: a baseline needs all cases")
        if run.errors:
            raise UsageError(f"run {run.run_id} has {run.errors} trials that did not finish: a baseline needs them all")
        entry = Accepted(
            run.run_id, run.configuration.fingerprint, run.golden_set.digest, time.time_ns() // 1000, reason
        )
        path = self._path(run.workflow, name)
        with self._locked(path):
            known = self.get(run.workflow, name) or Baseline(name, run.workflow)
            history = tuple(item for item in known.history if item.run_id != run.run_id)
            updated = replace(known, history=(*history, entry))
            write_bytes(path, codec.encode(updated))
        return updated

    def joined(self, other: Baseline) -> Baseline:
        """A baseline with what another store accepted into it, in the order of acceptance.

        Raises:
            StoreError: when the two say different things of one run.
        """
        known = self.get(other.workflow, other.name) or Baseline(other.name, other.workflow)
        entries = {entry.run_id: entry for entry in known.history}
        for entry in other.history:
            mine = entries.setdefault(entry.run_id, entry)
            if (mine.configuration, mine.golden_set) != (entry.configuration, entry.golden_set):
                raise StoreError(
                    f"run {entry.run_id} was accepted as another: one of the two histories was changed",
                    file=self._path(other.workflow, other.name),
                )
            if mine.accepted_us < entry.accepted_us:
                entries[entry.run_id] = entry
        history = sorted(entries.values(), key=lambda entry: (entry.accepted_us, entry.run_id))
        return replace(known, history=tuple(history))

    def adopt(self, other: Baseline) -> Baseline:
        """Keep what another store accepted into a baseline, beside what this one did; see :meth:`joined`."""
        path = self._path(other.workflow, other.name)
        with self._locked(path):
            updated = self.joined(other)
            write_bytes(path, codec.encode(updated))
        return updated

    @contextmanager
    def _locked(self, path: Path) -> Iterator[None]:
        """Two runs that finish at once must both be in the history."""
        make_folder(path.parent)
        try:
            with open(path.with_suffix(".lock"), "w", encoding="utf-8") as handle:
                fcntl.flock(handle, fcntl.LOCK_EX)
                yield
        except OSError as error:
            raise StorageError.from_os_error(error, "lock the baseline") from error
