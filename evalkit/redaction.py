"""Masking of keys and personal data, before anything is written.

A match becomes a token such as ``[email:5f1c09ab]``: the same value gives the same token, so
that expectations, answers and tool arguments can still be compared, and two runs too. The
token is keyed; without ``EVALKIT_REDACTION_KEY`` the key is a public constant, and a value
that somebody can guess can be confirmed. Not recognised: IPv6 addresses, phone numbers without
their country code.

Most records hold nothing to mask. So each rule has a hint, which reads the JSON of a record as a
whole: where it finds nothing, no field can hold a match. A hint may be wrong the other way. It
looks for signs that JSON never escapes (quotes, backslashes and controls are), and takes what stands
around them to be anything.
"""

from __future__ import annotations

import hashlib
import hmac
import os
import re
import string
import unicodedata
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

from evalkit import codec
from evalkit.fingerprint import fingerprint
from evalkit.records import Case, Configuration, Trace
from evalkit.text import scrub, unused_key

__all__ = ["KEY_VARIABLE", "PERSONAL", "Redactor"]

KEY_VARIABLE = "EVALKIT_REDACTION_KEY"
_PUBLIC_KEY = b"evalkit public redaction key 1"
_VERSION = 1
"""Goes up when a check or the form of a token changes; the patterns are in the fingerprint themselves."""
_SECRET = "[secret]"  # noqa: S105 - the mask, not a key
_FOREIGN = frozenset({"arguments", "fields", "result", "variables"})
"""Fields of records that hold JSON of others: keys and whole numbers are data there."""

_BLANK = r" \u00a0\u202f"
_GAP = rf"[{_BLANK}.\-]?"
_BREAK = rf"[{_BLANK}./\-]"
_LETTER = r"A-Za-z\u00c0-\u024f\u0300-\u04ff\u1e00-\u1eff"
"""Of scripts that write blanks; in others an address may follow a word directly."""
_ACCOUNT_LENGTHS = {
    country: length
    for length, countries in {
        15: "NO", 16: "BE", 18: "DK FI FK FO GL NL SD", 19: "MK SI", 20: "AT BA EE KZ LT LU MN XK", 21: "CH HR LI LV",
        22: "BG BH CR DE GB GE IE ME RS VA", 23: "AE GI IL IQ OM SO TL", 24: "AD CZ ES MD PK RO SA SE SK TN VG",
        25: "LY PT ST", 26: "IS TR", 27: "BI DJ FR GR IT MC MR SM", 28: "AL AZ BY CY DO GT HN HU LB NI PL SV",
        29: "BR EG PS QA UA", 30: "JO KW MU YE", 31: "MT SC", 32: "LC", 33: "RU",
    }.items()
    for country in countries.split()
}  # fmt: skip
"""Of each country in the registry of ISO 13616."""


def _start(head: str) -> str:
    """A head of fixed width after no letter or digit, unless it is that of an escaped line break or tab."""
    return rf"{head}(?:(?<![^\W_]{head})|(?<=\\[nrt]{head}))"


def _compact(text: str) -> str:
    return re.sub(r"[\W_]", "", text).upper()


def _is_account(text: str) -> bool:
    plain = _compact(text)
    return len(plain) == _ACCOUNT_LENGTHS.get(plain[:2])


def _is_iban(text: str) -> bool:
    plain = _compact(text)
    return _is_account(text) and int("".join(str(int(sign, 36)) for sign in plain[4:] + plain[:4])) % 97 == 1


def _is_card(text: str) -> bool:
    """Issuer and check digit of ISO/IEC 7812."""
    digits = _compact(text)
    if len(digits) < 13 or len(set(digits)) == 1 or not re.match(r"2[2-7]|3[04-9]|[4-6]", digits):
        return False
    doubled = [int(digit) * (2 if index % 2 else 1) for index, digit in enumerate(reversed(digits))]
    return sum(value - 9 if value > 9 else value for value in doubled) % 10 == 0


def _is_phone(text: str) -> bool:
    """Long enough for E.164; with the country code 1 all numbers have eleven digits."""
    digits = _compact(text.replace("(0)", ""))
    return text[-2:].isdigit() and (len(digits) == 11 if digits[0] == "1" else 8 <= len(digits) <= 15)


def _is_ip(text: str) -> bool:
    return text.count(".") == 3 and all(int(part) <= 255 for part in text.split("."))


_CLASSES = bytes.maketrans((string.digits + string.ascii_letters).encode(), b"0" * 10 + b"a" * 52)
_GAPS = " .-\u00a0\u202f".encode()
_ACCOUNT_CLASSES = re.compile(rb"aa00(?:(?<![a0]aa00)|(?<=\\aaa00)|(?<=\\a00[a0]{2}aa00))(?=(?:[^a0]{0,3}[a0]{4}){2})")
"""The beginning of an account number after no letter or digit, unless that ends an escaped sign."""


def _hint(*patterns: bytes) -> Callable[[bytes], object]:
    """Fast for patterns that begin with one rare sign and look back from there."""
    searches = [re.compile(pattern).search for pattern in patterns]
    return searches[0] if len(searches) == 1 else lambda data: any(search(data) for search in searches)


def _may_hold_account(data: bytes) -> bool:
    """Two letters of a country that has such numbers and two digits, with at least two groups after them."""
    heads = (match.start() for match in _ACCOUNT_CLASSES.finditer(data.translate(_CLASSES)))
    return any(data[place : place + 2].decode().upper() in _ACCOUNT_LENGTHS for place in heads)


def _may_hold_card(data: bytes) -> bool:
    """Thirteen digits in a row, whatever gaps are between them, that do not follow a letter, as in a hash."""
    if not _has_thirteen_digits(data):
        return False
    data = _DIGESTS.sub(b"", data)
    if not _has_thirteen_digits(data):
        return False
    runs = (match.span() for match in _DIGITS.finditer(data))
    return any(_THIRTEEN_DIGITS.search(data, max(0, start - 6), end) for start, end in runs)


def _has_thirteen_digits(data: bytes) -> bool:
    return b"0" * 13 in data.translate(_CLASSES, _GAPS)


_DIGESTS = re.compile(rb'"[0-9a-f]{64}"')
"""A whole text that is a hash: the rule takes none for a card."""
_GAPPED = rb"(?:[ .\-]|\xc2\xa0|\xe2\x80\xaf)?[0-9]"
_DIGITS = re.compile(rb"[0-9](?:" + _GAPPED + rb"){12,}")
_THIRTEEN_DIGITS = re.compile(
    rb"(?:(?<![0-9A-Za-z])|(?<=\\[bfnrt])|(?<=\\u[0-9a-fA-F]{4}))[0-9](?:" + _GAPPED + rb"){12}"
)
"""At a place where a number can begin; a letter before it may be that of an escape."""
_AT_DASH = _hint(
    rb"-(?:(?<=sk-)[A-Za-z0-9_-]{20}|(?<=xox[abeprs]-)[A-Za-z0-9-]{10}|(?<=glpat-)[A-Za-z0-9_-]{20}|(?<=-----)BEGIN )"
)
_AT_CAPITAL = _hint(rb"A(?:Iza[0-9A-Za-z_-]{35}|(?:KI|SI)A[0-9A-Z]{16})")
_AT_LINE = _hint(
    rb"_(?:(?<=gh[pousr]_)[A-Za-z0-9]{36}|(?<=github_pat_)[A-Za-z0-9_]{22}|(?<=hf_)[A-Za-z0-9]{30}"
    rb"|(?<=[rs]k_)(?:live|test)_[A-Za-z0-9]{20})"
)


@dataclass(frozen=True)
class _Rule:
    """What a kind of datum looks like.

    Attributes:
        kind: Its name in the token.
        pattern: A group ``value``, where there is one, is the part to mask.
        hint: Whether the JSON of a record may hold such a datum in one of its texts or numbers.
        check: The longest beginning of a match that ends with some of its digits or letters and passes is
            masked, for what follows a number can look like more of it.
        sign: A text without it holds no such datum.
    """

    kind: str
    pattern: re.Pattern[str]
    hint: Callable[[bytes], object]
    check: Callable[[str], bool] | None = None
    sign: str = ""

    def length(self, candidate: str) -> int:
        """How much of a candidate is a datum: 0 where nothing is."""
        if self.check is None:
            return len(candidate)
        ends = [group.end() for group in re.finditer(r"\d+|[^\W\d_]+", candidate)]
        return next((end for end in reversed(ends) if self.check(candidate[:end])), 0)


_SECRETS = (
    _Rule(
        "private_key",
        re.compile(
            r"-----BEGIN (?:[A-Z ]{1,40} )?PRIVATE KEY(?: BLOCK)?-----.*?"
            r"(?:-----END (?:[A-Z ]{1,40} )?PRIVATE KEY(?: BLOCK)?-----|\Z)",
            re.DOTALL,
        ),
        _AT_DASH,
    ),
    _Rule("api_key", re.compile(rf"{_start('sk-')}[A-Za-z0-9_-]{{20,}}"), _AT_DASH),
    _Rule("api_key", re.compile(r"AIza[0-9A-Za-z_-]{35,}"), _AT_CAPITAL),
    _Rule("api_key", re.compile(r"(?:AKIA|ASIA)[0-9A-Z]{16,}"), _AT_CAPITAL),
    _Rule(
        "api_key",
        re.compile(r"gh[pousr]_[A-Za-z0-9]{36,}(?:_[A-Za-z0-9]+)*|github_pat_[A-Za-z0-9_]{22,}"),
        _AT_LINE,
    ),
    _Rule("api_key", re.compile(r"xox[abeprs]-[A-Za-z0-9-]{10,}|glpat-[A-Za-z0-9_-]{20,}"), _AT_DASH),
    _Rule("api_key", re.compile(rf"{_start('hf_')}[A-Za-z0-9]{{30,}}(?:_[A-Za-z0-9]+)*"), _AT_LINE),
    _Rule("api_key", re.compile(rf"{_start('[rs]k_')}(?:live|test)_[A-Za-z0-9]{{20,}}(?:_[A-Za-z0-9]+)*"), _AT_LINE),
    _Rule(
        "token",
        re.compile(rf"{_start('eyJ')}[A-Za-z0-9_-]{{8,}}\.eyJ[A-Za-z0-9_-]{{8,}}\.[A-Za-z0-9_-]{{8,}}"),
        _hint(rb"\.eyJ[A-Za-z0-9_-]{8}"),
    ),
    _Rule(
        "token",
        re.compile(r"(?i:bearer)\s{1,8}(?P<value>[A-Za-z0-9._~+/-]{20,}=*)"),
        _hint(*(rb"%b(?i:earer)[\s\\\x80-\xff]" % initial for initial in (b"b", b"B"))),
    ),
)
_ACCOUNT = re.compile(
    rf"{_start('[A-Za-z]{2}[0-9]{2}')}(?:{_GAP}[A-Za-z0-9]{{4}}){{2,7}}(?:{_GAP}[A-Za-z0-9]{{1,3}})?(?![A-Za-z0-9])"
)
_LIKE_ACCOUNT = _Rule("iban", _ACCOUNT, _may_hold_account, _is_account)
_PERSONAL = (
    _Rule(
        "email",
        re.compile(
            rf"(?!(?i:[dl]|qu)['’])[{_LETTER}0-9%+][{_LETTER}0-9_.%+'’-]{{0,255}}"
            rf"@[{_LETTER}0-9-]{{1,63}}(?:\.[{_LETTER}0-9-]{{1,63}}){{1,8}}"
        ),
        _hint(rb"@(?<=[A-Za-z0-9_.%+'\x80-\xff-]@)[A-Za-z0-9\x80-\xff-]+\.[A-Za-z0-9\x80-\xff-]"),
        sign="@",
    ),
    _Rule("iban", _ACCOUNT, _may_hold_account, _is_iban),
    _Rule(
        "card",
        re.compile(
            rf"{_start('[0-9]')}(?<![0-9][.,][0-9])(?![0-9a-fA-F]{{31}}|[0-9a-fA-F]{{7}}(?:-[0-9a-fA-F]{{4}}){{3}}-)"
            rf"[0-9]{{3}}(?:{_GAP}[0-9]){{9,15}}(?![0-9])"
        ),
        _may_hold_card,
        _is_card,
    ),
    _Rule(
        "phone",
        re.compile(
            rf"{_start('[+]')}(?<!\+\+)[1-9][0-9]*(?:{_BREAK}?\([0-9]{{1,5}}\){_BREAK}?[0-9]+)?"
            rf"(?:(?: / |{_BREAK})[0-9]+){{0,6}}"
        ),
        _hint(rb"\+[1-9](?:[ ()./\-\x80-\xff]*[0-9]){7}"),
        _is_phone,
        sign="+",
    ),
    _Rule(
        "ip",
        re.compile(rf"{_start('[0-9]')}(?<![0-9]\.[0-9])[0-9]{{0,2}}(?:\.[0-9]{{1,3}}){{3}}(?!\w|\.[0-9])"),
        _hint(rb"\.[0-9]{1,3}\.[0-9]{1,3}\.[0-9]"),
        _is_ip,
    ),
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
        known = sorted((secret for secret in secrets if len(secret) >= 6), key=len, reverse=True)
        self._keys = (_known_secrets(known), *_SECRETS) if known else _SECRETS
        self._rules = (*self._keys, *personal)
        self._hints = tuple({rule.hint: None for rule in self._rules})
        self._key = key if key is not None else os.environ.get(KEY_VARIABLE, "").encode() or _PUBLIC_KEY

    @cached_property
    def fingerprint(self) -> str:
        """Hash of the rules and the key: tokens of equal fingerprints can be compared."""
        rules = [[rule.kind, rule.pattern.pattern] for rule in self._rules if rule.kind != "secret"]
        key = hashlib.sha256(self._key).hexdigest()
        return fingerprint("redaction", {"version": _VERSION, "rules": rules, "key": key})

    def token(self, kind: str, value: str) -> str:
        """What a value is replaced by."""
        if kind == "secret":
            return _SECRET
        plain = unicodedata.normalize("NFC", value)
        if kind in ("iban", "card", "phone"):
            plain = re.sub(r"[\s.\-/()]", "", value.replace("(0)", ""))
        digest = hmac.new(self._key, f"{kind}\0{plain.casefold()}".encode("utf-8", "replace"), hashlib.sha256)
        return f"[{kind}:{digest.hexdigest()[:8]}]"

    def text(self, text: str, counts: Counter[str] | None = None) -> str:
        """Mask a text; ``counts`` gains the number of matches by kind."""
        return self._masked(text, self._rules, Counter() if counts is None else counts)

    def keys(self, text: str) -> str:
        """Mask keys and tokens only: for messages to the person who runs evalkit, which name addresses."""
        return self._masked(text, self._keys, Counter())

    def _masked(self, text: str, rules: Iterable[_Rule], found: Counter[str]) -> str:
        for rule in rules:
            text = self._apply(rule, text, found)
        return text

    def _apply(self, rule: _Rule, text: str, found: Counter[str]) -> str:
        if rule.sign not in text:
            return text
        parts: list[str] = []
        position = 0
        while match := rule.pattern.search(text, position):
            start, end = match.span(match.lastgroup or 0)
            length = rule.length(text[start:end])
            if not length or (rule.kind == "card" and _inside_account(text, start)):
                parts.append(text[position : start + 1])
                position = start + 1
                continue
            found[rule.kind] += text[start:end] != _SECRET
            parts += [text[position:start], self.token(rule.kind, text[start : start + length])]
            position = start + length
        return "".join((*parts, text[position:])) if parts else text

    def value(self, value: Any, counts: Counter[str]) -> Any:
        """Mask every string, key and whole number of a JSON value; a masked number becomes a string."""
        return _masked_value(value, lambda text: self.text(text, counts))

    def trace(self, trace: Trace) -> Trace:
        """A trace that may be stored, with the number of masked values by kind; the id of its case stays."""
        return self.encoded(trace)[0]

    def encoded(self, trace: Trace) -> tuple[Trace, bytes]:
        """The same with its JSON, which is made anyway to see whether there is anything to mask."""
        data = codec.encode(trace)
        # the time of the start would look like a card number; as a number of the record itself it is never masked
        head, _, tail = data.rpartition(b',"started_us":')
        data_but_time = head + tail.lstrip(string.digits.encode())
        suspects = self._suspects(_without_digests(data_but_time, trace))
        counts: Counter[str] = Counter()
        if suspects:
            plain = _masked_record({**codec.plain(trace), "case_id": ""}, self._mask(suspects, counts))
        if not counts:
            return trace, data
        counts.update(trace.redactions)
        masked = replace(codec.decode(Trace, plain), case_id=trace.case_id, redactions=dict(counts))
        return masked, codec.encode(masked)

    def case(self, case: Case) -> Case:
        """A case masked the same way, so that it can be held against a masked trace; its id stays."""
        suspects = self._suspects(codec.encode(case))
        counts: Counter[str] = Counter()
        if suspects:
            plain = _masked_record({**codec.plain(case), "id": ""}, self._mask(suspects, counts))
        return codec.decode(Case, {**plain, "id": case.id}) if counts else case

    def _suspects(self, data: bytes) -> tuple[_Rule, ...]:
        """The rules that may find something in a record: of no other can a text of it hold a match."""
        hints = {hint for hint in self._hints if hint(data)}
        return tuple(rule for rule in self._rules if rule.hint in hints) if hints else ()

    def _mask(self, suspects: tuple[_Rule, ...], counts: Counter[str]) -> Callable[[str], str]:
        """Mask a text of a record by all rules, for a token can make another match, but only where a suspect finds."""

        def mask(text: str) -> str:
            hit = any(rule.sign in text and rule.pattern.search(text) for rule in suspects)
            return self.text(text, counts) if hit else text

        return mask

    def configuration(self, configuration: Configuration) -> Configuration:
        """The components with their texts masked; fingerprints stay those of the true texts."""
        masked = tuple(replace(item, content=self.text(item.content)) for item in configuration.components)
        return replace(configuration, components=masked)


def _without_digests(data: bytes, trace: Trace) -> bytes:
    """The JSON of a trace without the hashes of its own: they hold much that looks like the beginning of a number."""
    for digest in (trace.configuration, *(call.request_digest for call in trace.model_calls)):
        if len(digest) == 64:
            data = data.replace(digest.encode(), b"")
    return data


def _known_secrets(secrets: Sequence[str]) -> _Rule:
    """The rule for keys in use; the mask itself is a match too, so that no key is found inside it."""
    pattern = re.compile("|".join(map(re.escape, (*secrets, _SECRET))))
    # JSON has no lone surrogates, so no key with one
    written = [codec.encode(text)[1:-1] for text in (*secrets, _SECRET) if text == scrub(text)[0]]
    return _Rule("secret", pattern, lambda data: any(text in data for text in written))


def _masked_record(value: Any, mask: Callable[[str], str]) -> Any:
    """Mask the strings of a record: the names and numbers of its own fields are left alone."""
    if isinstance(value, dict):
        return {
            key: _masked_value(item, mask) if key in _FOREIGN else _masked_record(item, mask)
            for key, item in value.items()
        }
    if isinstance(value, list):
        return [_masked_record(item, mask) for item in value]
    return mask(value) if isinstance(value, str) else value


def _masked_value(value: Any, mask: Callable[[str], str]) -> Any:
    if isinstance(value, str):
        return mask(value)
    if isinstance(value, int) and not isinstance(value, bool):
        written = str(value)
        masked = mask(written)
        return value if masked == written else masked
    if isinstance(value, dict):
        result: dict[str, Any] = {}
        for key, item in value.items():
            result[unused_key(mask(key), result)] = _masked_value(item, mask)
        return result
    if isinstance(value, (list, tuple)):
        return [_masked_value(item, mask) for item in value]
    return value


def _inside_account(text: str, place: int) -> bool:
    """Whether a place is inside what could be an account number: masked in part, it would not read as one any more."""
    before = _ACCOUNT.finditer(text, max(0, place - 48), place + 48)
    return any(match.start() < place < match.start() + _LIKE_ACCOUNT.length(match.group()) for match in before)
