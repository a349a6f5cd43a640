"""Finding trials that were made under equal conditions: in journals of runs that were cut off and in finished runs."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from typing import TypeAlias

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from evalkit._version import __version__
from evalkit.engine.journal import JournalReader, read_head
from evalkit.goldens import GoldenSet
from evalkit.store.arrays import fixed_texts
from evalkit.store.baselines import Baselines
from evalkit.store.runs import RunFolder, Runs
from evalkit.workflow import Workflow

__all__ = ["KEY_WIDTH", "Keys", "Reuse", "find_reuse", "journal_places", "keys_of_equal_run"]

KEY_WIDTH = 64
"""Bytes of a trial key."""
Keys: TypeAlias = NDArray[np.bytes_]
Places: TypeAlias = NDArray[np.int64]

_LOOK_BACK = 50
"""Newest runs of a workflow that are looked at, beside those of its baselines: the cost of a plan must not grow with
the age of a project."""
_BATCH = 4_096
"""Lines of a journal that are looked up at a time."""


@dataclass(frozen=True)
class Reuse:
    """What holds some trials of a plan: a finished run, or the journal of one that was cut off."""

    run_id: str
    folder: RunFolder | None = None
    journal: JournalReader | None = None
    offsets: Places | None = None
    """Of a journal: where the line of each trial of the plan begins; -1 where it has none."""


def keys_of_equal_run(runs: Runs, workflow: Workflow, golden: GoldenSet, count: int, redaction: str) -> Keys | None:
    """The trial keys of an earlier run of the same configuration on the same golden set.

    A trial key is a function of the configuration, the case and the trial, so that equal ones need not be computed:
    as long as the same evalkit retrieves the documents and renders the prompts.
    """
    for folder in _looked_at(runs, workflow.name):
        run = folder.run
        then = (run.configuration.fingerprint, run.golden_set.digest, run.trials_per_case, run.redaction, run.evalkit)
        same = then == (workflow.configuration.fingerprint, golden.digest, count, redaction, __version__)
        if same and run.selection == "all" and not run.shard and run.trials == golden.count * count:
            table = folder.trials(["trial_key", "case_id", "trial"])
            if _is_whole(table, golden, count):
                return fixed_texts(table.column(0), KEY_WIDTH)
    return None


def _is_whole(table: pa.Table, golden: GoldenSet, count: int) -> bool:
    """Whether the rows are those of all trials of a golden set, in order."""
    if len(table) != golden.count * count:
        return False
    ids = golden.ids if count == 1 else golden.ids.take(pa.array(np.repeat(np.arange(golden.count), count)))
    repeats = np.tile(np.arange(count), golden.count)
    same_cases = pc.all(pc.equal(table.column("case_id"), ids)).as_py() is not False
    return bool(same_cases and np.array_equal(table.column("trial").to_numpy(), repeats))


def find_reuse(
    keys: Keys, runs: Runs, workflow: str, redaction: str, without: str
) -> tuple[NDArray[np.int32], tuple[Reuse, ...]]:
    """Look for finished trials with the given keys: in left journals, then in finished runs, the newest first.

    Trials that failed, and those that were masked with other rules, are no use.

    Returns:
        For each key the number of the reuse that holds it, -1 where none does; the reuses.
    """
    origin = np.full(len(keys), -1, np.int32)
    found: list[Reuse] = []
    order = np.argsort(keys)
    for reuse, places in _candidates(keys, order, runs, workflow, redaction, without):
        new = places[origin[places] < 0]
        if len(new):
            origin[new] = len(found)
            found.append(reuse)
        if (origin >= 0).all():
            break
    return origin, tuple(found)


def _candidates(
    keys: Keys, order: Places, runs: Runs, workflow: str, redaction: str, without: str
) -> Iterator[tuple[Reuse, Places]]:
    for path in runs.partial_journals():
        head = read_head(path)
        if head is None or head.redaction != redaction or head.run_id == without:
            continue
        if runs.folder(head.run_id) is not None:  # it is finished, and was killed before its journal went
            continue
        try:
            journal = JournalReader(path)
        except FileNotFoundError:  # its run is finished now
            continue
        offsets = journal_places(journal, keys, order, "FT")
        yield Reuse(head.run_id, journal=journal, offsets=offsets), np.flatnonzero(offsets >= 0)
    for folder in _looked_at(runs, workflow):
        if folder.run.redaction != redaction:
            continue
        table = folder.trials(["trial_key", "status"])
        usable = table.filter(pc.equal(table.column("status"), "ok")).column("trial_key")
        places, _ = _places(fixed_texts(usable, KEY_WIDTH), keys, order)
        yield Reuse(folder.path.name, folder=folder), places


def _looked_at(runs: Runs, workflow: str) -> Iterator[RunFolder]:
    """The newest runs of a workflow, then those that are baselines now."""
    seen: set[str] = set()
    for folder in runs.newest_first(workflow):
        if len(seen) == _LOOK_BACK:
            break
        seen.add(folder.path.name)
        yield folder
    for baseline in Baselines(runs.root).all():
        current = baseline.current
        if baseline.workflow == workflow and current is not None and current.run_id not in seen:
            there = runs.folder(current.run_id)
            if there is not None:
                yield there


def _places(found: Keys, keys: Keys, order: Places) -> tuple[Places, NDArray[np.bool_]]:
    """Places among ``keys`` of those that were found, and which ones they are; ``order`` sorts ``keys``."""
    if not len(keys):
        return np.empty(0, np.int64), np.zeros(len(found), np.bool_)
    at = np.minimum(np.searchsorted(keys, found, sorter=order), len(keys) - 1)
    places = order[at]
    there = keys[places] == found
    return places[there], there


def journal_places(journal: JournalReader, keys: Keys, order: Places | None = None, kinds: str = "T") -> Places:
    """Where the newest good line of each trial begins in a journal; -1 where it has none.

    Args:
        journal: The journal.
        keys: Of the trials.
        order: What sorts them.
        kinds: With ``F`` also trials that are not graded yet.
    """
    offsets = np.full(len(keys), -1, np.int64)
    order = np.argsort(keys) if order is None else order
    rows = ((entry.head, entry.offset) for entry in journal.entries(kinds))
    good = ((row["trial_key"], offset) for row, offset in rows if row["status"] == "ok")
    while batch := list(islice(good, _BATCH)):
        places, there = _places(np.asarray([key for key, _ in batch], keys.dtype), keys, order)
        offsets[places] = np.asarray([start for _, start in batch], np.int64)[there]
    return offsets
