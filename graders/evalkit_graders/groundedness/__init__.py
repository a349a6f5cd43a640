"""Is every sentence of the answer supported by what the model was given? Without a model.

``sources`` reads what was given, ``sentence`` holds one sentence against it (``values``: numbers, dates and names;
``polarity``: denial; ``records`` and ``hours``: structured sources field by field; ``citations``), ``features`` puts an
answer's sentences together and ``calibration`` fits that to the labels of a workflow. Figures and limits:
``docs/graders.md``.
"""

from evalkit_graders.groundedness.calibration import Calibration, fit, fit_calibration
from evalkit_graders.groundedness.features import FEATURES, STYLE, features_of, value_of
from evalkit_graders.groundedness.grader import CheckedAnswer, Groundedness, check_answer

__all__ = [
    "FEATURES",
    "STYLE",
    "Calibration",
    "CheckedAnswer",
    "Groundedness",
    "check_answer",
    "features_of",
    "fit",
    "fit_calibration",
    "value_of",
]
