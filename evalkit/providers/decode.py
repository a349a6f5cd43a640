"""JSON that a model wrote, taken by the letter of the standard."""

from __future__ import annotations

import json
import math
from typing import Any, NoReturn

from evalkit.records import Json

__all__ = ["load_json"]

_DEEPEST = 100
"""Levels of nesting: what follows walks the value with one stack frame or more a level."""


def load_json(text: str) -> Json:
    """Decode JSON.

    Raises:
        ValueError: when it is none, holds NaN, an infinity or a number beyond a float, or is nested
            more than 100 levels deep.
    """
    try:
        value = json.loads(text, parse_constant=_no_number, parse_float=_finite)
    except RecursionError:
        raise ValueError(_TOO_DEEP) from None
    level = [value]
    for _ in range(_DEEPEST):
        level = [item for outer in level for item in _inside(outer)]
        if not level:
            return value
    raise ValueError(_TOO_DEEP)


_TOO_DEEP = f"nested more than {_DEEPEST} levels deep"


def _inside(value: Json) -> list[Any]:
    if isinstance(value, dict):
        return list(value.values())
    return value if isinstance(value, list) else []


def _no_number(name: str) -> NoReturn:
    raise ValueError(f"{name} is no JSON number")


def _finite(digits: str) -> float:
    value = float(digits)
    if math.isinf(value):
        raise ValueError(f"{digits[:40]} is too large for a number")
    return value
