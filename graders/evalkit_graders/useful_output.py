"""How long until the first sentence that says something could be seen."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any, ClassVar

from evalkit.configfile import read_shipped
from evalkit.grading import Grade, Grader
from evalkit.grading.textual import normalise, sentences
from evalkit.records import Case, Trace

__all__ = ["UsefulOutput", "useful_end"]

_MOST_WORDS = 16
_MARKS = re.compile(r"^[\s#>*_\-–—:.,!?…。！？，]+$")
_LEADING = re.compile(r"^[\s#>*_\-–—\"'“„«¡¿]+")


@dataclass(frozen=True)
class UsefulOutput(Grader):
    """Wire time until the first sentence of the answer that is no filler could be read whole.

    Filler is a greeting, a thank-you, an announcement, praise of the question or an empty heading, up to sixteen words
    without a figure. The time is that of the calls before the answer, the time to its first token, and of the rest of
    its wire time the share of the answer's characters up to the end of that sentence, as if they came evenly. An answer
    that was not streamed is seen when it is whole. Queueing, pauses, retries and tools are beside it, not in it.

    Args:
        max_seconds: A trial whose first useful sentence comes later, or never, fails; without it the grader measures.
    """

    name: ClassVar[str] = "useful_output"
    version: ClassVar[str] = "1"
    quality: ClassVar[bool] = False
    blind: ClassVar[tuple[str, ...]] = (
        "Tokens are taken to come evenly after the first: a trace holds the time of the first and the last only.",
        "What is filler is read from wording, in English, German, French, Spanish, Italian, Portuguese and Chinese.",
        "A first sentence that says something wrong counts as useful.",
        "Where reasoning is streamed first, the first token may be one of reasoning, and the time too short.",
    )

    max_seconds: float | None = None

    def grade(self, case: Case, trace: Trace) -> Grade | None:
        """The value is seconds; not applicable without an answer, or where one of the calls was not timed."""
        if not trace.model_calls or not trace.answer.strip():
            return None
        *before, last = trace.model_calls
        if last.status != "ok" or not last.timed or not all(call.timed for call in before):
            return None
        end = useful_end(trace.answer)
        seen = float(last.latency_us)
        if end is not None and last.ttft_us is not None:
            share = end / len(trace.answer.rstrip())
            seen = last.ttft_us + max(0, last.latency_us - last.ttft_us) * min(1.0, share)
        seconds = (sum(call.latency_us for call in before) + seen) / 1_000_000
        late = self.max_seconds is not None and seconds > self.max_seconds
        passed = None if self.max_seconds is None else end is not None and not late
        evidence = {
            "calls": len(trace.model_calls),
            "characters_before": end,
            "streamed": last.ttft_us is not None,
            "simulated": trace.simulated,
        }
        label = "no_useful_output" if end is None else "slow_output" if late else ""
        return Grade(seconds, passed, label, evidence=evidence)


def useful_end(text: str) -> int | None:
    """Where the first sentence of a text ends that is no filler, in characters; None where all of it is filler."""
    place = 0
    for sentence in sentences(text):
        found = text.find(sentence, place)
        place = (found if found >= 0 else place) + len(sentence)
        if not _is_filler(sentence):
            return min(place, len(text.rstrip()))
    return None


def _is_filler(sentence: str) -> bool:
    if _MARKS.match(sentence):
        return True
    if any(character.isdigit() for character in sentence):
        return False
    plain = normalise(_LEADING.sub("", sentence))
    words = plain.split()
    if len(words) > _MOST_WORDS or len(plain) > 200:
        return False
    heading = sentence.lstrip().startswith("#") or (len(words) <= 8 and plain.rstrip("*_ ").endswith((":", "：")))
    alone = plain.strip(" .,!?*_…。！？，、")
    known = _filler()
    return heading or alone in known["alone"] or any(plain.startswith(start) for start in known["beginnings"])


@cache
def _filler() -> Mapping[str, tuple[str, ...]]:
    data: dict[str, dict[str, list[str]]] = read_shipped("evalkit_graders", "filler.yaml")
    kinds: dict[str, Any] = {"alone": [], "beginnings": []}
    for lists in data.values():
        for kind, texts in lists.items():
            kinds[kind] += [normalise(text) for text in texts]
    return {kind: tuple(texts) for kind, texts in kinds.items()}
