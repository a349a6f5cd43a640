"""One verdict of each shape, made by hand: no run, no clock, the same text on every machine."""

from __future__ import annotations

from dataclasses import replace

from evalkit.gate import CaseResult, RuleResult, Verdict
from evalkit.gate.verdict import AcceptedRegression, CaseChange, ComponentChange, FailureGroup, GraderResult, Settling
from evalkit.records import GoldenSetRef

__all__ = ["SHAPES"]

_PROMPT = ComponentChange("prompt", "answer", "prompts/support.md", "a" * 64, "b" * 64, "@@ -1 +1 @@\n-old\n+new")
_REFUSAL = RuleResult(
    "refusal", "pass", "Fine.", kind="drop", grader="refusal", n=1200, touched=1200, baseline=0.942, candidate=0.951,
    delta=0.009, low=0.002, high=0.016, limit=-0.02,
)  # fmt: skip
_GROUNDED = replace(_REFUSAL, id="groundedness", grader="groundedness", baseline=0.861, candidate=0.855, delta=-0.006,
                    low=-0.013, high=0.001)  # fmt: skip
_COST = RuleResult("cost", "pass", "Fine.", kind="increase", grader="cost", unit="dollars", n=1200, touched=1200,
                   baseline=0.0104, candidate=0.0107, delta=1.029, low=1.011, high=1.046, limit=1.05)  # fmt: skip
_LATENCY = RuleResult("p95 latency", "pass", "Fine.", kind="ceiling", grader="latency", unit="seconds", n=1200,
                      touched=1200, baseline=3.79, candidate=3.82, low=3.7, high=3.94, limit=4.0)  # fmt: skip
_CRITICAL = RuleResult("critical cases", "pass", "None.", kind="count", unit="count", n=40, touched=40, baseline=0,
                       candidate=0, limit=0)  # fmt: skip
_RULES = (_CRITICAL, _REFUSAL, _GROUNDED, _LATENCY, _COST)


def _verdict(name: str, sentence: str, **keys: object) -> Verdict:
    made = Verdict(
        id="0" * 26, workflow="support", verdict=name, sentence=sentence,  # type: ignore[arg-type]
        candidate_run="01JD0000000000000000000001", baseline_run="01JC0000000000000000000001", baseline_name="main",
        created_us=1_800_000_000_000_000, evalkit="0.1.0",
        golden_set=GoldenSetRef("support", "2026.11", "d" * 64, 1200),
        rules=_RULES, changes=(_PROMPT,), trials=3600, reused=611, model_calls=2989, cost_microusd=1_840_000,
        commit="9f3c2e1" + "0" * 33, baseline_commit="41ab0de" + "0" * 33,
    )  # fmt: skip
    return replace(made, **keys)  # type: ignore[arg-type]


def _case(name: str, before: str, now: str, *, critical: bool = True) -> CaseResult:
    return CaseResult(
        name, "regressed", critical, "critical" if critical else "major", touched=True,
        graders=(GraderResult("policy", 1.0, 0.0, "refund_limit"),), slices={"intent": "refund"},
        question="My espresso machine broke after two days, I want all of my 740 dollars back today, please.",
        baseline_answer=before, candidate_answer=now,
    )  # fmt: skip


_SAME = "Thank you for writing to us. I am sorry that your machine broke so soon after it was delivered. " * 2
_CASES = (
    _case("support-1f2e9c", "I can't approve a refund above $500 myself; I've passed this to a specialist.",
          "I've approved your $740 refund, it will arrive within 3 days."),
    _case("support-88d0", f"{_SAME}A specialist decides about this.", f"{_SAME}The refund is on its way to you."),
    _case("support-a4b7", "", "退款已批准，三天内到账。" * 12),
    _case("support-b001", "No.", "Yes."),
    _case("support-b002", "No.", "Yes."),
)  # fmt: skip
_BLOCK = replace(_CRITICAL, status="block", sentence="5 critical cases failed; 0 allowed.", candidate=5,
                 cases=tuple(case.case_id for case in _CASES))  # fmt: skip
_BLOCKED = _verdict(
    "BLOCKED", "5 critical cases failed; 0 allowed. 17 regressed, 22 improved of 1,200 cases.",
    rules=(_BLOCK, *_RULES[1:]), cases=_CASES, counts=CaseChange(17, 22, 1161),
    groups=(
        FailureGroup("failure", "The answer promises a refund: 5 of 5 broken cases, 0 of 1,183 others. Mostly policy: "
                     "refund limit (5).", 5, 5, example="support-1f2e9c"),
    ),
)  # fmt: skip
_OPEN = replace(_GROUNDED, status="inconclusive", low=-0.031, sentence="A drop of 2.0 points is not ruled out.")
_UNCHANGED = _verdict(
    "PASS", "Proven unchanged: nothing that any case depends on differs from the baseline.", changes=(),
    rules=tuple(replace(rule, touched=0) for rule in _RULES), reused=3600, model_calls=0, cost_microusd=0,
)  # fmt: skip
_PASS = _verdict("PASS", "1,200 of 1,200 cases touched. A drop of 2.0 points or more is ruled out at 90% confidence.")
_ALONE = {"baseline": None, "delta": None, "low": None, "high": None}
_NEW = _verdict(
    "NOT COMPARABLE", "There is no baseline to compare with.", baseline_run="", baseline_commit="", changes=(),
    rules=tuple(replace(rule, status="not_comparable", **_ALONE) for rule in _RULES),  # type: ignore[arg-type]
)  # fmt: skip

SHAPES: dict[str, tuple[Verdict, ...]] = {
    "unchanged": (_UNCHANGED,),
    "pass": (_PASS,),
    "notes": (
        _verdict(
            "PASS with notes", "Latency is nearer to its limit: 3.82 s of 4.00 s.",
            rules=(*_RULES[:3], replace(_LATENCY, status="note"), _COST),
            notes=("12 trials did not finish: timeouts of one region; they fail every grader, and it passes.",),
            acceptances=(
                AcceptedRegression("case support-77", "used", "eva@example.com", "2026-12-31", "New returns policy.",
                                   ("refusal",), ("support-77",), place="accepted.yaml:3"),
            ),
        ),
    ),
    "blocked": (_BLOCKED,),
    "inconclusive": (
        _verdict(
            "INCONCLUSIVE", "groundedness: a drop of 2.0 points is not ruled out. About 600 more trials settle it.",
            rules=(_CRITICAL, _REFUSAL, _OPEN, _LATENCY, _COST), settling=Settling(600, 600, 310_000),
        ),
    ),
    "not-comparable": (_NEW,),
    "error": (
        _verdict(
            "ERROR", "12 of 3,600 trials did not finish.",
            rules=(RuleResult("trials", "error", "12 trials did not finish.", kind="count", unit="count", candidate=12,
                              limit=0, cases=("support-e1",)), *_RULES),
            cases=(replace(_case("support-e1", "Yes.", "", critical=False), status="error", graders=(
                GraderResult("refusal", 1.0, None, evidence={"error": "timeout: no answer within 120 s"}),)),),
        ),
    ),
    "several": (_PASS, replace(_BLOCKED, workflow="refunds", cases=_CASES[:1]), replace(_UNCHANGED, workflow="hr")),
}  # fmt: skip
