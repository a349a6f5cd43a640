"""Masking of keys and personal data, before anything is written.

A match becomes a token such as ``[email:5f1c09ab]``: the same value gives the same token, so
that expectations, answers and tool arguments can still be compared, and two runs too. The
token is keyed; without ``EVALKIT_REDACTION_KEY`` the key is a public constant, and a value
that somebody can guess can be confirmed.
"""

from __future__ import annotations

import hashlib
import hmac
import os
import re
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from typing import Any

from evalkit import codec
from evalkit.fingerprint import fingerprint
from evalkit.records import Case, Trace

__all__ = ["KEY_VARIABLE", "PERSONAL", "Redactor"]

KEY_VARIABLE = "EVALKIT_REDACTION_KEY"
_PUBLIC_KEY = b"evalkit public redaction key 1"
_SEPARATOR = r"[ .\-]?"


def _luhn(digits: str) -> bool:
    total = 0
    for index, character in enumerate(reversed(digits)):
        value = int(character) * (2 if index % 2 else 1)
        total += value - 9 if value > 9 else value
    return total % 10 == 0


def _iban(text: str) -> bool:
    plain = re.sub(r"\s", "", text).upper()
    rearranged = plain[4:] + plain[:4]
    return int("".join(str(int(character, 36)) for character in rearranged)) % 97 == 1


def _is_card(text: str) -> bool:
    digits = re.sub(r"\D", "", text)
    return 13 <= len(digits) <= 19 and len(set(digits)) > 1 and _luhn(digits)


@dataclass(frozen=True)
class _Rule:
    kind: str
    pattern: re.Pattern[str]
    valid: Callable[[str], bool] = lambda _: True


_SECRETS = (
    _Rule(
        "private_key",
        re.compile(
            r"-----BEGIN (?:[A-Z ]+ )?PRIVATE KEY-----.*?(?:-----END (?:[A-Z ]+ )?PRIVATE KEY-----|\Z)", re.DOTALL
        ),
    ),
    _Rule("api_key", re.compile(r"\bsk-(?:ant-|proj-|svcacct-|or-)?[A-Za-z0-9_-]{20,}")),
    _Rule("api_key", re.compile(r"\bAIza[0-9A-Za-z_-]{35}")),
    _Rule("api_key", re.compile(r"\b(?:AKIA|ASIA)[0-9A-Z]{16}\b")),
    _Rule("api_key", re.compile(r"\b(?:gh[pousr]_[A-Za-z0-9]{36,}|github_pat_[A-Za-z0-9_]{22,})")),
    _Rule("api_key", re.compile(r"\b(?:xox[abeprs]-[A-Za-z0-9-]{10,}|glpat-[A-Za-z0-9_-]{20,}|hf_[A-Za-z0-9]{30,})")),
    _Rule("api_key", re.compile(r"\b[rs]k_(?:live|test)_[A-Za-z0-9]{20,}")),
    _Rule("token", re.compile(r"\beyJ[A-Za-z0-9_-]{8,}\.eyJ[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]{8,}")),
    _Rule("token", re.compile(r"(?<=[Bb]earer )[A-Za-z0-9._~+/-]{20,}=*")),
)
_PERSONAL = (
    _Rule("email", re.compile(r"[A-Za-z0-9._%+-]{1,64}@[A-Za-z0-9-]{1,63}(?:\.[A-Za-z0-9-]{1,63}){1,8}")),
    _Rule("iban", re.compile(r"\b[A-Z]{2}\d{2}(?: ?[A-Z0-9]{4}){2,7}(?: ?[A-Z0-9]{1,3})?\b"), _iban),
    _Rule("card", re.compile(rf"(?<![\w.-])\d(?:{_SEPARATOR}\d){{12,18}}(?![\w-])"), _is_card),
    _Rule(
        "phone", re.compile(r"(?<![\w+.-])\+\d{1,3}[ \-/]?(?:\(0?\d{1,5}\)|\d{1,5})(?:[ \-/]?\d{2,6}){1,4}(?![\w-])")
    ),
    _Rule("ip", re.compile(r"(?<![\w.])(?:(?:25[0-5]|2[0-4]\d|1?\d?\d)\.){3}(?:25[0-5]|2[0-4]\d|1?\d?\d)(?![\w.])")),
)
PERSONAL = tuple(rule.kind for rule in _PERSONAL)
"""Kinds of personal data that are masked unless the project keeps them."""


class Redactor:
    """Masks text, traces and cases.

    Args:
        secrets: Values that must never be stored, such as the keys in use; masked wherever they occur.
        personal_data: Whether to mask personal data at all.
        keep: Kinds of personal data that are left alone.
        key: For the tokens; default from the environment.
    """

    def __init__(
        self,
        *,
        secrets: Iterable[str] = (),
        personal_data: bool = True,
        keep: Iterable[str] = (),
        key: bytes | None = None,
    ) -> None:
        kept = frozenset(keep)
        personal = tuple(rule for rule in _PERSONAL if personal_data and rule.kind not in kept)
        self._rules = (*_SECRETS, *personal)
        self._secrets = tuple(sorted((secret for secret in secrets if len(secret) >= 6), key=len, reverse=True))
        self._key = key if key is not None else os.environ.get(KEY_VARIABLE, "").encode() or _PUBLIC_KEY

    @property
    def fingerprint(self) -> str:
        """Hash of the rules and the key: tokens of equal fingerprints can be compared."""
        rules = [[rule.kind, rule.pattern.pattern] for rule in self._rules]
        return fingerprint("redaction", {"rules": rules, "key": hashlib.sha256(self._key).hexdigest()})

    def token(self, kind: str, value: str) -> str:
        """What a value is replaced by."""
        plain = re.sub(r"[\s.\-/()]", "", value) if kind in ("iban", "card", "phone") else value
        digest = hmac.new(self._key, f"{kind}\0{plain.casefold()}".encode("utf-8", "replace"), hashlib.sha256)
        return f"[{kind}:{digest.hexdigest()[:8]}]"

    def text(self, text: str, counts: Counter[str] | None = None) -> str:
        """Mask a text; ``counts`` gains the number of matches by kind."""
        found: Counter[str] = Counter() if counts is None else counts
        for secret in self._secrets:
            if secret in text:
                found["secret"] += text.count(secret)
                text = text.replace(secret, "[secret]")
        for rule in self._rules:
            text = self._apply(rule, text, found)
        return text

    def _apply(self, rule: _Rule, text: str, found: Counter[str]) -> str:
        parts: list[str] = []
        position = 0
        while match := rule.pattern.search(text, position):
            span = _valid_part(rule, match)
            if span is None:
                parts.append(text[position : match.end()])
                position = match.end()
                continue
            start, end = span
            found[rule.kind] += 1
            parts += [text[position:start], self.token(rule.kind, text[start:end])]
            position = end
        return "".join((*parts, text[position:])) if parts else text

    def value(self, value: Any, counts: Counter[str]) -> Any:
        """Mask every string of a JSON value; keys are left alone."""
        if isinstance(value, str):
            return self.text(value, counts)
        if isinstance(value, dict):
            return {key: self.value(item, counts) for key, item in value.items()}
        if isinstance(value, (list, tuple)):
            return [self.value(item, counts) for item in value]
        return value

    def trace(self, trace: Trace) -> Trace:
        """A trace that may be stored, with the number of masked values by kind."""
        counts: Counter[str] = Counter()
        plain = self.value(codec.plain(trace), counts)
        return replace(codec.decode(Trace, plain), redactions=dict(counts)) if counts else trace

    def case(self, case: Case) -> Case:
        """A case masked the same way, so that it can be held against a masked trace."""
        counts: Counter[str] = Counter()
        plain = self.value(codec.plain(case), counts)
        return codec.decode(Case, {**plain, "id": case.id}) if counts else case


def _valid_part(rule: _Rule, match: re.Match[str]) -> tuple[int, int] | None:
    """The match, or the first part of it that passes the check: two numbers side by side can run together."""
    text = match.group()
    if rule.valid(text):
        return match.span()
    if rule.kind != "card":
        return None
    places = [index for index, character in enumerate(text) if character.isdigit()]
    for first in range(len(places)):
        for last in range(len(places) - 1, first + 11, -1):
            start, end = places[first], places[last] + 1
            whole = (start == 0 or not text[start - 1].isdigit()) and (end == len(text) or not text[end].isdigit())
            if whole and rule.valid(text[start:end]):
                return match.start() + start, match.start() + end
    return None
