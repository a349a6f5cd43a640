"""Were the right tools called, with valid and right arguments, in the right order, and no others?

Values are compared with the accepted ones the way the Berkeley Function Calling Leaderboard
does it: text without case, blanks and light punctuation; an integer where a float is wanted;
lists item by item; objects key by key. Model text is only ever data here.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

from evalkit.grading import Grade, Grader
from evalkit.records import Case, ExpectedCall, Json, ToolCall, Trace

__all__ = ["Difference", "ToolCallValidity", "compare_call"]

_LIGHT = re.compile(r"[ ,./\-_*^]")


@dataclass(frozen=True)
class Difference:
    """How far a trial is from a right sequence: the kind of the first difference, and what it is."""

    label: str
    detail: str
    rank: int
    """Larger is nearer to right; picks the alternative to explain against."""


@dataclass(frozen=True)
class ToolCallValidity(Grader):
    """Selection, arguments, order and count of the tool calls of a trial.

    Args:
        text: ``lenient`` ignores case, blanks and ``,./-_*^`` in text values; ``exact`` does not.
        float_for_integer: Whether ``5.0`` may stand where the schema wants an integer.
        ignore: Tools whose calls do not count, such as a scratch pad.
    """

    name: ClassVar[str] = "tool_call"
    version: ClassVar[str] = "1"

    text: Literal["lenient", "exact"] = "lenient"
    float_for_integer: bool = False
    ignore: tuple[str, ...] = ()

    def grade(self, case: Case, trace: Trace) -> Grade | None:
        """Not applicable where the case expects nothing of tools and none was called."""
        expected = case.expect.tools
        events = [event for event in trace.tool_events if event.name not in self.ignore]
        calls = tuple(call for call in trace.tool_calls if call.name not in self.ignore)
        if expected is None and not events:
            return None
        severity: Literal["critical", "major"] = "critical" if case.critical else "major"
        names = [_short(call.name, 60) for call in calls[:20]]
        if expected is not None:
            hit = next((call.name for call in trace.tool_calls if call.name in expected.forbidden), None)
            if hit is not None:
                return Grade.check(False, "forbidden_tool", severity=severity, calls=names, detail=f"called `{hit}`")
        invalid = next(((event.name, event.schema_errors[0]) for event in events if event.schema_errors), None)
        if invalid is not None:
            detail = _short(f"`{invalid[0]}`: {invalid[1]}")
            return Grade.check(False, "invalid_arguments", severity=severity, calls=names, detail=detail)
        if expected is None or not expected.alternatives:
            return Grade.check(True, calls=names)
        best: Difference | None = None
        for path in expected.alternatives:
            difference = self._difference(path, calls, expected.order, case)
            if difference is None:
                return Grade.check(True, calls=names)
            if best is None or difference.rank > best.rank:
                best = difference
        label, detail = (best.label, best.detail) if best else ("no_alternatives", "the case names no right calls")
        if trace.decode_error is not None and not calls:
            label, detail = "not_decodable", trace.decode_error
        return Grade.check(False, label, severity=severity, calls=names, detail=_short(detail))

    def _difference(
        self, path: Sequence[ExpectedCall], calls: Sequence[ToolCall], order: str, case: Case
    ) -> Difference | None:
        """None when the calls are right."""
        if len(calls) != len(path):
            return _count_difference(path, calls)
        if order == "strict":
            for wanted, call in zip(path, calls, strict=True):
                found = compare_call(wanted, call, self, _schema(case, call.name))
                if found is not None:
                    return found
            return None
        return self._match(path, calls, case)

    def _match(self, path: Sequence[ExpectedCall], calls: Sequence[ToolCall], case: Case) -> Difference | None:
        """Pair calls with expectations in any order (Kuhn's augmenting paths; the lists are short)."""
        table = [[compare_call(wanted, call, self, _schema(case, call.name)) for call in calls] for wanted in path]
        taken: dict[int, int] = {}
        for index in range(len(path)):
            if not _augment(index, table, taken, set()):
                nearest = [difference for difference in table[index] if difference is not None]
                return max(nearest, key=lambda difference: difference.rank)
        return None


def _short(text: str, limit: int = 1000) -> str:
    """Evidence has a limit, and arguments are as long as a model writes them."""
    return text if len(text) <= limit else text[: limit - 1] + "…"


def _augment(index: int, table: list[list[Difference | None]], taken: dict[int, int], seen: set[int]) -> bool:
    for column, difference in enumerate(table[index]):
        if difference is not None or column in seen:
            continue
        seen.add(column)
        if column not in taken or _augment(taken[column], table, taken, seen):
            taken[column] = index
            return True
    return False


def _count_difference(path: Sequence[ExpectedCall], calls: Sequence[ToolCall]) -> Difference:
    wanted, given = [call.name for call in path], [call.name for call in calls]
    if len(given) < len(wanted):
        absent = _first_beyond(wanted, given)
        return Difference("missing_call", f"`{absent}` was not called", 1)
    return Difference("superfluous_call", f"`{_first_beyond(given, wanted)}` was not needed", 2)


def _first_beyond(longer: list[str], shorter: list[str]) -> str:
    rest = list(shorter)
    for name in longer:
        if name not in rest:
            return name
        rest.remove(name)
    return longer[-1]


def _schema(case: Case, name: str) -> Mapping[str, Any]:
    spec = next((tool for tool in case.tools if tool.name == name), None)
    return spec.parameters.get("properties", {}) if spec else {}


def compare_call(
    wanted: ExpectedCall, call: ToolCall, options: ToolCallValidity, schema: Mapping[str, Any] | None = None
) -> Difference | None:
    """The first difference between a call and what was wanted; None when it is right."""
    if call.name != wanted.name:
        return Difference("wrong_tool", f"`{call.name}` instead of `{wanted.name}`", 3)
    for name, accepted in wanted.arguments.items():
        if name not in call.arguments:
            if name in wanted.optional:
                continue
            return Difference("missing_argument", f"`{call.name}` lacks `{name}`", 4)
        given = call.arguments[name]
        declared = (schema or {}).get(name)
        kind = declared.get("type") if isinstance(declared, Mapping) else None
        if kind == "integer" and isinstance(given, float) and not options.float_for_integer:
            return Difference("wrong_type", f"`{name}` is {given!r}, an integer is wanted", 5)
        if not any(_same(given, value, options.text) for value in accepted):
            options_text = " or ".join(repr(value) for value in accepted[:3])
            return Difference("wrong_argument", f"`{name}` is {given!r}, wanted {options_text}", 5)
    for name in call.arguments:
        if name not in wanted.arguments and name not in wanted.free and "*" not in wanted.free:
            return Difference("extra_argument", f"`{call.name}` has `{name}`, which is not wanted", 4)
    return None


def _same(given: Json, wanted: Json, text: str) -> bool:
    if isinstance(given, bool) or isinstance(wanted, bool):
        return given is wanted
    if isinstance(given, str) and isinstance(wanted, str):
        return given == wanted or (text == "lenient" and _plain(given) == _plain(wanted))
    if isinstance(given, (int, float)) and isinstance(wanted, (int, float)):
        return given == wanted
    if isinstance(given, (list, tuple)) and isinstance(wanted, (list, tuple)):
        return len(given) == len(wanted) and all(_same(a, b, text) for a, b in zip(given, wanted, strict=True))
    if isinstance(given, Mapping) and isinstance(wanted, Mapping):
        return given.keys() == wanted.keys() and all(_same(given[key], wanted[key], text) for key in wanted)
    return given is None and wanted is None


def _plain(text: str) -> str:
    return _LIGHT.sub("", text).lower().replace("'", '"')
