"""Does a comparison cross vendors? Graders that read wording are biased differently by the model that wrote it."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

import yaml

from evalkit.gate.verdict import RuleResult
from evalkit.records import Configuration, GraderRef

__all__ = ["vendor_note", "vendors_of"]

_FAMILIES = (
    ("OpenAI", r"gpt|chatgpt|o[1-9](?:-|$)|davinci"),
    ("Anthropic", r"claude"),
    ("Google", r"gemini|gemma|palm|bison"),
    ("Meta", r"(?:meta-)?llama|codellama"),
    ("Mistral", r"(?:open-)?mi[sx]tral|codestral|ministral|magistral|pixtral"),
    ("DeepSeek", r"deepseek"),
    ("Alibaba", r"qwen|qwq"),
    ("xAI", r"grok"),
    ("Cohere", r"command|c4ai"),
    ("Amazon", r"nova|titan"),
    ("Microsoft", r"phi"),
)
_NAME = [(vendor, re.compile(rf"(?:^|[/.:])(?:{names})(?![a-z])", re.IGNORECASE)) for vendor, names in _FAMILIES]


def vendors_of(configuration: Configuration) -> dict[str, str]:
    """The models of a configuration with their vendors; those whose name tells no vendor are left out."""
    found = {}
    for component in configuration.components:
        if component.kind != "model":
            continue
        pinned = yaml.safe_load(component.content) if component.content else None
        name = str(pinned.get("model", "")) if isinstance(pinned, dict) else ""
        vendor = next((vendor for vendor, pattern in _NAME if pattern.search(name)), "")
        if vendor:
            found[name] = vendor
    return found


def vendor_note(before: Configuration, after: Configuration, graders: Iterable[GraderRef]) -> Sequence[RuleResult]:
    """A note where models of another vendor write the answers now; nothing where they are the same or unknown."""
    old, new = set(vendors_of(before).values()), set(vendors_of(after).values())
    if not old or not new or old == new:
        return ()
    quality = [ref.name for ref in graders if ref.quality]
    sentence = (
        f"Answers come from {_list(new)} now, from {_list(old)} before: graders that read wording can be biased "
        f"differently by model ({', '.join(quality)}). Label some answers of both: evalkit review queue --sample 50; "
        "then evalkit calibrate shows the bias by model."
    )
    return (RuleResult("vendors", "note", sentence, "count", n=len(old ^ new)),)


def _list(names: set[str]) -> str:
    return " and ".join(sorted(names))
