"""The calls that were made against one sequence that is right: paired, and what differs named."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from evalkit.records import ExpectedCall, Json, ToolCall
from evalkit_graders.tool_call.values import Equality, short, unlike

__all__ = ["Difference", "Made", "Outcome", "compare"]

_INTEGER = {"type": "integer"}
_NEAREST = 50
"""Calls among which the one nearest to an expected one is looked for."""


@dataclass(frozen=True, slots=True)
class Made:
    """A call that was made, with what is known of it."""

    call: ToolCall
    properties: Mapping[str, Json] = field(default_factory=dict)
    """Schemas of the arguments by name."""
    unreadable: str = ""
    """Why its arguments are no JSON object."""

    @property
    def name(self) -> str:
        """The tool's name, short enough to show."""
        return short(self.call.name)


@dataclass(frozen=True, slots=True)
class Difference:
    """One thing that is not as it should be."""

    label: str
    detail: str


@dataclass(frozen=True, slots=True)
class Outcome:
    """All that differs from one right sequence."""

    differences: tuple[Difference, ...]
    """The one of the earliest call first."""
    calls: int
    """How many calls would have to be made, left out or changed: the nearest sequence explains a failure."""

    @property
    def kinds(self) -> dict[str, int]:
        """How often each kind of difference occurs."""
        return dict(Counter(difference.label for difference in self.differences))


def compare(path: Sequence[ExpectedCall], made: Sequence[Made], order: str, equality: Equality) -> Outcome | None:
    """What differs between the calls made and one right sequence; None where nothing does.

    Calls are paired in any order, as many as possible (Kuhn's augmenting paths), so that no other pairing is better.
    """
    strict = order == "strict"
    if len(path) == len(made) and all(fits(*pair, equality) for pair in zip(path, made, strict=True)):
        return None
    pairs = _pairs(path, made, equality)
    if not strict and len(pairs) == len(path) == len(made):
        return None
    found: list[tuple[int, Difference]] = []
    if strict:
        found += _misplaced(path, made, pairs)
    changed = len(found)
    rest = [index for index in range(len(path)) if index not in pairs]
    left = sorted(set(range(len(made))) - set(pairs.values()))
    for wanted, index in _alike(path, made, rest, left, equality):
        found += [(wanted, item) for item in _explained(path[wanted], made[index], index, len(made), equality)]
        changed += 1
    for wanted, index in zip(list(rest), list(left), strict=False):
        rest.remove(wanted)
        left.remove(index)
        text = f"{_place(index, len(made))}: expected `{short(path[wanted].name)}`, got `{made[index].name}`"
        found.append((wanted, Difference("wrong_tool", text)))
        changed += 2
    for wanted in rest:
        text = f"`{short(path[wanted].name)}` was not called (call {wanted + 1} of {len(path)} expected)"
        found.append((wanted, Difference("missing_call", text)))
    for index in left:
        text = f"{_place(index, len(made))}: `{made[index].name}` was not expected"
        found.append((len(path) + index, Difference("superfluous_call", text)))
    found.sort(key=lambda item: item[0])
    return Outcome(tuple(difference for _, difference in found), changed + len(rest) + len(left))


def _place(index: int, count: int) -> str:
    return f"call {index + 1} of {count}"


def fits(wanted: ExpectedCall, made: Made, equality: Equality) -> bool:
    """Whether a call is the wanted one."""
    call = made.call
    if call.name != wanted.name or made.unreadable:
        return False
    given, properties = call.arguments, made.properties
    for name, accepted in wanted.arguments.items():
        if name not in given:
            if name not in wanted.optional:
                return False
        elif not _accepted(given[name], accepted, properties.get(name), equality):
            return False
    return next(_unwanted(wanted, given), None) is None


def _accepted(given: Json, accepted: Sequence[Json], declared: Json, equality: Equality) -> bool:
    if type(given) is int and isinstance(declared, Mapping) and declared.get("type") == "number":
        declared = _INTEGER  # every language takes an integer for an argument that is a float
    return any(equality.same(given, value, declared) for value in accepted)


def _unwanted(wanted: ExpectedCall, given: Mapping[str, Json]) -> Iterator[str]:
    if "*" in wanted.free:
        return
    for name in given:
        if name not in wanted.arguments and name not in wanted.free:
            yield name


def _pairs(path: Sequence[ExpectedCall], made: Sequence[Made], equality: Equality) -> dict[int, int]:
    """A largest pairing of expected with made calls that fit, by their positions; equal positions first."""
    table = [[index for index, call in enumerate(made) if fits(wanted, call, equality)] for wanted in path]
    taken = {wanted: wanted for wanted, choices in enumerate(table) if wanted in choices}
    for wanted in set(range(len(path))) - set(taken):
        _augment(wanted, table, taken, set())
    return {wanted: index for index, wanted in taken.items()}


def _augment(wanted: int, table: Sequence[Sequence[int]], taken: dict[int, int], seen: set[int]) -> bool:
    for index in table[wanted]:
        if index in seen:
            continue
        seen.add(index)
        if index not in taken or _augment(taken[index], table, taken, seen):
            taken[index] = wanted
            return True
    return False


def _misplaced(
    path: Sequence[ExpectedCall], made: Sequence[Made], pairs: Mapping[int, int]
) -> list[tuple[int, Difference]]:
    """The first right call that comes before one that should precede it."""
    latest = -1
    for wanted in sorted(pairs):
        if pairs[wanted] < latest:
            text = f"`{short(path[wanted].name)}` is {_place(pairs[wanted], len(made))}, expected as call {wanted + 1}"
            return [(wanted, Difference("wrong_order", text))]
        latest = pairs[wanted]
    return []


def _alike(
    path: Sequence[ExpectedCall], made: Sequence[Made], rest: list[int], left: list[int], equality: Equality
) -> Iterator[tuple[int, int]]:
    """Pairs of an expected and a made call of one tool, the nearest first; what is paired leaves both lists."""
    near = []
    for wanted in rest:
        for index in left[:_NEAREST]:
            if path[wanted].name == made[index].call.name:
                distance = sum(1 for _ in _explained(path[wanted], made[index], index, len(made), equality))
                near.append((distance, wanted, index))
    for _, wanted, index in sorted(near):
        if wanted in rest and index in left:
            rest.remove(wanted)
            left.remove(index)
            yield wanted, index


def _explained(wanted: ExpectedCall, made: Made, index: int, count: int, equality: Equality) -> Iterator[Difference]:
    """What differs between a call and the wanted one of the same tool."""
    place, given = _place(index, count), made.call.arguments
    if made.unreadable:
        yield Difference("not_decodable", f"{place}, {made.name}: {made.unreadable}")
        return
    for name, accepted in wanted.arguments.items():
        declared = made.properties.get(name)
        if name not in given:
            if name not in wanted.optional:
                yield Difference("missing_argument", f"{place}, {made.name}: `{short(name)}` is missing")
        elif not _accepted(given[name], accepted, declared, equality):
            found = unlike(given[name], tuple(accepted), equality, declared)
            yield Difference(found.label, f"{place}, {made.name}.{short(name)}{found.path}: {found.text}")
    for name in _unwanted(wanted, given):
        yield Difference("unknown_argument", f"{place}, {made.name}: `{short(name)}` is not expected")
