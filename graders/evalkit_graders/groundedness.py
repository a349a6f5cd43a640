"""Is every sentence of the answer supported by what the model was given? Lexical, without a model.

Each sentence is held against the documents, tool results and the person's own words: the share
of its content words (rare ones weigh more) that stand in the best stretch of the sources, and
every number. Figures and limits: ``docs/graders.md``.
"""

from __future__ import annotations

import json
import math
import re
from collections import defaultdict
from dataclasses import dataclass
from typing import ClassVar

from evalkit.grading import Grade, Grader
from evalkit.grading.textual import language_of, numbers, sentences, stems
from evalkit.records import Case, Json, Trace
from evalkit_graders.refusal import kind_of_sentence

__all__ = ["Groundedness", "Sentence"]

_CITATION = re.compile(r"\[[^\[\]\n]{1,60}\]")
_LIST_NUMBER = re.compile(r"^[ \t]*\d{1,3}[.)][ \t]+", re.MULTILINE)
_DOTTED_DATE = re.compile(r"\b(\d{1,2})\.(\d{1,2})\.(?=\s?\d{2})")
_ESCAPES = re.compile(r"\\[nrtbf\"/]")
_LEAD_IN = re.compile(r"^[^\d:.!?]{1,45}:\s+(?=\S)")
_SMALLEST = 3
"""Sentences with fewer content words make no claim."""


@dataclass(frozen=True)
class Sentence:
    """A sentence of the answer with its support, and the numbers that no source holds."""

    text: str
    support: float
    unsupported_numbers: tuple[float, ...]


@dataclass(frozen=True)
class Groundedness(Grader):
    """Share of the answer that its sources support.

    Args:
        min_support: A sentence with less support than this is unsupported.
        min_value: The answer passes when its mean support is at least this and no sentence is unsupported.
        check_numbers: Whether a number that no source holds makes its sentence unsupported.
    """

    name: ClassVar[str] = "groundedness"
    version: ClassVar[str] = "1"

    min_support: float = 0.25
    min_value: float = 0.4
    check_numbers: bool = True

    def grade(self, case: Case, trace: Trace) -> Grade | None:
        """The value is the mean support of the answer's sentences, weighted by length.

        Not applicable where there are no sources, where the answer makes no claim (a refusal, a
        question), or where it is in another language than its sources.
        """
        sources = [f"{document.title}\n{document.text}" for document in trace.documents]
        sources += [_told(event.result) for event in trace.tool_events]
        sources = [source for source in sources if source.strip()]
        if not sources or case.expect.behaviour in ("refuse", "clarify", "escalate"):
            return None
        said = "\n".join([*(turn.content for turn in case.input), *(d.date or "" for d in trace.documents)])
        if language_of(trace.answer) != language_of("\n".join(sources)) and not trace.tool_events:
            return None
        checked = self._sentences(trace.answer, sources, said)
        if not checked:
            return None
        weight = sum(len(stems(sentence.text)) for sentence in checked)
        value = sum(sentence.support * len(stems(sentence.text)) for sentence in checked) / weight
        bad = [sentence for sentence in checked if self._unsupported(sentence)]
        passed = not bad and value >= self.min_value
        evidence = {
            "sentences": len(checked),
            "unsupported": [
                {"text": sentence.text[:300], "support": round(sentence.support, 3),
                 "numbers": [f"{number:g}" for number in sentence.unsupported_numbers[:10]]}
                for sentence in sorted(bad, key=lambda sentence: sentence.support)[:5]
            ],
        }  # fmt: skip
        return Grade(value, passed, "" if passed else "unsupported", "none" if passed else "major", evidence)

    def _unsupported(self, sentence: Sentence) -> bool:
        return sentence.support < self.min_support or (self.check_numbers and bool(sentence.unsupported_numbers))

    def _sentences(self, answer: str, sources: list[str], said: str) -> list[Sentence]:
        windows = [stems(piece) for source in sources for piece in _windows(source)]
        whole = frozenset().union(*windows, stems(said))
        places: defaultdict[str, list[int]] = defaultdict(list)
        for place, window in enumerate(windows):
            for stem in window:
                places[stem].append(place)
        known = {_canonical(number) for number in _numbers("\n".join([*sources, said]))}
        checked = []
        for sentence in sentences(_CITATION.sub(" ", _LIST_NUMBER.sub("", answer))):
            text = _LEAD_IN.sub("", sentence)
            words = stems(text)
            if len(words) < _SMALLEST or text.rstrip().endswith("?") or kind_of_sentence(text) is not None:
                continue
            weights = {word: math.log1p(len(windows) / (0.5 + len(places.get(word, ())))) for word in sorted(words)}
            held: defaultdict[int, float] = defaultdict(float)
            for word, weight in weights.items():
                for place in places.get(word, ()):
                    held[place] += weight
            total = sum(weights.values())
            anywhere = sum(weight for word, weight in weights.items() if word in whole) / total
            here = max(held.values(), default=0.0) / total
            loose = [number for number in _numbers(text) if _canonical(number) not in known]
            checked.append(Sentence(text, 0.5 * (anywhere + here), tuple(loose)))
        return checked


def _windows(source: str) -> list[str]:
    """Two neighbouring sentences at a time: a claim often joins them."""
    pieces = sentences(source)
    return [" ".join(pieces[start : start + 2]) for start in range(max(1, len(pieces) - 1))] if pieces else []


def _told(result: Json) -> str:
    """A tool's result as text; escapes of JSON would stick to the words beside them."""
    if result is None or result in ([], {}):
        return ""
    return result if isinstance(result, str) else _ESCAPES.sub(" ", json.dumps(result, ensure_ascii=False))


def _numbers(text: str) -> list[float]:
    """Numbers of a text; ``01.03.2026`` is a day, a month and a year, as ``2026-03-01`` is."""
    return numbers(_DOTTED_DATE.sub(r"\1 \2 ", text))


def _canonical(number: float) -> str:
    return f"{number:.6g}"
