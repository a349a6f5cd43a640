"""Where the trials of a planned run are read from when it is put together: its journal, others, earlier runs."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from pydantic_core import from_json

from evalkit.engine.estimate import brings_costs
from evalkit.engine.journal import JournalReader
from evalkit.engine.plan import Plan
from evalkit.engine.regrade import regrade
from evalkit.engine.reuse import Reuse
from evalkit.errors import StoreError
from evalkit.grading import Grading
from evalkit.providers import PriceTable
from evalkit.records import GraderRef
from evalkit.store.merge import Grade, Revise, RunSource, TrialSource, graded_again
from evalkit.store.schema import StoredTrial, scores_from_rows, traces_from_json, trials_from_rows
from evalkit.store.writer import Chunk
from evalkit.workflow import Workflow

__all__ = ["JournalSource", "grade_reused", "plan_sources"]


@dataclass
class JournalSource:
    """Finished trials of a journal, in the order of their places in a plan.

    Args:
        journal: The journal.
        offsets: For each trial of the plan where its line begins; -1 where it is not taken from here.
        case_ids: Cases of the plan, in order.
        starts: The place of the first trial of each, and behind the last one their number.
        graders: Of the run that is put together.
        graded: Whether the scores of the journal are by these graders.
        grade: Grades again where they are not.
        revise: Changes a stored trial before it is taken over.
    """

    journal: JournalReader
    offsets: NDArray[np.int64]
    case_ids: pa.Array
    starts: NDArray[np.int64]
    graders: Sequence[GraderRef]
    graded: bool = True
    grade: Grade | None = None
    revise: Revise | None = None

    def __post_init__(self) -> None:
        self._place = 0

    def until(self, case_id: str) -> Chunk:
        """See :class:`evalkit.store.merge.TrialSource`."""
        cases = bisect_right(self.case_ids, case_id, key=lambda item: item.as_py())
        end = int(self.starts[cases])
        places = self._place + np.flatnonzero(self.offsets[self._place : end] >= 0)
        self._place = max(self._place, end)
        entries = [self.journal.trial(int(self.offsets[place])) for place in places]
        rows = [from_json(head) for head, _, _ in entries]
        if self.graded and self.revise is None:
            scores = [row for _, _, rest in entries for row in from_json(rest)]
            scores.sort(key=lambda row: (row[0], row[2], row[1]))
            traces = traces_from_json(
                [(row["case_id"], row["trial"], text) for row, (_, text, _) in zip(rows, entries, strict=True)]
            )
            return Chunk(trials_from_rows("", rows), traces, scores_from_rows("", scores))
        assert self.grade is not None, "whoever revises can grade"  # noqa: S101
        return graded_again(rows, [text for _, text, _ in entries], self.graders, self.grade, self.revise)


def plan_sources(
    plan: Plan,
    prices: PriceTable,
    graders: Sequence[GraderRef],
    grading: str,
    grade: Grade,
) -> list[TrialSource]:
    """What the reused trials of a plan are read from."""
    return [_source(plan, number, reuse, prices, graders, grading, grade) for number, reuse in enumerate(plan.reuses)]


def grade_reused(plan: Plan, prices: PriceTable, grading: Grading, store: Path) -> None:
    """Grade the runs that most of the plan's trials are taken from, so that their scores are taken over as they are.

    A grader that has not changed is not asked again, and whoever compares with such a run finds it graded alike.

    Args:
        plan: The plan.
        prices: What calls cost now; trials of a run with other prices are revised and graded by themselves.
        grading: The graders of now.
        store: Where the cases are.

    Raises:
        BudgetError: when the budget of a grader is spent.
    """
    for number, reuse in enumerate(plan.reuses):
        folder = reuse.folder
        if folder is None or folder.scores_path(grading.fingerprint).exists() or not _same_prices(reuse, prices):
            continue
        if 2 * int((plan.origin == number).sum()) >= folder.run.trials:
            with suppress(StoreError):  # its cases are gone: each trial is graded with the case of now
                regrade(folder, store, grading)


def _source(
    plan: Plan,
    number: int,
    reuse: Reuse,
    prices: PriceTable,
    graders: Sequence[GraderRef],
    grading: str,
    grade: Grade,
) -> TrialSource:
    mine = plan.origin == number

    def revise(stored: StoredTrial) -> StoredTrial:
        return _repriced(stored, plan.workflow, prices)

    if reuse.journal is not None:
        assert reuse.offsets is not None, "a journal has places"  # noqa: S101
        offsets = np.where(mine, reuse.offsets, -1)
        return JournalSource(
            reuse.journal, offsets, plan.case_ids, plan.starts, graders, False, grade, revise
        )  # fmt: skip
    assert reuse.folder is not None, "it is a run"  # noqa: S101
    same = _same_prices(reuse, prices)
    keys = None if mine.all() and reuse.folder.run.trials == plan.total else np.sort(plan.keys[mine])
    return RunSource(reuse.folder, graders, grading, keys, None if same else revise, grade)


def _same_prices(reuse: Reuse, prices: PriceTable) -> bool:
    """Whether the costs of a run are those of the price table of now."""
    assert reuse.folder is not None  # noqa: S101
    then = reuse.folder.run.model_prices
    if reuse.folder.run.prices == prices.fingerprint:
        return True
    return bool(then) and prices.fingerprints_of(then) == dict(then)


def _repriced(stored: StoredTrial, workflow: Workflow, prices: PriceTable) -> StoredTrial:
    """A reused trial costs what it would cost now, so that all costs of a run are of one price table."""
    calls = tuple(
        replace(call, cost_microusd=prices.find(call.model).cost_microusd(call.usage))
        if call.priced and not brings_costs(workflow, call.provider)
        else call
        for call in stored.trace.model_calls
    )
    if calls == stored.trace.model_calls:
        return stored
    return replace(stored, trace=replace(stored.trace, model_calls=calls))
