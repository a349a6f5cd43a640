"""Conditions on facts, the stuff of every rule: of the policies that guard a trial, and of graders that judge one.

A condition compares a fact, such as ``arguments.amount``, with a value or with another fact. A fact that is missing
fulfils as little as can be, so that a rule does not hold by accident.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Mapping
from typing import Any, Literal

from pydantic import Field, model_validator

from evalkit.configfile import FileModel
from evalkit.patterns import matches
from evalkit.records import Json
from evalkit.values import JsonValue, check_pattern, equal

__all__ = ["Condition", "Facts"]

Facts = Mapping[str, Json]
"""What a rule can ask about, by name."""


def _compare(compare: Callable[[Any, Any], bool]) -> Callable[[Any, Any], bool]:
    def apply(left: Any, right: Any) -> bool:
        if isinstance(left, bool) or isinstance(right, bool):
            return False
        if isinstance(left, (int, float)) and isinstance(right, (int, float)):
            return compare(left, right)
        return isinstance(left, str) and isinstance(right, str) and compare(left, right)

    return apply


def _in(left: Any, right: Any) -> bool:
    return isinstance(right, (list, tuple)) and any(equal(left, item) for item in right)


def _contains(left: Any, right: Any) -> bool:
    return _in(right, left) or (isinstance(left, str) and isinstance(right, str) and right in left)


_OPERATORS: dict[str, Callable[[Any, Any], bool]] = {
    "eq": equal,
    "ne": lambda left, right: not equal(left, right),
    "in": _in,
    "not_in": lambda left, right: not _in(left, right),
    "contains": _contains,
    "gt": _compare(operator.gt),
    "gte": _compare(operator.ge),
    "lt": _compare(operator.lt),
    "lte": _compare(operator.le),
    "matches": lambda left, right: isinstance(left, str) and matches(right, left),
}
_OF_MISSING = ("ne", "not_in")
"""What a fact that is missing, or null, fulfils."""


class Condition(FileModel):
    """A comparison of a fact with a value, or with another fact (`ref`)."""

    field: str = Field(description="The fact, for example `arguments.amount`, `role`, `document.tenant`.")
    op: Literal[
        "eq", "ne", "in", "not_in", "contains", "gt", "gte", "lt", "lte", "matches", "exists"
    ] = Field(
        description="The comparison; a missing or null fact fulfils only `ne`, `not_in` and `exists: false`."
    )  # fmt: skip
    value: JsonValue = Field(
        default=None,
        description="What to compare with: a list for `in`, a pattern for `matches`, nothing or `false` for `exists`.",
    )
    ref: str | None = Field(default=None, description="Another fact to compare with instead.")

    @model_validator(mode="after")
    def _valid(self) -> Condition:
        if self.ref is not None and self.value is not None:
            raise ValueError("give `value` or `ref`, not both")
        if self.op == "matches":
            if not isinstance(self.value, str):
                raise ValueError("`matches` takes a regular expression as its `value`, in quotes")
            check_pattern(self.value)
        if self.op == "exists" and (self.ref is not None or self.value not in (None, True, False)):
            raise ValueError("`exists` takes `value: true`, `value: false` or nothing")
        return self

    def holds(self, facts: Facts) -> bool:
        """Whether the facts fulfil the condition; a missing fact fulfils only ``ne``, ``not_in`` and ``exists: false``.

        A fact that is null counts as missing.
        """
        fact = facts.get(self.field)
        if self.op == "exists":
            return (fact is not None) is (self.value is not False)
        if fact is None:
            return self.op in _OF_MISSING
        return _OPERATORS[self.op](fact, facts.get(self.ref) if self.ref else self.value)
