"""An answer's sentences put together: the value without training, and what a calibration learns from.

Both hold how the answer stands to its sources and nothing of its style: length, hedges and the like tell who wrote an
answer, and a calibration that learns who wrote it fails on the next model.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Literal

from evalkit_graders.groundedness.sentence import Checked

__all__ = ["FEATURES", "features_of", "value_of"]

FEATURES: Mapping[str, Literal[-1, 1]] = {"risk": -1, "loose": -1, "apart": -1, "alike": 1, "conflicts": -1}
"""Names of the features, and whether more of one speaks for an answer or against it."""

_PER_RISK = 4.0
_CONFLICT = 1.34
"""What a contradicted field weighs, in content words of a sentence that no source holds, over the root of length."""
_APART = 0.25
"""Share of the weight of words that stand in the sources, but not together."""


def features_of(checked: Sequence[Checked]) -> dict[str, float]:
    """The features of an answer by name; those of a faultless one where it has no sentence that claims anything.

    ``loose`` and ``apart`` are the logarithm of how many content words stand nowhere, or not together, ``alike`` is the
    share that stands somewhere or resembles a word there, ``conflicts`` counts fields that are contradicted (or, at
    half, not known), and ``risk`` puts all of it together.
    """
    if not checked:
        return {"risk": 0.0, "loose": 0.0, "apart": 0.0, "alike": 1.0, "conflicts": 0.0}
    size = sum(item.size for item in checked)
    return {
        "risk": math.log1p(_risk(checked)),
        "loose": math.log1p(sum((1 - item.anywhere) * item.size for item in checked)),
        "apart": math.log1p(sum((1 - item.together) * item.size for item in checked)),
        "alike": sum(item.alike * item.size for item in checked) / size,
        "conflicts": math.log1p(sum(item.conflicts for item in checked)),
    }


def value_of(checked: Sequence[Checked]) -> float:
    """From 1, where all of an answer stands in its sources, towards 0.

    Whether an answer is free of unsupported claims depends on how many it makes, its share of support does not: of
    the two, the risk takes the mean in proportion, words without support over the root of all words.
    """
    return math.exp(-_risk(checked) / _PER_RISK)


def _risk(checked: Sequence[Checked]) -> float:
    size = sum(item.size for item in checked)
    lost = sum(((1 - _APART) * (1 - item.alike) + _APART * (1 - item.together)) * item.size for item in checked)
    wrong = sum(item.conflicts + 0.5 * (len(item.numbers) + len(item.dates)) for item in checked)
    return max(0.0, lost / math.sqrt(size or 1) + _CONFLICT * wrong)
