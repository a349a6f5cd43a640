"""How far a workflow's graders agree with its people: on the workflow's own answers, by slice and by model."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from evalkit.grading import Grading
from evalkit.records import Case, GraderRef, Score, Trace
from evalkit.review.labels import HumanLabel, agreed_labels, output_of
from evalkit.stats import (
    Estimate,
    PoweredMean,
    Threshold,
    auroc,
    best_threshold,
    bootstrap,
    kappa,
    powered_mean,
    share,
)
from evalkit.store import RunFolder

__all__ = [
    "Agreement",
    "GraderAgreement",
    "Labelled",
    "find_labelled",
    "measure_accuracy",
    "measure_agreement",
    "powered",
    "random_part",
]

SMALLEST_SLICE = 20
"""Labels below which the bias of a slice or a model says nothing."""
LEAST_RANDOM = 10
"""Labels of cases chosen at random below which they say nothing of the others."""
Cases = Callable[[RunFolder], Mapping[str, Case]]
Bools: TypeAlias = NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class Labelled:
    """An output that a person labelled, as the grader of now sees it."""

    label: HumanLabel
    case: Case
    trace: Trace
    score: Score

    @property
    def model(self) -> str:
        """The model that wrote it."""
        last = self.trace.model_calls[-1] if self.trace.model_calls else None
        return (last.reported_model or last.model) if last else ""


@dataclass(frozen=True)
class GraderAgreement:
    """A grader against the labels of people. Bad outputs are what it is there to find."""

    grader: str
    version: str
    fingerprint: str
    n: int
    """Labels that it is measured on."""
    lost: int
    """Labels whose outputs are in no stored run."""
    undecided: int
    """Outputs of which the grader says neither good nor bad, or fails: they count as disagreement."""
    counts: tuple[tuple[int, int], tuple[int, int]] = ((0, 0), (0, 0))
    """Rows: people say good, bad; columns: the grader says good, bad."""
    accuracy: Estimate | None = None
    kappa: Estimate | None = None
    """None where people or the grader use one label only."""
    found: Estimate | None = None
    """Of the outputs that people call bad, the share that it fails."""
    false_alarms: Estimate | None = None
    """Of the outputs that people call good, the share that it fails."""
    auroc: Estimate | None = None
    """Chance that a good output has a higher value than a bad one."""
    bias: Estimate | None = None
    """Share that it passes less the share that people pass."""
    by_model: Mapping[str, Estimate] = field(default_factory=dict)
    """The bias by generating model: where it differs, two models cannot be compared by this grader."""
    by_slice: Mapping[str, Estimate] = field(default_factory=dict)
    """The bias by slice, as ``key=value``."""
    threshold: Threshold | None = None
    """Of its value, where that is more than yes or no."""


@dataclass(frozen=True)
class Agreement:
    """All graders of a workflow that somebody labelled."""

    workflow: str
    graders: tuple[GraderAgreement, ...]
    passed: Mapping[str, PoweredMean] = field(default_factory=dict)
    """By grader the share of the run's cases that people would pass, from random labels and what the grader says."""
    said: Mapping[str, float] = field(default_factory=dict)
    """By grader the share of the run's cases that it passes itself."""
    run: str = ""
    """The run that these are of."""


def find_labelled(
    labels: Sequence[HumanLabel], grading: Grading, runs: Iterable[RunFolder], cases: Cases
) -> tuple[list[Labelled], int]:
    """Labelled outputs in stored runs, each graded once by the grader of now, and how many labels are in none.

    Args:
        labels: Labels of the workflow.
        grading: The grader, alone.
        runs: Where to look, newest first.
        cases: The labelled cases of a run by id.
    """
    wanted = agreed_labels(labels, grading.refs[0].name)
    found: dict[str, tuple[Case, Trace]] = {}
    for folder in runs:
        missing = {label.case_id for output, label in wanted.items() if output not in found}
        if not missing:
            break
        for trace in folder.traces(sorted(missing)):
            output = output_of(trace)
            if output not in wanted or output in found:
                continue
            if (case := cases(folder).get(trace.case_id)) is not None:
                found[output] = (case, trace)
    scores = grading.grade_all(found.values())
    graded = zip(found.items(), scores, strict=True)
    labelled = [Labelled(wanted[output], case, trace, score) for (output, (case, trace)), score in graded]
    return labelled, len(wanted) - len(labelled)


def measure_accuracy(ref: GraderRef, labelled: Sequence[Labelled], lost: int = 0) -> GraderAgreement:
    """How often a grader says what people say, counted and as a share; the other figures are left out."""
    good, passed, undecided = _sides(labelled)
    base = GraderAgreement(ref.name, ref.version, ref.fingerprint, len(labelled), lost, undecided)
    if not labelled:
        return base
    table = _table(good, passed)
    right = good == passed
    return replace(
        base,
        counts=((int(table[0, 0]), int(table[0, 1])), (int(table[1, 0]), int(table[1, 1]))),
        accuracy=_of_items(lambda items: float(right[items].mean()), _clusters(labelled), right.sum()),
    )


def measure_agreement(ref: GraderRef, labelled: Sequence[Labelled], lost: int = 0) -> GraderAgreement:
    """Everything that is said of a grader, from labelled outputs; figures that they are too few for are None."""
    base = measure_accuracy(ref, labelled, lost)
    if not labelled:
        return base
    good, passed, _ = _sides(labelled)
    clusters, values = _clusters(labelled), _values(labelled)
    gap = passed.astype(float) - good
    (fine, alarms), (missed, hits) = base.counts
    return replace(
        base,
        kappa=_maybe(lambda items: kappa(_table(good[items], passed[items])), clusters),
        found=share(hits, missed + hits) if missed + hits else None,
        false_alarms=share(alarms, fine + alarms) if fine + alarms else None,
        auroc=None if values is None else _maybe(lambda items: auroc(good[items], values[items]), clusters),
        bias=_bias(gap, clusters, range(len(labelled))),
        by_model=_biases(gap, clusters, [(item.model or "?",) for item in labelled]),
        by_slice=_biases(gap, clusters, [_slices(item.case) for item in labelled]),
        threshold=None if values is None else _threshold(good, values, clusters),
    )


def _sides(labelled: Sequence[Labelled]) -> tuple[Bools, Bools, int]:
    """Whether people call each output good, whether the grader does, and of how many it says nothing."""
    good = np.array([item.label.passed for item in labelled], bool)
    decided = np.array([item.score.status == "ok" and item.score.passed is not None for item in labelled], bool)
    # what a grader says nothing of is no agreement: it counts as the wrong answer
    passed = np.where(decided, np.array([bool(item.score.passed) for item in labelled], bool), ~good)
    return good, passed, int((~decided).sum())


def _table(good: Bools, passed: Bools) -> NDArray[np.intp]:
    """Counts: people say good, bad in rows; the grader says good, bad in columns."""
    return np.bincount(2 * (~good).astype(np.intp) + ~passed, minlength=4).reshape(2, 2)


def _clusters(labelled: Sequence[Labelled]) -> list[str]:
    return [item.case.cluster_key for item in labelled]


def _of_items(figure: Callable[[NDArray[np.intp]], float], clusters: Sequence[str], successes: int) -> Estimate:
    """A share: by Wilson where each item stands for itself, else with whole clusters drawn."""
    if len(set(clusters)) == len(clusters):
        return share(int(successes), len(clusters))
    return bootstrap(figure, len(clusters), clusters=clusters)


def _maybe(figure: Callable[[NDArray[np.intp]], float], clusters: Sequence[str]) -> Estimate | None:
    try:
        found = bootstrap(figure, len(clusters), clusters=clusters)
    except ValueError:
        return None
    return found if np.isfinite(found.value) else None


def _values(labelled: Sequence[Labelled]) -> NDArray[np.float64] | None:
    values = [item.score.value for item in labelled if item.score.status == "ok" and item.score.value is not None]
    if len(values) < len(labelled) or len(set(values)) <= 2:
        return None
    return np.array(values, np.float64)


def _threshold(good: Bools, values: NDArray[np.float64], clusters: Sequence[str]) -> Threshold | None:
    try:
        return best_threshold(good, values, clusters=clusters)
    except ValueError:
        return None


def _bias(gap: NDArray[np.float64], clusters: Sequence[str], items: Sequence[int]) -> Estimate | None:
    mine = gap[list(items)]
    return _maybe(lambda drawn: float(mine[drawn].mean()), [clusters[item] for item in items])


def _biases(gap: NDArray[np.float64], clusters: Sequence[str], keys: Sequence[tuple[str, ...]]) -> dict[str, Estimate]:
    """The bias wherever there are labels enough; nothing where all items share one key."""
    members: defaultdict[str, list[int]] = defaultdict(list)
    for item, names in enumerate(keys):
        for name in names:
            members[name].append(item)
    found = {
        name: _bias(gap, clusters, items) for name, items in sorted(members.items()) if len(items) >= SMALLEST_SLICE
    }
    return {name: estimate for name, estimate in found.items() if estimate is not None}


def _slices(case: Case) -> tuple[str, ...]:
    return tuple(f"{key}={value}" for key, value in case.slice_keys.items())


def random_part(labelled: Sequence[Labelled]) -> list[Labelled]:
    """Those whose cases were chosen at random; none where they are too few to say anything of the others."""
    random = [item for item in labelled if item.label.chosen == "random"]
    return random if len(random) >= LEAST_RANDOM else []


def powered(
    random: Sequence[Labelled], scores: Iterable[Score], clusters: Mapping[str, str]
) -> tuple[PoweredMean, float]:
    """The share of a run's cases that people would pass, and the share that the grader passes.

    Args:
        random: Labelled outputs of cases that were chosen at random, graded by the grader.
        scores: Its scores of the run, one a trial.
        clusters: The cluster of each case.
    """
    said = _by_case(scores)
    known = {item.case.id for item in random}
    others = [case_id for case_id in said if case_id not in known]
    found = powered_mean(
        [item.label.passed for item in random],
        [bool(item.score.passed) for item in random],
        [said[case_id] for case_id in others],
        clusters=_clusters(random),
        other_clusters=[clusters.get(case_id, case_id) for case_id in others],
    )
    return found, float(np.mean(list(said.values()))) if said else float("nan")


def _by_case(scores: Iterable[Score]) -> dict[str, float]:
    """Share of a case's trials that passed; an error is a failure, as for the gate."""
    trials: defaultdict[str, list[float]] = defaultdict(list)
    for score in scores:
        if score.status == "error":
            trials[score.case_id].append(0.0)
        elif score.status == "ok" and score.passed is not None:
            trials[score.case_id].append(float(score.passed))
    return {case_id: float(np.mean(values)) for case_id, values in trials.items()}
