"""What a trial gave the model to read that somebody outside could have written, and what the person said."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from evalkit.records import Case, Json, Trace

__all__ = ["Source", "leaves", "own_words", "trusted_text", "untrusted_sources"]

_FOLDED = re.compile(r"\\\n[ \t]{0,40}\\?")
"""How YAML goes on with a double-quoted text in the next line."""
_ESCAPED_END = re.compile(r"\\[nrt]")
_OTHER_ESCAPE = re.compile(r"\\([\"'/ ])")
_WRAPPED = re.compile(r"(?<=[^\n]{60})\n[ \t]{0,40}(?=\S)")
"""A line end that only keeps lines short, as in mails."""
_TAG = re.compile(r"</?[A-Za-z|_]{3,30}>|\[/?[A-Z_]{3,20}\]")
_DEEPEST = 40


@dataclass(frozen=True, slots=True)
class Source:
    """A text from outside."""

    id: str
    """The document's id, or the tool's name."""
    kind: str
    """document or tool"""
    text: str
    step: int
    """The model call, from 0, that asked for it; -1 where the first call had it already."""


def untrusted_sources(case: Case, trace: Trace) -> list[Source]:
    """Documents that are not trusted, and everything that tools returned; one text of a structured result each."""
    found = [
        Source(document.id, "document", readable(f"{document.title}\n{document.text}"), -1)
        for document in trace.documents
        if not document.trusted
    ]
    found += [Source("conversation", "tool", readable(turn.content), -1) for turn in case.input if turn.role == "tool"]
    for event in trace.tool_events:
        found += [
            Source(event.name, "tool", readable(text), event.step)
            for result in (event.result, event.error)
            for text in leaves(result)
        ]
    if not trace.tool_events:
        found += [Source("tool", "tool", readable(turn.content), -1) for turn in trace.messages if turn.role == "tool"]
    return [source for source in found if source.text.strip()]


def own_words(case: Case) -> str:
    """What the person said and the case holds right: also the accepted arguments and names of expected calls."""
    said = [turn.content for turn in case.input if turn.role == "user"]
    said += leaves(dict(case.variables))
    if case.expect.tools is not None:
        for path in case.expect.tools.alternatives:
            for call in path:
                said.append(call.name.replace("_", " "))
                said += [text for values in call.arguments.values() for value in values for text in leaves(value)]
    return "\n".join(said)


def trusted_text(case: Case, trace: Trace) -> str:
    """What the workflow itself gave: system prompt, and documents that are trusted."""
    given = [turn.content for turn in (*case.input, *trace.messages) if turn.role == "system"]
    return "\n".join([*given, *(f"{item.title}\n{item.text}" for item in trace.documents if item.trusted)])


def leaves(value: Json, depth: int = 0) -> Iterator[str]:
    """The texts and numbers of a JSON value; keys are names, not content."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, bool) or value is None:
        return
    elif isinstance(value, (int, float)):
        yield f"{value:g}" if isinstance(value, float) and abs(value) < 1e15 else str(value)
    elif depth < _DEEPEST:
        items = value.values() if isinstance(value, Mapping) else value if isinstance(value, (list, tuple)) else ()
        for item in items:
            yield from leaves(item, depth + 1)


def readable(text: str) -> str:
    """A text without the escapes and line ends that its format put in, tags on lines of their own."""
    if "\\" in text:
        text = _OTHER_ESCAPE.sub(r"\1", _ESCAPED_END.sub("\n", _FOLDED.sub("", text)))
    return _TAG.sub(r"\n\g<0>\n", _WRAPPED.sub(" ", text.replace("''", "'")))
