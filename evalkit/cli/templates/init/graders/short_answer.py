"""A grader of this project: answers stay short. Every file in this folder is found by itself."""

from dataclasses import dataclass
from typing import ClassVar

from evalkit.grading import Grade, Grader
from evalkit.records import Case, Trace


@dataclass(frozen=True)
class ShortAnswer(Grader):
    """At most so many words."""

    name: ClassVar[str] = "short_answer"
    version: ClassVar[str] = "1"

    most_words: int = 120

    def grade(self, case: Case, trace: Trace) -> Grade:
        """Count the words of the answer."""
        words = len(trace.answer.split())
        return Grade.check(words <= self.most_words, "too_long", words=words)
