"""Hostile text in Markdown: each function makes it safe for one place, and only text for that place."""

from __future__ import annotations

import re
from html import escape
from urllib.parse import quote

from evalkit.text import log_safe

__all__ = ["address", "code", "fence", "html", "inline", "line"]

_ADDRESS = re.compile(r"https?://[^\s<>\"'`\\\x00-\x20]+", re.IGNORECASE)


def fence(text: str, language: str) -> list[str]:
    """Text in a fenced block, whose fence is longer than any run of backticks inside."""
    shown = log_safe(text)
    longest = max((len(run) for run in re.findall(r"`+", shown)), default=0)
    ticks = "`" * max(3, longest + 1)
    return [f"{ticks}{language}", shown, ticks, ""]


def html(text: str) -> str:
    """Text in a line of HTML: a blank line in it would end the HTML."""
    return _neutral(escape(" ".join(log_safe(text).split()), quote=False))


def line(text: str) -> str:
    """Text that begins a line of Markdown: no heading, no list, no rule."""
    return re.sub(r"^(\d*)([#+=.)-])", r"\1\\\2", inline(text))


def inline(text: str) -> str:
    """Text in a line of Markdown or a cell of a table: nothing in it is markup, a mention or a reference."""
    plain = " ".join(log_safe(text).split()).replace("&", "&amp;")
    return _neutral(re.sub(r"([\\`*_\[\]<>|~])", r"\\\1", plain))


def code(text: str) -> str:
    """Text between backticks."""
    return " ".join(log_safe(text).split()).replace("`", "'").replace("|", "¦")


def address(url: str) -> str:
    """An address as the target of a link; empty where it is none of the web."""
    if not _ADDRESS.fullmatch(url):
        return ""
    return quote(url, safe=":/?#[]@!$&'*+,;=%~")


def _neutral(text: str) -> str:
    """No mention of people, no reference to issues, no link."""
    broken = re.sub(
        r"([@#])(?=\w)|\b(GH|www)(?=[-.])", lambda match: f"{match.group()}\u200b", text, flags=re.IGNORECASE
    )
    return broken.replace("://", ":\u200b//")
