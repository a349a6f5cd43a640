"""Opening hours: a field with a value per weekday, and what a sentence says about days and times."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from evalkit.grading.textual import normalise
from evalkit.records import Json
from evalkit_graders.groundedness.text import places_of, vocabulary, words_of

__all__ = ["Hours", "TimeClaim", "hours_of", "time_claim", "times_of", "times_with_places"]

_TIME = re.compile(
    r"\b(?P<h>\d{1,2})(?:(?P<sep>[:.h])(?P<m>\d{1,2}))?"
    r"(?:\s?(?P<half>[ap])\.?\s?m\b\.?|\s?(?P<clock>uhr|h)\b)?",
    re.IGNORECASE,
)
_TOKEN = re.compile(r"[^\W\d_]{3,12}|\d{1,2}(?:[:.h]\d{1,2})?(?:\s?[ap]\.?\s?m\b|\s?uhr\b|\s?h\b)?|[-–]", re.IGNORECASE)
_THROUGH = frozenset(["-", "–", "to", "through", "thru", "until", "till", "bis", "a", "al", "au", "ao"])
_WORDS = {"noon": 720, "midnight": 0, "mittag": 720, "mitternacht": 0, "midi": 720, "minuit": 0}
_ALL_WEEK = re.compile(
    r"\b(?:(?:seven|7|all) days|every day|each day|round the clock|jeden tag|tous les jours"
    r"|todos los dias|tutti i giorni|todos os dias)\b"
)
_DAY = 1440
_WEEK = 7
_FROM_TO = 2
_MOST_GROUPS = 50


@dataclass(frozen=True, slots=True)
class Hours:
    """Times of each day that has any, in minutes after midnight; a day without a value is closed or not known."""

    days: Mapping[int, frozenset[int]]

    @property
    def times(self) -> frozenset[int]:
        """All times of any day."""
        return frozenset().union(*self.days.values())

    def contradict(self, claims: Iterable[TimeClaim]) -> bool:
        """Whether a claim names a day that has no times, or a time that is not one of its days'."""
        for claim in claims:
            known = claim.days & self.days.keys()
            if len(known) < len(claim.days) or not self.times.issuperset(claim.times):
                return True
            if len(set(claim.times)) == _FROM_TO and any(not self.days[day].issuperset(claim.times) for day in known):
                return True
        return False

    def told(self) -> Json:
        """The times by the number of the day, Monday being 0."""
        return {str(day): ", ".join(f"{t // 60}:{t % 60:02}" for t in sorted(self.days[day])) for day in self.days}


@dataclass(frozen=True, slots=True)
class TimeClaim:
    """Days and times that a sentence puts together; either can be empty."""

    days: frozenset[int]
    times: tuple[int, ...]


def hours_of(value: Json) -> Hours | None:
    """The hours that an object holds: most of its keys are weekdays. None for another."""
    if not isinstance(value, dict) or len(value) < 2:
        return None
    weekdays = places_of("weekdays")
    days = {weekdays[normalise(key)]: item for key, item in value.items() if normalise(key) in weekdays}
    if len(days) < 2 or len(days) < len(value) - 1:
        return None
    return Hours({day: frozenset(times_of(str(item), bare=True)) for day, item in days.items() if item})


def times_of(text: str, *, bare: bool = False) -> list[int]:
    """Times of day in minutes after midnight: ``9:30``, ``9.30 Uhr``, ``7 pm``, ``18h30``.

    Args:
        text: Any text.
        bare: Whether ``9-17`` holds times, as it does in a field of hours.
    """
    return [minutes for _, _, minutes in times_with_places(text, bare=bare)]


def times_with_places(text: str, *, bare: bool = False) -> list[tuple[int, int, int]]:
    """The same, each with where it begins and ends."""
    found = []
    for match in _TIME.finditer(text):
        hour, minute = int(match["h"]), int(match["m"] or 0)
        sign = match["sep"]
        plain = sign is None or (sign == "." and not match["clock"])
        if (plain and not match["half"] and not match["clock"] and not bare) or hour > 24 or minute > 59:
            continue
        if match["half"]:
            hour = hour % 12 + (12 if match["half"] in "pP" else 0)
        found.append((match.start(), match.end(), (hour * 60 + minute) % _DAY))
    return found


def time_claim(text: str) -> list[TimeClaim]:
    """What a sentence says about opening: groups of days with the times beside them.

    Days that a narrower group names as well are told by that one: "nine to five on weekdays, until six on Fridays".
    """
    words = words_of(text)
    if not any(normalise(word) in vocabulary("opening") for word in words):
        return []
    if _ALL_WEEK.search(normalise(text)) or not vocabulary("every_day").isdisjoint(words):
        return [TimeClaim(frozenset(range(_WEEK)), tuple(times_of(text)))]
    claims = _groups(_events(text))[:_MOST_GROUPS]
    return [
        TimeClaim(claim.days.difference(*(o.days for o in claims if len(o.days) < len(claim.days))), claim.times)
        for claim in claims
    ]


def _groups(events: list[frozenset[int] | int]) -> list[TimeClaim]:
    if not events:
        return []
    claims: list[TimeClaim] = []
    days: set[int] = set()
    times: list[int] = []
    first = isinstance(events[0], frozenset)
    for event in events:
        starts = isinstance(event, frozenset) is first
        if starts and (days if not first else times):
            claims.append(TimeClaim(frozenset(days), tuple(times)))
            days, times = set(), []
        if isinstance(event, frozenset):
            days |= event
        else:
            times.append(event)
    return [*claims, TimeClaim(frozenset(days), tuple(times))]


def _events(text: str) -> list[frozenset[int] | int]:
    """Days, ranges of days and times, in order."""
    weekdays = places_of("weekdays")
    found: list[frozenset[int] | int] = []
    last: int | None = None
    through = False
    for match in _TOKEN.finditer(text):
        written = match.group()
        token = normalise(written)
        single = token[:-1] if token.endswith("s") and token[:-1] in weekdays else token
        if single in weekdays and (len(single) > 4 or written[0].isupper()):
            day = weekdays[single]
            if through and last is not None:
                found[-1] = frozenset(_range(last, day))
            else:
                found.append(frozenset([day]))
            last, through = day, False
        elif token in _THROUGH:
            through = last is not None
        elif token in ("weekday", "weekdays"):
            found.append(frozenset(range(5)))
            last, through = None, False
        elif token in ("weekend", "weekends"):
            found.append(frozenset([5, 6]))
            last, through = None, False
        else:
            times = [_WORDS[token]] if token in _WORDS else times_of(written) if token[0].isdigit() else []
            found += times
            if times:
                last = None
            through = False
    return found


def _range(first: int, last: int) -> list[int]:
    return [(first + step) % _WEEK for step in range((last - first) % _WEEK + 1)]
