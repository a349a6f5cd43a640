"""Rubrics: what is judged, by which criteria, on which levels."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal, TypeAlias

__all__ = ["BUILT_IN", "Criterion", "Needs", "Rubric", "make_rubric"]

Needs: TypeAlias = Literal["sources", "reference"]
"""What a case must have for a rubric to apply: documents or tool results; a reference answer."""


@dataclass(frozen=True, slots=True)
class Criterion:
    """One thing that is judged. Levels are whole numbers, the highest is the best."""

    name: str
    about: str
    levels: Mapping[int, str]
    """What a level stands for; a level between the lowest and the highest may have no text."""

    @property
    def lowest(self) -> int:
        """The worst level."""
        return min(self.levels)

    @property
    def highest(self) -> int:
        """The best level."""
        return max(self.levels)

    def share(self, level: int) -> float:
        """A level between 0 and 1."""
        return (level - self.lowest) / (self.highest - self.lowest)


@dataclass(frozen=True, slots=True)
class Rubric:
    """Criteria that count the same."""

    name: str
    version: str
    criteria: tuple[Criterion, ...]
    needs: tuple[Needs, ...] = field(default=())

    @property
    def plain(self) -> list[object]:
        """As JSON, for a fingerprint."""
        criteria = [[item.name, item.about, sorted(item.levels.items())] for item in self.criteria]
        return [self.name, self.version, criteria, list(self.needs)]


def _one(name: str, version: str, about: str, levels: Sequence[str], *needs: Needs) -> Rubric:
    numbered = dict(enumerate(levels, 1))
    return Rubric(name, version, (Criterion(name, about, numbered),), needs)


BUILT_IN: Mapping[str, Rubric] = {
    rubric.name: rubric
    for rubric in (
        _one(
            "helpful", "1",
            "Does the answer do what the person asked for, wholly and to the point? Length is no merit of its own, and "
            "neither are politeness, formatting or confidence.",
            (
                "It does not do what was asked, or is wrong on it.",
                "It touches what was asked, but most of what the person needs is missing or wrong.",
                "It does a good part of what was asked; something that the person needs is missing or wrong.",
                "It does what was asked, with small gaps or with matter that is not to the point.",
                "It does all that was asked, rightly and to the point.",
            ),
        ),
        _one(
            "faithful", "1",
            "Is every statement of the answer supported by the documents, the tool results or the person's own words? "
            "Whether a statement is true in the world does not count, nor whether the answer is complete.",
            (
                "It contradicts the sources, or most of it has no support in them.",
                "An important statement has no support in the sources or changes what they say.",
                "A minor statement has no support in the sources.",
                "Everything is supported; a wording goes a little beyond the sources.",
                "Everything is supported, in what it says and in how surely it says it.",
            ),
            "sources",
        ),
        _one(
            "correct", "1",
            "Does the answer say the same as the reference, whatever the words? More detail than the reference has is "
            "no fault where it does not contradict it.",
            (
                "It says something else than the reference.",
                "A part agrees with the reference, and what matters most does not.",
                "What matters most agrees, and something else is missing or wrong.",
                "It agrees, but for something small.",
                "It agrees in everything that the reference says.",
            ),
            "reference",
        ),
        _one(
            "tone", "1",
            "Is the tone right for a company that writes to its customer: polite, clear, calm, without blame, without "
            "flattery? What the answer says does not count.",
            (
                "Rude, mocking, accusing or threatening.",
                "Cold, impatient, or so familiar or flattering that it offends.",
                "Acceptable, but stiff, vague or off in places.",
                "Polite and clear, with a small slip.",
                "Polite, clear and calm throughout.",
            ),
        ),
        _one(
            "concise", "1",
            "Is the answer as short as it can be while it says what is needed? What is missing does not count here.",
            (
                "Most of it could be left out.",
                "Long passages could be left out.",
                "Some sentences could be left out.",
                "A few words could be left out.",
                "Nothing could be left out.",
            ),
        ),
    )
}  # fmt: skip
"""The rubrics that ship. Their whole text is in the fingerprint of each grader that uses one."""


def make_rubric(given: str | Mapping[str, str | Mapping[int, str]], scale: int) -> Rubric:
    """The rubric that a parameter names or spells out.

    Args:
        given: Name of a built-in one, a text, or criteria by name, each a text or the texts of its levels.
        scale: Levels of what has none of its own: 1 to ``scale``.

    Raises:
        ValueError: when it is none of these.
    """
    if isinstance(given, str):
        if given in BUILT_IN:
            return BUILT_IN[given]
        if len(given.split()) < 2:
            raise ValueError(f"no rubric `{given}`: write a text, criteria, or one of {', '.join(BUILT_IN)}")
        return Rubric("own", "", (_criterion("quality", given, scale),))
    if not given:
        raise ValueError("a rubric needs a criterion")
    return Rubric("own", "", tuple(_criterion(name, item, scale) for name, item in given.items()))


def _criterion(name: str, given: str | Mapping[int, str], scale: int) -> Criterion:
    if not name.strip() or len(name) > 60 or not name.isprintable():
        raise ValueError(f"`{name}` cannot be the name of a criterion: it is a word or a few, of at most 60 characters")
    if isinstance(given, str):
        if not given.strip():
            raise ValueError(f"criterion `{name}` says nothing")
        return Criterion(name, given.strip(), {1: "the worst", scale: "the best"})
    if len(given) < 2:
        raise ValueError(f"criterion `{name}` needs two levels at least, such as {{1: …, 5: …}}")
    return Criterion(name, "", dict(sorted(given.items())))
