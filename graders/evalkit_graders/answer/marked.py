"""The final answer of a text that also shows its work: what it marks as such."""

from __future__ import annotations

import re

__all__ = ["boxed", "marked", "unfenced"]

_BOX = re.compile(r"\\(?:boxed|fbox)\s?\{")
_PHRASE = re.compile(
    r"(?:\b(?:final answer|answer|antwort|ergebnis|réponse|resultado|respuesta|risposta|resposta)"
    r"(?:[ \t](?:is|ist|lautet|est|es|è|é|would be)\b[ \t]?:?|\**[ \t]?:)|答案(?:[是为]|[:：]))[ \t*]{0,5}(?=[^\s*])",
    re.IGNORECASE,
)
_BOLD = re.compile(r"\*\*([^*\n]{1,300})\*\*")
_FENCE = re.compile(r"```[^\n`]{0,40}\n(.*?)```", re.DOTALL)
_MOST = 300
"""Characters of what is marked on one line."""


def marked(text: str) -> str | None:
    r"""What a text marks as its final answer; None where it marks nothing.

    In this order, each time the last one: behind ``####`` (GSM8K, Cobbe et al. 2021), in ``\\boxed{}`` (MATH,
    Hendrycks et al. 2021), behind words such as "the answer is" to the end of the line, in bold.
    """
    _, mark, rest = text.rpartition("####")
    if mark and rest.strip():
        return rest.strip().splitlines()[0].strip()
    box = boxed(text)
    if box is not None:
        return box
    phrase = None
    for phrase in _PHRASE.finditer(text):  # noqa: B007 - the last one is wanted
        pass
    if phrase is not None:
        return text[phrase.end() : phrase.end() + _MOST].split("\n", 1)[0].strip().rstrip("*")
    bold = _BOLD.findall(text)
    return bold[-1].strip() if bold else None


def boxed(text: str) -> str | None:
    r"""What stands in the last ``\\boxed{}``, to its own closing brace; None without one."""
    start = None
    for match in _BOX.finditer(text):
        start = match.end()
    if start is None:
        return None
    depth = 1
    for place in range(start, len(text)):
        depth += {"{": 1, "}": -1}.get(text[place], 0)
        if not depth:
            return text[start:place].strip()
    return None


def unfenced(text: str) -> list[str]:
    """The contents of all fenced blocks of a text."""
    if text.count("```") > 200:
        return []
    return [block.strip() for block in _FENCE.findall(text)]
