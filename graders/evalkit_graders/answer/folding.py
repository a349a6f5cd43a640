"""When two texts are the same answer: the conventions of the benchmarks that made them."""

from __future__ import annotations

import re
import string
import unicodedata
from collections.abc import Callable
from typing import Literal, TypeAlias

__all__ = ["Fold", "folded"]

Fold: TypeAlias = Literal["squad", "drop", "math", "case", "none"]

_ARTICLES = re.compile(r"\b(?:a|an|the)\b")
_PUNCTUATION = frozenset(string.punctuation)
_FRACTION = re.compile(r"\\frac(?:\{([^{}]*)\}|(\w))\s?(?:\{([^{}]*)\}|(\w))")
_PLAIN_FRACTION = re.compile(r"(-?\d+)/(\d+)")
_ROOT = re.compile(r"\\sqrt(\w)")
_TEXT_AFTER = re.compile(r"\\(?:text|mbox|mathrm)\{ [^{}]*\}\s*$")
_TEXT_AROUND = re.compile(r"\\(?:text|textbf|mbox|mathrm)\{([^{}]*)\}")
_NAMED = re.compile(r"^[a-zA-Z]{1,2}\s*=\s*")
_POINT = re.compile(r"(?<![\d])\.(?=\d)")


def folded(text: str, fold: Fold) -> str:
    """A text in the form in which two that count as equal are equal.

    ``squad``
        Lower case, no punctuation, no English articles, single blanks (Rajpurkar et al. 2016). Punctuation of other
        languages goes as well, for an answer may be in any.
    ``drop``
        The same for each word, where a hyphen parts words and a number is its value: ``1,200.0`` is ``1200`` (Dua et
        al. 2019).
    ``math``
        The equivalence of answers in LaTeX of MATH (Hendrycks et al. 2021): no sizes, blanks, signs of degrees, money
        and shares, units or ``x =``; one way to write a fraction and a root.
    ``case``
        Lower case and single blanks.
    ``none``
        As it is, without the blanks around it.
    """
    return _FOLDS[fold](text)


def _plain(text: str) -> str:
    return unicodedata.normalize("NFKC", text).casefold()


def _bare(text: str) -> str:
    return "".join(sign for sign in text if sign not in _PUNCTUATION and unicodedata.category(sign)[0] != "P")


def _squad(text: str) -> str:
    return " ".join(_ARTICLES.sub(" ", _bare(_plain(text))).split())


def _drop(text: str) -> str:
    words = (_drop_word(word) for word in re.split(r"[ \-\n\t]", _plain(text)))
    return " ".join(word for word in words if word)


def _drop_word(word: str) -> str:
    number = _drop_number(word)
    if number is None:
        bare = _bare(word)
        number = _drop_number(bare)
        return _ARTICLES.sub("", bare).strip() if number is None else number
    return number


def _drop_number(word: str) -> str | None:
    plain = word.replace(",", "")
    if not re.fullmatch(r"[-+]?(?:\d{1,300}(?:\.\d{0,300})?|\.\d{1,300})", plain, re.ASCII):
        return None
    return str(float(plain))


def _case(text: str) -> str:
    return " ".join(_plain(text).split())


def _math(text: str) -> str:
    plain = text.replace("\n", "").replace("\\!", "").replace("\\\\", "\\")
    plain = plain.replace("tfrac", "frac").replace("dfrac", "frac").replace("\\left", "").replace("\\right", "")
    plain = _TEXT_AFTER.sub("", plain)
    plain = _TEXT_AROUND.sub(r"\1", plain)
    for sign in ("^{\\circ}", "^\\circ", "\\$", "$", "\\%", "%", "\\,", "\\;"):
        plain = plain.replace(sign, "")
    plain = _POINT.sub("0.", plain)
    plain = _NAMED.sub("", plain.strip())
    plain = re.sub(r"(?<=\d),(?=\d{3}(?!\d))", "", plain)
    plain = _ROOT.sub(r"\\sqrt{\1}", plain).replace(" ", "").rstrip(".")
    plain = _FRACTION.sub(lambda found: _fraction(*found.groups()), plain)
    plain = _PLAIN_FRACTION.sub(r"\\frac{\1}{\2}", plain) if _PLAIN_FRACTION.fullmatch(plain) else plain
    return "\\frac{1}{2}" if plain == "0.5" else plain


def _fraction(top: str | None, top_digit: str | None, bottom: str | None, bottom_digit: str | None) -> str:
    above = top if top is not None else top_digit
    below = bottom if bottom is not None else bottom_digit
    return f"\\frac{{{above}}}{{{below}}}"


_FOLDS: dict[str, Callable[[str], str]] = {
    "squad": _squad,
    "drop": _drop,
    "math": _math,
    "case": _case,
    "none": str.strip,
}
