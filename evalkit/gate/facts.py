"""What is known of a case in both runs, as facts that cases can share: keys, tools, routes, how the answer changed."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from pydantic_core import from_json

from evalkit.gate.evidence import Evidence
from evalkit.language import language_of, normalise
from evalkit.records import Case
from evalkit.store.runs import RunFolder
from evalkit.store.segments import read_rows
from evalkit.text import excerpt

__all__ = ["CHANGES", "CaseFacts", "Said", "answer_changes", "case_facts"]

_FENCE = re.compile(r"^\s*(?:```|~~~)", re.MULTILINE)
_CITATION = re.compile(r"\[[^\[\]\s]{2,80}\]")
_REFUSES = re.compile(
    r"\b(?:i|we) (?:can'?t|cannot|can not|won'?t|will not|am not able to|are not able to|am unable to|must decline)\b"
    r"|\b(?:unable|not able|not allowed|not permitted) to (?:help|assist|provide|share|disclose|answer|do)\b"
    r"|\bi'?m sorry,? but\b|\bnicht (?:moglich|erlaubt|gestattet|berechtigt|befugt)\b"
    r"|\b(?:kann|darf) ich\b[^.]{0,60}\bnicht\b|\bich (?:kann|darf)\b[^.]{0,80}\bnicht\b"
    r"|\bje (?:ne peux|ne suis pas autorise|refuse)\b|\bno (?:puedo|podemos|estoy autorizad[oa])\b"
    r"|\bnon posso\b|\bnao posso\b"
)
"""Over lower-case text without accents. A grader knows more of refusals; this names what many broken cases share."""
_LONG = 80
_WORDS_OF_A_LANGUAGE = 5
_MOST_TEXT = 20_000
"""Characters of an answer that are looked at."""

CHANGES: Mapping[str, tuple[str, float]] = {
    "unfinished": ("the trial does not finish any more", 1.0),
    "empty": ("the answer is empty now", 1.0),
    "fenced": ("the answer is wrapped in a code fence now", 1.0),
    "fence lost": ("the answer is in no code fence any more", 1.0),
    "no JSON": ("the answer is no longer JSON", 1.0),
    "JSON": ("the answer is JSON now", 1.0),
    "refuses": ("the answer refuses now", 1.0),
    "refusal lost": ("the answer does not refuse any more", 1.0),
    "language": ("the answer is in {} now", 1.0),
    "cut off": ("the answer is cut off: the model stopped for `{}`", 1.0),
    "route": ("the request takes route {} now", 0.95),
    "no call": ("no tool is called any more", 0.75),
    "call lost": ("tool {} is not called any more", 0.75),
    "new call": ("tool {} is called now", 0.8),
    "unreadable call": ("calls in the answer cannot be read any more", 0.7),
    "citations lost": ("the answer cites nothing in [brackets] any more", 0.85),
    "documents": ("other documents are retrieved", 0.7),
    "shorter": ("the answer is less than half as long", 0.6),
    "longer": ("the answer is more than twice as long", 0.6),
    "same": ("the answer is the same as before", 0.6),
}
"""How an answer can change: in words, and how much that explains against the others.

A form that a program cannot read explains that no tool is called, and not the other way round.
"""
_LANGUAGES = {"en": "English", "de": "German", "fr": "French", "es": "Spanish"}


@dataclass(frozen=True, slots=True)
class Said:
    """What one trial said and did, as far as it is looked at."""

    finished: bool = True
    answer: str = ""
    route: str = ""
    tools: tuple[str, ...] = ()
    documents: tuple[str, ...] = ()
    finish_reason: str = ""
    unreadable: bool = False


@dataclass(frozen=True, slots=True)
class CaseFacts:
    """One case."""

    changes: frozenset[tuple[str, str]] = frozenset()
    """How the answer changed: names of ``CHANGES`` with what stands for the braces."""
    keys: Mapping[str, str] = field(default_factory=dict)
    """Slice keys and the route."""
    tools: frozenset[str] = frozenset()
    """Tools that are called now."""
    question: str = ""
    new_words: str = ""
    """Words of the answer that were not in it before."""


def case_facts(candidate: RunFolder, baseline: RunFolder, evidence: Evidence, names: Sequence[str]) -> list[CaseFacts]:
    """The facts of some cases, from the first trial of each run, in the order of the names."""
    now, before = _first_said(candidate, names), _first_said(baseline, names)
    cases = evidence.golden.load(names)
    return [_facts(cases.get(name), before.get(name, Said()), now.get(name, Said())) for name in names]


def _first_said(folder: RunFolder, names: Sequence[str]) -> dict[str, Said]:
    rows = read_rows(folder.path / "traces.parquet", names)
    first: dict[str, Said] = {}
    for name, text in zip(rows.column("case_id").to_pylist(), rows.column("trace_json").to_pylist(), strict=True):
        if name not in first:
            first[name] = _said(from_json(text))
    return first


def _said(trace: Mapping[str, Any]) -> Said:
    steps = trace.get("route") or ()
    return Said(
        finished=trace.get("error") is None,
        answer=str(trace.get("answer") or "")[:_MOST_TEXT],
        route=str(steps[-1]["route"]) if steps else "",
        tools=tuple(sorted({str(event["name"])[:60] for event in trace.get("tool_events") or ()})),
        documents=tuple(str(document["id"]) for document in trace.get("documents") or ()),
        finish_reason=str(trace.get("finish_reason") or ""),
        unreadable=bool(trace.get("decode_error")),
    )


def _facts(case: Case | None, before: Said, now: Said) -> CaseFacts:
    keys = dict(case.slice_keys) if case else {}
    if now.route:
        keys.setdefault("route", now.route)
    question = case.question if case else ""
    known = set(_words(before.answer))
    return CaseFacts(
        changes=answer_changes(before, now),
        keys=keys,
        tools=frozenset(now.tools),
        question=question[:_MOST_TEXT],
        new_words=" ".join(word for word in _words(now.answer) if word not in known),
    )


def _words(text: str) -> list[str]:
    return re.findall(r"[^\W\d_][\w-]+", text.lower())


def answer_changes(before: Said, now: Said) -> frozenset[tuple[str, str]]:
    """How one answer differs from another, as names of ``CHANGES``."""
    if not now.finished:
        return frozenset({("unfinished", "")} if before.finished else ())
    found = set(_actions(before, now))
    if not now.answer.strip():
        return frozenset({*found, ("empty", "")} if before.answer.strip() else found)
    found |= set(_form(before.answer, now.answer))
    if now.finish_reason in ("length", "max_tokens", "MAX_TOKENS") and before.finish_reason != now.finish_reason:
        found.add(("cut off", now.finish_reason))
    return frozenset(found)


def _actions(before: Said, now: Said) -> list[tuple[str, str]]:
    found = []
    if before.route and now.route and before.route != now.route:
        found.append(("route", excerpt(now.route, 60)))
    if before.tools and not now.tools:
        found.append(("no call", ""))
    else:
        found += [("call lost", name) for name in before.tools if name not in now.tools]
    found += [("new call", name) for name in now.tools if name not in before.tools]
    if now.unreadable and not before.unreadable:
        found.append(("unreadable call", ""))
    if before.documents != now.documents:
        found.append(("documents", ""))
    return found


def _form(before: str, now: str) -> list[tuple[str, str]]:
    if before == now:
        return [("same", "")]
    found = []
    for name, lost, test in (
        ("fenced", "fence lost", _in_fence),
        ("JSON", "no JSON", _is_json),
        ("refuses", "refusal lost", _refuses),
        ("", "citations lost", _cites),
    ):
        then, today = test(before), test(now)
        if today and not then and name:
            found.append((name, ""))
        elif then and not today:
            found.append((lost, ""))
    found += [("language", language) for language in _other_language(before, now)]
    if len(before) >= _LONG and 2 * len(now) < len(before):
        found.append(("shorter", ""))
    elif len(now) >= _LONG and len(now) > 2 * len(before):
        found.append(("longer", ""))
    return found


def _in_fence(text: str) -> bool:
    return _FENCE.search(text) is not None


def _is_json(text: str) -> bool:
    if not text.lstrip().startswith(("{", "[")):
        return False
    try:
        from_json(text.strip())
    except ValueError:
        return False
    return True


def _refuses(text: str) -> bool:
    return _REFUSES.search(normalise(text[:2_000])) is not None


def _cites(text: str) -> bool:
    return _CITATION.search(text) is not None


def _other_language(before: str, now: str) -> list[str]:
    """The language of the answer where it is another one; of a few words nobody can tell."""
    if min(len(before.split()), len(now.split())) < _WORDS_OF_A_LANGUAGE:
        return []
    then, today = (language_of(text[:2_000], default="") for text in (before, now))
    return [_LANGUAGES.get(today, today)] if today and then and today != then else []
