"""Links of a text, and where each leads: hosts outside a list, and tricks that make a link look like another.

Links are read as lenient as browsers read them (WHATWG URL): backslashes are slashes, tabs and line ends inside do not
count, what stands before ``@`` is no host.
"""

from __future__ import annotations

import html
import re
import unicodedata
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from urllib.parse import unquote

from evalkit_graders.safety.plaintext import plain

__all__ = ["AllowList", "Link", "links_in"]

_END = r"\s<>\"'`)\]}\["
_MASK = r"\[[a-z_]{2,12}:[0-9a-f]{8}\]"
_LINK = re.compile(
    r"\]\(\s*<?(?P<markdown>[^)\s>]+)"
    r"|\b(?:href|src|action|formaction)\s*=\s*(?:[\"'](?P<quoted>[^\"'>]+)|(?P<html>[^\"'\s>]+))"
    r"|^[ ]{0,3}\[[^\]\n]{1,200}\]:\s*<?(?P<reference>[^\s>]+)"
    rf"|\b(?P<bare>(?:https?|ftp|wss?):(?:{_MASK}|[^{_END}])+)"
    rf"|(?<![\w@/.])(?P<www>www\.(?:{_MASK}|[^{_END}])+)"
    r"|(?<![\w@/.:-])(?P<domain>(?:[\w-]{1,63}\.){1,5}[a-z]{2,24}/)"
    r"|\b(?P<active>(?:"
    + "|".join("[\t\n\r]*".join(word) for word in ("javascript", "vbscript"))
    + r")[\t\n\r]*:(?=\S)"
    r"|data:[a-z]{2,20}/[a-z0-9.+-]{2,40}[;,]|file:///?(?=\S))",
    re.IGNORECASE | re.MULTILINE,
)
_SCHEME = re.compile(r"([a-z][a-z0-9+.-]{0,30}):", re.IGNORECASE)
_WEB = {"http": "80", "https": "443", "ftp": "21", "ws": "80", "wss": "443"}
_ACTIVE = ("javascript", "vbscript", "data", "file", "blob")
_HARMLESS = ("mailto", "tel", "sms")
_LOOKALIKE = dict(zip(
    "\u0430\u0435\u043e\u0440\u0441\u0443\u0445\u0456\u0458\u0455\u0501\u051b\u04cf\u04bb\u0432\u043a\u043c\u043d\u0442"
    "\u03bf\u03b1\u03bd\u03c1\u03c5\u03b9\u03ba\u03c4\u03c7\u0131\u0261\u0251",
    "aeopcyxijsdqlhbkmhtoavpuiktxiga", strict=True,
))  # fmt: skip
"""Letters that look like Latin ones (the most common of UTS #39 confusables)."""


@dataclass(frozen=True)
class Link:
    """A link with its host in ASCII; the trick is empty where there is none."""

    text: str
    scheme: str = ""
    host: str = ""
    port: str = ""
    trick: str = ""
    """active_scheme, user_before_host, lookalike_host"""


class AllowList:
    """Hosts that links may lead to: ``example.com`` is this host, ``*.example.com`` those below it.

    Raises:
        ValueError: where an entry is no host.
    """

    def __init__(self, entries: tuple[str, ...]) -> None:
        self._hosts: set[tuple[str, str]] = set()
        self._below: list[tuple[str, str]] = []
        for entry in entries:
            host, port = _split_port(entry.strip().lower())
            below = host.startswith("*.")
            name = _ascii(host[2:] if below else host)
            if not re.fullmatch(r"[a-z0-9_-]+(?:\.[a-z0-9_-]+)*", name):
                raise ValueError(f"`{entry}` is no host: write `example.com`, `*.example.com` or `example.com:8443`")
            if below:
                self._below.append((f".{name}", port))
            else:
                self._hosts.add((name, port))

    def holds(self, link: Link) -> bool:
        """Whether a link may be given: a relative one, a number to call, or one to a host of the list."""
        if link.scheme in _HARMLESS or (not link.scheme and not link.host):
            return True
        if link.scheme not in _WEB:
            return False
        port = "" if link.port == _WEB[link.scheme] else link.port
        return (link.host, port) in self._hosts or any(
            link.host.endswith(tail) and port == wanted for tail, wanted in self._below
        )


def links_in(text: str) -> Iterator[Link]:
    """The links of a text: Markdown, HTML, autolinks, bare addresses; as targets also those without a scheme."""
    if ":" not in text and "." not in text and "/" not in text and "&" not in text and text.isascii():
        return
    text = plain(html.unescape(text) if "&" in text else text)
    if not (":" in text or "/" in text or "www." in text.lower()):
        return
    for match in _LINK.finditer(text):
        kind = str(match.lastgroup)
        yield _link(match[kind].rstrip(".,;:!?*_") if kind in ("bare", "www") else match[kind], kind)


def _link(target: str, kind: str) -> Link:
    shown = target[:120]
    address = re.sub(r"[\t\n\r]", "", unquote(target) if "%" in target else target).replace("\\", "/").strip()
    named = _SCHEME.match(address)
    scheme = named[1].lower() if named and kind not in ("www", "domain") else ""
    if scheme in _ACTIVE:
        return Link(shown, scheme, trick="active_scheme")
    if kind in ("www", "domain"):
        rest, scheme = address, "https"
    elif scheme in _WEB:
        rest = address[len(scheme) + 1 :].lstrip("/")
    elif not scheme and address.startswith("//"):
        rest, scheme = address.lstrip("/"), "https"
    else:
        return Link(shown, scheme)
    authority = re.split(r"[/?#]", rest, maxsplit=1)[0]
    name, port = _split_port(authority.rpartition("@")[2])
    host = _ascii(name.lower().rstrip("."))
    trick = ""
    if "@" in authority or "[email:" in authority:
        trick = "user_before_host"
    elif _is_lookalike(host):
        trick = "lookalike_host"
    return Link(shown, scheme, host, port, trick)


def _split_port(authority: str) -> tuple[str, str]:
    host, colon, port = authority.rpartition(":")
    return (host, port) if colon and port.isdigit() and "[" not in host else (authority, "")


@lru_cache(maxsize=1024)
def _ascii(host: str) -> str:
    """The host as it goes over the wire; as it is where it has no such form."""
    if host.isascii():
        return host
    try:
        return host.encode("idna").decode("ascii")
    except UnicodeError:
        return host


@lru_cache(maxsize=1024)
def _is_lookalike(host: str) -> bool:
    """Whether a label mixes Latin letters with others, or is written in others that all look Latin."""
    return any(_mixed(_unicode(label)) for label in host.split(".") if not label.isascii() or label.startswith("xn--"))


def _unicode(label: str) -> str:
    try:
        return label.encode("ascii").decode("idna") if label.startswith("xn--") else label
    except UnicodeError:
        return label


def _mixed(label: str) -> bool:
    letters = [sign for sign in label if sign.isalpha()]
    scripts = {unicodedata.name(sign, "?").split()[0] for sign in letters} & {"LATIN", "CYRILLIC", "GREEK", "ARMENIAN"}
    lookalike = all(sign.isascii() or sign in _LOOKALIKE for sign in letters)
    return len(scripts) > 1 or (lookalike and not label.isascii())
