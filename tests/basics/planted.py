"""Secrets and personal data that are valid and belong to nobody, with what may stand around them."""

from __future__ import annotations

import string
from dataclasses import dataclass

from hypothesis import strategies as st


@dataclass(frozen=True)
class Planted:
    """A datum, its kind, and the part of it that must not be seen again."""

    kind: str
    text: str
    core: str


def iban(country: str, account: str) -> str:
    """An IBAN with the check digits of ISO 13616."""
    digits = "".join(str(int(character, 36)) for character in f"{account}{country}00")
    return f"{country}{98 - int(digits) % 97:02d}{account}"


def grouped(text: str, separator: str, size: int = 4) -> str:
    return separator.join(text[start : start + size] for start in range(0, len(text), size))


def card(body: str) -> str:
    """A card number: ``body`` and its check digit after ISO/IEC 7812."""
    doubled = [int(digit) * (2 if index % 2 == 0 else 1) for index, digit in enumerate(reversed(body))]
    total = sum(value - 9 if value > 9 else value for value in doubled)
    return f"{body}{-total % 10}"


def _digits(count: int) -> st.SearchStrategy[str]:
    return st.text(string.digits, min_size=count, max_size=count)


def _chars(low: int, high: int, alphabet: str = string.ascii_letters + string.digits) -> st.SearchStrategy[str]:
    return st.text(alphabet, min_size=low, max_size=high)


_ACCOUNTS = st.one_of(
    st.tuples(st.just("DE"), _digits(18)),
    st.tuples(st.just("FR"), _digits(23)),
    st.tuples(st.just("ES"), _digits(20)),
    st.tuples(st.just("AT"), _digits(16)),
    st.tuples(st.just("GB"), st.builds(str.__add__, _chars(4, 4, string.ascii_uppercase), _digits(14))),
    st.tuples(st.just("NL"), st.builds(str.__add__, _chars(4, 4, string.ascii_uppercase), _digits(10))),
)
IBANS = _ACCOUNTS.map(lambda pair: iban(*pair))
CARDS = st.one_of(
    *(
        st.builds(str.__add__, st.just(start), _digits(length - len(start) - 1)).map(card)
        for start, length in (("4", 13), ("4", 16), ("51", 16), ("37", 15), ("6304", 19))
    )
)
PHONES = st.sampled_from(
    ["+49 30 1234567", "+49 (0)30 1234567", "+44 20 7946 0958", "+33 1 23 45 67 89", "+34 600 123 456",
     "+1 (415) 555-0100", "+1-800-555-0199", "+41 44 668 18 00", "+491711234567", "+351/21/1234567"]
)  # fmt: skip
EMAILS = st.from_regex(r"[a-z0-9][a-z0-9._%+-]{0,20}@[a-z0-9]{1,10}(\.[a-z]{2,6}){1,3}", fullmatch=True)
KEYS = st.one_of(
    _chars(20, 48).map("sk-{}".format),
    _chars(20, 48).map("sk-ant-{}".format),
    _chars(20, 48).map("sk-proj-{}".format),
    _chars(35, 35).map("AIza{}".format),
    _chars(16, 16, string.ascii_uppercase + string.digits).map("AKIA{}".format),
    _chars(36, 40).map("ghp_{}".format),
    _chars(22, 40).map("github_pat_{}".format),
    _chars(10, 30).map("xoxb-{}".format),
    _chars(20, 30).map("glpat-{}".format),
    _chars(30, 40).map("hf_{}".format),
    _chars(20, 30).map("sk_live_{}".format),
)
TOKENS = st.builds("eyJ{}.eyJ{}.{}".format, _chars(8, 20), _chars(8, 20), _chars(8, 20))
BEARERS = _chars(20, 40, string.ascii_letters + string.digits + "._~+/-").map(
    lambda text: Planted("token", f"Bearer {text}", text)
)
PRIVATE_KEYS = st.builds(
    lambda kind, body: Planted(
        "private_key",
        f"-----BEGIN {kind}PRIVATE KEY-----\n{grouped(body, chr(10), 16)}\n-----END {kind}PRIVATE KEY-----",
        body[:16],
    ),
    st.sampled_from(["", "RSA ", "EC ", "OPENSSH ", "ENCRYPTED "]),
    _chars(16, 64),
)


def _plain(kind: str, texts: st.SearchStrategy[str]) -> st.SearchStrategy[Planted]:
    return texts.map(lambda text: Planted(kind, text, text))


PLANTED = st.one_of(
    _plain("iban", IBANS),
    IBANS.map(lambda text: Planted("iban", grouped(text, " "), grouped(text, " "))),
    _plain("card", CARDS),
    CARDS.map(lambda text: Planted("card", grouped(text, " "), grouped(text, " "))),
    CARDS.map(lambda text: Planted("card", grouped(text, "-"), grouped(text, "-"))),
    _plain("phone", PHONES),
    _plain("email", EMAILS),
    _plain("ip", st.ip_addresses(v=4).map(str)),
    _plain("api_key", KEYS),
    _plain("token", TOKENS),
    BEARERS,
    PRIVATE_KEYS,
)
BEFORE = st.sampled_from(["", "Contact: ", "(", '"', "<", "one, two ", "\n", "é ", "x=", "[1] ", "\u202f", "„"])
AFTER = st.sampled_from(["", ", please", ")", '"', "\n", "; ", ">", "! Danke", "?", " – bitte", "\t", "“"])
"""Neither lengthens the datum: a sentence may end after it, but not the full stop after an IP address."""
BETWEEN = st.sampled_from([", ", "\n", "; ", " | ", '", "', ") ("])

_RUNS = ("\\n", "\\u0041", "u00", "1.", "2,", "++", "AB12 ", "12 34 ")
_NOISE = st.sampled_from([*'"\\\n\t\r\b\f\x00\x1f\x1b\x7féß中\u2028\u202f\xa0\u0301 ,:ant0.-_/@(', *_RUNS])
_SPACE = st.text(" \t\n\v\x1f\x85\u2003", min_size=1, max_size=3)
_ODD = st.one_of(
    st.builds("{}{}{}".format, st.sampled_from(["bearer", "BEARER"]), _SPACE, _chars(20, 22)),
    _chars(16, 16, string.ascii_uppercase).map("ASIA{}".format),
    _chars(36, 36).map("gho_{}".format),
    IBANS.map(lambda text: grouped(text.lower(), "\u00a0")),
    CARDS.map(lambda text: grouped(text, "\u202f", 3)),
)


@st.composite
def _damaged(draw: st.DrawFn) -> str:
    """A datum with a sign put into it, or in place of one of its own."""
    text: str = draw(PLANTED.map(lambda planted: planted.text) | _ODD)
    place = draw(st.integers(0, len(text)))
    noise: str = draw(_NOISE)
    return text[:place] + noise + text[place + draw(st.integers(0, 1)) :]


HOSTILE = st.lists(PLANTED.map(lambda planted: planted.text) | _ODD | _damaged() | _NOISE, max_size=4).map("".join)
"""Data whole and damaged, directly beside each other and beside what JSON escapes."""

SAMPLES = (
    Planted("email", "anna.berg@example.com", "anna.berg"),
    Planted("iban", "DE89 3704 0044 0532 0130 00", "0532 0130"),
    Planted("card", "4111 1111 1111 1111", "1111 1111"),
    Planted("phone", "+44 20 7946 0958", "7946 0958"),
    Planted("ip", "203.0.113.77", "203.0.113"),
    Planted("api_key", "sk-ant-api03-qzjxkvbwpmfhgtdyrlcnsaeu", "qzjxkvbwpm"),
    Planted("token", "eyJhbGciOiJI.eyJzdWIiOiIx.c2lnbmF0dXJl", "eyJzdWIiOiIx"),
    Planted("private_key", "-----BEGIN PRIVATE KEY-----\nMIIEvQIBADAN\n-----END PRIVATE KEY-----", "MIIEvQ"),
)
"""One of each kind."""
