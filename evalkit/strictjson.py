"""JSON that a model wrote, taken by the letter of the standard (RFC 8259)."""

from __future__ import annotations

import json
import math
from typing import Any, NoReturn

from evalkit.records import Json

__all__ = ["DEEPEST", "load_json", "too_deep"]

DEEPEST = 100
"""Levels of nesting: what follows walks the value with one stack frame or more a level."""


def load_json(text: str, *, unique_keys: bool = False) -> Json:
    """Decode JSON.

    Args:
        text: What was written.
        unique_keys: Refuse an object that has a key twice, of which readers take the first or the last (RFC 8259,
            section 4).

    Raises:
        ValueError: when it is none, holds NaN, an infinity or a number beyond a float, or is nested
            more than 100 levels deep.
    """
    pairs = _unique if unique_keys else None
    try:
        value = json.loads(text, parse_constant=_no_number, parse_float=_finite, object_pairs_hook=pairs)
    except RecursionError:
        raise ValueError(_TOO_DEEP) from None
    if too_deep(value):
        raise ValueError(_TOO_DEEP)
    return value


def too_deep(value: Json) -> bool:
    """Whether a value is nested more than 100 levels deep."""
    level = [value]
    for _ in range(DEEPEST):
        level = [item for outer in level for item in _inside(outer)]
        if not level:
            return False
    return True


_TOO_DEEP = f"nested more than {DEEPEST} levels deep"


def _inside(value: Json) -> list[Any]:
    if isinstance(value, dict):
        return list(value.values())
    return value if isinstance(value, list) else []


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    made = dict(pairs)
    if len(made) < len(pairs):
        seen: set[str] = set()
        twice = next(key for key, _ in pairs if key in seen or seen.add(key))  # type: ignore[func-returns-value]
        raise ValueError(f"the key `{twice[:60]}` is given twice")
    return made


def _no_number(name: str) -> NoReturn:
    raise ValueError(f"{name} is no JSON number")


def _finite(digits: str) -> float:
    value = float(digits)
    if math.isinf(value):
        raise ValueError(f"{digits[:40]} is too large for a number")
    return value
