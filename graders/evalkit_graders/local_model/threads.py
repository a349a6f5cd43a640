"""How many threads a model may use."""

from __future__ import annotations

import os

from evalkit.errors import GraderError

__all__ = ["model_threads"]

VARIABLE = "EVALKIT_MODEL_THREADS"


def model_threads() -> int:
    """One, unless ``EVALKIT_MODEL_THREADS`` says more: grading may run in several processes already.

    It is no parameter, because how fast a machine grades must not change what a grader is.

    Raises:
        GraderError: when it is no number from 1.
    """
    text = os.environ.get(VARIABLE, "1")
    if not (text.isascii() and text.isdigit() and int(text) > 0):
        raise GraderError("threads are counted from 1", key=VARIABLE, value=text)
    return int(text)
