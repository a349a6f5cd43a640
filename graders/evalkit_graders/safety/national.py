"""National numbers of persons, each recognised by its form and, where there is one, its check digit."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator

__all__ = ["national_ids"]


def _compact(text: str) -> str:
    return re.sub(r"[^0-9A-Za-z]", "", text).upper()


def _spanish(text: str) -> bool:
    """DNI and NIE: the letter is the number modulo 23 (Orden INT/2058/2008 for NIE)."""
    plain = _compact(text)
    number = plain[:-1].replace("X", "0").replace("Y", "1").replace("Z", "2")
    return plain[-1] == "TRWAGMYFPDXBNJZSQVHLCKE"[int(number) % 23]


_FIRST_TEN = (1, 0, 5, 7, 9, 13, 15, 17, 19, 21)
_ODD = dict(zip(
    "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ",
    (*_FIRST_TEN, *_FIRST_TEN, 2, 4, 18, 20, 11, 3, 6, 8, 12, 14, 16, 10, 22, 25, 24, 23), strict=True,
))  # fmt: skip
"""Of the codice fiscale (D.M. 23 December 1976), for signs in odd places."""


def _italian(text: str) -> bool:
    plain = _compact(text)
    even = sum(int(sign) if sign.isdigit() else ord(sign) - ord("A") for sign in plain[1:15:2])
    return plain[15] == chr(ord("A") + (sum(_ODD[sign] for sign in plain[0:15:2]) + even) % 26)


def _french(text: str) -> bool:
    """NIR: the last two digits are 97 less the number modulo 97; Corsica counts as 19 and 18."""
    plain = _compact(text).replace("2A", "19").replace("2B", "18")
    return int(plain[13:]) == 97 - int(plain[:13]) % 97


def _swiss(text: str) -> bool:
    """AHV: the check digit of EAN-13."""
    digits = [int(sign) for sign in _compact(text)]
    return sum(digit * (3 if place % 2 else 1) for place, digit in enumerate(digits)) % 10 == 0


def _german(text: str) -> bool:
    """Tax id: one digit occurs twice or three times among the first ten; ISO 7064 MOD 11,10."""
    digits = [int(sign) for sign in _compact(text)]
    often = sorted(digits[:10].count(digit) for digit in set(digits[:10]))
    if often[-1] not in (2, 3) or often[:-1] != [1] * (len(often) - 1):
        return False
    product = 10
    for digit in digits[:10]:
        product = ((digit + product) % 10 or 10) * 2 % 11
    return (11 - product) % 10 == digits[10]


_FORMS: tuple[tuple[str, re.Pattern[str], Callable[[str], bool] | None], ...] = (
    ("us_ssn", re.compile(r"(?<![\w-])(?!000|666|9)\d{3}([- ])(?!00)\d{2}\1(?!0000)\d{4}(?![\w-])"), None),
    (
        "uk_nino",
        re.compile(r"(?<!\w)(?!BG|GB|NK|KN|TN|NT|ZZ)[A-CEGHJ-PR-TW-Z][A-CEGHJ-NPR-TW-Z](?: ?\d\d){3} ?[A-D](?!\w)"),
        None,
    ),
    ("es_dni", re.compile(r"(?<!\w)(?:\d{2}\.?\d{3}\.?\d{3}|[XYZ][- ]?\d{7})[- ]?[A-HJ-NP-TV-Z](?!\w)"), _spanish),
    (
        "it_cf",
        re.compile(r"(?<!\w)[A-Z]{3} ?[A-Z]{3} ?\d{2}[A-EHLMPRST]\d{2} ?[A-Z]\d{3}[A-Z](?!\w)", re.IGNORECASE),
        _italian,
    ),
    (
        "fr_nir",
        re.compile(r"(?<!\w)[12] ?\d{2} ?(?:0[1-9]|1[0-2]|[2-9]\d) ?(?:\d{2}|2[AB]) ?\d{3} ?\d{3} ?\d{2}(?!\w)"),
        _french,
    ),
    ("ch_ahv", re.compile(r"(?<!\w)756[. ]?\d{4}[. ]?\d{4}[. ]?\d{2}(?!\w)"), _swiss),
    ("de_tax_id", re.compile(r"(?<![\w.,-])[1-9]\d ?\d{3} ?\d{3} ?\d{3}(?![\w-]|[.,]\d)"), _german),
)
_SIX_DIGITS = re.compile(r"\d(?:[ .-]?\d){5}")
_ITALIAN_DATE = re.compile(r"\d\d[A-EHLMPRSTa-ehlmprst]\d\d")
"""What one of the forms cannot do without: most texts have neither, and these are found fast."""


def national_ids(text: str) -> Iterator[tuple[str, str]]:
    """Kind and compact number of each that is found; US and British ones have no check digit but a narrow form."""
    long, italian = _SIX_DIGITS.search(text), _ITALIAN_DATE.search(text)
    for kind, pattern, check in _FORMS if long or italian else ():
        if not (italian if kind == "it_cf" else long):
            continue
        for match in pattern.finditer(text):
            if check is None or check(match.group()):
                yield kind, _compact(match.group())
