"""The gate: comparison of runs, rules, verdicts."""

from evalkit.gate.judging import Limits, judge
from evalkit.gate.verdict import CaseResult, ComponentChange, RuleResult, SliceResult, Verdict, worst

__all__ = ["CaseResult", "ComponentChange", "Limits", "RuleResult", "SliceResult", "Verdict", "judge", "worst"]
