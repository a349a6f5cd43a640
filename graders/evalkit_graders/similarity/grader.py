"""How like the reference answer the answer is worded: a measurement, or a check where it has a threshold."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import ClassVar, Literal

from evalkit.errors import GraderError
from evalkit.grading import Grade, Grader
from evalkit.records import Case, Trace
from evalkit_graders.similarity.measures import chrf, rouge_l, token_f1

__all__ = ["Similarity"]

_MEASURES: Mapping[str, Callable[[str, str], float]] = {"chrf": chrf, "rouge_l": rouge_l, "token_f1": token_f1}


@dataclass(frozen=True)
class Similarity(Grader):
    """Overlap of the answer with `expect.answer`, from 0 to 1.

    Args:
        measure: `token_f1`: words, as SQuAD counts them; `rouge_l`: words in one order (Lin 2004); `chrf`: up to six
            characters, which forgives inflection (Popović 2015).
        threshold: A trial below it fails, and the grader counts as one of quality; without it, it only measures.
    """

    name: ClassVar[str] = "similarity"
    version: ClassVar[str] = "1"
    quality: ClassVar[bool] = False
    blind: ClassVar[tuple[str, ...]] = (
        "It counts words and characters: a right answer in other words scores low, one with a negation more high.",
        "Its level depends on the length of the reference and on the language: set a threshold on your own answers.",
    )

    measure: Literal["token_f1", "rouge_l", "chrf"] = "token_f1"
    threshold: float | None = None

    def __post_init__(self) -> None:
        """A threshold makes it a check of quality.

        Raises:
            GraderError: for a threshold that is no share.
        """
        if self.threshold is not None:
            if not 0 < self.threshold <= 1:
                raise GraderError(
                    "the threshold is a share above 0, up to 1",
                    key="similarity.threshold",
                    value=self.threshold,
                    fix="threshold: 0.5",
                )
            object.__setattr__(self, "quality", True)

    def grade(self, case: Case, trace: Trace) -> Grade | None:
        """The value is the overlap; not applicable where the case has no reference answer."""
        if not case.expect.answer:
            return None
        value = _MEASURES[self.measure](trace.answer, case.expect.answer)
        passed = None if self.threshold is None else value >= self.threshold
        severity: Literal["minor", "none"] = "minor" if passed is False else "none"
        return Grade(value, passed, "unlike" if passed is False else "", severity, {"measure": self.measure})
