"""The grader of tool calls: what counts, what is compared, and the explanation."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, ClassVar, Literal

from evalkit.grading import Grade, Grader
from evalkit.jsonschemas import value_faults
from evalkit.records import Case, Severity, ToolCall, ToolEvent, ToolExpectation, ToolSpec, Trace
from evalkit.toolcalls import DecodeError, find_calls
from evalkit_graders.tool_call.matching import Difference, Made, Outcome, compare
from evalkit_graders.tool_call.values import Equality, short

__all__ = ["ToolCallValidity"]

_OF_KEYWORD = {
    "required": "missing_argument", "dependentRequired": "missing_argument", "type": "wrong_type",
    "additionalProperties": "unknown_argument", "unevaluatedProperties": "unknown_argument",
    "propertyNames": "unknown_argument", "$ref": "invalid_arguments",
}  # fmt: skip
_NAMES_SHOWN = 20
_DETAIL = 1000


@dataclass(frozen=True, slots=True)
class _Called:
    """A call with what the trace and the case know of it."""

    made: Made
    spec: ToolSpec | None
    problems: tuple[str, ...]
    """What the trial said of it."""


@dataclass(frozen=True)
class ToolCallValidity(Grader):
    """Selection, arguments, order and count of the tool calls of a trial.

    The first difference is explained: which call, which argument, what was expected and what came. Labels:
    forbidden_tool, not_decodable, wrong_tool, missing_call, superfluous_call, wrong_order, missing_argument,
    unknown_argument, wrong_type, wrong_value, unknown_tool, invalid_arguments.

    Args:
        text: ``normalised`` compares text without case, with blanks, quotation marks and Unicode forms made one;
            ``lenient`` without case, blanks, ``,./-_*^`` and the kind of quotation mark, as the Berkeley Function
            Calling Leaderboard (BFCL) does; ``exact`` character by character.
        numbers: ``equal``: 5 and 5.0 are one number, as in JSON Schema 2020-12; ``strict``: 5.0 is no integer, as
            BFCL has it.
        schema: ``check``: arguments that do not fit the tool's JSON Schema are wrong whatever the case accepts;
            ``ignore``: what the case accepts is right, as BFCL has it.
        only: Tools whose calls count, such as those that change something; empty for all.
        ignore: Tools whose calls do not count, such as a scratch pad.
        read_text: Whether calls are read from the answer where the trace has none: bare, in a code fence, in the shape
            of any vendor. A workflow that takes its calls from text (``tool_calls: json``) has read them itself.
    """

    name: ClassVar[str] = "tool_call"
    version: ClassVar[str] = "2"
    blind: ClassVar[tuple[str, ...]] = (
        "It compares with what the case accepts: another way to the same end counts as wrong unless the case lists it.",
        "Two texts that mean the same are different values unless both are accepted: dates, units, abbreviations.",
        "Whether a call did any good is not looked at: one that a tool refused counts like one that it carried out.",
    )

    text: Literal["normalised", "lenient", "exact"] = "normalised"
    numbers: Literal["equal", "strict"] = "equal"
    schema: Literal["check", "ignore"] = "check"
    only: tuple[str, ...] = ()
    ignore: tuple[str, ...] = ()
    read_text: bool = False

    def grade(self, case: Case, trace: Trace) -> Grade | None:
        """Not applicable where the case expects nothing of tools and none was called."""
        expected = case.expect.tools
        events, unread = self._events(trace)
        counted = [event for event in events if self._counts(event.name)]
        if expected is None and not counted:
            return None
        severity: Severity = "critical" if case.critical else "major"
        names = [short(event.name) for event in counted[:_NAMES_SHOWN]]
        outcome = self._judged(case, expected, events, counted, unread)
        if outcome is None:
            return Grade.check(True, calls=names)
        first, kinds = outcome.differences[0], outcome.kinds
        kinds[first.label] -= 1
        others = {label: count for label, count in kinds.items() if count}
        detail = short(first.detail, _DETAIL)
        more: dict[str, Any] = {"others": others} if others else {}
        return Grade.check(False, first.label, severity=severity, calls=names, detail=detail, **more)

    def _events(self, trace: Trace) -> tuple[Sequence[ToolEvent], str]:
        """The calls of a trace, and why there are none where text could not be read as calls."""
        if trace.tool_events or trace.decode_error is not None or not self.read_text:
            return trace.tool_events, trace.decode_error or ""
        try:
            return [ToolEvent(call.name, call.arguments, call.id) for call in find_calls(trace.answer)], ""
        except DecodeError as error:
            return (), str(error)

    def _counts(self, name: str) -> bool:
        return name not in self.ignore and (not self.only or name in self.only)

    def _judged(
        self,
        case: Case,
        expected: ToolExpectation | None,
        events: Sequence[ToolEvent],
        counted: Sequence[ToolEvent],
        unread: str,
    ) -> Outcome | None:
        """What is wrong, the first thing first; None where nothing is."""
        if expected is not None:
            hit = next((index for index, event in enumerate(events) if event.name in expected.forbidden), None)
            if hit is not None:
                text = f"call {hit + 1} of {len(events)}: `{short(events[hit].name)}` is forbidden"
                return Outcome((Difference("forbidden_tool", text),), 1)
        called = _called(case, counted)
        found = self._compared(expected, [call.made for call in called], unread)
        if found is not None:
            return found
        invalid = tuple(
            difference
            for index, call in enumerate(called)
            for difference in self._invalid(case, call, f"call {index + 1} of {len(called)}, {call.made.name}")
        )
        return Outcome(invalid, len(invalid)) if invalid else None

    def _compared(self, expected: ToolExpectation | None, made: Sequence[Made], unread: str) -> Outcome | None:
        if expected is None or not expected.alternatives:
            return None
        equality = Equality(self.text, self.numbers)
        nearest: Outcome | None = None
        for path in expected.alternatives:
            wanted = tuple(call for call in path if self._counts(call.name))
            outcome = compare(wanted, made, expected.order, equality)
            if outcome is None:
                return None
            if nearest is None or (outcome.calls, len(outcome.differences)) < (
                nearest.calls,
                len(nearest.differences),
            ):
                nearest = outcome
        if unread and not made and nearest is not None:
            return replace(nearest, differences=(Difference("not_decodable", unread), *nearest.differences))
        return nearest

    def _invalid(self, case: Case, called: _Called, where: str) -> list[Difference]:
        """Why a call does not fit its tool."""
        made = called.made
        if made.unreadable:
            return [Difference("not_decodable", f"{where}: {made.unreadable}")]
        if self.schema == "ignore":
            return []
        if called.spec is None and case.tools:
            return [Difference("unknown_tool", f"{where}: no such tool is offered")]
        if called.spec is not None:
            faults = value_faults(called.spec.parameters, made.call.arguments) if called.spec.parameters else []
            found = [
                Difference(
                    _OF_KEYWORD.get(fault.keyword, "wrong_value"), f"{where}{_below(fault.path)}: {fault.message}"
                )
                for fault in faults
            ]
            if found:
                return found
        return [Difference("invalid_arguments", f"{where}: {problem}") for problem in called.problems]


def _below(path: str) -> str:
    return f".{path}" if path else ""


def _called(case: Case, events: Sequence[ToolEvent]) -> list[_Called]:
    specs = {spec.name: spec for spec in case.tools}
    return [_one(specs.get(event.name), event) for event in events]


def _one(spec: ToolSpec | None, event: ToolEvent) -> _Called:
    properties = spec.parameters.get("properties") if spec else None
    readable = event.arguments is None or isinstance(event.arguments, Mapping)
    why = "" if readable else (event.schema_errors or ("the arguments are no JSON object",))[0]
    made = Made(
        ToolCall(event.name, event.arguments or {} if readable else {}, event.id),
        properties if isinstance(properties, Mapping) else {},
        why,
    )
    return _Called(made, spec, event.schema_errors)
