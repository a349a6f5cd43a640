"""Is the answer what the case says it must be, with what it must hold, and without what it must not?"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Literal

from evalkit.grading import Grade, Grader
from evalkit.grading.textual import contains
from evalkit.records import Case, Json, Trace
from evalkit_graders.answer.matching import Reading, Result, matched
from evalkit_graders.answer.numbers import Taken
from evalkit_graders.answer.structured import Place

__all__ = ["Answer"]


@dataclass(frozen=True)
class Answer(Grader):
    """Required facts, forbidden texts and citations of a case, and what the answer itself must be (``expect.match``).

    A fact counts when one of its wordings stands in the answer, whatever the case, accents, punctuation or number
    format. A match is a text, a choice, a number, a set, JSON or a pattern, and counts like one fact. The value is the
    share of facts and citations found and of the match; one forbidden text makes it zero.

    Args:
        exact: Whether the whole answer is compared with the accepted ones, or what it marks as final.
        number: Which number is the answer: what is marked as final (``####``, a box, "the answer is", bold) and else
            the last; the last; or the only one.
        unit: Whether a number without a unit counts as one in the expected unit.
        json: Where JSON may stand: the whole answer, also one fenced block of it, also within prose.
    """

    name: ClassVar[str] = "answer"
    version: ClassVar[str] = "2"
    blind: ClassVar[tuple[str, ...]] = (
        "It finds words, not meaning: a negated fact is still found; list the wordings that count.",
        "Of several numbers it takes the one that is marked, or the last; a noun that is no unit is not looked at.",
        "A single separator before three digits is read by the locale of the case: 1.250 is a fraction in English.",
        "A list in prose is parted at commas, so a member with a comma in it needs list lines or JSON.",
    )

    exact: Literal["whole", "marked"] = "whole"
    number: Taken = "marked"
    unit: Literal["optional", "required"] = "optional"
    json: Place = "whole"

    def grade(self, case: Case, trace: Trace) -> Grade | None:
        """Not applicable where the case names no fact, forbidden text, citation or match."""
        expect = case.expect
        if not (expect.facts or expect.forbidden or expect.citations or expect.match):
            return None
        missing = [wordings[0] for wordings in expect.facts if not any(contains(trace.answer, w) for w in wordings)]
        present = [text for text in expect.forbidden if contains(trace.answer, text)]
        uncited = [document for document in expect.citations if not contains(trace.answer, document)]
        result = self._matched(case, trace)
        found = {"forbidden": present, "missing": missing, "uncited": uncited}
        evidence: dict[str, Json] = {key: [text[:100] for text in texts[:10]] for key, texts in found.items() if texts}
        evidence.update(result.evidence if result else {})
        if present:
            return Grade(0.0, False, "forbidden_text", "critical" if case.critical else "major", evidence)
        wanted = len(expect.facts) + len(expect.citations) + (result is not None)
        wrong = result.label if result else ""
        label = "missing_fact" if missing else wrong or ("missing_citation" if uncited else "")
        right = wanted - len(missing) - len(uncited) - (1.0 - result.value if result else 0.0)
        value = right / wanted if wanted else 1.0
        severity: Literal["major", "minor", "none"] = "major" if missing or wrong else "minor" if uncited else "none"
        return Grade(value, not label, label, severity, evidence)

    def _matched(self, case: Case, trace: Trace) -> Result | None:
        if case.expect.match is None:
            return None
        reading = Reading(self.exact, self.number, self.unit == "optional", self.json, case.locale)
        return matched(trace.answer, case.expect.match, reading)
