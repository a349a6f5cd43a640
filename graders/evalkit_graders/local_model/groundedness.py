"""Does a model find every sentence of the answer supported by its sources?

Two kinds of classifier can say so. One of pairs reads a stretch of the sources and a sentence: natural language
inference (SummaC, Laban et al. 2022), or a fact checker such as MiniCheck (Tang et al. 2024). One of tokens reads the
sources and the whole answer and marks what is made up (LettuceDetect, Kovács and Recski 2025).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import product
from typing import TYPE_CHECKING, ClassVar, Literal

from evalkit.errors import GraderError
from evalkit.grading import Grade
from evalkit.grading.textual import sentences, stems
from evalkit.records import Case, Trace
from evalkit_graders.groundedness.sources import sources_of
from evalkit_graders.local_model.parameters import LocalModelGrader
from evalkit_graders.refusal import kind_of_sentence

if TYPE_CHECKING:
    from tokenizers import Encoding

    from evalkit_graders.local_model.config import ModelConfig
    from evalkit_graders.local_model.model import Model

__all__ = ["ModelGroundedness"]

_SUPPORTED = frozenset({
    "entailment", "entail", "entails", "entailed", "supported", "support", "supports", "grounded", "consistent",
    "faithful", "factual", "not_hallucinated", "not hallucinated",
})  # fmt: skip
_CONTRADICTED = frozenset({"contradiction", "contradict", "contradicts", "contradicted", "refuted", "refutes"})
_SMALLEST = 3
"""Sentences with fewer content words make no claim."""


@dataclass(frozen=True, slots=True)
class _Claim:
    text: str
    support: float
    contradicted: bool = False


@dataclass(frozen=True, kw_only=True)
class ModelGroundedness(LocalModelGrader):
    """Groundedness by a local classifier: how probable it is that the sources support each sentence of the answer.

    Sources longer than the model reads are read in windows, and the one that supports a sentence best counts. A
    classifier of tokens reads the whole answer; a sentence is then as good as its worst token.

    Args:
        threshold: A sentence with less support than this is unsupported; an answer passes with none of those.
        supported: The label that means supported; empty where the model calls it entailment, supported, consistent...
        unit: What a classifier of pairs judges at a time: each sentence, or the whole answer.
        value: The value of an answer: the support of its worst sentence, or the mean.
        overlap: Tokens that neighbouring windows share.
        source_text: What the model reads as source: `{sources}` and `{question}` are put in.
    """

    name: ClassVar[str] = "model_groundedness"
    version: ClassVar[str] = "1"
    blind: ClassVar[tuple[str, ...]] = (
        "What the model was not trained for, such as tables, arithmetic or another language.",
        "A sentence that only two distant stretches of long sources support together.",
        "What a pronoun stands for: a classifier of pairs sees each sentence without the one before.",
    )

    threshold: float = 0.5
    supported: str = ""
    unit: Literal["sentence", "answer"] = "sentence"
    value: Literal["min", "mean"] = "min"
    overlap: int = 64
    source_text: str = "{sources}"

    def __post_init__(self) -> None:
        super().__post_init__()
        if "{sources}" not in self.source_text:
            raise GraderError("`{sources}` stands nowhere in it", key=self._key("source_text"), value=self.source_text)
        if self.overlap < 0:
            raise GraderError("at least 0", key=self._key("overlap"), value=self.overlap)

    def _check(self, config: ModelConfig) -> None:
        self._label(config)

    def grade(self, case: Case, trace: Trace) -> Grade | None:
        """Not applicable where there are no sources, or where the answer makes no claim (a refusal, a question)."""
        sources = [part.text.strip() for part in sources_of(case, trace) if part.kind != "said"]
        if not sources or case.expect.behaviour in ("refuse", "clarify", "escalate"):
            return None
        claims = [text for text in sentences(trace.answer) if _claims(text)]
        if not claims:
            return None
        source = self.source_text.replace("{question}", case.question).replace("{sources}", "\n\n".join(sources))
        model = self._open()
        if model.config.architecture.endswith("ForTokenClassification"):
            found = self._by_tokens(model, source, trace.answer, claims)
        else:
            found = self._by_pairs(model, source, claims if self.unit == "sentence" else [trace.answer])
        return self._grade(found)

    def _grade(self, found: Sequence[_Claim]) -> Grade:
        bad = [claim for claim in found if claim.support < self.threshold]
        support = [claim.support for claim in found]
        value = min(support) if self.value == "min" else sum(support) / len(support)
        label = "" if not bad else "contradicted" if any(claim.contradicted for claim in bad) else "unsupported"
        evidence = {
            "sentences": len(found),
            "unsupported": [
                {"text": claim.text[:300], "support": round(claim.support, 3), "contradicted": claim.contradicted}
                for claim in sorted(bad, key=lambda claim: claim.support)[:5]
            ],
        }
        return Grade(round(value, 6), not bad, label, "major" if bad else "none", evidence)

    def _by_pairs(self, model: Model, source: str, claims: Sequence[str]) -> list[_Claim]:
        """Each claim against each window. One too long for its share of the input is as good as its worst piece."""
        encoder = model.encoder
        most = encoder.max_tokens // (4 if self.unit == "sentence" else 2)
        windows = encoder.pieces(source, encoder.room(most), self.overlap)
        pieces = [(place, piece) for place, claim in enumerate(claims) for piece in encoder.pieces(claim, most)]
        self._bounded(len(pieces) * len(windows))
        inputs = [encoder.pair(window, piece) for (_, piece), window in product(pieces, windows)]
        results = model.probabilities(inputs, self.batch_size)
        if results[0].ndim != 1:
            raise GraderError(
                "the model classifies tokens, and config.json does not say so",
                key="architectures", fix="name its class there, for example ModernBertForTokenClassification",
            )  # fmt: skip
        yes, no = self._label(model.config), _contradiction(model.config)
        support, against = [1.0] * len(claims), [0.0] * len(claims)
        for number, (place, _) in enumerate(pieces):
            held = results[number * len(windows) : (number + 1) * len(windows)]
            support[place] = min(support[place], max(float(found[yes]) for found in held))
            if no is not None:
                against[place] = max(against[place], *(float(found[no]) for found in held))
        return [_Claim(*made) for made in zip(claims, support, (share > 0.5 for share in against), strict=True)]

    def _by_tokens(self, model: Model, source: str, answer: str, claims: Sequence[str]) -> list[_Claim]:
        """The answer against each window, and then each sentence by its tokens."""
        from evalkit_graders.local_model.encoding import tokens_of_second

        encoder = model.encoder
        most = encoder.max_tokens // 2
        windows = encoder.pieces(source, encoder.room(most), self.overlap)
        pieces = encoder.pieces(answer, most)
        self._bounded(len(pieces) * len(windows))
        inputs: list[Encoding] = [encoder.pair(window, piece) for piece, window in product(pieces, windows)]
        results = model.probabilities(inputs, self.batch_size)
        if results[0].ndim != 2:
            raise GraderError("config.json says that the model classifies tokens, and it does not", key="architectures")
        yes = self._label(model.config)
        spans: list[tuple[int, int, float]] = []
        for number, piece in enumerate(pieces):
            held = range(number * len(windows), (number + 1) * len(windows))
            best = [
                max(row) for row in zip(*(results[at][tokens_of_second(inputs[at]), yes] for at in held), strict=True)
            ]
            spans += [(start, end, float(share)) for (start, end), share in zip(piece.offsets, best, strict=True)]
        return [_Claim(claim, support) for claim, support in zip(claims, _worst(answer, claims, spans), strict=True)]

    def _label(self, config: ModelConfig) -> int:
        from evalkit_graders.local_model.config import label_index

        return label_index(config, self.supported, _SUPPORTED, self._key("supported"))


def _worst(answer: str, claims: Sequence[str], spans: Sequence[tuple[int, int, float]]) -> list[float]:
    """The least support of a token in each claim. Both stand in the order of the answer, so one pass does.

    A claim is found word by word: the blanks between its words need not be those of the answer.
    """
    worst, after, first = [], 0, 0
    for claim in claims:
        words = claim.split()
        begin = end = after
        for number, word in enumerate(words):
            at = answer.find(word, end)
            if at >= 0:
                begin, end = (at if number == 0 else begin), at + len(word)
        after = end
        while first < len(spans) and spans[first][1] <= begin:
            first += 1
        inside = []
        for start, _, share in spans[first:]:
            if start >= end:
                break
            inside.append(share)
        worst.append(min(inside, default=0.0))
    return worst


def _contradiction(config: ModelConfig) -> int | None:
    return next((place for place, label in enumerate(config.labels) if label.casefold() in _CONTRADICTED), None)


def _claims(sentence: str) -> bool:
    return (
        len(stems(sentence)) >= _SMALLEST
        and not sentence.rstrip().endswith("?")
        and kind_of_sentence(sentence) is None
    )  # fmt: skip
