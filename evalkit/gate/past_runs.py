"""How earlier runs of a workflow came out: what a report draws beside a verdict. It decides nothing."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow.compute as pc
from numpy.typing import NDArray

from evalkit.gate.axis import CaseAxis
from evalkit.gate.outcomes import Graded
from evalkit.gate.reading import read_graded
from evalkit.records import Run
from evalkit.store.arrays import bits, take
from evalkit.store.runs import RunFolder

__all__ = ["UNKNOWN", "PastRun", "read_past_runs"]

UNKNOWN = 255
"""Of a case that an earlier run does not tell about."""


@dataclass(frozen=True)
class PastRun:
    """An earlier run of the same workflow, graded by graders of the same names."""

    run_id: str
    commit: str
    created_us: int
    configuration: str
    accepted: bool
    """Whether it is in the baseline."""
    same_cases: bool
    """Whether its golden set has the same content."""
    values: Mapping[str, float]
    """By grader the mean over its cases: of the share that passed, or of what was measured."""
    worst: NDArray[np.uint8]
    """Of each case of the axis the lowest share of its trials that passed a quality grader, in percent."""


def read_past_runs(folders: Sequence[RunFolder], run: Run, axis: CaseAxis, accepted: frozenset[str]) -> list[PastRun]:
    """Read what these runs say of the cases of an axis, by the graders of a run.

    Args:
        folders: The runs, oldest first. Those that were not graded by these very graders are left out.
        run: The candidate.
        axis: Its cases.
        accepted: Ids of the runs that are in the baseline.

    Raises:
        StoreError: when a segment cannot be read.
    """
    quality = [ref.name for ref in run.graders if ref.quality]
    measured = [ref.name for ref in run.graders if not ref.quality]
    found = []
    for folder in folders:
        if not folder.scores_path(run.grading).exists():
            continue
        graded = read_graded(folder.scores_path(run.grading), measured, expected=axis.ids)
        other = folder.run
        found.append(
            PastRun(
                run_id=other.run_id,
                commit=other.commit,
                created_us=other.created_us,
                configuration=other.configuration.fingerprint,
                accepted=other.run_id in accepted,
                same_cases=other.golden_set.digest == run.golden_set.digest,
                values=_values(graded, quality),
                worst=_worst(graded, quality, axis),
            )
        )
    return found


def _values(graded: Graded, quality: Sequence[str]) -> dict[str, float]:
    values = {}
    for name in quality:
        codes = graded.codes.get(name)
        if codes is not None and graded.table.tells[codes].any():
            values[name] = float(graded.table.rate[codes][graded.table.tells[codes]].mean())
    for name, trials in graded.trials.items():
        values[name] = float(np.nanmean(trials.values)) if np.isfinite(trials.values).any() else float("nan")
    return values


def _worst(graded: Graded, quality: Sequence[str], axis: CaseAxis) -> NDArray[np.uint8]:
    worst = np.full(len(graded.ids), UNKNOWN, np.uint8)
    percent = np.where(graded.table.tells, np.rint(np.nan_to_num(graded.table.rate) * 100), UNKNOWN).astype(np.uint8)
    for name in quality:
        if name in graded.codes:
            worst = np.minimum(worst, percent[graded.codes[name]])
    known = bits(pc.is_in(graded.ids, value_set=axis.ids))
    if known.all():
        return axis.place(graded.ids, worst, UNKNOWN)
    return axis.place(take(graded.ids, np.flatnonzero(known)), worst[known], UNKNOWN)
