"""An answer's sentences put together: the value without training, and what a calibration learns from.

The value holds how the answer stands to its sources and nothing of its style: length, hedges and the like tell who
wrote an answer, and a calibration that learns who wrote it fails on the next model. Of style a calibration has the
number of claims alone, and can be fitted without it.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Literal

from evalkit_graders.groundedness.sentence import Checked

__all__ = ["FEATURES", "STYLE", "features_of", "value_of"]

FEATURES: Mapping[str, Literal[-1, 0, 1]] = {
    "risk": -1, "loose": -1, "apart": -1, "alike": 1, "wording": 1, "conflicts": -1, "names": -1, "claims": 0,
}  # fmt: skip
"""Names of the features, and whether more of one speaks for an answer or against it; 0 where the labels tell."""
STYLE: frozenset[str] = frozenset(("claims",))
"""Those that may tell who wrote the answer."""

_PER_RISK = 4.0
_CONFLICT = 1.34
"""What a contradicted field weighs, in content words of a sentence that no source holds, over the root of length."""
_APART = 0.25
"""Share of the weight of words that stand in the sources, but not together."""


def features_of(checked: Sequence[Checked]) -> dict[str, float]:
    """The features of an answer by name; those of a faultless one where it has no sentence that claims anything.

    ``loose`` and ``apart`` are the logarithm of how many content words stand nowhere, or not together, ``alike`` is the
    share that stands somewhere or resembles a word there, ``wording`` the same with words such as "various" counting in
    full, ``conflicts`` counts fields that are contradicted (or, at
    half, not known), and ``risk`` puts all of it together. ``names`` and ``claims`` are the logarithm of how many names
    no source holds, and of how many sentences claim something.
    """
    if not checked:
        return dict.fromkeys(FEATURES, 0.0) | {"alike": 1.0, "wording": 1.0}
    size = sum(item.size for item in checked) or 1.0
    return {
        "risk": math.log1p(_risk(checked)),
        "loose": math.log1p(sum((1 - item.anywhere) * item.size for item in checked)),
        "apart": math.log1p(sum((1 - item.together) * item.size for item in checked)),
        "alike": sum(item.alike * item.size for item in checked) / size,
        "wording": sum(item.wording * item.size for item in checked) / size,
        "conflicts": math.log1p(sum(item.conflicts for item in checked)),
        "names": math.log1p(sum(len(item.names) for item in checked)),
        "claims": math.log1p(len(checked)),
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
    return max(0.0, lost / math.sqrt(max(1.0, size)) + _CONFLICT * wrong)
