"""Regular expressions on hostile text, in time that grows with the text and no faster.

``re`` backtracks: ``(a+)+b`` takes time exponential in a text of a's, and ``.*x.*y`` its cube. Here a pattern, as
``re`` parses it, becomes an automaton that goes over the text once (Thompson 1968, Programming Techniques: Regular
expression search algorithm). It says whether there is a match and not where. References to groups and lookaround, which
no such automaton has, are refused.
"""

from __future__ import annotations

import re
from functools import lru_cache
from importlib import import_module
from typing import Any, TypeAlias

__all__ = ["LinearPattern", "linear_pattern", "match_start", "matches"]

_parser: Any = import_module("re._parser")
_MOST_NODES = 2_000
_MOST_KEPT = 10_000
"""Steps remembered, so that a text of ever new ones fills no memory."""
_CATEGORIES = {
    "CATEGORY_DIGIT": r"\d",
    "CATEGORY_NOT_DIGIT": r"\D",
    "CATEGORY_SPACE": r"\s",
    "CATEGORY_NOT_SPACE": r"\S",
    "CATEGORY_WORD": r"\w",
    "CATEGORY_NOT_WORD": r"\W",
}
_REPEATED_GROUP = re.compile(r"(?<!\\)\)(?:[*+]|\{\d*,\d*\}|\{\d{2,}\})")
"""What backtracking can take exponential time for."""
_ONE = frozenset({"LITERAL", "NOT_LITERAL", "ANY", "IN"})
_REFUSED = {
    "GROUPREF": "a reference to a group",
    "GROUPREF_EXISTS": "a condition on a group",
    "ASSERT": "lookaround",
    "ASSERT_NOT": "lookaround",
    "ATOMIC_GROUP": "an atomic group",
    "POSSESSIVE_REPEAT": "a possessive repeat",
}
States: TypeAlias = frozenset[int]
Context: TypeAlias = tuple[bool, ...]
"""What stands around a place: at the start, after a line feed, after a word character; at the end, before the last line
feed, before a line feed, before a word character."""


class LinearPattern:
    """A regular expression of Python without references and lookaround.

    Args:
        pattern: Its text, flags in it as ``(?i)``.

    Raises:
        ValueError: when it is none, holds what cannot be looked for in linear time, or is too large.
    """

    def __init__(self, pattern: str) -> None:
        try:
            tree = _parser.parse(pattern)
        except (re.error, OverflowError, RecursionError) as error:
            raise ValueError(f"not a regular expression: {error}") from None
        self._nodes: list[tuple[Any, ...]] = [("accept",)]
        self._places = False
        self._start = self._build(tree, tree.state.flags, 0)
        self._word = re.compile(r"\w", tree.state.flags & re.ASCII)
        self._closures: dict[tuple[States, Context], States] = {}
        self._steps: dict[tuple[States, str], States] = {}

    def search(self, text: str) -> bool:
        """Whether it matches anywhere in a text."""
        return self._run(text, whole=False)

    def fullmatch(self, text: str) -> bool:
        """Whether it matches a whole text."""
        return self._run(text, whole=True)

    def _add(self, *node: Any) -> int:
        if len(self._nodes) >= _MOST_NODES:
            raise ValueError("the pattern is too large: repeat less, {1,1000} counts a thousand times")
        self._nodes.append(node)
        return len(self._nodes) - 1

    def _build(self, tree: Any, flags: int, after: int) -> int:
        """The node that a match of the tree begins at, from the node that follows it."""
        for op, value in reversed(list(tree)):
            after = self._build_one(str(op), value, flags, after)
        return after

    def _build_one(self, op: str, value: Any, flags: int, after: int) -> int:
        if op in _ONE:
            return self._add("one", re.compile(_class_text(op, value), flags & ~re.VERBOSE & ~re.DEBUG), after)
        if op == "AT":
            self._places = True
            return self._add("at", str(value), flags, after)
        if op == "SUBPATTERN":
            _, added, removed, inner = value
            return self._build(inner, (flags | added) & ~removed, after)
        if op == "BRANCH":
            return self._add("split", *(self._build(inner, flags, after) for inner in value[1]))
        if op in {"MAX_REPEAT", "MIN_REPEAT"}:
            least, most, inner = value
            return self._repeat(least, most, inner, flags, after)
        raise ValueError(f"{_REFUSED.get(op, op)} cannot be looked for in linear time: write the pattern without it")

    def _repeat(self, least: int, most: Any, inner: Any, flags: int, after: int) -> int:
        if most is _parser.MAXREPEAT:
            loop = self._add("split")
            self._nodes[loop] = ("split", self._build(inner, flags, loop), after)
            start = loop
        else:
            start = after
            for _ in range(int(most) - least):
                start = self._add("split", self._build(inner, flags, start), after)
        for _ in range(least):
            start = self._build(inner, flags, start)
        return start

    def _run(self, text: str, *, whole: bool) -> bool:
        begin = frozenset({self._start})
        states = begin
        for index in range(len(text) + 1):
            closed = self._closure(states, self._context(text, index))
            if 0 in closed and (not whole or index == len(text)):
                return True
            if index == len(text) or (whole and not closed):
                return False
            states = self._step(closed, text[index])
            if not whole:
                states |= begin
        return False

    def _context(self, text: str, index: int) -> Context:
        if not self._places:
            return ()
        before, after = text[index - 1 : index] if index else "", text[index : index + 1]
        return (
            not index,
            before == "\n",
            bool(self._word.match(before)),
            not after,
            after == "\n" and index == len(text) - 1,
            after == "\n",
            bool(self._word.match(after)),
        )

    def _closure(self, states: States, context: Context) -> States:
        """All nodes that are reached without taking a character, but for those that only lead on."""
        found = self._closures.get((states, context))
        if found is None:
            if len(self._closures) >= _MOST_KEPT:
                self._closures.clear()
            found = self._closures[states, context] = self._close(states, context)
        return found

    def _close(self, states: States, context: Context) -> States:
        todo, seen, kept = list(states), set(states), set()
        while todo:
            place = todo.pop()
            kind, *rest = self._nodes[place]
            following: tuple[int, ...] = ()
            if kind == "split":
                following = tuple(rest)
            elif kind == "at":
                following = (rest[2],) if _holds(rest[0], rest[1], context) else ()
            else:
                kept.add(place)
            todo += [item for item in following if item not in seen]
            seen.update(following)
        return frozenset(kept)

    def _step(self, closed: States, character: str) -> States:
        found = self._steps.get((closed, character))
        if found is None:
            if len(self._steps) >= _MOST_KEPT:
                self._steps.clear()
            nodes = (self._nodes[place] for place in closed)
            found = frozenset(node[2] for node in nodes if node[0] == "one" and node[1].match(character))
            self._steps[closed, character] = found
        return found


def _holds(place: str, flags: int, context: Context) -> bool:
    start, after_line, after_word, end, before_last, before_line, before_word = context
    if place == "AT_BEGINNING":
        return start or (bool(flags & re.MULTILINE) and after_line)
    if place == "AT_END":
        return end or before_last or (bool(flags & re.MULTILINE) and before_line)
    if place == "AT_BOUNDARY":
        return after_word != before_word
    if place == "AT_NON_BOUNDARY":
        return after_word == before_word
    return start if place == "AT_BEGINNING_STRING" else end


def _class_text(op: str, value: Any) -> str:
    """One character of a parsed pattern as a pattern again, so that ``re`` itself says what fits it."""
    if op == "ANY":
        return "."
    if op == "LITERAL":
        return f"[{_escaped(value)}]"
    if op == "NOT_LITERAL":
        return f"[^{_escaped(value)}]"
    text = ""
    for kind, item in value:
        name = str(kind)
        if name == "NEGATE":
            text = "^"
        elif name == "RANGE":
            text += f"{_escaped(item[0])}-{_escaped(item[1])}"
        elif name == "CATEGORY":
            text += _CATEGORIES[str(item)]
        else:
            text += _escaped(item)
    return f"[{text}]"


def _escaped(code: int) -> str:
    return f"\\U{code:08x}"


@lru_cache(maxsize=256)
def linear_pattern(pattern: str) -> LinearPattern:
    """The pattern of a text, made once.

    Raises:
        ValueError: as :class:`LinearPattern` does.
    """
    return LinearPattern(pattern)


def matches(pattern: str, text: str) -> bool:
    """Whether a pattern of ``re`` matches anywhere in a text that a model may have written.

    Where a group is repeated, which is where backtracking may take exponential time, the automaton looks; only what has
    none (references, lookaround) is left to ``re`` then.
    """
    automaton = _automaton(pattern)
    return re.search(pattern, text) is not None if automaton is None else automaton.search(text)


def match_start(pattern: str, text: str) -> int | None:
    """Where a match begins; None where there is none, or where only the automaton may look, which knows no places."""
    found = re.search(pattern, text) if _automaton(pattern) is None else None
    return found and found.start()


@lru_cache(maxsize=256)
def _automaton(pattern: str) -> LinearPattern | None:
    if not _REPEATED_GROUP.search(pattern):
        return None
    try:
        return linear_pattern(pattern)
    except ValueError:
        return None
