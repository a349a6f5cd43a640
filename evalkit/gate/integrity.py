"""Nothing may be missing: every case run, every trial finished, every grader answered, in both runs."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from evalkit.gate.evidence import Evidence
from evalkit.gate.pairs import GraderPairs
from evalkit.gate.verdict import RuleResult, RuleStatus
from evalkit.gate.words import count_of
from evalkit.store.runs import RunFolder
from evalkit.store.segments import query_segments

__all__ = ["integrity_results"]


def integrity_results(
    candidate: RunFolder, baseline: RunFolder | None, evidence: Evidence, margin: float
) -> list[RuleResult]:
    """What is missing or failed, one result each; none where all is there.

    Args:
        candidate: The run to judge.
        baseline: The run that it is compared with; None where there is none.
        evidence: Both of them, read.
        margin: Share of cases that may fail unseen before the verdict is open.

    Raises:
        StoreError: when a segment cannot be read.
    """
    made = _trials_by_case(candidate)
    found = [
        *_trials(candidate, made, evidence),
        *_scores(candidate, candidate.run.grading, "run"),
        *_errors(candidate, evidence),
        *_undecided(evidence),
    ]
    if candidate.run.trials == 0 or not evidence.pairs:
        found.append(_result("something to test", "error", "No case was run or graded: nothing was tested.", 0))
    if baseline is not None and baseline.run.run_id != candidate.run.run_id:
        found += _scores(baseline, candidate.run.grading, "baseline")
        found += _baseline(candidate, baseline, made.keys(), evidence, margin)
    return found


def _trials(candidate: RunFolder, made: Counter[str], evidence: Evidence) -> Iterable[RuleResult]:
    run = candidate.run
    unknown = sorted(made.keys() - evidence.cases.keys())
    if unknown:
        text = f"{count_of(len(unknown), 'case')} of the run cannot be found in its golden set."
        yield _result("cases", "error", text, len(unknown), unknown)
    if run.selection == "all":
        lost = sorted(case_id for case_id in evidence.cases if made[case_id] < run.trials_per_case)
        if lost:
            text = f"Trials of {count_of(len(lost), 'case')} of the golden set are missing from the run."
            yield _result("cases", "error", text, len(lost), lost)
    elif made.total() != run.trials:
        text = f"The run says {count_of(run.trials, 'trial')}, its segment holds {made.total():,}."
        yield _result("trials", "error", text, abs(run.trials - made.total()))


def _trials_by_case(folder: RunFolder) -> Counter[str]:
    rows = query_segments(
        "SELECT case_id, count(*) AS trials FROM read_parquet(?) GROUP BY case_id", [folder.trials_path]
    )
    return Counter(dict(zip(rows["case_id"].tolist(), rows["trials"].tolist(), strict=True)))


def _scores(folder: RunFolder, grading: str, which: str) -> Iterable[RuleResult]:
    """Each grader has one row for each trial, if only to say that it does not apply."""
    run = folder.run
    rows = query_segments(
        "SELECT grader, count(*) AS scores FROM read_parquet(?) GROUP BY grader", [folder.scores_path(grading)]
    )
    counts = dict(zip(rows["grader"].tolist(), rows["scores"].tolist(), strict=True))
    wrong = {
        ref.name: counts.get(ref.name, 0) for ref in folder.graders(grading) if counts.get(ref.name, 0) != run.trials
    }
    if wrong:
        named = ", ".join(f"{name} has {number:,}" for name, number in sorted(wrong.items()))
        text = f"There is not one score for each of {count_of(run.trials, 'trial')} of the {which}: {named}."
        yield _result("scores" if which == "run" else f"scores of the {which}", "error", text, len(wrong))


def _errors(candidate: RunFolder, evidence: Evidence) -> Iterable[RuleResult]:
    run = candidate.run
    broken = {case for item in evidence.pairs.values() for case in np.asarray(item.case_ids)[item.errors > 0].tolist()}
    if run.errors:
        text = f"{count_of(run.errors, 'trial')} of {run.trials:,} did not finish. This says nothing about quality."
        yield _result("trials", "error", text, run.errors, sorted(broken))
        return
    by_grader = {name: int((item.errors > 0).sum()) for name, item in evidence.pairs.items() if item.errors.any()}
    if by_grader:
        named = ", ".join(f"{name} on {count_of(count, 'case')}" for name, count in sorted(by_grader.items()))
        text = f"Graders failed: {named}. This says nothing about quality."
        yield _result("graders", "error", text, sum(by_grader.values()), sorted(broken))


def _undecided(evidence: Evidence) -> Iterable[RuleResult]:
    cases = _cases(evidence, lambda item: item.undecided > 0)
    if cases:
        text = f"A quality grader did not say whether the answer is good, on {count_of(len(cases), 'case')}."
        yield _result("graders decide", "inconclusive", text, len(cases), cases)
    if evidence.quality and not _cases(evidence, lambda item: ~np.isnan(item.candidate_rate)):
        yield _result("graders apply", "inconclusive", "No quality grader says anything about any case.", 0)


def _baseline(
    candidate: RunFolder, baseline: RunFolder, made: AbstractSet[str], evidence: Evidence, margin: float
) -> Iterable[RuleResult]:
    base = baseline.run
    known = _trials_by_case(baseline).keys() if evidence.common is None else evidence.common
    if evidence.common is None:
        lacking = sorted(made - known)
        if lacking:
            part = "" if base.selection == "all" else f", which covers only {base.selection},"
            text = f"The baseline{part} has no trial of {count_of(len(lacking), 'case')} of this run."
            yield _result("baseline covers the run", "inconclusive", text, len(lacking), lacking)
    elif base.selection != "all":
        text = f"The baseline covers only {base.selection} of another version of the golden set."
        yield _result("baseline covers the run", "inconclusive", text, 0)
    gone = sorted({ref.name for ref in base.graders if ref.quality} - {ref.name for ref in candidate.run.graders})
    if gone:
        text = f"The baseline was judged by {', '.join(gone)} too, and nothing is known of that now."
        yield _result("graders of the baseline", "inconclusive", text, len(gone))
    failed = _cases(evidence, lambda item: ~item.baseline_usable)
    if failed:
        both = _cases(evidence, lambda item: item.errors > 0)
        advice = "" if set(failed) <= set(both) else ": compare with a run that has no errors"
        text = (
            f"In the baseline, trials or graders failed on {count_of(len(failed), 'case')}, which are left out{advice}."
        )
        result = _result("baseline without errors", "error", text, len(failed), failed)
        yield replace(result, baseline=result.candidate, candidate=None)
    stopped = _cases(evidence, lambda item: ~np.isnan(item.baseline_rate) & np.isnan(item.candidate_rate))
    stopped = sorted(set(stopped) & made)
    if stopped:
        text = f"A quality grader that judged {count_of(len(stopped), 'case')} before does not apply any more."
        yield _result("graders still apply", "note", text, len(stopped), stopped)
    fresh = _cases(evidence, lambda item: np.isnan(item.baseline_rate) & (item.failures > 0))
    fresh = sorted(set(fresh) & known & made)
    if fresh:
        text = f"A quality grader that did not apply before now fails {count_of(len(fresh), 'case')}."
        many = len(fresh) > margin * len(made)
        yield _result("newly judged cases", "inconclusive" if many else "note", text, len(fresh), fresh)


def _cases(evidence: Evidence, wanted: Callable[[GraderPairs], NDArray[np.bool_]]) -> list[str]:
    """Cases that a quality grader's results pick out."""
    found: set[str] = set()
    for name, item in evidence.pairs.items():
        if name in evidence.quality:
            found.update(np.asarray(item.case_ids, dtype=object)[wanted(item)].tolist())
    return sorted(found)


def _result(what: str, status: RuleStatus, sentence: str, count: int, cases: Sequence[str] = ()) -> RuleResult:
    return RuleResult(
        id=what, status=status, sentence=sentence, unit="count", candidate=float(count), limit=0.0, cases=tuple(cases)
    )
