"""What a run will do before it does it: which trials must be made, which are known, what that will cost."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from evalkit.engine.estimate import SAMPLE, Estimate, brings_costs, estimate_cases
from evalkit.engine.reuse import KEY_WIDTH, Keys, Reuse, find_reuse, keys_of_equal_run
from evalkit.engine.selection import Selection, select_cases
from evalkit.errors import ConfigError
from evalkit.goldens import GoldenSet
from evalkit.providers import PriceTable
from evalkit.store.runs import Runs
from evalkit.workflow import Prepared, Workflow

__all__ = ["Plan", "PlannedTrial", "make_plan", "priced_models"]

_TO_MAKE = -1


@dataclass(frozen=True, slots=True)
class PlannedTrial:
    """A trial to make."""

    prepared: Prepared
    """Its case, read and prepared."""
    case_digest: str
    trial: int
    key: str
    place: int
    """Among all trials of the plan."""


@dataclass(frozen=True)
class Plan:
    """The trials of a run, by place: those of the first case, those of the second, and so on.

    What is kept of a trial is its key and where it comes from, some hundred bytes; cases are read when they are due.
    """

    workflow: Workflow
    golden: GoldenSet
    selection: Selection
    counts: NDArray[np.int32]
    """Trials of each case, at least one."""
    keys: Keys
    """Key of each trial, 64 hex digits."""
    origin: NDArray[np.int32]
    """For each trial the number of the reuse that holds it; -1 where it must be made."""
    reuses: tuple[Reuse, ...]
    case_ids: pa.Array
    """Cases of the run, in order."""
    first: int = 0
    """Number of the first trial of each case."""

    @property
    def trials_per_case(self) -> int:
        """Trials that every case has; some may have more."""
        return int(self.counts.min(initial=np.iinfo(np.int32).max)) if len(self.counts) else 1

    @cached_property
    def starts(self) -> NDArray[np.int64]:
        """The place of the first trial of each case, and behind the last one their number."""
        return np.concatenate([[0], np.cumsum(self.counts, dtype=np.int64)])

    def cases_with(self, trials: NDArray[np.bool_]) -> NDArray[np.bool_]:
        """Cases any of whose trials is marked."""
        if not len(self.counts):
            return np.zeros(0, np.bool_)
        return np.asarray(np.logical_or.reduceat(trials, self.starts[:-1]))

    @property
    def total(self) -> int:
        """All trials of the run."""
        return len(self.keys)

    @property
    def to_make(self) -> int:
        """Trials that must be made."""
        return int((self.origin == _TO_MAKE).sum())

    @property
    def reused(self) -> int:
        """Trials that an earlier run has made under equal conditions."""
        return self.total - self.to_make

    @property
    def cases(self) -> int:
        """Cases of the run."""
        return len(self.selection.places)

    def trials_to_make(self, without: NDArray[np.bool_] | None = None) -> Iterator[PlannedTrial]:
        """The trials to make, in order; their cases are read as they are asked for.

        Args:
            without: True at the places of trials that are made already.
        """
        due = self.origin == _TO_MAKE
        if without is not None:
            due &= ~without
        wanted = self.cases_with(due)
        if not wanted.any():
            return
        ids = None if wanted.all() and self.cases == self.golden.count else _chosen(self.case_ids, wanted)
        rows = np.flatnonzero(wanted)
        for row, (case, digest) in zip(rows, self.golden.iter_cases(ids), strict=True):
            prepared = self.workflow.prepared(case)
            start, end = self.starts[row : row + 2].tolist()
            for trial in np.flatnonzero(due[start:end]).tolist():
                place = start + trial
                yield PlannedTrial(prepared, digest, self.first + trial, self.keys[place].decode(), place)

    def estimate(self, prices: PriceTable, runs: Runs, trials: int) -> Estimate:
        """Calls and cost of so many of the trials to make, about; looks at some of them."""
        due = self.cases_with(self.origin == _TO_MAKE)
        places = np.flatnonzero(due)
        some = np.zeros(len(due), np.bool_)
        some[places[:: max(1, len(places) // SAMPLE)][:SAMPLE]] = True
        cases = [case for case, _ in self.golden.iter_cases(_chosen(self.case_ids, some))] if len(places) else []
        newest = next(runs.newest_first(self.workflow.name), None)
        return estimate_cases(self.workflow, cases, prices, trials, newest)


def _chosen(case_ids: pa.Array, wanted: NDArray[np.bool_]) -> frozenset[str]:
    return frozenset(case_ids.filter(pa.array(wanted)).to_pylist())


def make_plan(
    workflow: Workflow,
    golden: GoldenSet,
    runs: Runs,
    prices: PriceTable,
    *,
    redaction: str,
    selection: Selection | None = None,
    trials: int | None = None,
    more: Mapping[str, int] | None = None,
    fresh: bool = False,
    without: str = "",
    first: int = 0,
) -> Plan:
    """Plan a run.

    Args:
        workflow: The candidate.
        golden: Its golden set.
        runs: Where finished trials are looked for.
        prices: Every model of the workflow must have one.
        redaction: Fingerprint of the masking rules: trials masked otherwise are not reused.
        selection: The cases to run; default all.
        trials: Trials of each case; default what the workflow says.
        more: Further trials of some cases, by id.
        fresh: Make every trial again.
        without: Id of a run whose journal is no source: the one that is taken up.
        first: Number of the first trial of each case: trials with other numbers are other trials.

    Raises:
        PromptError: when a prompt needs a variable that a case lacks.
        ConfigError: when a model has no price.
    """
    chosen = selection or select_cases(golden)
    count = trials or workflow.spec.trials
    for prompt in workflow.prompts.values():
        prompt.check(golden.common_variables())
    _check_prices(workflow, prices)
    case_ids = golden.ids if len(chosen.places) == golden.count else golden.ids.take(pa.array(chosen.places))
    counts = _counts(case_ids, count, more or {})
    keys = None
    if len(chosen.places) == golden.count and not more and not first:
        keys = keys_of_equal_run(runs, workflow, golden, count, redaction)
    if keys is None:
        keys = _keys(workflow, golden, case_ids, counts, first)
    origin: NDArray[np.int32] = np.full(len(keys), _TO_MAKE, np.int32)
    reuses: tuple[Reuse, ...] = ()
    if not fresh:
        origin, reuses = find_reuse(keys, runs, workflow.name, redaction, without)
    return Plan(workflow, golden, chosen, counts, keys, origin, reuses, case_ids, first)


def _counts(case_ids: pa.Array, count: int, more: Mapping[str, int]) -> NDArray[np.int32]:
    """Trials of each case."""
    counts = np.full(len(case_ids), count, np.int32)
    if more:
        places = pc.index_in(pa.array(list(more), pa.string()), value_set=case_ids)
        for place, further in zip(places.to_pylist(), more.values(), strict=True):
            if place is not None:
                counts[place] += further
    return counts


def _keys(workflow: Workflow, golden: GoldenSet, case_ids: pa.Array, counts: NDArray[np.int32], first: int) -> Keys:
    """The key of every trial; the cases are read once and not kept."""
    ids = None if len(case_ids) == golden.count else frozenset(case_ids.to_pylist())
    keys = np.empty(int(counts.sum()), f"S{KEY_WIDTH}")
    place = 0
    for (case, digest), count in zip(golden.iter_cases(ids), counts.tolist(), strict=True):
        prepared = workflow.prepared(case)
        for trial in range(first, first + count):
            keys[place] = prepared.key(digest, trial)
            place += 1
    return keys


def _check_prices(workflow: Workflow, prices: PriceTable) -> None:
    for name, pin in workflow.models.items():
        if brings_costs(workflow, pin.provider):
            continue
        try:
            prices.find(pin.name)
        except ConfigError as error:
            raise ConfigError(
                error.message, file=workflow.file, key=f"models.{name}", value=pin.name, fix=error.fix
            ) from None


def priced_models(workflow: Workflow) -> list[str]:
    """Models that a price must be known for: a recording brings its costs along."""
    return sorted({pin.name for pin in workflow.models.values() if not brings_costs(workflow, pin.provider)})
