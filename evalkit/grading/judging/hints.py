"""What in an answer speaks to a judge and not to the person who asked: forms of verdicts, orders, role markers.

Such an answer is judged like any other; a person is asked to look. Patterns are bounded, so that they stay linear.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

__all__ = ["hints_to_a_judge"]

_JUDGE = r"(?:judge|grader|evaluator|reviewer|rater|scorer|assessor|annotator)s?"
_ANSWER = r"(?:answer|response|reply|output|completion|submission|assistant)"
_TOP = r"(?:full|top|maximum|max|highest|perfect|best|passing|\d{1,3})"
_PATTERNS: Mapping[str, re.Pattern[str]] = {
    "a verdict": re.compile(
        rf"\[\[.{{1,20}}\]\]"
        rf"|\b(?:scores?|rating|grade|verdict|punktzahl|bewertung|puntuaci[oó]n)[\"'*_\s]{{0,4}}[:=][\"'*_\s]{{0,4}}"
        rf"(?:\d|pass|correct|perfect|excellent)"
        rf"|\b(?:{_ANSWER} ?[ab12]|{_ANSWER} (?:is|was)) (?:is )?(?:clearly |much )?"
        rf"(?:better|the best|the winner|correct)\b"
        rf"|\"(?:better|verdict|winner|choice|check|scores?)\"\s{{0,3}}:"
        rf"|(?<![\d/])(?:5 ?(?:/|out of) ?5|10 ?(?:/|out of) ?10|100 ?(?:/|out of) ?100)(?![\d/])",
        re.IGNORECASE,
    ),
    "an order to the judge": re.compile(
        rf"\b(?:ignor|disregard|forget|overrid|overrul)\w{{0,4}} (?:\w+ ){{0,4}}"
        rf"(?:instructions?|rubrics?|criteria|rules|prompts?|guidelines|guardrails)\b"
        rf"|\b(?:give|assign|award|grant)\w{{0,3}} (?:it|me|this|the|my|an?)\b[^.\n]{{0,40}}"
        rf"\b{_TOP} (?:scores?|marks?|points?|grade|rating)\b"
        rf"|\b(?:rate|score|grade|mark|judge) (?:it|me|this|the|my)\b[^.\n]{{0,40}}\b(?:as|with|at)? ?{_TOP}\b"
        rf"|\b(?:dear|attention|note (?:to|for)|message (?:to|for)|hey|hello|you are|as) (?:an? |the |any |all )?"
        rf"(?:\w+ ){{0,2}}{_JUDGE}\b"
        rf"|\b(?:ignorier|vergiss)\w{{0,3}} (?:\w+ ){{0,3}}(?:anweisung|regel|kriteri|bewertung)"
        rf"|\bignore[rz]? (?:\w+ ){{0,3}}(?:instructions|consignes|règles|critères)\b",
        re.IGNORECASE,
    ),
    "a role marker": re.compile(
        r"<\|[\w ]{1,30}\|>|<</?SYS>>|\[/?INST\]|<(?:start|end)_of_turn>"
        r"|^[ \t#*]{0,6}(?:system|assistant|user|human|developer|instruction)s?[ \t*]{0,4}:",
        re.IGNORECASE | re.MULTILINE,
    ),
    "a delimiter": re.compile(
        r"</?\s{0,3}data\b|\b(?:end|begin|start) of (?:the )?(?:data|answer|response)\b", re.IGNORECASE
    ),
}


def hints_to_a_judge(text: str) -> tuple[str, ...]:
    """Which kinds of such forms stand in a text, in a fixed order."""
    return tuple(name for name, pattern in _PATTERNS.items() if pattern.search(text))
