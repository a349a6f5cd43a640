"""Structured sources, field by field: what a sentence says about a field against what the record holds.

Works on any JSON. A field is named by the words of its key (``OutdoorSeating``, ``outdoor_seating``); flags, choices
and hours have a meaning that can be denied, so a sentence can contradict them. A field whose value is null is known
not to be known.
"""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

from evalkit.grading.textual import normalise
from evalkit.records import Json
from evalkit_graders.groundedness.hours import Hours, hours_of, time_claim
from evalkit_graders.groundedness.polarity import Clause, clauses
from evalkit_graders.groundedness.text import content, stem_of, vocabulary, words_of

__all__ = ["Field", "Finding", "Records", "lines_of_record"]

Verdict = Literal["supported", "contradicted", "unknown"]

_CAMEL = re.compile(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])|[_\-.\s/]+")
_NO = frozenset(("no", "none", "false", "n", "never", "nein", "non", "nao", "unavailable", "not available"))
_YES = frozenset(("yes", "true", "y", "ja", "oui", "si", "sim", "available"))
_INDEX = re.compile(r"\[\d+\]")
_MOST_FIELDS = 5_000
_SHORT = 60
"""Characters of a value that is a choice and no text."""
_DEEPEST = 32


@dataclass(frozen=True, slots=True)
class Field:
    """A field that a sentence can affirm or deny."""

    path: str
    words: tuple[str, ...]
    """Stems that name it, all of which must stand in a clause that speaks of it."""
    joined: str
    """The same as one word: ``takeout``."""
    nested: bool
    """Whether it is one choice of an object of flags; its words may then be said of other things."""
    parents: frozenset[str]
    """Stems of the key of that object."""
    value: bool | str | None


@dataclass(frozen=True, slots=True)
class Finding:
    """What a sentence says about a field."""

    field: str
    value: Json
    verdict: Verdict
    certain: bool = True
    """False where the words may have been said of something else."""


class Records:
    """The records among the sources of a case."""

    def __init__(self) -> None:
        self.fields: list[Field] = []
        self.hours: list[tuple[str, Hours | None]] = []
        self._by_word: defaultdict[str, list[int]] = defaultdict(list)
        self._of_kind: dict[str, int] = {}
        self._mixed: set[int] = set()

    def __bool__(self) -> bool:
        return bool(self.fields or self.hours)

    def add(self, record: Json) -> None:
        """Index a record.

        A field that several objects of a list, or several records, hold with different values is left out: a sentence
        about one of them cannot be told from one about another.
        """
        for field in _fields(record, "", 0):
            if len(self.fields) >= _MOST_FIELDS:
                return
            if isinstance(field, tuple):
                self.hours.append(field)
                continue
            kind = _INDEX.sub("", field.path)
            known = self._of_kind.setdefault(kind, len(self.fields))
            if known < len(self.fields):
                if self.fields[known].value != field.value:
                    self._mixed.add(known)
                continue
            self._by_word[field.words[-1]].append(len(self.fields))
            if field.joined != field.words[-1]:
                self._by_word[field.joined].append(len(self.fields))
            self.fields.append(field)

    def check(self, sentence: str, elsewhere: Counter[str]) -> list[Finding]:
        """What a sentence says about fields.

        Args:
            sentence: A sentence of the answer.
            elsewhere: How many passages of text hold a stem: a nested field is named with certainty by words that
                stand nowhere else.
        """
        if not self:
            return []
        if not vocabulary("unstated").isdisjoint(map(normalise, words_of(sentence))):
            return []
        found: dict[int, Finding] = {}
        whole = frozenset(content(sentence))
        if self.fields:
            for clause in clauses(sentence):
                for number, finding in self._of_clause(clause, whole, elsewhere):
                    # said right in one clause, it was not meant in the other: "valid: no; valid until: 2025-12-31"
                    if number not in found or finding.verdict == "supported":
                        found[number] = finding
        return [*found.values(), *(self._of_hours(sentence) if self.hours else ())]

    def _of_clause(
        self, clause: Clause, whole: frozenset[str], elsewhere: Counter[str]
    ) -> Iterator[tuple[int, Finding]]:
        stems = [stem for word in clause.words if (stem := stem_of(word) or word)]
        held = frozenset(stems) | {f"{one}{two}" for one, two in zip(clause.words, clause.words[1:], strict=False)}
        for number in sorted({number for word in held for number in self._by_word.get(word, ())}):
            field = self.fields[number]
            if number in self._mixed or not (field.joined in held or all(word in held for word in field.words)):
                continue
            verdict = _verdict(field, clause, held)
            elsewhere_too = any(elsewhere[word] for word in field.words)
            certain = not elsewhere_too or (not field.nested and verdict != "unknown") or bool(field.parents & whole)
            yield number, Finding(field.path, field.value, verdict, certain)

    def _of_hours(self, sentence: str) -> Iterator[Finding]:
        claims = [claim for claim in time_claim(sentence) if claim.times or len(claim.days) > 1]
        if not claims:
            return
        found = [(path, hours, hours is not None and hours.contradict(claims)) for path, hours in self.hours]
        if any(hours is not None and not wrong for _, hours, wrong in found):
            found = [item for item in found if item[1] is not None and not item[2]]  # it may speak of this one
        for path, hours, wrong in found:
            if hours is not None:
                yield Finding(path, hours.told(), "contradicted" if wrong else "supported")
            elif any(claim.times for claim in claims):
                yield Finding(path, None, "unknown")


def _verdict(field: Field, clause: Clause, held: frozenset[str]) -> Verdict:
    if field.value is None:
        return "unknown"
    if isinstance(field.value, str):
        return "contradicted" if clause.negated and not set(content(field.value)) & held else "supported"
    return "supported" if field.value is not clause.negated else "contradicted"


def _fields(value: Json, path: str, depth: int) -> Iterator[Field | tuple[str, Hours | None]]:
    """All fields of a record, depth first."""
    if depth > _DEEPEST:
        return
    if isinstance(value, list):
        for place, item in enumerate(value):
            yield from _fields(item, f"{path}[{place}]", depth + 1)
        return
    if not isinstance(value, dict):
        return
    shared = Counter(word for key in value for word in set(_key_words(key)))
    flags = sum(isinstance(item, bool) for item in value.values())
    last = path.rpartition(".")[2]
    for key, item in value.items():
        here = f"{path}.{key}" if path else key
        hours = hours_of(item)
        if hours is not None or (item is None and "hour" in key.lower()):
            yield here, hours
            continue
        if isinstance(item, (dict, list)):
            yield from _fields(item, here, depth + 1)
            continue
        meaning = _meaning(item)
        words = [word for word in _key_words(key) if shared[word] == 1] or _key_words(key)
        if meaning is _NOTHING or not words:
            continue
        nested = bool(path) and flags == len(value)
        yield Field(here, tuple(words), "".join(_parts(key)), nested,
                    frozenset(_key_words(last)), meaning)  # type: ignore[arg-type]  # fmt: skip


_NOTHING = object()


def _meaning(item: Json) -> object:
    """True, False, None for not known, or a choice; ``_NOTHING`` for numbers and texts, which are checked as such."""
    if item is None or isinstance(item, bool):
        return item
    if not isinstance(item, str) or len(item) > _SHORT or not item.strip() or any(map(str.isdigit, item)):
        return _NOTHING
    plain = item.strip().lower()
    if plain in _NO:
        return False
    if plain in _YES:
        return True
    return item if len(words_of(item)) == 1 and item[0].islower() else _NOTHING


def _parts(key: str) -> list[str]:
    return [part.lower() for part in _CAMEL.split(key) if part]


def _key_words(key: str) -> list[str]:
    """Stems of a key's words that say what it is about."""
    light = vocabulary("key_words")
    return [stem_of(part) or part for part in _parts(key) if part not in light]


def lines_of_record(value: Json) -> Iterator[tuple[str, bool]]:
    """A record as text: an object's short fields in one line (True), each long text by itself."""
    stack: list[tuple[str, Json]] = [("", value)]
    while stack:
        name, item = stack.pop()
        if isinstance(item, dict):
            short = [f"{_spoken(key)}: {_scalar(part)}" for key, part in item.items() if _is_short(part)]
            if short:
                yield f"{_spoken(name)} {', '.join(short)}".strip(), True
            stack += [(key, part) for key, part in reversed(list(item.items())) if not _is_short(part)]
        elif isinstance(item, list):
            if all(_is_short(part) for part in item):
                yield f"{_spoken(name)}: {', '.join(_scalar(part) for part in item)}", True
            else:
                stack += [(name, part) for part in reversed(item)]
        else:
            yield _scalar(item), False


def _is_short(item: Json) -> bool:
    return not isinstance(item, (dict, list)) and len(str(item)) <= 2 * _SHORT


def _scalar(item: Json) -> str:
    return str(item).lower() if isinstance(item, bool) else "" if item is None else str(item)


def _spoken(key: str) -> str:
    return " ".join(part for part in _CAMEL.split(key) if part)
