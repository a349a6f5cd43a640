"""What accepted regressions do to a verdict: which cases leave the margins, what has expired, what does not hold.

An accepted case leaves the statistics of the margin, for the graders that were named, on both sides: counted as equal
it would show a pass rate that nobody measured and narrow the interval by an observation that was never made. What is
absolute, floors, ceilings, critical cases and errors, is judged on all cases as if nothing had been accepted.
"""

from __future__ import annotations

import difflib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from evalkit.fingerprint import combine
from evalkit.gate.acceptance import Acceptance, Acceptances
from evalkit.gate.changes import baseline_versions
from evalkit.gate.evidence import Evidence, Mask
from evalkit.gate.failures import failing_scores, kind_of
from evalkit.gate.sql import quoted
from evalkit.gate.verdict import MOST_CASES, AcceptedRegression, ComponentChange, RuleResult, RuleStatus
from evalkit.gate.words import count_of
from evalkit.records import Case, Score
from evalkit.store.runs import RunFolder

__all__ = ["Applied", "Regressions", "apply_acceptances", "why_never"]

_NAMED = 3
"""Acceptances that a sentence names."""


def why_never(case: Case) -> str:
    """Why the failure of a case can never be accepted; empty where it can."""
    if case.critical:
        return "it is a critical case"
    if case.risk == "critical":
        return "its risk is critical"
    if "policy" in case.slices or any(tag == "policy" or tag.startswith(("policy:", "policy-")) for tag in case.tags):
        return "it is a policy case"
    return ""


@dataclass(frozen=True)
class Regressions:
    """What got worse in a run, as an acceptance sees it."""

    candidate: RunFolder
    evidence: Evidence

    def worse(self, grader: str) -> Mask:
        """Cases whose pass rate is lower than the baseline's; errors alone make none worse."""
        pairs = self.evidence.quality_pairs.get(grader)
        if pairs is None:
            return np.zeros(len(self.evidence.axis), bool)
        return pairs.worse

    def failing(self, grader: str) -> Mask:
        """Cases that do not pass in every trial now."""
        pairs = self.evidence.quality_pairs.get(grader)
        if pairs is None:
            return np.zeros(len(self.evidence.axis), bool)
        return pairs.now.where(pairs.now.table.failures)

    def place(self, case_id: str) -> int:
        """Where a case of the golden set is on the axis; -1 where there is none."""
        found = pc.index(self.evidence.axis.ids, case_id).as_py()
        return int(found) if found >= 0 and self.evidence.known[found] else -1

    def failures(self, case_ids: Sequence[str]) -> dict[str, list[Score]]:
        """The scores of some cases that say that an answer is not good."""
        found: dict[str, list[Score]] = {}
        for score in failing_scores(self.candidate, self.evidence.subject.grading, case_ids, self.evidence.quality):
            found.setdefault(score.case_id, []).append(score)
        return found

    def digest(self, cases: Mask) -> str:
        """Digest of the contents of some cases that the run holds; of one case its own."""
        ids = pa.array(self.evidence.axis.names(cases), pa.string())
        rows = self.candidate.trials(["case_id", "case_digest"])
        rows = rows.filter(pc.is_in(rows.column("case_id"), ids))
        found = dict(zip(rows.column(0).to_pylist(), rows.column(1).to_pylist(), strict=True))
        if len(ids) == 1:
            return str(found.get(ids[0].as_py(), ""))
        return combine("cases", found.items())

    def slice_mask(self, name: str) -> Mask | None:
        """Cases of a slice; None where the golden set has no such key or value."""
        key, _, value = name.partition("=")
        slicing = self.evidence.columns.slices.get(key)
        if slicing is None or value not in slicing.values:
            return None
        return self.evidence.in_slice(name) & self.evidence.known

    def slices(self) -> list[str]:
        """All slices, as ``key=value``."""
        return [f"{key}={value}" for key, item in self.evidence.columns.slices.items() for value in item.values]


@dataclass(frozen=True)
class Applied:
    """What accepted regressions come to in a comparison."""

    covered: Mapping[str, Mask] = field(default_factory=dict)
    """By grader the cases that leave the margins."""
    rules: tuple[RuleResult, ...] = ()
    acceptances: tuple[AcceptedRegression, ...] = ()

    def without_accepted(self, evidence: Evidence) -> Evidence:
        """The evidence that margins and slices are judged on."""
        if not self.covered:
            return evidence
        pairs = dict(evidence.pairs)
        for grader, mask in self.covered.items():
            item = pairs[grader]
            pairs[grader] = replace(item, before=item.before.only(~mask), now=item.now.only(~mask))
        recorded = None if evidence.recorded is None else evidence.recorded.without(self.covered)
        return replace(evidence, pairs=pairs, recorded=recorded)

    def with_sql(self, rule: RuleResult, evidence: Evidence) -> RuleResult:
        """A margin whose SQL leaves out the same cases."""
        mask = self.covered.get(rule.grader)
        if mask is None or not rule.sql or rule.kind != "drop":
            return rule
        listed = ", ".join(f"'{quoted(name)}'" for name in evidence.axis.names(mask))
        return replace(rule, sql=f"{rule.sql.rstrip().removesuffix(';')}\n  AND case_id NOT IN ({listed});")

    def note_of(self, case_id: str) -> str:
        """Until when and by whom a case's regression is accepted; empty where it is not."""
        for item in self.acceptances:
            if item.state == "used" and case_id in item.cases:
                return f"accepted until {item.expires} by {item.owner}"
        return ""


def apply_acceptances(
    acceptances: Acceptances | None,
    candidate: RunFolder,
    evidence: Evidence,
    changes: Sequence[ComponentChange],
) -> Applied:
    """Check the acceptances of a workflow against a comparison, and find out which of them count.

    Args:
        acceptances: Those of the workflow.
        candidate: The run that is judged.
        evidence: What it is compared with.
        changes: Components that differ.

    Raises:
        ConfigError: for an entry that names what is not there, or that nobody can accept.
    """
    if acceptances is None or not acceptances.entries:
        return Applied()
    found = Regressions(candidate, evidence)
    covered: dict[str, Mask] = {}
    judged: list[AcceptedRegression] = []
    for number, entry in enumerate(acceptances.entries):
        mask = _cases_of(entry, number, acceptances, found)
        result, left_out = _Entry(entry, acceptances.where(number), mask, found).judge(
            acceptances.entries[number].expired(acceptances.today), changes
        )
        if result is not None:
            judged.append(result)
        for grader, cases in left_out.items():
            covered[grader] = covered.get(grader, np.zeros(len(evidence.axis), bool)) | cases
    return Applied(covered, tuple(_rules(judged)), tuple(judged))


def _cases_of(entry: Acceptance, number: int, acceptances: Acceptances, found: Regressions) -> Mask:
    """The cases that an entry is about.

    Raises:
        ConfigError: when there are none, or the entry names a grader that is not there.
    """
    evidence = found.evidence
    for grader in entry.failures:
        if grader not in evidence.quality:
            raise acceptances.mistake(
                number, "failures", f"no grader `{grader}` says whether an answer is good", value=grader,
                fix=f"quality graders of the run: {', '.join(sorted(evidence.quality))}",
            )  # fmt: skip
    if entry.slice is not None:
        mask = found.slice_mask(entry.slice)
        if mask is None:
            raise acceptances.mistake(
                number, "slice", "no case of the golden set is in this slice", value=entry.slice,
                fix=_nearest(entry.slice, found.slices(), "slices"),
            )  # fmt: skip
        return mask
    case_id = str(entry.case)
    place = found.place(case_id)
    if place < 0:
        raise acceptances.mistake(
            number, "case", "no such case in the golden set", value=case_id,
            fix=_nearest(case_id, evidence.axis.names(evidence.known), "ids"),
        )  # fmt: skip
    why = why_never(evidence.golden.load([case_id])[case_id])
    if why:
        raise acceptances.mistake(
            number, "case", f"nobody can accept a failure of this case: {why}", value=case_id,
            fix="remove the entry and fix the regression",
        )  # fmt: skip
    mask = np.zeros(len(evidence.axis), bool)
    mask[place] = True
    return mask


def _nearest(name: str, known: Sequence[str], what: str) -> str:
    close = difflib.get_close_matches(name, known, cutoff=0.3) or list(known)[:3]
    return f"nearest {what}: {', '.join(close)}; or remove the entry"


@dataclass(frozen=True)
class _Entry:
    """One entry against one comparison."""

    entry: Acceptance
    where: str
    cases: Mask
    """Cases that it is about."""
    found: Regressions

    def judge(
        self, expired: bool, changes: Sequence[ComponentChange]
    ) -> tuple[AcceptedRegression | None, Mapping[str, Mask]]:
        """What the entry comes to, None where it does not matter, and what it covers."""
        evidence = self.found.evidence
        look = self.found.failing if expired else self.found.worse
        concerned = {grader: look(grader) & self.cases for grader in self.entry.failures}
        names = evidence.axis.names(np.any(list(concerned.values()), axis=0))
        names, severe = self._acceptable(names)
        if self.entry.case is not None and severe:
            return self._result("refused", severe, "it fails with critical severity now"), {}
        if not names:
            return None, {}
        kept = evidence.axis.mask(pa.array(sorted(names), pa.string()))
        concerned = {grader: mask & kept for grader, mask in concerned.items()}
        if expired:
            still = self._still(names)
            return (self._result("expired", still), {}) if still else (None, {})
        why = self._why_not(names, changes)
        if why:
            return self._result("void", names, why), {}
        return self._result("used", names), {grader: mask for grader, mask in concerned.items() if mask.any()}

    def _acceptable(self, names: Sequence[str]) -> tuple[tuple[str, ...], tuple[str, ...]]:
        """The cases that somebody can accept, and those that fail a named grader with critical severity."""
        never = {name for name, case in self.found.evidence.golden.load(names).items() if why_never(case)}
        severe = {
            name
            for name, scores in self.found.failures(names).items()
            if any(score.severity == "critical" and score.grader in self.entry.failures for score in scores)
        }
        return tuple(name for name in names if name not in never | severe), tuple(sorted(severe))

    def _still(self, names: Sequence[str]) -> tuple[str, ...]:
        """Cases that still fail in a way that was accepted."""
        return tuple(
            name
            for name, scores in sorted(self.found.failures(names).items())
            if any(kind_of(score) in self.entry.failures.get(score.grader, ()) for score in scores)
        )

    def _why_not(self, names: Sequence[str], changes: Sequence[ComponentChange]) -> str:
        """Why this is not what was accepted; empty where it is."""
        entry = self.entry
        what = "the case" if entry.case is not None else "the slice"
        if not self.found.digest(self.cases).startswith(entry.digest):
            return f"{what} is not the one that was accepted: its content has changed"
        if entry.most is not None and len(names) > entry.most:
            return f"{count_of(len(names), 'case')} got worse, and {entry.most} were accepted"
        for name, scores in sorted(self.found.failures(names).items()):
            for score in scores:
                kinds = entry.failures.get(score.grader)
                if kinds is not None and kind_of(score) not in kinds:
                    return f"{name} fails {score.grader} as `{kind_of(score)}`, and {' or '.join(kinds)} was accepted"
        return self._other_change(changes)

    def _other_change(self, changes: Sequence[ComponentChange]) -> str:
        """Why the change is not the one that was accepted."""
        accepted = self.entry.changed
        now = baseline_versions(changes)
        if not accepted and not now:
            run = self.found.candidate.run
            same = run.configuration.fingerprint.startswith(self.entry.configuration)
            return "" if same else "it was accepted for another configuration"
        if not now:
            return f"nothing has changed now, and it was accepted for a change of {', '.join(accepted)}"
        for key, before in now.items():
            if key not in accepted:
                return f"{key} has changed too, and it was accepted for a change of {', '.join(accepted) or 'nothing'}"
            if accepted[key] != before:
                return f"{key} of the baseline is another one than when it was accepted"
        return ""

    def _result(self, state: str, cases: Sequence[str], why: str = "") -> AcceptedRegression:
        entry = self.entry
        return AcceptedRegression(
            subject=entry.subject,
            state=state,  # type: ignore[arg-type]  # one of its literals
            owner=entry.owner,
            expires=entry.expires.isoformat(),
            reason=entry.reason,
            graders=tuple(entry.failures),
            cases=tuple(cases),
            why=why,
            place=self.where,
        )


def _rules(judged: Sequence[AcceptedRegression]) -> list[RuleResult]:
    """What the acceptances say to the verdict: those that count are a note, those that are over block."""
    rules = []
    for state, status, name, begin in (
        ("expired", "block", "expired acceptances", "Accepted once, not any more, and still failing"),
        ("refused", "block", "refused acceptances", "Nobody can accept this"),
        ("used", "note", "accepted regressions", "Left out of the margins because somebody accepts them"),
        ("void", "note", "void acceptances", "Accepted was something else"),
    ):
        mine = [item for item in judged if item.state == state]
        if mine:
            rules.append(_rule(name, status, begin, mine))  # type: ignore[arg-type]  # a literal above
    return rules


def _rule(name: str, status: RuleStatus, begin: str, items: Sequence[AcceptedRegression]) -> RuleResult:
    told = [_told(item) for item in items[:_NAMED]]
    more = f"; and {len(items) - _NAMED} more" if len(items) > _NAMED else ""
    cases = tuple(dict.fromkeys(case for item in items for case in item.cases))
    fix = " Fix it, accept it again, or remove the entry." if status == "block" else ""
    return RuleResult(
        id=name,
        status=status,
        sentence=f"{begin}: {'; '.join(told)}{more}.{fix}",
        unit="count",
        candidate=float(len(items)),
        cases=cases[:MOST_CASES],
    )


def _told(item: AcceptedRegression) -> str:
    size = f" ({count_of(len(item.cases), 'case')})" if item.subject.startswith("slice") else ""
    graders = ", ".join(item.graders)
    until = {"used": "until", "expired": "expired on"}.get(item.state, "until")
    why = f", but {item.why}" if item.why else ""
    return f"{item.subject}{size} for {graders}, {item.owner}, {until} {item.expires}{why} ({item.place})"
