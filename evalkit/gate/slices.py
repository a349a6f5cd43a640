"""Slices and graders together: which of them got worse, with the false alarms of all of them held at alpha.

Where the history is long enough the candidate's trials are held against those on record by max-T over a stratified
permutation (:mod:`evalkit.stats.permutation`); else the two runs are compared slice by slice and shared out by Holm,
which can only warn.
"""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from evalkit.gate.evidence import Evidence, Mask
from evalkit.gate.history import RecordedTrials
from evalkit.gate.verdict import MOST_CASES, RuleResult, SliceResult
from evalkit.gate.words import count_of, grader_in_slice, points
from evalkit.stats.permutation import SliceTests, slice_tests
from evalkit.stats.stable_cases import BrokenCases, broken_stable_cases
from evalkit.workflow.gates import GateSpec

__all__ = ["broken_cases_note", "permuted_slices", "slices_rule"]

Cases = NDArray[np.intp]

_MOST_SLICES = 500
"""More of them, the smallest left out, say nothing that a reader could use."""


def permuted_slices(
    slices: Sequence[SliceResult], evidence: Evidence, spec: GateSpec
) -> tuple[SliceResult, ...] | None:
    """The same slices with their p-values by permutation against history; None where there is too little of it.

    Args:
        slices: Numbers of every slice and grader, from the comparison of the two runs.
        evidence: The runs and what is recorded of their cases.
        spec: The gate.
    """
    recorded = evidence.recorded
    if recorded is None or not slices:
        return None
    graders = [name for name in recorded.graders if name in evidence.quality]
    wanted = _largest(slices)
    masks = np.stack([evidence.in_slice(name) for name in wanted], axis=1)
    tests = _tests(recorded, graders, masks & _enough(recorded, graders, evidence, spec)[:, None], evidence, spec)
    if tests is None:
        return None
    found = []
    for item in slices:
        place = wanted.get(f"{item.key}={item.value}")
        if place is None or item.grader not in graders:
            found.append(replace(item, small=True))
            continue
        where = place, graders.index(item.grader)
        if not tests.tested[where]:
            found.append(replace(item, small=True))
            continue
        found.append(
            replace(
                item,
                n=int(tests.cases[where]),
                baseline=float(tests.baseline[where]),
                candidate=float(tests.candidate[where]),
                delta=float(tests.delta[where]),
                p=float(tests.adjusted[where]),
                small=False,
            )
        )
    return tuple(found)


def _largest(slices: Sequence[SliceResult]) -> dict[str, int]:
    sizes: dict[str, int] = {}
    for item in slices:
        name = f"{item.key}={item.value}"
        sizes[name] = max(sizes.get(name, 0), item.n)
    largest = sorted(sizes, key=lambda name: (-sizes[name], name))[:_MOST_SLICES]
    return {name: place for place, name in enumerate(largest)}


def _enough(recorded: RecordedTrials, graders: Sequence[str], evidence: Evidence, spec: GateSpec) -> Mask:
    """Touched cases with as much history as the gate asks for."""
    most = np.zeros(len(evidence.axis))
    for name in graders:
        most = np.maximum(most, recorded.history(name).trials)
    enough: Mask = evidence.touched & (most >= spec.history.min_trials)
    return enough if evidence.common is None else enough & evidence.common


def _tests(
    recorded: RecordedTrials, graders: Sequence[str], masks: Mask, evidence: Evidence, spec: GateSpec
) -> SliceTests | None:
    inside: Mask = np.asarray(masks.any(axis=1))
    rows = inside[recorded.cases]
    if not graders or not inside.any() or not recorded.candidate[rows].any():
        return None
    places = np.cumsum(inside) - 1
    columns = np.asarray([recorded.graders.index(name) for name in graders], np.intp)
    clusters = evidence.clusters_of(inside)
    return slice_tests(
        recorded.scores[rows][:, columns],
        places[recorded.cases[rows]],
        recorded.candidate[rows],
        masks[inside],
        clusters=clusters,
        rounds=recorded.rounds[rows] if clusters is not None else None,
        min_slice=spec.min_slice,
        seed=zlib.crc32(evidence.configuration.encode()),
    )


def slices_rule(slices: Sequence[SliceResult], rules: Sequence[RuleResult], spec: GateSpec) -> list[RuleResult]:
    """What the slices add to the rules: a block where one fell by the slice margin, a note where one fell by less.

    Slices that hold every case, and graders that block as a whole, say nothing new. Where a fresh baseline did not
    confirm what history said of a grader, neither can its slices say it.

    Args:
        slices: With p-values that are adjusted for all of them together.
        rules: The rules that are judged already.
        spec: The gate.
    """
    whole = {rule.grader: rule.touched for rule in rules if rule.kind == "drop" and not rule.slice}
    blocked = {rule.grader for rule in rules if rule.kind == "drop" and (rule.status == "block" or rule.pairs)}
    worse = [
        item
        for item in slices
        if not item.small
        and item.p <= spec.alpha
        and item.delta < 0
        and item.grader not in blocked
        and item.n < whole.get(item.grader, np.inf)
    ]
    if not worse:
        return []
    worse.sort(key=lambda item: (item.delta, item.grader, item.key, item.value))
    broken = [item for item in worse if item.delta <= -spec.slice_margin]
    named = ", ".join(
        f"{grader_in_slice(item.grader, f'{item.key}={item.value}')} {points(item.delta)} "
        f"({item.baseline:.0%} before, {item.candidate:.0%} now, {count_of(item.n, 'case')})"
        for item in worse[:3]
    )
    more = f" and {len(worse) - 3} more" if len(worse) > 3 else ""
    sentence = f"Lower in parts of the golden set than chance explains: {named}{more}."
    return [
        RuleResult(
            id="slices",
            status="block" if broken else "note",
            sentence=sentence,
            unit="count",
            n=len([item for item in slices if not item.small]),
            candidate=float(len(broken or worse)),
            limit=0.0,
            p=min(item.p for item in worse),
            method="max-T over a stratified permutation",
        )
    ]


def broken_cases_note(evidence: Evidence, spec: GateSpec) -> list[RuleResult]:
    """A note where more of the cases that always passed fail now than chance explains, whatever else was repaired."""
    recorded = evidence.recorded
    if recorded is None:
        return []
    notes = []
    for grader in sorted(evidence.quality & set(recorded.graders)):
        history, drawn = recorded.history(grader), recorded.drawn(grader)
        fine = ~drawn.errors
        made = np.bincount(drawn.cases[fine], minlength=recorded.size)
        passed = np.bincount(drawn.cases[fine], drawn.scores[fine], minlength=recorded.size)
        places = np.flatnonzero(evidence.touched & (made > 0) & (history.trials > 0))
        if not len(places):
            continue
        found = broken_stable_cases(
            passed[places].astype(np.int64),
            made[places],
            history.total[places].astype(np.int64),
            history.trials[places].astype(np.int64),
            min_history=max(10, spec.history.min_trials),
        )
        if len(found.cases) and found.p_count <= spec.alpha:
            notes.append(_broken_note(grader, found, places, evidence))
    return notes


def _broken_note(grader: str, found: BrokenCases, places: Cases, evidence: Evidence) -> RuleResult:
    count = len(found.cases)
    return RuleResult(
        id=f"{grader}: stable cases",
        status="note",
        sentence=(
            f"{count_of(count, 'case')} that passed on {grader} in nearly every earlier run "
            f"{'fails' if count == 1 else 'fail'} now; chance alone would break about {found.expected:.1f}."
        ),
        grader=grader,
        unit="count",
        n=int(found.stable),
        candidate=float(count),
        limit=0.0,
        p=found.p_count,
        method="exact, against the history of each case",
        cases=evidence.axis.names(places[found.cases], MOST_CASES),
    )
