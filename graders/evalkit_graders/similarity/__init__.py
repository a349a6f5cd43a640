"""How like the reference answer the answer is worded."""

from evalkit_graders.similarity.grader import Similarity

__all__ = ["Similarity"]
