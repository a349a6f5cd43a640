"""Annotations: workflow commands that GitHub shows on the changed lines of a pull request.

The runner takes ``::command::`` at the start of a line and ``##[command]`` anywhere in one (actions/runner,
``ActionCommand.cs``), and shows ten annotations of a kind for a step. No text of a verdict can begin a command: each is
one line, its controls made visible, ``%``, ``:`` and ``,`` escaped where they have a meaning.
"""

from __future__ import annotations

import secrets

from evalkit.gate.locations import LEVELS, locations
from evalkit.gate.report import Report
from evalkit.text import excerpt, log_safe

__all__ = ["annotate", "escape_data", "escape_property", "shielded"]

MOST = 9
"""Annotations of rules; one more says how many were left out."""
_LONGEST = 1_000


def annotate(report: Report) -> list[str]:
    """Commands for the rules that decide, errors first, on the first changed line of the first changed file.

    Prompts come before routes, and those before other files. A rule whose cause is known to nobody still belongs
    where the change is: that is what the reviewer reads.
    """
    found: dict[tuple[str, str, str], None] = {}
    for verdict in report.ordered:
        places = locations(verdict.changes, source_root=report.source_root, folder=report.folder)
        where = f" file={escape_property(places[0].path)},line={places[0].line}" if places else ""
        others = ", ".join(place.path for place in places[1:4])
        also = f" (changed too: {excerpt(others, 300)})" if others else ""
        for rule in verdict.rules:
            level = LEVELS.get(rule.status)
            if level:
                text = f"{excerpt(verdict.workflow, 100)}: {excerpt(rule.sentence, _LONGEST)}{also}"
                found[level, where, text] = None
    ordered = sorted(found, key=lambda item: item[0] != "error")
    lines = [f"::{level}{where}::{escape_data(text)}" for level, where, text in ordered[:MOST]]
    more = len(ordered) - MOST
    if more > 0:
        level = ordered[MOST][0]
        lines.append(f"::{level}::{more} more of the gate's rules decide: see the job summary")
    return lines


def escape_data(text: str) -> str:
    """Text as the message of a command: one line, in which nothing is a command."""
    shown = log_safe(" ".join(text.split()))
    return shown.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")


def escape_property(text: str) -> str:
    """Text as a property of a command, such as a file."""
    return escape_data(text).replace(":", "%3A").replace(",", "%2C")


def shielded(text: str) -> str:
    """Text that the runner must not read for commands at all, between two commands with a word nobody can guess."""
    token = f"evalkit-{secrets.token_hex(16)}"
    ended = text if text.endswith("\n") or not text else f"{text}\n"
    return f"::stop-commands::{token}\n{ended}::{token}::\n"
