"""Does the answer mean what the reference answer means?

Embeddings are the mean of the last layer over the tokens (Sentence-BERT, Reimers and Gurevych 2019), or its
first token.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, Literal

from evalkit.grading import Grade
from evalkit.records import Case, Trace
from evalkit_graders.local_model.parameters import LocalModelGrader

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
    from tokenizers import Encoding

    from evalkit_graders.local_model.model import Model

__all__ = ["ModelSimilarity"]


@dataclass(frozen=True, kw_only=True)
class ModelSimilarity(LocalModelGrader):
    """Cosine of the answer and the case's reference answer, as a local model embeds them.

    A text longer than the model reads is embedded in pieces, each with the weight of its length.

    Args:
        threshold: The least cosine that passes. What is alike differs from model to model, so there is no default:
            `evalkit calibrate` finds one from labels of people.
        pooling: What of the last layer is the embedding: the mean over the tokens, or the first token.
        prefix: What the model wants before a text, such as `query: ` for E5.
    """

    name: ClassVar[str] = "model_similarity"
    version: ClassVar[str] = "1"
    blind: ClassVar[tuple[str, ...]] = (
        "A wrong number, name or negation: the sentence around it stays alike.",
        "Anything in the answer beyond the reference that is about the same things.",
    )

    threshold: float
    pooling: Literal["mean", "first"] = "mean"
    prefix: str = ""

    def grade(self, case: Case, trace: Trace) -> Grade | None:
        """Not applicable where the case has no reference answer. An answer without words is like nothing."""
        reference = case.expect.answer
        if reference is None or not any(character.isalnum() for character in reference):
            return None
        if not any(character.isalnum() for character in trace.answer):
            return Grade(0.0, False, "no_answer", "major")
        cosine = round(self._cosine(reference, trace.answer), 6)
        passed = cosine >= self.threshold
        return Grade(cosine, passed, "" if passed else "dissimilar", "none" if passed else "major")

    def _cosine(self, reference: str, answer: str) -> float:
        import numpy as np

        model = self._open()
        texts = [model.encoder.windows(self.prefix + text, 0) for text in (reference, answer)]
        self._bounded(sum(map(len, texts)))
        one, other = self._embedded(model, texts)
        length = float(np.linalg.norm(one) * np.linalg.norm(other))
        return float(one @ other) / length if length else 0.0

    def _embedded(self, model: Model, texts: list[list[Encoding]]) -> list[NDArray[np.float64]]:
        """The embedding of each text, given in windows."""
        inputs = [window for text in texts for window in text]
        layers = iter(model.hidden(inputs, self.batch_size))
        found = []
        for text in texts:
            mine = [next(layers) for _ in text]
            sizes = [len(layer) for layer in mine]
            pooled = [layer.mean(axis=0) if self.pooling == "mean" else layer[0] for layer in mine]
            found.append(sum(size * vector for size, vector in zip(sizes, pooled, strict=True)) / sum(sizes))
        return found
