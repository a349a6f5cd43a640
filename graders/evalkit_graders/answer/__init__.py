"""Does the answer hold what it must, and nothing that it must not?"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from evalkit.grading import Grade, Grader
from evalkit.grading.textual import contains
from evalkit.records import Case, Trace

__all__ = ["Answer"]


@dataclass(frozen=True)
class Answer(Grader):
    """Required facts, forbidden texts and citations of a case.

    A fact counts when one of its wordings stands in the answer, whatever the case, accents,
    punctuation or number format. The value is the share of facts and citations found; one
    forbidden text makes it zero.
    """

    name: ClassVar[str] = "answer"
    version: ClassVar[str] = "1"

    def grade(self, case: Case, trace: Trace) -> Grade | None:
        """Not applicable where the case names no fact, no forbidden text and no citation."""
        expect = case.expect
        if not (expect.facts or expect.forbidden or expect.citations):
            return None
        missing = [wordings[0] for wordings in expect.facts if not any(contains(trace.answer, w) for w in wordings)]
        present = [text for text in expect.forbidden if contains(trace.answer, text)]
        uncited = [document for document in expect.citations if not contains(trace.answer, document)]
        found = {"forbidden": present, "missing": missing, "uncited": uncited}
        evidence = {key: [text[:100] for text in texts[:10]] for key, texts in found.items() if texts}
        if present:
            return Grade(0.0, False, "forbidden_text", "critical" if case.critical else "major", evidence)
        wanted = len(expect.facts) + len(expect.citations)
        label = "missing_fact" if missing else "missing_citation" if uncited else ""
        value = (wanted - len(missing) - len(uncited)) / wanted if wanted else 1.0
        return Grade(value, not label, label, "major" if missing else "minor" if uncited else "none", evidence)
