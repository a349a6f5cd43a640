"""The simulated judge ``sim-judge-1``: it counts words. It shows how judging works, and says nothing about quality.

The level of an answer is the share of its words that stand in the reference, or else in the documents, tool results
and the request; of two answers the one with the larger share is better. It needs the JSON Schema of the reply.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any

from evalkit.language import stems

__all__ = ["judge"]

_DATA = re.compile(r"^<data (\w+)>\n(.*)\n</data \1>$", re.MULTILINE)
_SOURCES = ("documents", "tool_results", "conversation", "request")


def judge(payload: Mapping[str, Any]) -> tuple[str, str]:
    """The reply to a request of ``evalkit.grading.judging``, and why; to any other, that this is none."""
    found = next(filter(None, (_DATA.search(str(message.get("content"))) for message in payload["messages"])), None)
    schema = ((payload.get("response_format") or {}).get("json_schema") or {}).get("schema")
    if found is None or schema is None:
        return "I judge answers by the schema of a reply, and was sent none.", "no request to a judge"
    data = json.loads(found.group(2))
    known = _words(data["reference"] if "reference" in data else [data[name] for name in _SOURCES if name in data])
    reply: dict[str, Any] = {"check": found.group(1)}
    if "answer" in data:
        share = _share(data["answer"], known)
        reply["reason"] = f"Simulated: {share:.0%} of its words stand in what was given."
        levels = schema["properties"]["levels"]["properties"]
        reply["levels"] = {name: _level(item["enum"], share) for name, item in levels.items()}
    else:
        first, second = (_share(data[name], known) for name in ("answer_1", "answer_2"))
        reply["reason"] = f"Simulated: {first:.0%} and {second:.0%} of the words stand in what was given."
        reply["better"] = "tie" if first == second else "answer_1" if first > second else "answer_2"
    return json.dumps(reply), reply["reason"]


def _level(levels: list[int], share: float) -> int:
    return levels[round(share * (len(levels) - 1))]


def _share(answer: str, known: frozenset[str]) -> float:
    words = _words(answer)
    return len(words & known) / len(words) if words else 0.0


def _words(value: Any) -> frozenset[str]:
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    return frozenset(stems(text))
