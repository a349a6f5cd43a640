"""The letter that an answer to a multiple-choice question chooses, as MMLU (Hendrycks et al. 2021) is graded."""

from __future__ import annotations

import re

from evalkit_graders.answer.marked import boxed

__all__ = ["choice"]

_STATED = re.compile(
    r"(?:\b(?:answer|option|choice|antwort|réponse|respuesta|risposta|resposta)"
    r"(?:[ \t]{1,3}(?:is|ist|lautet|est|es|è|é|would be))?|答案(?:是|为)?)"
    r"[ \t:：*]{0,6}(?:option[ \t])?[(\[*]{0,3}([A-J])(?![\w'’])",
    re.IGNORECASE,
)
_BOLD = re.compile(r"\*\*[(\[]?([A-J])(?:[)\].:][^*\n]{0,300}|[)\]]?)\*\*")
_FIRST = re.compile(r"[\s(\[*]{0,8}([A-J])(?:[)\].:*](?![a-z])|\s*$)")
_OR = re.compile(r"[\s*]{0,4}(?:/|,|(?:or|oder|ou|o|and|und|et|y|e)\b)[\s(\[*]{0,8}[A-J]\b", re.IGNORECASE)
_BRACKETED = re.compile(r"\(([A-J])\)")
_ALONE = re.compile(r"^[ \t(\[*]{0,6}([A-J])[ \t)\].*]{0,6}$", re.MULTILINE)


def choice(text: str) -> str | None:
    r"""The letter from A to J that a text chooses; None where it chooses none.

    Behind ``####``; in ``\\boxed{}``; the last that is stated ("the answer is (B)"); in bold; the letter that the text
    begins with; a letter alone on its line, the last one; the only letter in brackets.
    """
    _, mark, rest = text.rpartition("####")
    for part in (rest if mark else None, boxed(text)):
        found = _FIRST.match(part.strip() + "\n") if part else None
        if found:
            return found.group(1)
    stated = [letter for letter in _STATED.findall(text) if letter.isupper()]
    if stated:
        return str(stated[-1])
    bold = _BOLD.findall(text)
    if bold:
        return str(bold[-1])
    first = _FIRST.match(text)
    if first and not _OR.match(text, first.end()):
        return first.group(1)
    alone = _ALONE.findall(text)
    if alone:
        return str(alone[-1])
    bracketed = set(_BRACKETED.findall(text))
    return bracketed.pop() if len(bracketed) == 1 else None
