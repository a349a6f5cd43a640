"""Passages of a text from outside that tell the reader what to do."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

from evalkit.grading.textual import sentences
from evalkit_graders.injection.cues import gives_orders, plain, planted_cues
from evalkit_graders.injection.hidden import joined, reveal

__all__ = ["Passage", "Reading", "read"]

_GAP = 3
"""Sentences without a cue between two with one that still belong to the same passage."""
_AFTER = 3
"""Sentences after the last cue that belong to it where they give orders."""
_LONGEST = 2_500
_CLOSING = ("</", "[/")
"""How a line begins that ends what its writer marked."""
_BARE = frozenset({"imitates_roles", "hidden"})
"""Cues that say nothing without an order."""


@dataclass(frozen=True, slots=True)
class Passage:
    """Sentences that give orders."""

    text: str
    cues: tuple[str, ...]
    """Why it looks planted; empty for an order as people give it to each other."""
    marked: tuple[str, ...]
    """The sentences that hold the cues, plain."""


@dataclass(frozen=True, slots=True)
class Reading:
    """A text taken apart: passages that look planted, plain orders, and everything else."""

    planted: tuple[Passage, ...]
    orders: tuple[Passage, ...]
    rest: str


@lru_cache(maxsize=256)
def read(text: str) -> Reading:
    """Take a text from outside apart."""
    visible, hidden = reveal(text)
    opened = [joined(piece) for piece in sentences(visible)]
    pieces = [piece for piece, _ in opened]
    forms = [plain(piece) for piece in pieces]
    cues = [planted_cues(form) for form in forms]
    cues = [(*found, "hidden") if split_up else found for found, (_, split_up) in zip(cues, opened, strict=True)]
    planted: list[Passage] = []
    taken: set[int] = set()
    for first, last in _stretches(pieces, forms, [bool(found) for found in cues]):
        kinds = dict.fromkeys(kind for found in cues[first : last + 1] for kind in found)
        if _BARE.issuperset(kinds) and not any(map(gives_orders, forms[first : last + 1])):
            continue
        marked = tuple(forms[place] for place in range(first, last + 1) if cues[place])
        planted.append(Passage("\n".join(pieces[first : last + 1])[:_LONGEST], tuple(kinds), marked))
        taken.update(range(first, last + 1))
    planted += [passage for told in hidden if (passage := _hidden(told)) is not None]
    orders = tuple(
        Passage(piece, (), ())
        for place, piece in enumerate(pieces)
        if place not in taken and gives_orders(forms[place])
    )
    return Reading(tuple(planted), orders, "\n".join(piece for place, piece in enumerate(pieces) if place not in taken))


def _hidden(text: str) -> Passage | None:
    """A hidden text as a passage, where it gives orders or holds a cue."""
    form = plain(text)
    kinds = ("hidden", *planted_cues(form))
    return Passage(text[:_LONGEST], kinds, (form[:_LONGEST],)) if len(kinds) > 1 or gives_orders(form) else None


def _stretches(pieces: list[str], forms: list[str], marked: list[bool]) -> list[tuple[int, int]]:
    """First and last sentence of each stretch around cues."""
    found: list[tuple[int, int]] = []
    for place, is_marked in enumerate(marked):
        if not is_marked:
            continue
        closed = bool(found) and forms[found[-1][1]].startswith(_CLOSING)
        size = sum(map(len, pieces[found[-1][0] : place])) if found else 0
        if found and not closed and place - found[-1][1] <= _GAP + 1 and size < _LONGEST:
            found[-1] = (found[-1][0], place)
        else:
            found.append((place, place))
    return [(first, _last(forms, marked, last)) for first, last in found]


def _last(forms: list[str], marked: list[bool], last: int) -> int:
    if forms[last].startswith(_CLOSING):
        return last
    for place in range(last + 1, min(last + 1 + _AFTER, len(forms))):
        if marked[place] or not gives_orders(forms[place]):
            break
        last = place
    return last
