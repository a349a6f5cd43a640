"""Numbers as people and models write them, with their units: ``1.234,56 €``, ``12 %``, ``1.2e3``, ``3/4``."""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cache
from typing import Literal, TypeAlias

from evalkit.language import plain_number
from evalkit.language.units import Unit, unit_after, unit_before, unit_of
from evalkit.records import AnswerMatch
from evalkit_graders.answer.marked import marked

__all__ = ["Quantity", "Taken", "chosen", "fits", "quantities"]

Taken: TypeAlias = Literal["marked", "last", "only"]
"""Which number of an answer is the answer; see :func:`chosen`."""

_GROUPS = "'’\u00a0\u2009\u202f "
_SIGN = r"(?:(?<![\w)\]])[-−+])?"
_DIGITS = r"\d{1,3}(?:['’\u00a0\u2009\u202f ]\d{3}){1,8}(?![\d])(?:[.,]\d{1,30})?|\d[\d.,]{0,40}\d|\d"
_TOKEN = re.compile(
    rf"(?:(?<![A-Za-zÀ-ɏ0-9_.,])|(?<=EUR)|(?<=USD)|(?<=GBP)|(?<=CHF))(?<![A-Za-z]-)(?P<sign>{_SIGN})[$€£¥]?\s?(?P<digits>{_DIGITS})"
    r"(?P<power>[eE][-+]?\d{1,3}(?![\w])|\s?(?:×|·|\\times|\*|x)\s?10\^\{?[-−+]?\d{1,3}\}?)?"
    r"(?P<over>/\d{1,12}(?![\d/]))?"
)
_LATEX = re.compile(r"(?P<sign>-?)\\[dt]?frac\{(?P<top>-?\d{1,15})\}\{(?P<bottom>\d{1,15})\}")
_DATE_OR_TIME = re.compile(r"(?<!\d)(?:\d{1,4}([./-])\d{1,2}\1\d{1,4}|\d{1,2}:\d{2}(?::\d{2})?)(?!\d)")
"""Also versions and sections, ``3.5.1``: none of them is a number."""
_HALVES = {"½": " 1/2", "¼": " 1/4", "¾": " 3/4"}
_MULTIPLIERS = {
    1e3: "thousand tausend mille mil mila k",
    1e6: "million millions millionen mio mio. millón millones milione milioni milhão milhões",
    1e9: "billion billions milliarde milliarden mrd mrd. milliard milliards miliardo miliardi bilhão bilhões",
}
_WORDS = (
    "zero one two three four five six seven eight nine ten eleven twelve",
    "null eins zwei drei vier fünf sechs sieben acht neun zehn elf zwölf",
    "zéro un deux trois quatre cinq six sept huit neuf dix onze douze",
    "cero uno dos tres cuatro cinco seis siete ocho nueve diez once doce",
    "zero uno due tre quattro cinque sei sette otto nove dieci undici dodici",
    "zero um dois três quatro cinco seis sete oito nove dez onze doze",
)
_POINT_LANGUAGES = frozenset({"en", "zh", "ja", "ko", "th", "hi", "he"})
_WORD = re.compile(r"[^\W\d_]{2,12}")
_SLACK = 1e-9
"""What conversion and binary fractions may cost."""


@dataclass(frozen=True, slots=True)
class Quantity:
    """A number in a text."""

    value: float
    unit: Unit | None
    text: str


@cache
def _word_values() -> dict[str, float]:
    return {word: float(value) for words in _WORDS for value, word in enumerate(words.split())}


@cache
def _multipliers() -> dict[str, float]:
    return {word: factor for factor, words in _MULTIPLIERS.items() for word in words.split()}


def quantities(text: str, locale: str = "en") -> list[Quantity]:
    """The numbers of a text with their units, in order; number words, up to twelve, only where no digit stands.

    Dates, times of day and identifiers are no numbers.

    A single separator before three digits is ambiguous: between one and three digits the locale says whether it groups,
    except in amounts of money, where it does.

    Args:
        text: The text.
        locale: Language tag of the case.
    """
    for sign, written in _HALVES.items():
        text = text.replace(sign, written)
    text = _DATE_OR_TIME.sub(" ", text.replace("\\%", "%").replace("\\$", "$"))
    found = [*_latex(text), *_written(_LATEX.sub(" ", text), locale)]
    if found:
        return found
    words = ((_word_values().get(match.group().casefold()), match) for match in _WORD.finditer(text))
    return [
        Quantity(value, unit_after(text, match.end())[0], match.group()) for value, match in words if value is not None
    ]


def _latex(text: str) -> list[Quantity]:
    found = []
    for match in _LATEX.finditer(text):
        bottom = int(match["bottom"])
        if bottom:
            value = int(match["top"]) / bottom
            found.append(Quantity(-value if match["sign"] else value, unit_after(text, match.end())[0], match.group()))
    return found


def _written(text: str, locale: str) -> list[Quantity]:
    found: list[Quantity] = []
    whole: tuple[int, float] | None = None
    for match in _TOKEN.finditer(text):
        before = unit_before(text, match.start()) or unit_before(text, match.start("digits"))
        place, factor = _multiplier(text, match.end())
        after, end = unit_after(text, place)
        unit = after or before
        money = unit is not None and unit.family.isupper() and len(unit.family) == 3
        value = _value(match["digits"], locale, money=money) * factor * _power(match["power"])
        if match["over"]:
            bottom = int(match["over"][1:])
            if not bottom:
                continue
            value /= bottom
            if whole is not None and text[whole[0] : match.start()] == " " and value < 1:
                value += whole[1]
                found.pop()
        signed = -value if match["sign"] in {"-", "−"} else value
        whole = (match.end(), value) if match["digits"].isdigit() and not match["over"] else None
        found.append(Quantity(signed, unit, text[match.start() : end].strip()))
    return found


def _power(text: str | None) -> float:
    if not text:
        return 1.0
    digits = re.search(r"[-−+]?\d+(?=\}?$)", text)
    return 10.0 ** int(digits.group().replace("−", "-")) if digits else 1.0


def _multiplier(text: str, place: int) -> tuple[int, float]:
    match = re.compile(r"[ \u00a0\u202f]?([^\W\d_]{1,10}\.?)(?![^\W\d_])").match(text, place)
    if match is None:
        return place, 1.0
    for word in (match.group(1), match.group(1).rstrip(".")):
        factor = _multipliers().get(word.casefold())
        if factor is not None:
            return match.start(1) + len(word), factor
    return place, 1.0


def _value(digits: str, locale: str, *, money: bool) -> float:
    plain = digits
    for sign in _GROUPS:
        plain = plain.replace(sign, "")
    grouped = plain != digits
    separators = [sign for sign in plain if sign in ".,"]
    if len(separators) == 1:
        whole, _, rest = plain.partition(separators[0])
        if grouped:
            return float(_western(f"{whole}.{rest}"))
        if len(rest) == 3 and len(whole) <= 3 and whole.strip("0") and not money:
            decimal = "." if locale[:2] in _POINT_LANGUAGES or locale == "de-CH" else ","
            return float(_western(f"{whole}.{rest}" if separators[0] == decimal else whole + rest))
    return float(plain_number(plain))


def _western(text: str) -> str:
    """A number with a point for its fraction and digits of any script as Python reads it."""
    whole, _, rest = text.partition(".")
    return f"{int(whole)}.{rest and ''.join(str(int(digit)) for digit in rest)}"


def chosen(answer: str, match: AnswerMatch, taken: Taken, locale: str) -> Quantity | None:
    """The number of an answer that is to be compared; None where it holds none, or more than one for ``only``.

    ``marked``
        The first number of what the answer marks as final (:func:`evalkit_graders.answer.marked.marked`), of bold text
        too; else as ``last``.
    ``last``
        The last number, as the answers of GSM8K are read; with a unit, the last that has one of its family, else the
        last without any unit, else the last.
    ``only``
        The only number; several of one value count as one.
    """
    wanted = unit_of(match.unit) if match.unit else None
    if taken == "marked":
        final = marked(answer)
        found = quantities(final, locale) if final else []
        if found:
            return next((item for item in found if _same_family(item, wanted)), found[0])
    found = quantities(answer, locale)
    if not found:
        return None
    if taken == "only":
        values = {(item.value, item.unit) for item in found}
        return found[0] if len(values) == 1 else None
    if wanted is None:
        return found[-1]
    same = [item for item in found if _same_family(item, wanted)]
    without = [item for item in found if item.unit is None]
    return (same or without or found)[-1]


def _same_family(item: Quantity, wanted: Unit | None) -> bool:
    return wanted is None or (item.unit is not None and item.unit.family == wanted.family)


def fits(found: Quantity, match: AnswerMatch, *, bare: bool) -> str:
    """Why a number is not the expected one: ``wrong_unit`` or ``wrong_number``; empty where it is.

    Args:
        found: The number.
        match: What it must be; its value is one.
        bare: Whether a number without a unit counts as one in the expected unit.
    """
    if match.value is None:
        raise ValueError("expect.match.value is missing: the number that is right")
    value = found.value
    wanted = unit_of(match.unit) if match.unit else None
    if match.unit and wanted is None:
        raise ValueError(f"expect.match.unit `{match.unit}` is no unit that is known")
    if wanted is not None:
        if found.unit is None:
            if not bare:
                return "wrong_unit"
        elif found.unit.family != wanted.family:
            return "wrong_unit"
        else:
            value *= found.unit.factor / wanted.factor
    allowed = max(match.tolerance, match.relative * abs(match.value)) + _SLACK * max(abs(match.value), abs(value))
    return "" if abs(value - match.value) <= allowed else "wrong_number"
