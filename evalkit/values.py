"""Values that people write into files: JSON and nothing else, regular expressions that compile; and their equality."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from typing import Annotated, TypeAlias

from pydantic import AfterValidator

from evalkit.records import Json

__all__ = ["JsonValue", "Pattern", "check_json", "check_pattern", "equal"]


def check_json(value: Json) -> Json:
    """Return the value when JSON can hold it: YAML also makes dates, NaN and keys that are no text.

    Raises:
        ValueError: naming the first part that is no JSON.
    """
    if isinstance(value, Mapping):
        for key, item in value.items():
            if not isinstance(key, str):
                raise ValueError(f"the key {key} is no text: put it in quotes")  # noqa: TRY004 - pydantic wants ValueError
            check_json(item)
    elif isinstance(value, (list, tuple)):
        for item in value:
            check_json(item)
    elif isinstance(value, float) and not math.isfinite(value):
        raise ValueError(f"{value} is no number that JSON can hold")
    elif value is not None and not isinstance(value, (str, int, float)):
        raise ValueError(f"{value} is no JSON value but a {type(value).__name__}: put it in quotes")
    return value


def check_pattern(value: str) -> str:
    """Return the text when it is a regular expression.

    Raises:
        ValueError: saying why it is none.
    """
    try:
        re.compile(value)
    except (re.error, OverflowError, RecursionError) as error:
        raise ValueError(f"not a regular expression: {error}") from None
    return value


JsonValue: TypeAlias = Annotated[Json, AfterValidator(check_json)]
"""Any JSON value."""
Pattern: TypeAlias = Annotated[str, AfterValidator(check_pattern)]
"""A regular expression of Python."""


def equal(left: Json, right: Json, *, fold: bool = False) -> bool:
    """Equality of JSON values: ``5`` equals ``5.0``, ``True`` is not ``1``; lists and objects part by part.

    Args:
        left: A value.
        right: Another one.
        fold: Whether text is compared without the space around it and without its case.
    """
    if isinstance(left, bool) or isinstance(right, bool):
        return left is right
    if isinstance(left, Mapping) and isinstance(right, Mapping):
        return left.keys() == right.keys() and all(equal(left[key], right[key], fold=fold) for key in left)
    if isinstance(left, (list, tuple)) and isinstance(right, (list, tuple)):
        return len(left) == len(right) and all(equal(a, b, fold=fold) for a, b in zip(left, right, strict=True))
    if fold and isinstance(left, str) and isinstance(right, str):
        return left.strip().casefold() == right.strip().casefold()
    return bool(left == right)
