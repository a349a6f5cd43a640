"""When an argument is one of the accepted values, and where it is not, the first place where it differs."""

from __future__ import annotations

import json
import re
import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

from evalkit.records import Json

__all__ = ["Equality", "NumberMode", "TextMode", "Unlike", "kind_of", "short", "shown", "unlike"]

TextMode: TypeAlias = Literal["normalised", "lenient", "exact"]
NumberMode: TypeAlias = Literal["equal", "strict"]

_LIGHT = re.compile(r"[ ,./\-_*^]")
_QUOTES = str.maketrans("‘’‚“”„«»`´", "'''\"\"\"\"\"''")
_KINDS: dict[type, str] = {
    bool: "boolean", int: "number", float: "number", str: "string", type(None): "null", list: "array", tuple: "array",
}  # fmt: skip
_LONGEST = 80


@dataclass(frozen=True, slots=True)
class Equality:
    """How values are compared.

    Args:
        text: ``normalised``: without case, with Unicode's compatible forms, blanks and quotation marks made one;
            ``lenient``: without case, blanks and ``,./-_*^``, as the Berkeley Function Calling Leaderboard has it;
            ``exact``: character by character.
        numbers: ``equal``: 5 and 5.0 are one number, as in JSON Schema; ``strict``: a float is no integer and an
            integer no float, unless the schema wants or the case accepts such a one; an integer given directly for a
            number is a float, as in that leaderboard's checker.
    """

    text: TextMode = "normalised"
    numbers: NumberMode = "equal"

    def same(self, given: Json, wanted: Json, declared: Json = None) -> bool:
        """Whether a value is the wanted one. ``declared`` is the schema of the place that it stands in."""
        if isinstance(given, str):
            return isinstance(wanted, str) and (given == wanted or self._same_text(given, wanted))
        if isinstance(given, bool) or isinstance(wanted, bool):
            return given is wanted
        if isinstance(given, (int, float)):
            return isinstance(wanted, (int, float)) and given == wanted and self.fits(given, wanted, declared)
        if isinstance(given, (list, tuple)):
            if not isinstance(wanted, (list, tuple)) or len(given) != len(wanted):
                return False
            inner = _items(declared)
            return all(self.same(a, b, inner) for a, b in zip(given, wanted, strict=True))
        if isinstance(given, Mapping):
            if not isinstance(wanted, Mapping) or given.keys() != wanted.keys():
                return False
            return all(self.same(given[key], wanted[key], _property(declared, key)) for key in wanted)
        return given is None and wanted is None

    def fits(self, given: float, wanted: Json, declared: Json) -> bool:
        """Whether a number is of the right type: of the declared one or that of the accepted value."""
        if self.numbers == "equal" or type(given) is type(wanted):
            return True
        kind = declared.get("type") if isinstance(declared, Mapping) else None
        return kind == ("number" if isinstance(given, float) else "integer")

    def _same_text(self, given: str, wanted: str) -> bool:
        if self.text == "exact":
            return False
        plain = _lenient if self.text == "lenient" else _normalised
        return plain(given) == plain(wanted)


def _lenient(text: str) -> str:
    return _LIGHT.sub("", text).lower().replace("'", '"')


def _normalised(text: str) -> str:
    return " ".join(unicodedata.normalize("NFKC", text.translate(_QUOTES)).casefold().split())


def _items(schema: Json) -> Json:
    return schema.get("items") if isinstance(schema, Mapping) else None


def _property(schema: Json, name: str) -> Json:
    properties = schema.get("properties") if isinstance(schema, Mapping) else None
    return properties.get(name) if isinstance(properties, Mapping) else None


def kind_of(value: Json) -> str:
    """The JSON type of a value: number for integers too."""
    return _KINDS.get(type(value), "object")


@dataclass(frozen=True, slots=True)
class Unlike:
    """The first place where a value is none of the accepted ones."""

    label: Literal["wrong_value", "wrong_type"]
    path: str
    """Below the argument: ``.street`` or ``[2].amount``; empty for the argument itself."""
    text: str
    """``expected 100 or 100.0, got "100"``."""


def unlike(given: Json, accepted: tuple[Json, ...], equality: Equality, declared: Json = None) -> Unlike:
    """Explain why ``given`` is none of ``accepted``, inside of it where only one value is accepted."""
    path = ""
    while len(accepted) == 1:
        found = _first_inside(given, accepted[0], equality, declared)
        if found is None:
            break
        step, given, inner, declared = found
        path, accepted = path + step, (inner,)
    named = list(dict.fromkeys(shown(value) for value in accepted))
    wanted = " or ".join(named[:3]) + (f" or {len(named) - 3} others" if len(named) > 3 else "")
    kinds = {kind_of(value) for value in accepted if value is not _ABSENT}
    text = f"expected {wanted or 'to be left out'}, got {shown(given)}"
    if kinds and given is not _ABSENT and kind_of(given) not in kinds:
        return Unlike("wrong_type", path, text)
    if any(_is_number(value) and value == given and not equality.fits(given, value, declared) for value in accepted):
        return Unlike("wrong_type", path, f"{text}: {'a float' if isinstance(given, float) else 'an integer'}")
    return Unlike("wrong_value", path, text)


class _Absent:
    """Stands where a key is not there."""


_ABSENT = _Absent()


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def _first_inside(given: Json, wanted: Json, equality: Equality, declared: Json) -> tuple[str, Json, Json, Json] | None:
    """Step, value, wanted value and schema of the first part that differs; None where the whole is best shown."""
    if isinstance(given, Mapping) and isinstance(wanted, Mapping):
        for key in [*wanted, *(key for key in given if key not in wanted)]:
            inner = _property(declared, key)
            a, b = given.get(key, _ABSENT), wanted.get(key, _ABSENT)
            if a is _ABSENT or b is _ABSENT or not equality.same(a, b, inner):
                return f".{short(str(key), 40)}", a, b, inner
    if isinstance(given, (list, tuple)) and isinstance(wanted, (list, tuple)) and len(given) == len(wanted):
        inner = _items(declared)
        for index, (a, b) in enumerate(zip(given, wanted, strict=True)):
            if not equality.same(a, b, inner):
                return f"[{index}]", a, b, inner
    return None


def shown(value: Json) -> str:
    """A value as JSON, cut where it is long."""
    if value is _ABSENT:
        return "nothing"
    try:
        text = json.dumps(
            value[: _LONGEST + 1] if isinstance(value, str) else value, ensure_ascii=False, default=_plain
        )
    except (TypeError, ValueError, RecursionError):
        return f"a value of type {kind_of(value)}"
    return short(text, _LONGEST)


def _plain(value: Any) -> Any:
    return dict(value) if isinstance(value, Mapping) else repr(value)[:_LONGEST]


def short(text: str, limit: int = 60) -> str:
    """A name or a value as it is shown."""
    return text if len(text) <= limit else text[: limit - 1] + "…"
