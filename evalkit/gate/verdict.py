"""What the gate says: the verdict, the rules behind it with their numbers, and the cases behind those."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Literal, TypeAlias

from evalkit.errors import ExitCode
from evalkit.records import Configuration, GoldenSetRef, Json, Severity

__all__ = [
    "MOST_CASES",
    "ONLY_A_PART",
    "VERDICTS",
    "AcceptedRegression",
    "CaseChange",
    "CaseResult",
    "CaseStatus",
    "ComponentChange",
    "FailureGroup",
    "GraderResult",
    "RouteTotals",
    "RouteUse",
    "RuleResult",
    "RuleStatus",
    "Settling",
    "SliceResult",
    "Verdict",
    "VerdictName",
    "finite",
    "most_of_each",
    "worst",
]

VerdictName: TypeAlias = Literal[
    "PASS", "PASS with notes", "INCONCLUSIVE", "BLOCKED", "NOT COMPARABLE", "ERROR"
]  # fmt: skip
RuleStatus: TypeAlias = Literal["pass", "note", "inconclusive", "block", "not_comparable", "error"]
CaseStatus: TypeAlias = Literal["regressed", "improved", "unchanged", "new", "removed", "error", "flaky"]

VERDICTS: Mapping[VerdictName, ExitCode] = {
    "PASS": ExitCode.PASS,
    "PASS with notes": ExitCode.PASS,
    "INCONCLUSIVE": ExitCode.INCONCLUSIVE,
    "ERROR": ExitCode.ERROR,
    "NOT COMPARABLE": ExitCode.NOT_COMPARABLE,
    "BLOCKED": ExitCode.BLOCKED,
}
"""From best to worst, with the exit code of each."""


MOST_CASES = 10_000
"""Cases that a rule names and that a verdict shows, the worst ones. The counts are of all."""

ONLY_A_PART = "Only a part of the golden set was run"
"""How the note begins that says so."""


def finite(value: float) -> float | None:
    """An end that the sample is too small for is none: JSON knows no infinity."""
    return value if math.isfinite(value) else None


def most_of_each(counts: Iterable[Mapping[str, int]]) -> dict[str, int]:
    """By case the largest of several counts: what one rule needs serves the others too."""
    most: dict[str, int] = {}
    for each in counts:
        for case_id, count in each.items():
            most[case_id] = max(most.get(case_id, 0), count)
    return most


def worst(names: list[VerdictName]) -> VerdictName:
    """The verdict over several workflows: the worst of theirs; of none it is ERROR."""
    order = list(VERDICTS)
    return max(names, key=order.index, default="ERROR")


@dataclass(frozen=True)
class RuleResult:
    """One rule of the gate, judged. Shares and differences are fractions; the unit of others is the grader's."""

    id: str
    status: RuleStatus
    sentence: str
    """What a reviewer who knows no statistics needs to know."""
    kind: Literal["drop", "increase", "floor", "ceiling", "count"] = "count"
    """What ``limit`` bounds: a drop against the baseline, a ratio to it, a value from below or above, a number."""
    grader: str = ""
    metric: str = ""
    slice: str = ""
    unit: Literal["share", "seconds", "dollars", "count", "ratio", ""] = "share"
    n: int = 0
    touched: int = 0
    baseline: float | None = None
    candidate: float | None = None
    delta: float | None = None
    low: float | None = None
    high: float | None = None
    p: float | None = None
    limit: float | None = None
    broke: float = 0.0
    fixed: float = 0.0
    method: str = ""
    cases: tuple[str, ...] = ()
    """Cases that this rule is about, worst first; at most ``MOST_CASES``."""
    sql: str = ""
    """Recomputes the numbers from the catalogue."""
    trials: int = 0
    """Trials of the candidate that a test on history rests on."""
    history: float = 0.0
    """Recorded trials of the middle case that was touched; zero where the two runs are compared with each other."""
    more_trials: int | None = None
    """Further trials that are expected to settle it, where trials would."""
    next_trials: Mapping[str, int] = field(default_factory=dict)
    """Those of them that would be made next, by case."""
    mean_ratio: float | None = None
    """Of an increase of a mean, where ``delta`` is that of a typical case (geometric mean): the ratio of the means."""
    mean_low: float | None = None
    mean_high: float | None = None
    confirmed: bool | None = None
    """Whether a baseline that was run afresh confirmed a block; None where it was not asked, or has not settled it."""
    pairs: int = 0
    """Pairs of trials, of the candidate and a fresh baseline, that this rests on."""
    fresh: float | None = None
    """Change against the fresh baseline."""
    next_pairs: Mapping[str, int] = field(default_factory=dict)
    """Pairs that would be made next to confirm a block, by case; none where it is final."""


@dataclass(frozen=True)
class SliceResult:
    """A grader's result on one slice. Small slices are shown only."""

    key: str
    value: str
    grader: str
    n: int
    baseline: float
    candidate: float
    delta: float
    low: float
    high: float
    p: float
    small: bool


@dataclass(frozen=True)
class GraderResult:
    """A grader on a case: share passed before and now, and why."""

    grader: str
    baseline: float | None
    candidate: float | None
    label: str = ""
    evidence: Mapping[str, Json] = field(default_factory=dict)


@dataclass(frozen=True)
class CaseResult:
    """A case whose result changed, or that fails and must not."""

    case_id: str
    status: CaseStatus
    critical: bool
    severity: Severity
    touched: bool
    graders: tuple[GraderResult, ...]
    slices: Mapping[str, str] = field(default_factory=dict)
    question: str = ""
    baseline_answer: str = ""
    candidate_answer: str = ""
    candidate_calls: tuple[str, ...] = ()
    baseline_calls: tuple[str, ...] = ()
    route: str = ""
    baseline_route: str = ""
    accepted: str = ""
    """Until when and by whom the regression is accepted; empty where it is not."""


@dataclass(frozen=True)
class AcceptedRegression:
    """An entry of the file of accepted regressions, and what became of it in this verdict."""

    subject: str
    """``case support-1f2e9c`` or ``slice locale=de-DE``."""
    state: Literal["used", "expired", "void", "refused"]
    """``used``: its cases are left out of the margins. ``expired``: its day is over and the failure is still there.
    ``void``: it was accepted for something else. ``refused``: nobody can accept such a failure."""
    owner: str
    expires: str
    """ISO date of the last day on which it holds."""
    reason: str
    graders: tuple[str, ...]
    cases: tuple[str, ...]
    """Cases that it concerns."""
    why: str = ""
    """What is different, where it is void or refused."""
    place: str = ""
    """File and line."""


@dataclass(frozen=True)
class FailureGroup:
    """Broken cases that have something in common which sets them apart from the others."""

    kind: Literal["change", "slice", "failure", "theme", "rest"]
    """What they share: how the answer changed, what the cases are, how the graders name it, words; or nothing."""
    sentence: str
    size: int
    """Broken cases in it. A case is in one group only."""
    of: int
    """Broken cases that were looked at."""
    matching: int = 0
    """Broken cases that share it, those of earlier groups too."""
    others: int = 0
    """Unbroken cases that share it."""
    of_others: int = 0
    """Unbroken cases that were looked at."""
    lift: float | None = None
    """How many times as frequent it is among the broken; None where no other case shares it."""
    example: str = ""
    """A case that shows it."""
    cases: tuple[str, ...] = ()
    """Its broken cases; at most ``MOST_CASES``."""


@dataclass(frozen=True)
class CaseChange:
    """How many cases have each status."""

    regressed: int = 0
    improved: int = 0
    unchanged: int = 0
    new: int = 0
    removed: int = 0
    error: int = 0
    flaky: int = 0


@dataclass(frozen=True)
class ComponentChange:
    """A component that differs between baseline and candidate."""

    kind: str
    name: str
    path: str | None
    before: str
    """Fingerprint, empty where the component is new."""
    after: str
    """Fingerprint, empty where it is gone."""
    diff: str = ""
    """Unified diff of the contents."""


@dataclass(frozen=True)
class RouteTotals:
    """Sums over the finished trials that took a route."""

    trials: int = 0
    cost_microusd: int = 0
    input_tokens: int = 0
    output_tokens: int = 0
    latency_us: int = 0
    """Wire time of their model calls."""


@dataclass(frozen=True)
class RouteUse:
    """What a route came to, before and now."""

    route: str
    before: RouteTotals
    now: RouteTotals


@dataclass(frozen=True)
class Settling:
    """About what would settle a verdict that is open."""

    trials: int
    calls: int
    """Model calls."""
    cost_microusd: int


@dataclass(frozen=True)
class Verdict:
    """The answer to "may this merge?", with everything that it stands on."""

    id: str
    workflow: str
    verdict: VerdictName
    sentence: str
    candidate_run: str
    baseline_run: str
    baseline_name: str
    created_us: int
    evalkit: str
    configuration: Configuration | None = None
    golden_set: GoldenSetRef | None = None
    rules: tuple[RuleResult, ...] = ()
    slices: tuple[SliceResult, ...] = ()
    cases: tuple[CaseResult, ...] = ()
    counts: CaseChange = CaseChange()
    changes: tuple[ComponentChange, ...] = ()
    notes: tuple[str, ...] = ()
    alpha: float = 0.05
    """Chance left out above each interval."""
    beta: float = 0.10
    """Chance left out below it."""
    trials: int = 0
    reused: int = 0
    model_calls: int = 0
    cost_microusd: int = 0
    simulated: bool = False
    commit: str = ""
    branch: str = ""
    baseline_commit: str = ""
    became_baseline: str = ""
    """Name of the baseline that the candidate was accepted into when it was judged, if any."""
    acceptances: tuple[AcceptedRegression, ...] = ()
    """Accepted regressions that matter here."""
    groups: tuple[FailureGroup, ...] = ()
    """Broken cases by what they share, the largest first, those that share nothing last."""
    settling: Settling | None = None
    """What it takes to settle it, where it is INCONCLUSIVE and trials would."""
    history: str = ""
    """What of the recorded history the verdict stands on, in words; empty where it stands on none."""
    confirmation_calls: int = 0
    """Model calls of the candidate and a fresh baseline side by side, whenever they were made."""
    confirmation_microusd: int = 0
    routes: tuple[RouteUse, ...] = ()
    """The routes that trials took, the most used one now first; none where there is one only."""

    @property
    def exit_code(self) -> ExitCode:
        """What the process says to the shell."""
        return VERDICTS[self.verdict]

    @property
    def next_trials(self) -> Mapping[str, int]:
        """Trials by case that would be made next to settle what is open; none where nothing else would settle it."""
        if self.verdict != "INCONCLUSIVE" or any(
            rule.status == "inconclusive" and not rule.next_trials for rule in self.rules
        ):
            return {}
        return most_of_each(rule.next_trials for rule in self.rules)

    @property
    def next_pairs(self) -> Mapping[str, int]:
        """Pairs of fresh trials by case that would confirm the block; none where something else blocks anyway."""
        if self.verdict != "BLOCKED" or any(not rule.next_pairs for rule in self.blocking):
            return {}
        return most_of_each(rule.next_pairs for rule in self.blocking)

    @property
    def blocking(self) -> tuple[RuleResult, ...]:
        """The rules that block."""
        return tuple(rule for rule in self.rules if rule.status == "block")
