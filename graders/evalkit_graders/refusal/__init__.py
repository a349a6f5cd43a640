"""Refused what must be refused, and answered what must be answered: both directions, from the answer alone.

An answer is taken apart into what its author says (``voice``), each sentence is held against the wording of six
languages (``cues``), and where the sentences stand makes the kind of the answer (``reading``).
"""

from evalkit_graders.refusal.cues import kind_of_sentence
from evalkit_graders.refusal.grader import Refusal
from evalkit_graders.refusal.rates import RefusalRates, refusal_rates
from evalkit_graders.refusal.reading import Kind, Reading, kind_of_answer, read

__all__ = [
    "Kind",
    "Reading",
    "Refusal",
    "RefusalRates",
    "kind_of_answer",
    "kind_of_sentence",
    "read",
    "refusal_rates",
]
