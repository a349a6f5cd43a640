"""promptfoo's assertions as expectations of a case.

=======================================  ============================================================
assertion                                becomes
=======================================  ============================================================
equals                                   the reference answer, and a fact
contains, icontains                      a fact
contains-all, icontains-all              a fact for each text
contains-any, icontains-any              one fact with several wordings
not-contains, not-icontains              a forbidden text
not-contains-any, not-icontains-any      a forbidden text each
is-refusal                               behaviour ``refuse``
not-is-refusal                           behaviour ``answer``
assert-set without a threshold           what it holds
any other                                nothing, and the notes count it
=======================================  ============================================================

Assertions whose value is a template, whose output is transformed, or that never fail a test
(``weight: 0``, ``metricOnly``) are noted and not taken over.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

from evalkit.goldens.importers import fields
from evalkit.goldens.importers.notes import Notes
from evalkit.goldens.source import Place
from evalkit.records import Behaviour, Expectation, Json

__all__ = ["Checks", "is_template"]

_TEMPLATE = re.compile(r"\{\{|\{%")
_FIELD = re.compile(r'\s*(?:"((?:""|\\["\\]|[^"])*)"\s*|([^,]*))(?:,|$)')
_ALL = frozenset({"contains", "contains-all"})
_FORBIDDEN = frozenset({"not-contains", "not-contains-any"})
_REFERENCE = "#/assertionTemplates/"
_MAX_SETS = 5


def is_template(text: str) -> bool:
    """Whether promptfoo would render a text before it uses it."""
    return _TEMPLATE.search(text) is not None


class Checks:
    """Gathers what the assertions of one test expect.

    Args:
        templates: The ``assertionTemplates`` of the file, by name.
        notes: Gains what is not taken over.
    """

    def __init__(self, templates: Mapping[str, Json], notes: Notes) -> None:
        self._templates = templates
        self._notes = notes
        self._facts: list[tuple[str, ...]] = []
        self._forbidden: list[str] = []
        self._answer: str | None = None
        self._refusal: set[Behaviour] = set()

    def expectation(self, place: Place) -> Expectation:
        """All of it as one expectation.

        Raises:
            GoldenSetError: when the test wants a refusal and none.
        """
        if len(self._refusal) > 1:
            raise place.at("assert").error("both is-refusal and not-is-refusal", fix="keep one of them")
        return Expectation(
            behaviour=next(iter(self._refusal), "answer"),
            facts=tuple(dict.fromkeys(self._facts)),
            forbidden=tuple(dict.fromkeys(self._forbidden)),
            answer=self._answer,
        )

    def take(self, assertions: Sequence[Json], place: Place, depth: int = 0) -> None:
        """Take over a list of assertions.

        Raises:
            GoldenSetError: for an assertion without a type, a value that its type cannot have, or sets
                in sets without end.
        """
        if depth > _MAX_SETS:
            raise place.error(f"assertion sets in more than {_MAX_SETS} levels", fix="write the assertions as one list")
        for index, item in enumerate(assertions):
            assertion, here = self._resolve(item, place.at(index)), place.at(index)
            kind = assertion.get("type")
            if not isinstance(kind, str) or not kind:
                raise here.at("type").error("the assertion has no type", item, fix="write `type: contains` or another")
            if kind == "assert-set" and assertion.get("threshold") is None:
                inner = assertion.get("assert")
                if not isinstance(inner, list):
                    raise here.at("assert").error("this must be a list", inner, fix="write the assertions of the set")
                self.take(inner, here.at("assert"), depth + 1)
            elif not self._assertion(kind, assertion, here):
                shown = fields.named(kind)
                self._notes.count(
                    f"1 assertion of type {shown} was not taken over",
                    f"# assertions of type {shown} were not taken over",
                )

    def _resolve(self, item: Json, place: Place) -> Mapping[str, Json]:
        reference = item.get("$ref") if isinstance(item, dict) else None
        if reference is not None:
            name = reference.removeprefix(_REFERENCE) if isinstance(reference, str) else None
            item = self._templates.get(name) if name is not None else None
            if item is None:
                raise place.at("$ref").error("no such assertion template", reference, fix="paste the assertion here")
        if not isinstance(item, dict):
            raise place.error("an assertion is an object", item, fix="write `type:` and `value:`")
        return item

    def _assertion(self, kind: str, assertion: Mapping[str, Json], place: Place) -> bool:
        """Whether the assertion was taken over, or another note already says why not."""
        if kind in ("is-refusal", "not-is-refusal"):
            self._refusal.add("refuse" if kind == "is-refusal" else "answer")
            return True
        base = kind.replace("icontains", "contains", 1)
        if base not in _ALL | _FORBIDDEN | {"equals", "contains-any"}:
            return False
        value = assertion.get("value")
        if base == "equals" and isinstance(value, (dict, list)):
            return False
        why_not = _not_comparable(assertion)
        if why_not:
            self._notes.count(
                f"1 assertion was not taken over: {why_not}", f"# assertions were not taken over: {why_not}"
            )
            return True
        wordings = self._wordings(value, place.at("value"), several=base.endswith(("-any", "-all")))
        self._notes.add(
            "texts are looked for as whole words, whatever the case, accents and punctuation; promptfoo compares "
            "characters"
        )
        if base in _FORBIDDEN:
            self._forbidden += wordings
        elif base == "contains-any":
            self._facts.append(wordings)
        else:
            self._facts += [(wording,) for wording in wordings]
        if base == "equals":
            self._answer = wordings[0]
        return True

    def _wordings(self, value: Json, place: Place, *, several: bool) -> tuple[str, ...]:
        if fields.is_missing(value) or value == []:
            raise place.error("the assertion has no value", value, fix="write the text it looks for")
        if several and isinstance(value, str):
            wordings = _comma_separated(value, place)
        elif several and isinstance(value, list):
            wordings = fields.texts(value, place)
        else:
            wordings = (fields.text(value, place),)
        if any(wording.startswith("file://") for wording in wordings):
            raise place.error("the value stands in another file", value, fix="paste it here")
        return wordings


def _not_comparable(assertion: Mapping[str, Json]) -> str | None:
    value = assertion.get("value")
    if any(isinstance(item, str) and is_template(item) for item in (value if isinstance(value, list) else [value])):
        return "the value is a template"
    if assertion.get("transform") is not None:
        return "the output is transformed first"
    if assertion.get("weight") == 0 or assertion.get("metricOnly") is True:
        return "it never fails a test"
    return None


def _comma_separated(text: str, place: Place) -> tuple[str, ...]:
    """Texts with commas between them; quotes keep a comma inside a text."""
    found = []
    for quoted, bare in _FIELD.findall(text.strip()):
        if bare.startswith('"'):
            raise place.error("a quote is not closed", text, fix="write the texts as a list")
        part = re.sub(r'""|\\(["\\])', lambda match: match.group(1) or '"', quoted) if quoted else bare.strip()
        if part:
            found.append(part)
    return tuple(found)
