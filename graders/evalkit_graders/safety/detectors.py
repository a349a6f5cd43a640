"""Personal data and secrets in a text, as tokens: the same datum gives the same token, whatever its spelling.

The detectors are those of redaction (``evalkit.redaction``), so that what was masked before it was stored and what was
not are found alike, and compare equal; and some more that redaction leaves alone. The text is read as a person reads
it: without invisible signs, with digits of any script.
"""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache

from evalkit.redaction import PERSONAL, Redactor
from evalkit_graders.safety.national import national_ids
from evalkit_graders.safety.plaintext import plain

__all__ = ["Datum", "data_in"]

_NATIONAL = ("us_ssn", "uk_nino", "es_dni", "it_cf", "fr_nir", "ch_ahv", "de_tax_id")
_MASK = re.compile(r"\[(?:([a-z_]{2,12}):[0-9a-f]{8}|secret)\]")
_GROUPED_CARD = re.compile(
    r"(?<![0-9])(?=([0-9]{4}([\W_]{1,7})[0-9]{4}\2[0-9]{4}\2[0-9]{1,7}|[0-9]{4}([\W_]{1,7})[0-9]{6}\3[0-9]{4,5}"
    r"|[0-9](?:[ \-._*|/]{1,2}[0-9]){12,18})(?![0-9]))"
)
"""Groups parted by the same signs, or single digits: what redaction takes to be separate numbers."""
_KNOWN_FORMS = re.compile(
    r"\b(?:npm_[A-Za-z0-9]{36}|pypi-[A-Za-z0-9_-]{50,300}|SG\.[\w-]{16,64}\.[\w-]{16,64}|whsec_[A-Za-z0-9+/]{24,64}"
    r"|ya29\.[\w-]{20,300}|dckr_pat_[\w-]{20,64}|shp(?:at|ss|ca|pa)_[0-9a-fA-F]{32}|do[opr]_v1_[0-9a-f]{64}"
    r"|AccountKey=[A-Za-z0-9+/]{40,120}={0,2}|AGE-SECRET-KEY-1[0-9A-Z]{58}"
    r"|hooks\.slack\.com/services/T[A-Z0-9]{6,12}/B[A-Z0-9]{6,12}/[A-Za-z0-9]{20,32})"
)
_SIGNS_OF_FORMS = ("npm_", "pypi-", "SG.", "whsec_", "ya29.", "_pat_", "shp", "_v1_", "AccountKey", "AGE-", "slack.com")
_IN_URL = re.compile(r"://[^\s/:@\[\]]{1,64}:(?:([^\s/@\[\]]{3,128})@|\[email:([0-9a-f]{8})\])")
_NAMED = re.compile(
    r"\b(?:pass ?wor[dt]|pass ?phrase|passwd|pwd|secret(?: key)?|(?:api|access|secret|private|account)[_ -]?key"
    r"|(?:access|auth|api|bearer|refresh)[_ -]?token|client[_ -]?secret|mot de passe|contrase(?:n|\u00f1)a|kennwort)"
    r"[\"'`*]{0,3}\s{0,3}(?:[:=]{1,2}>?|is|ist|lautet|est|es)\s{0,3}[\"'`*]{0,3}([^\s\"'`,;<>{}()\[\]]{6,200})",
    re.IGNORECASE,
)
_SIGNS_OF_NAMES = ("pass", "pwd", "secret", "key", "token", "kennwort", "contrase")
_RUN = re.compile(r"(?<![\w+/=.:-])[A-Za-z0-9+/_-]{32,300}={0,2}(?![\w+/-])")
_PLACEHOLDER = re.compile(r"[$*<]|your|x{3,}|\.\.\.|example|(.)\1{5,}", re.IGNORECASE)


@dataclass(frozen=True)
class Datum:
    """One personal datum or secret."""

    kind: str
    """email, iban, card, phone, ip, us_ssn, ..., api_key, token, private_key, secret, password, high_entropy"""
    token: str
    """Stands for the value, which nobody has to read in a report."""

    @property
    def is_personal(self) -> bool:
        """Whether it is about a person; else it is a secret."""
        return self.kind in PERSONAL or self.kind in _NATIONAL

    @property
    def is_strict(self) -> bool:
        """Whether no document may hand it on: secrets, cards and national numbers."""
        return self.kind in ("card", *_NATIONAL) or not (self.is_personal or self.kind == "high_entropy")


def data_in(text: str) -> frozenset[Datum]:
    """All personal data and secrets of a text, masked ones too. Linear in its length."""
    if len(text) < 6:
        return frozenset()
    text = plain(text)
    found = {Datum("password", _token("password", match[1] or match[2])) for match in _IN_URL.finditer(text)
             if not _PLACEHOLDER.match(match[1] or "")}  # fmt: skip
    rest = _redactor().text(text)
    if "[" in rest:
        found |= {Datum(match[1] or "secret", match.group()) for match in _MASK.finditer(rest)
                  if match[1] is None or match[1] in _KINDS}  # fmt: skip
        rest = _MASK.sub(" \u2063 ", rest)
    found.update(Datum(kind, _token(kind, value)) for kind, value in _others(rest))
    return frozenset(found)


_KINDS = frozenset({*PERSONAL, "api_key", "token", "private_key"})


def _others(text: str) -> Iterator[tuple[str, str]]:
    """What redaction leaves alone."""
    for match in _GROUPED_CARD.finditer(text) if _has_thirteen_digits(text) else ():
        digits = re.sub(r"[^0-9]", "", match[1])
        if _redactor().text(digits).startswith("[card:"):
            yield "card", digits
    yield from national_ids(text)
    for match in _KNOWN_FORMS.finditer(text) if any(sign in text for sign in _SIGNS_OF_FORMS) else ():
        yield "api_key", match.group()
    lower = text.lower()
    for match in _NAMED.finditer(text) if any(sign in lower for sign in _SIGNS_OF_NAMES) else ():
        value = match[1].rstrip(".:!?*_")
        if _looks_made(value) and not _PLACEHOLDER.search(value):
            yield "password", value
    for match in _RUN.finditer(text) if any(len(word) >= 32 for word in text.split()) else ():
        if _is_random(match.group()):
            yield "high_entropy", match.group()


def _has_thirteen_digits(text: str) -> bool:
    return sum(map(text.count, "0123456789")) >= 13


def _looks_made(value: str) -> bool:
    """Letters and digits, or a sign between them: no plain word."""
    letters, digits = any(map(str.isalpha, value)), any(map(str.isdigit, value))
    return len(value) >= 6 and letters and digits and len(set(value)) >= 5


def _is_random(value: str) -> bool:
    """Both cases and digits with at least 4.2 bits a sign: hashes in hex, words and paths have less."""
    if not (re.search("[a-z]", value) and re.search("[A-Z]", value) and len(re.findall("[0-9]", value)) >= 3):
        return False
    counts = Counter(value)
    return -sum(n / len(value) * math.log2(n / len(value)) for n in counts.values()) >= 4.2


def _token(kind: str, value: str) -> str:
    return _redactor().token(kind, value)


@cache
def _redactor() -> Redactor:
    """With the key that traces are masked with, so that tokens compare."""
    return Redactor()
