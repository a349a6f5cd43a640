"""The trials of two runs: how many of each case, which are the very same in both, and how far the client lagged."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from evalkit.gate.axis import CaseAxis, IdCollector, case_starts, rising
from evalkit.store.arrays import bits, codes_in, one_array, take, texts, valid, whole_numbers
from evalkit.store.runs import RunFolder
from evalkit.store.segments import count_rows, query_segments, scan_segment, stored_alike

__all__ = [
    "CaseTrials",
    "Lags",
    "common_cases",
    "count_trials",
    "count_trials_like",
    "read_lags",
    "touched_cases",
]

_IDENTITY = ("case_id", "trial_key", "source_run")
_SMALL = 32_768
"""Rows at a time where the texts are long."""

_TOUCHED = """
    SELECT DISTINCT coalesce(b.case_id, c.case_id) AS case_id
    FROM read_parquet(?) AS b FULL JOIN read_parquet(?) AS c
      ON b.case_id = c.case_id AND b.trial_key = c.trial_key AND b.source_run = c.source_run
    WHERE (b.case_id IS NULL OR c.case_id IS NULL)
      AND coalesce(b.case_id, c.case_id) IN (SELECT case_id FROM read_parquet(?))
"""


@dataclass(frozen=True)
class CaseTrials:
    """The cases that a run has trials of, and how many."""

    ids: Any
    """Arrow array of strings, sorted."""
    counts: NDArray[np.int32]


def count_trials(folder: RunFolder, expected: Any | None = None) -> CaseTrials:
    """Count the trials of each case.

    Args:
        folder: The run.
        expected: Sorted ids of the cases that it probably has: where it does, they are not kept twice.

    Raises:
        StoreError: when the segment cannot be read.
    """
    ids = IdCollector(expected)
    counts: list[NDArray[np.int32]] = [np.empty(0, np.int32)]
    for batch in scan_segment(folder.trials_path, ["case_id"]):
        names = one_array(batch.column("case_id"), pa.string())
        starts = case_starts(names)
        ids.add(names if len(starts) == len(names) else take(names, starts))
        counts.append(np.diff(starts, append=len(names)).astype(np.int32))
    every, count = ids.joined(), np.concatenate(counts)
    if rising(every):
        return CaseTrials(every, count)
    codes, distinct = codes_in(pc.dictionary_encode(every))  # a case went on from batch to batch, or the order is odd
    axis = CaseAxis.of(distinct.take(pc.array_sort_indices(distinct)))
    return CaseTrials(axis.ids, np.bincount(axis.positions(distinct)[codes], weights=count).astype(np.int32))


def count_trials_like(trials: CaseTrials, other: RunFolder, folder: RunFolder) -> CaseTrials:
    """Count the trials of each case of a run that probably has those of another one, which have been counted.

    Raises:
        StoreError: when a segment cannot be read.
    """
    if other.trials_path == folder.trials_path or stored_alike(other.trials_path, folder.trials_path, ["case_id"]):
        return trials
    return count_trials(folder, trials.ids)


def touched_cases(baseline: RunFolder, candidate: RunFolder, axis: CaseAxis) -> NDArray[np.bool_]:
    """Cases of the candidate whose trials are not the same ones in both runs.

    A trial is the same where its key is equal, so that nothing it depends on differs, and it was executed
    once for both. Trials made again under an equal key are new evidence: a vendor may have changed.

    Rows are compared by their position; where the runs do not hold as many trials of the same cases in the
    same order, by their keys.

    Raises:
        StoreError: when a segment cannot be read.
    """
    if baseline.trials_path == candidate.trials_path:
        return np.zeros(len(axis), bool)
    changed = _changed_rows(baseline.trials_path, candidate.trials_path)
    if changed is None:
        paths = [baseline.trials_path, candidate.trials_path, candidate.trials_path]
        names = query_segments(_TOUCHED, paths)["case_id"].tolist()
        return axis.mask(texts(sorted(names)))
    return axis.mask(changed)


def _changed_rows(before: Path, now: Path) -> Any | None:
    """Sorted ids of the cases of rows that differ from those at their place in the other run.

    None where the rows at a place are not always of the same case.
    """
    if count_rows(before) != count_rows(now):
        return None
    found: list[Any] = []
    alike = stored_alike(before, now, ["case_id"])
    left = scan_segment(before, _IDENTITY[1:] if alike else _IDENTITY, batch=_SMALL)
    right = scan_segment(now, _IDENTITY, batch=_SMALL)
    for other, mine in _in_step(left, right):
        if not (alike or mine.column("case_id").equals(other.column("case_id"))):
            return None
        differs = np.zeros(len(mine), bool)
        for name in _IDENTITY[1:]:
            equal = pc.equal(mine.column(name), other.column(name))
            differs |= ~(bits(equal) & valid(equal))
        if differs.any():
            ids = take(one_array(mine.column("case_id"), pa.string()), np.flatnonzero(differs))
            found.append(take(ids, case_starts(ids)))
    if not found:
        return texts([])
    names = pc.unique(pa.concat_arrays(found))
    return names.take(pc.array_sort_indices(names))


def _in_step(
    left: Iterator[pa.RecordBatch], right: Iterator[pa.RecordBatch]
) -> Iterator[tuple[pa.RecordBatch, pa.RecordBatch]]:
    """Rows of two segments of the same length, as many of one as of the other."""
    mine, other = next(left, None), next(right, None)
    while mine is not None and other is not None:
        count = min(len(mine), len(other))
        yield mine.slice(0, count), other.slice(0, count)
        mine = mine.slice(count) if count < len(mine) else next(left, None)
        other = other.slice(count) if count < len(other) else next(right, None)


def common_cases(baseline: RunFolder, candidate: RunFolder) -> Any:
    """Sorted ids of the cases whose content is equal in both runs: an Arrow array.

    Raises:
        StoreError: when a segment cannot be read.
    """
    mine = candidate.trials(["case_id", "case_digest"])
    same = pc.is_in(_contents(mine), value_set=_contents(baseline.trials(["case_id", "case_digest"])))
    ids = one_array(pc.unique(mine.column("case_id").filter(same)), pa.string())
    return ids.take(pc.array_sort_indices(ids))


def _contents(trials: pa.Table) -> Any:
    """Content and case of each trial in one text; the first, a fingerprint, holds no NUL."""
    return pc.binary_join_element_wise(trials.column("case_digest"), trials.column("case_id"), "\0")


@dataclass(frozen=True)
class Lags:
    """How long the client's event loop was held up during the trials of a run that were really executed."""

    places: NDArray[np.intp]
    """Their cases."""
    seconds: NDArray[np.float64]
    unknown: int = 0
    """Trials of which it was not recorded."""


def read_lags(folder: RunFolder, axis: CaseAxis) -> Lags:
    """The longest hold-up in each trial that is neither simulated nor failed.

    Raises:
        StoreError: when the segment cannot be read.
    """
    ids, seconds, unknown = [texts([])], [np.empty(0)], 0
    for batch in scan_segment(folder.trials_path, ["case_id", "lag_us", "simulated", "status"], encoded=["status"]):
        simulated = batch.column("simulated")
        codes, names = codes_in(batch.column("status"))
        fine = np.asarray([name == "ok" for name in names.to_pylist()] + [False])[codes]
        executed = fine & ~(bits(simulated) & valid(simulated))
        recorded = valid(batch.column("lag_us"))
        unknown += int((executed & ~recorded).sum())
        chosen = np.flatnonzero(executed & recorded)
        ids.append(take(one_array(batch.column("case_id"), pa.string()), chosen))
        seconds.append(whole_numbers(one_array(batch.column("lag_us"), pa.int64()))[chosen] / 1e6)
    return Lags(axis.positions(pa.concat_arrays(ids)), np.concatenate(seconds), unknown)
