"""Verdicts written by hand, one of each shape that a reviewer meets: what golden files are made of."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace

from evalkit.gate import CaseResult, RuleResult, Verdict
from evalkit.gate.report import Report
from evalkit.gate.verdict import (
    AcceptedRegression,
    CaseChange,
    ComponentChange,
    FailureGroup,
    GraderResult,
    RouteTotals,
    RouteUse,
    Settling,
    SliceResult,
)
from evalkit.records import Component, Configuration, GoldenSetRef

from .hostile import PAYLOADS, poisoned

__all__ = ["SHAPES", "regressions"]

HOSTILE = " ".join(PAYLOADS[name] for name in sorted(PAYLOADS) if name != "wide")
RUN_URL = "https://github.com/o/r/actions/runs/1"
REPORT_URL = "https://github.com/o/r/actions/runs/1/artifacts/2"
HEAD = "9f3c2e1b7a6d5c4e3f2a1b0c9d8e7f6a5b4c3d2e"
COMPONENTS = ("contract", "model", "policies", "prompt", "retrieval", "routes")


def drop(name: str, baseline: float, now: float, low: float, high: float, **fields: object) -> RuleResult:
    """A rule on the share that a grader passes, with a margin of two points."""
    rule = RuleResult(
        name, "pass", f"{name} is within the limit.", kind="drop", grader=name, n=1_200, touched=1_200,
        baseline=baseline, candidate=now, delta=now - baseline, low=low, high=high, limit=-0.02,
    )  # fmt: skip
    return replace(rule, **fields)  # type: ignore[arg-type]


CRITICAL = RuleResult(
    "critical cases", "pass", "No critical case failed.", n=180, baseline=0, candidate=0, limit=0, unit="count"
)
LATENCY = RuleResult(
    "p95 latency", "pass", "Within the limit: p95 of latency is 3.82 s, ceiling 4.00 s.", kind="ceiling",
    grader="latency", unit="seconds", n=1_200, baseline=3.79, candidate=3.82, low=3.7, high=3.95, limit=4.0,
)  # fmt: skip
COST = RuleResult(
    "cost", "pass", "Within the limit: mean cost +2.9%, limit +5.0%.", kind="increase", grader="cost", unit="dollars",
    n=1_200, touched=1_200, baseline=0.0104, candidate=0.0107, delta=1.029, low=1.011, high=1.046, limit=1.05,
)  # fmt: skip
RULES = (
    CRITICAL,
    drop("groundedness", 0.861, 0.855, -0.013, 0.001),
    drop("refusal", 0.942, 0.951, 0.002, 0.016),
    drop("tool_call", 0.988, 0.987, -0.004, 0.003),
    LATENCY,
    COST,
)
PROMPT = ComponentChange(
    "prompt", "answer", "prompts/system.md", "81f0" * 16, "c2aa" * 16,
    "@@ -12,3 +12,3 @@\n Refunds:\n-- Ask a specialist for refunds above $500.\n"
    "+- Refund at once, the customer is king.\n - Be brief.",
)  # fmt: skip
ROUTES = ComponentChange(
    "routes", "table", "routes.yaml", "3b1d" * 16, "77e0" * 16,
    "@@ -2,1 +2,1 @@\n-escalate_below: 0.55\n+escalate_below: 0.45",
)  # fmt: skip


ROUTED = (
    RouteUse("large", RouteTotals(2_400, 29_040_000, 3_100_000, 410_000, 8_400_000_000),
             RouteTotals(1_800, 21_800_000, 2_300_000, 300_000, 6_300_000_000)),
    RouteUse("small", RouteTotals(1_200, 2_400_000, 1_500_000, 190_000, 1_900_000_000),
             RouteTotals(1_797, 3_590_000, 2_200_000, 290_000, 2_800_000_000)),
    RouteUse("human", RouteTotals(), RouteTotals(3, 0, 0, 0, 0)),
)  # fmt: skip


def base(**fields: object) -> Verdict:
    """A verdict on 1,200 cases of which nothing is known yet."""
    components = tuple(Component(kind, "x", "f" * 64) for kind in COMPONENTS)
    verdict = Verdict(
        "7be1" * 6, "support", "PASS", "", "01JD0000000000000000000002", "01JD0000000000000000000001", "main",
        1_795_364_517_903_270, "0.1.0", configuration=Configuration("support", "c" * 64, components),
        golden_set=GoldenSetRef("support", "2026.11", "ab12" * 16, 1_200), rules=RULES, trials=3_600, reused=1_833,
        model_calls=1_767, cost_microusd=1_840_000, commit=HEAD, baseline_commit="41ab0de" + "0" * 33,
        counts=CaseChange(unchanged=1_200),
    )  # fmt: skip
    return replace(verdict, **fields)  # type: ignore[arg-type]


def case(number: int, **fields: object) -> CaseResult:
    """A refund that was promised without approval."""
    found = CaseResult(
        f"support-{number:04d}", "regressed", critical=True, severity="critical", touched=True,
        graders=(GraderResult("policy", 1.0, 0.0, "refund_without_approval"),),
        slices={"intent": "refund", "value": "high"}, question=f"I want my $740 back, order {number}.",
        baseline_answer="I can't approve a refund above $500 myself; I've passed this to a specialist.",
        candidate_answer="I've approved your $740 refund, it will arrive within 3 days.",
        candidate_calls=('refund({"amount": 740})',), route="small", baseline_route="large",
    )  # fmt: skip
    return replace(found, **fields)  # type: ignore[arg-type]


CASES = tuple(case(number) for number in range(1, 6))
BETTER = case(
    900, status="improved", critical=False, graders=(GraderResult("refusal", 0.0, 1.0),), slices={"intent": "delivery"}
)
WORSE = case(
    901, critical=False, graders=(GraderResult("groundedness", 1.0, 0.5, "unsupported"),), slices={"intent": "delivery"}
)
GROUP = FailureGroup(
    "change", "The answer calls `refund` now: 5 of 5 broken cases, 2 of 1,195 others.", 5, 5, example="support-0001"
)
SLICES = (
    SliceResult("intent", "refund", "policy", 210, 1.0, 0.976, -0.024, -0.05, -0.01, 0.01, small=False),
    SliceResult("locale", "de-DE", "policy", 14, 1.0, 0.93, -0.07, -0.2, 0.05, 0.4, small=True),
)


def with_rules(*changed: RuleResult) -> tuple[RuleResult, ...]:
    """The rules, these instead of those of the same name."""
    names = {rule.id: rule for rule in changed}
    return tuple(names.get(rule.id, rule) for rule in RULES)


def passes() -> Verdict:
    return base(sentence="1,200 of 1,200 cases touched. A drop beyond the margin is ruled out for every grader.",
                changes=(ROUTES,), cases=(BETTER,), counts=CaseChange(improved=1, unchanged=1_199))  # fmt: skip


def unchanged() -> Verdict:
    quiet = tuple(replace(rule, touched=0) for rule in RULES)
    return base(sentence="Proven unchanged: nothing that any case depends on differs from the baseline.", rules=quiet)


def notes() -> Verdict:
    risen = drop("refusal", 0.951, 0.942, -0.016, -0.002, status="note", sentence="refusal fell by 0.9 points.")
    return replace(passes(), verdict="PASS with notes", rules=with_rules(risen), sentence="refusal fell by 0.9 points.",
                   notes=("The price table is 200 days old.",))  # fmt: skip


def critical() -> Verdict:
    ids = tuple(item.case_id for item in CASES)
    rule = replace(CRITICAL, status="block", candidate=5, cases=ids, sentence="5 critical cases failed; 0 allowed.")
    return base(
        verdict="BLOCKED", sentence="5 critical cases failed; 0 allowed. 6 regressed, 1 improved of 1,200 cases.",
        rules=with_rules(rule), cases=(*CASES, WORSE, BETTER), changes=(PROMPT, ROUTES), groups=(GROUP,), slices=SLICES,
        routes=ROUTED,
        counts=CaseChange(regressed=6, improved=1, unchanged=1_184, flaky=9),
    )  # fmt: skip


def margin() -> Verdict:
    told = "groundedness fell by 6.1 points [−9.0, −3.1], beyond the margin of 2.0."
    rule = drop("groundedness", 0.861, 0.8, -0.09, -0.031, status="block", sentence=told, cases=(WORSE.case_id,))
    return base(verdict="BLOCKED", sentence=f"{told} 1 regressed, 0 improved of 1,200 cases.", rules=with_rules(rule),
                cases=(WORSE,), changes=(PROMPT,), counts=CaseChange(regressed=1, unchanged=1_199))  # fmt: skip


def cost() -> Verdict:
    told = "Mean cost rose by 18.0% [+15.1%, +21.2%], limit +5.0%."
    rule = replace(COST, status="block", candidate=0.01227, delta=1.18, low=1.151, high=1.212, sentence=told)
    return base(verdict="BLOCKED", sentence=told, rules=with_rules(rule), changes=(ROUTES,))


def drift() -> Verdict:
    """Nothing of ours changed, and yet it got worse: a nightly run of the baseline's own configuration."""
    return replace(margin(), changes=(), branch="main", notes=("The configuration is that of the baseline.",))


def inconclusive() -> Verdict:
    told = "Not enough evidence: groundedness could be anything from −4.1 to +2.6 points."
    rule = drop(
        "groundedness", 0.861, 0.853, -0.041, 0.026, status="inconclusive", sentence=told, next_trials={"a": 24}
    )
    return base(verdict="INCONCLUSIVE", sentence=f"{told} To settle it takes about 24 more trials.", changes=(PROMPT,),
                rules=with_rules(rule), settling=Settling(24, 24, 732))  # fmt: skip


def not_comparable() -> Verdict:
    return base(verdict="NOT COMPARABLE", sentence="There is no baseline to compare with.", rules=(), baseline_run="",
                baseline_commit="")  # fmt: skip


def error() -> Verdict:
    broken = tuple(
        replace(item, status="error", critical=False, graders=(GraderResult("policy", 1.0, None, "", fault),))
        for item, fault in zip(CASES[:2], ({"error": "timed out after 60 s"}, {"error": "HTTP 500"}), strict=True)
    )
    ids = tuple(item.case_id for item in broken)
    rule = RuleResult("trials", "error", "2 trials failed.", n=1_200, candidate=2, limit=0, unit="count", cases=ids)
    return base(verdict="ERROR", sentence="2 trials failed. This says nothing about quality.", rules=(rule, *RULES),
                cases=broken, changes=(PROMPT,), counts=CaseChange(error=2, unchanged=1_198))  # fmt: skip


def accepted() -> Verdict:
    entry = AcceptedRegression(
        "case support-0901", "used", "jane", "2026-12-22", "the tariff is gone", ("groundedness",), (WORSE.case_id,),
        place="goldensets/support/accepted.yaml:3",
    )  # fmt: skip
    void = replace(entry, subject="case support-0007", state="expired", expires="2026-11-01")
    return replace(notes(), acceptances=(entry, void), cases=(replace(WORSE, accepted="accepted until 2026-12-22"),))


def regressions(count: int, words: int = 40) -> Verdict:
    """So many critical regressions, each with answers of so many words."""
    answer, question = " ".join(f"word{n}" for n in range(words)), "why " * words
    cases = tuple(case(number, candidate_answer=answer, question=question) for number in range(count))
    ids = tuple(item.case_id for item in cases)
    told = f"{count:,} critical cases failed; 0 allowed."
    rule = replace(CRITICAL, status="block", candidate=count, cases=ids, sentence=told)
    return base(verdict="BLOCKED", sentence=told, rules=with_rules(rule), cases=cases, changes=(PROMPT, ROUTES),
                slices=SLICES, counts=CaseChange(regressed=count))  # fmt: skip


def reported(*verdicts: Verdict, **fields: object) -> Report:
    return Report(verdicts, run_url=RUN_URL, **fields)  # type: ignore[arg-type]


SHAPES: Mapping[str, Callable[[], Report]] = {
    "pass-unchanged": lambda: reported(unchanged()),
    "pass": lambda: reported(passes()),
    "pass-with-notes": lambda: reported(notes()),
    "blocked-critical": lambda: reported(
        critical(), report_url=REPORT_URL, commit=HEAD, previous="PASS at 51c0aa9", source_root="evals"
    ),
    "blocked-margin": lambda: reported(margin()),
    "blocked-cost": lambda: reported(cost()),
    "drift": lambda: reported(drift()),
    "inconclusive": lambda: reported(inconclusive()),
    "not-comparable": lambda: reported(not_comparable()),
    "error": lambda: reported(error()),
    "several-workflows": lambda: reported(
        replace(unchanged(), workflow="finance"), critical(), replace(notes(), workflow="hr")
    ),
    "accepted-regressions": lambda: reported(accepted()),
    "truncated": lambda: reported(regressions(5_000), limit=6_000),
    "hostile": lambda: reported(poisoned(critical(), HOSTILE)),
    "nothing-judged": reported,
    "comparison": lambda: reported(critical(), judged=False),
}  # fmt: skip
"""A report of each shape, by the name of its golden file."""
