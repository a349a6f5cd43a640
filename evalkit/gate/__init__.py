"""The gate: comparison of runs, rules, verdicts; and the decision behind a margin, for outcomes from anywhere.

Names are imported when they are first used: the records of a verdict are light, the decision needs scipy.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from evalkit.lazy import lazy_names

if TYPE_CHECKING:
    from evalkit.gate.deciding import Decision, Design, decide
    from evalkit.gate.draws import Evidence, Outcomes
    from evalkit.gate.judging import Limits, judge
    from evalkit.gate.verdict import CaseResult, ComponentChange, RuleResult, SliceResult, Verdict, worst
    from evalkit.stats.anchor import History

_HOMES = {
    "CaseResult": "evalkit.gate.verdict",
    "ComponentChange": "evalkit.gate.verdict",
    "Decision": "evalkit.gate.deciding",
    "Design": "evalkit.gate.deciding",
    "Evidence": "evalkit.gate.draws",
    "History": "evalkit.stats.anchor",
    "Limits": "evalkit.gate.judging",
    "Outcomes": "evalkit.gate.draws",
    "RuleResult": "evalkit.gate.verdict",
    "SliceResult": "evalkit.gate.verdict",
    "Verdict": "evalkit.gate.verdict",
    "decide": "evalkit.gate.deciding",
    "judge": "evalkit.gate.judging",
    "worst": "evalkit.gate.verdict",
}

__all__ = [
    "CaseResult",
    "ComponentChange",
    "Decision",
    "Design",
    "Evidence",
    "History",
    "Limits",
    "Outcomes",
    "RuleResult",
    "SliceResult",
    "Verdict",
    "decide",
    "judge",
    "worst",
]

__getattr__, __dir__ = lazy_names(__name__, _HOMES, __all__)
