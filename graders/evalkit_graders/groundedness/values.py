"""Numbers, dates and names of a text, each in one form whatever way it is written."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache

from evalkit.grading.textual import normalise, numbers
from evalkit_graders.groundedness.text import places_of

__all__ = ["Date", "canonical_number", "dates", "names", "numbers_of", "without"]

_YEAR = r"(?:,?\s{1,2}(?:del?\s)?(?P<NAME>[12]\d{3})\b)?"
_DAY = r"\d{1,2}(?:st|nd|rd|th|er|º|\.)?"
_DAYS = rf"{_DAY}(?:\s?(?:-|–|,|&|and|und|et|y|to|bis|e)\s?{_DAY}){{0,3}}"
_NAMED = re.compile(
    rf"\b(?P<m1>[^\W\d_]{{3,10}})\.?\s{{1,2}}(?P<d1>{_DAYS})(?!\d)(?![.,:]\d)" + _YEAR.replace("NAME", "y1")
    + rf"|\b(?P<d2>{_DAYS})\s{{1,2}}(?:(?:of|de)\s)?(?P<m2>[^\W\d_]{{3,10}})\b\.?" + _YEAR.replace("NAME", "y2")
)  # fmt: skip
_ISO = re.compile(r"\b(?P<y>[12]\d{3})-(?P<m>\d{1,2})-(?P<d>\d{1,2})(?!\d)")
_FIGURES = re.compile(r"\b(?P<a>\d{1,2})(?P<sep>[./])\s?(?P<b>\d{1,2})(?P=sep)\s?(?P<y>\d{4}|\d{2})(?!\d)")
_DIGITS = re.compile(r"\d{1,2}")
_CAPITAL = re.compile(r"[^\W\d_]{2,40}")
_BEFORE = 8
"""Characters in which the end of the sentence before would be seen."""
_COUNT_WORD = re.compile(r"[^\W\d_]{3,8}")


@dataclass(frozen=True, slots=True)
class Date:
    """A day of a month, with its year where one is written."""

    month: int
    day: int
    year: int | None = None

    def fits(self, other: Date) -> bool:
        """Whether both can be the same day."""
        return (self.month, self.day) == (other.month, other.day) and (
            self.year is None or other.year is None or self.year == other.year
        )


def dates(text: str) -> list[tuple[int, int, tuple[Date, ...]]]:
    """Dates with their place in the text; several where it can be read in two ways, or names several days."""
    found: list[tuple[int, int, tuple[Date, ...]]] = []
    for match in _ISO.finditer(text):
        _add(found, match, [(int(match["m"]), int(match["d"]), int(match["y"]))])
    for match in _FIGURES.finditer(text):
        year = int(match["y"]) if len(match["y"]) == 4 else 2000 + int(match["y"])
        first, second = int(match["a"]), int(match["b"])
        ways = [(second, first, year)] + ([(first, second, year)] if match["sep"] == "/" else [])
        _add(found, match, ways)
    months = places_of("months")
    for match in _NAMED.finditer(text):
        month = months.get(normalise(match["m1"] or match["m2"]))
        if month is None:
            continue
        written = match["y1"] or match["y2"]
        days = [int(day) for day in _DIGITS.findall(match["d1"] or match["d2"])]
        _add(found, match, [(month + 1, day, int(written) if written else None) for day in days])
    return found


def _add(
    found: list[tuple[int, int, tuple[Date, ...]]], match: re.Match[str], ways: Sequence[tuple[int, int, int | None]]
) -> None:
    good = tuple(Date(month, day, year) for month, day, year in ways if 1 <= month <= 12 and 1 <= day <= 31)
    if good:
        found.append((match.start(), match.end(), good))


def without(text: str, places: Iterable[tuple[int, int]]) -> str:
    """The text without what stands at these places."""
    pieces, place = [], 0
    for start, end in sorted(places):
        pieces.append(text[place:start])
        place = max(place, end)
    return " ".join([*pieces, text[place:]])


def numbers_of(text: str) -> list[str]:
    """Numbers of a text in one form, and those from two to twelve that are written as words."""
    found = [canonical_number(number) for number in numbers(text)] if any(map(str.isdigit, text)) else []
    found += [str(count) for count in map(_count_of, _COUNT_WORD.findall(text)) if count > 1]
    return found


@lru_cache(maxsize=65_536)
def _count_of(word: str) -> int:
    return places_of("counts").get(normalise(word), 0)


def canonical_number(number: float) -> str:
    """Six digits, as a person would write it."""
    return f"{number:.6g}"


def names(text: str) -> list[str]:
    """Words that have a capital inside a sentence, in lower case: names, but in German any noun."""
    found = []
    for match in _CAPITAL.finditer(text):
        word = match.group()
        if not word[0].isupper():
            continue
        before = text[max(0, match.start() - _BEFORE) : match.start()].rstrip(" \t\"'“„«(*")[-1:]
        if before and before not in ".!?:\n•-–—|#>":
            found.append(normalise(word))
    return found
