"""The grader: sentences checked, put together, and told with what supports or contradicts them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import ClassVar, Literal

from evalkit.errors import GraderError
from evalkit.grading import Grade, Grader, project_path
from evalkit.grading.textual import language_of
from evalkit.records import Case, Json, Trace
from evalkit_graders.groundedness.calibration import fit_calibration, parse, read
from evalkit_graders.groundedness.citations import without_references
from evalkit_graders.groundedness.features import features_of, value_of
from evalkit_graders.groundedness.sentence import Checked, check_sentence, claims_of
from evalkit_graders.groundedness.sources import Sources, read_sources, sources_of

__all__ = ["CheckedAnswer", "Groundedness", "check_answer"]

Verdict = Literal["supported", "unsupported", "contradicted"]

_SAME_LANGUAGE = 0.5
"""Share of an answer that stands in its sources, from which both are in one language whatever was guessed."""
_OF_A_NAME = 0.5
"""Support below which a name that no source holds makes a sentence unsupported."""
_SHOWN = 5
_LONG, _MIDDLE, _BRIEF = 240, 160, 100
_UNDECIDED = 0.1
"""Distance from a calibration's threshold within which a person should look."""


@dataclass(frozen=True)
class CheckedAnswer:
    """The sentences of an answer that claim something, and what they were held against."""

    claims: tuple[Checked, ...]
    sources: Sources | None = None


def check_answer(case: Case, trace: Trace) -> CheckedAnswer:
    """Hold an answer against its sources; no claims where there are no sources, or none in its language."""
    parts = sources_of(case, trace)
    if not parts:
        return CheckedAnswer(())
    sources = read_sources(parts)
    language = language_of(trace.answer)
    documents = sum(part.kind == "document" for part in parts)
    found = [
        checked
        for text, cited in claims_of(without_references(trace.answer, documents))
        if (checked := check_sentence(text, sources, cited, names_are_capital=language != "de")) is not None
    ]
    if found and not trace.tool_events and language != sources.language:
        size = sum(checked.size for checked in found)
        if sum(checked.anywhere * checked.size for checked in found) < _SAME_LANGUAGE * size:
            return CheckedAnswer((), sources)
    return CheckedAnswer(tuple(found), sources)


@dataclass(frozen=True)
class Groundedness(Grader):
    """Every sentence, number, date and field of the answer stands in what the model was given.

    Args:
        min_support: A sentence with less support than this is unsupported.
        min_value: The answer passes when its value is at least this and nothing in it is unsupported or contradicted.
        check_numbers: Whether a number or date that no source holds makes its sentence unsupported.
        check_citations: Whether a citation of a document that does not exist, or of the wrong one, fails the answer.
        calibration: File with weights fitted to labels of this workflow. The value is then the chance that people
            call the answer grounded, and it passes from the file's threshold on, whatever the parameters above say.
    """

    name: ClassVar[str] = "groundedness"
    version: ClassVar[str] = "3"
    blind: ClassVar[tuple[str, ...]] = (
        "It compares words and not meaning: a faithful paraphrase scores low, true words wrongly combined score high.",
        "A denial is seen only where the sentence otherwise says the same as its passage.",
        "Of records it reads flags, choices, opening hours and numbers; what a text field says is matched as words.",
        "The level differs between models: compare two by the value without calibration, with a minimum effect.",
        "Made for English, German, French, Spanish, Italian and Portuguese; it needs blanks between words.",
    )

    min_support: float = 0.25
    min_value: float = 0.4
    check_numbers: bool = True
    check_citations: bool = True
    calibration: str = ""
    weights: str = field(init=False, default="", repr=False)
    """The text of the calibration, which is thereby part of the fingerprint."""

    def __post_init__(self) -> None:
        if self.calibration:
            try:
                text = read(project_path(self.calibration)).dump()
            except GraderError as error:
                where = f", {error.key}" if error.key else ""
                raise ValueError(f"{error.message} ({error.file}{where})") from None
            object.__setattr__(self, "weights", text)

    @classmethod
    def fit(cls, answers: Sequence[tuple[Case, Trace]], labels: Sequence[bool], groups: Sequence[str]) -> str:
        """A calibration of the value, for the parameter ``calibration``; ten labels of either kind are the least."""
        return fit_calibration(answers, labels, groups).dump()

    def grade(self, case: Case, trace: Trace) -> Grade | None:
        """The value is 1 where all of the answer stands in its sources and falls with what does not.

        Not applicable where there are no sources, where the answer makes no claim (a refusal, a question), or where it
        is in another language than its sources.
        """
        if case.expect.behaviour in ("refuse", "clarify", "escalate"):
            return None
        checked = check_answer(case, trace)
        if not checked.claims or checked.sources is None:
            return None
        verdicts = [self._verdict(claim) for claim in checked.claims]
        miscited = self.check_citations and any(claim.cited.wrong for claim in checked.claims)
        value, review = value_of(checked.claims), ""
        label = _label(verdicts, miscited)
        passed = not label and value >= self.min_value
        if self.weights:
            calibration = parse(self.weights)
            value = calibration.probability(features_of(checked.claims))
            passed = value >= calibration.threshold
            review = "close to the calibration's threshold" if abs(value - calibration.threshold) < _UNDECIDED else ""
        evidence = _evidence(checked.claims, verdicts, checked.sources)
        return Grade(value, passed, "" if passed else label or "unsupported", "none" if passed else "major",
                     evidence, review)  # fmt: skip

    def _verdict(self, claim: Checked) -> Verdict:
        if claim.opposite or claim.conflict or (self.check_numbers and claim.other):
            return "contradicted"
        strange = self.check_numbers and (claim.numbers or claim.dates)
        unnamed = claim.names and claim.support < _OF_A_NAME
        unknown = any(finding.verdict == "unknown" and finding.certain for finding in claim.findings)
        if strange or unnamed or unknown or claim.support < self.min_support:
            return "unsupported"
        return "supported"


def _label(verdicts: Sequence[Verdict], miscited: bool) -> str:
    for verdict in ("contradicted", "unsupported"):
        if verdict in verdicts:
            return verdict
    return "wrong_citation" if miscited else ""


def _evidence(claims: Sequence[Checked], verdicts: Sequence[Verdict], sources: Sources) -> dict[str, Json]:
    """How many sentences there are, the worst of those without support, and the longest of the others."""
    pairs = list(zip(claims, verdicts, strict=True))
    bad = sorted((pair for pair in pairs if pair[1] != "supported"), key=lambda pair: pair[0].support)
    good = sorted((claim for claim, verdict in pairs if verdict == "supported"), key=lambda claim: -claim.size)
    miscited = [claim for claim in claims if claim.cited.wrong]
    evidence: dict[str, Json] = {
        "sentences": len(claims),
        "unsupported": [_told(claim, verdict, sources) for claim, verdict in bad[:_SHOWN]],
        "supported": [
            {"text": _clip(claim.text, _BRIEF), **_passage(claim, sources, _BRIEF)} for claim in good[:_SHOWN]
        ],
    }
    if miscited:
        evidence["citations"] = [
            {"text": _clip(claim.text, _BRIEF), "unknown": [_clip(name, 60) for name in claim.cited.unknown[:3]],
             "better": _clip(claim.cited.better, 60)}
            for claim in miscited[:_SHOWN]
        ]  # fmt: skip
    return evidence


def _told(claim: Checked, verdict: Verdict, sources: Sources) -> dict[str, Json]:
    told: dict[str, Json] = {
        "text": _clip(claim.text, _LONG),
        "verdict": verdict,
        "support": round(claim.support, 3),
        "numbers": [_clip(number, 20) for number in claim.numbers[:5]],
    }
    if claim.dates:
        told["dates"] = [_clip(date, 30) for date in claim.dates[:3]]
    if claim.names:
        told["names"] = [_clip(name, 30) for name in claim.names[:3]]
    if claim.instead:
        told["instead"] = _clip(claim.instead, _BRIEF)
    return told | _passage(claim, sources, _MIDDLE)


def _passage(claim: Checked, sources: Sources, size: int) -> dict[str, Json]:
    if claim.place is None:
        return {}
    passage = sources.passages[claim.place]
    return {"source": _clip(sources.parts[passage.source].id, 60), "passage": _clip(passage.text, size)}


def _clip(text: str, size: int) -> str:
    """At most so many characters, on one line: evidence is bounded."""
    return " ".join(text[: 2 * size].split())[:size]
