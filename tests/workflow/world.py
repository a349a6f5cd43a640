"""Projects on disk, cases and a scripted target, for the tests of workflows."""

from __future__ import annotations

import asyncio
import json
import textwrap
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from evalkit.providers import ChatRequest, ChatResponse, Price, PriceTable, RequestedCall
from evalkit.records import Case, Json, Message, Trace, Usage
from evalkit.workflow import Workflow, run_trial

PRICES = PriceTable((Price.model_validate({"model": "*", "input": 2, "output": 8}),))
"""Two micro-dollars for an input token, eight for an output token, whatever the model."""

TOOLS = json.dumps(
    [
        {
            "name": "refund",
            "side_effect": "money",
            "parameters": {
                "type": "object",
                "properties": {"amount": {"type": "number"}, "reason": {"type": "string"}},
                "required": ["amount"],
            },
        },
        {"name": "lookup", "parameters": {"type": "object", "properties": {"order": {"type": "string"}}}},
    ]
)


class Scripted:
    """A target that gives its answers in order, the last one for ever, and remembers what it was asked."""

    def __init__(self, *answers: ChatResponse | BaseException, name: str = "fake") -> None:
        self.name = name
        self.asked: list[ChatRequest] = []
        self._answers = list(answers)

    @property
    def identity(self) -> Mapping[str, Json]:
        return {"kind": "scripted"}

    async def complete(self, request: ChatRequest) -> ChatResponse:
        answer = self._answers[min(len(self.asked), len(self._answers) - 1)]
        self.asked.append(request)
        if isinstance(answer, BaseException):
            raise answer
        return answer

    async def aclose(self) -> None:
        self._answers.clear()


def says(text: str, **more: Any) -> ChatResponse:
    """An answer in words, of ten tokens in and five out."""
    return ChatResponse(text=text, **{"finish_reason": "stop", "usage": Usage(10, 5), **more})


def calls(*requested: RequestedCall, text: str = "", **more: Any) -> ChatResponse:
    """An answer that asks for tools."""
    return says(text, tool_calls=requested, **{"finish_reason": "tool_calls", **more})


def case_of(question: str = "hello", **more: Any) -> Case:
    """A case with one user turn."""
    return Case(**{"id": "c-1", "input": (Message("user", question),), **more})


def write_files(root: Path, files: Mapping[str, str]) -> None:
    for name, content in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content, encoding="utf-8")


def one_file(root: Path, workflow: str = "", project: str = "", files: Mapping[str, str] | None = None) -> Path:
    """Write a project with the workflow ``w`` in ``evalkit.yaml``; ``workflow`` holds further keys from line 6 on."""
    keys = {"golden_set": "cases.jsonl", "prompt": "prompt.md", "model": "fake:m-1"}
    given = textwrap.dedent(workflow).strip("\n")
    head = "".join(f"{key}: {value}\n" for key, value in keys.items() if not _names(given, key))
    keys_of_w = textwrap.indent(head + given, "    ").rstrip("\n")
    text = f"workflows:\n  w:\n{keys_of_w}\n{textwrap.dedent(project)}"
    write_files(root, {"prompt.md": "Be brief.", **(files or {}), "evalkit.yaml": text})
    return root


def _names(text: str, key: str) -> bool:
    plural = {"prompt": ("prompt:", "prompts:"), "model": ("model:", "models:")}.get(key, (f"{key}:",))
    return any(line.startswith(plural) for line in text.splitlines())


Make = Callable[..., Workflow]
"""The fixture ``make``: keys of the workflow, of the project and further files in, the loaded workflow out."""


def trial(workflow: Workflow, case: Case, *targets: Scripted, number: int = 0, prices: PriceTable = PRICES) -> Trace:
    """Run one trial against the targets."""
    return asyncio.run(run_trial(workflow, case, number, {target.name: target for target in targets}, prices))


def changed_components(before: Workflow, after: Workflow) -> set[str]:
    """Keys of the components that were added, removed or differ."""

    def table(workflow: Workflow) -> set[tuple[str, str]]:
        return {(part.key, part.fingerprint) for part in workflow.configuration.components}

    return {key for key, _ in table(before) ^ table(after)}
