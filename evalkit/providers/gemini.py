"""Gemini ``generateContent``, version v1beta: https://ai.google.dev/api/generate-content."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import quote

from evalkit.providers.base import CallError, ChatRequest, FaultClass, RequestedCall
from evalkit.providers.dialect import QUOTED, Fault, Reply, StreamReader, count, text_of
from evalkit.records import Message, ToolCall, ToolSpec, Usage
from evalkit.strictjson import load_json
from evalkit.text import excerpt, log_safe

__all__ = ["GEMINI_BASE_URL", "GeminiGenerateContent"]

GEMINI_BASE_URL = "https://generativelanguage.googleapis.com/v1beta"
_CONFIG_NAMES = {
    "max_tokens": "maxOutputTokens",
    "max_completion_tokens": "maxOutputTokens",
    "max_output_tokens": "maxOutputTokens",
    "top_p": "topP",
    "top_k": "topK",
    "stop": "stopSequences",
    "presence_penalty": "presencePenalty",
    "frequency_penalty": "frequencyPenalty",
}
_BESIDE_CONFIG = frozenset({"cachedContent", "safetySettings", "serviceTier", "toolConfig", "tools"})
"""Parameters that stand at the top of a request; all others are fields of its ``generationConfig``."""
_NOT_OURS = frozenset({"contents", "generationConfig", "messages", "model", "stream", "systemInstruction"})
_FINISH = {
    "STOP": "stop",
    "MAX_TOKENS": "length",
    "SAFETY": "content_filter",
    "RECITATION": "content_filter",
    "BLOCKLIST": "content_filter",
    "PROHIBITED_CONTENT": "content_filter",
    "SPII": "content_filter",
}
_UNSIGNED = "skip_thought_signature_validator"
"""What the vendor's page "Thought signatures" gives for calls whose signature is not at hand."""
_WITHOUT_SIGNATURES = re.compile(r"gemini-(1|2)\b|gemma|learnlm")
_TOO_LONG = re.compile(
    r"token count.*exceeds the maximum|exceeds the maximum number of tokens", re.IGNORECASE | re.DOTALL
)
_DURATION = re.compile(r"[0-9]{1,9}(\.[0-9]{1,9})?s", re.ASCII)
_WRONG_KEY = frozenset({"API_KEY_INVALID", "API_KEY_SERVICE_BLOCKED", "API_KEY_HTTP_REFERRER_BLOCKED"})
_FILTERED = re.compile(r"responsible ai|prohibited use policy|safety polic", re.IGNORECASE)


class GeminiGenerateContent:
    """The dialect of ``models.generateContent`` and ``models.streamGenerateContent``.

    Parameters are fields of ``generationConfig``, under its names or those of OpenAI (``max_tokens``, ``top_p``,
    ``stop``, ...); ``safetySettings``, ``toolConfig``, ``cachedContent`` and ``serviceTier`` stand beside it.
    ``output_schema`` becomes ``responseJsonSchema``, the schemas of tools ``parametersJsonSchema``. One candidate is
    read.

    A prompt that the vendor blocks (``promptFeedback.blockReason``) is an answer without text that ends in
    ``content_filter``, not an error: it comes with status 200 and counted tokens, asking again gives the same, and in a
    golden set of attacks it is the behaviour under test. As an error it would keep such a set from ever passing.

    Models from Gemini 3 on sign their thoughts and want the signature back with each round of tool calls: it is the
    state of the call that came with it. Calls whose signature is not at hand, such as those of a golden set, go with
    the value that the vendor gives for them.
    """

    kind: str = "gemini"

    def path(self, request: ChatRequest, *, stream: bool) -> str:
        """The method of the model; its name is escaped, and may begin with ``models/``."""
        model = quote(request.model.removeprefix("models/"), safe="")
        return f"/models/{model}:streamGenerateContent?alt=sse" if stream else f"/models/{model}:generateContent"

    def headers(self, key: str | None) -> Mapping[str, str]:
        """The key, which has no place in an address."""
        return {"x-goog-api-key": key} if key else {}

    def payload(self, request: ChatRequest, *, stream: bool) -> Mapping[str, Any]:
        """The body of a request.

        Texts of the system role, wherever they stand, become ``systemInstruction``. All results of a round of tool
        calls are parts of one content. Empty texts are left out: the API refuses contents without parts.

        Raises:
            CallError: when a tool's result belongs to no call.
        """
        body: dict[str, Any] = {key: value for key, value in request.params.items() if key in _BESIDE_CONFIG}
        body["contents"] = _contents(request)
        system = [{"text": each.content} for each in request.messages if each.role == "system" and each.content]
        if system:
            body["systemInstruction"] = {"parts": system}
        if request.tools:
            body["tools"] = [{"functionDeclarations": [_declaration(tool) for tool in request.tools]}]
        body["generationConfig"] = _config(request)
        return body

    def reply(self, data: Any) -> Reply:
        """A ``GenerateContentResponse`` as an answer.

        Raises:
            KeyError, IndexError, TypeError, AttributeError, ValueError: when the JSON is something else.
            CallError: when it is an error.
        """
        reader = _Reader()
        reader.take(data)
        return reader.finish()

    def reader(self) -> StreamReader:
        """Reads the chunks of a stream."""
        return _Reader()

    def fault(self, status: int, data: Any) -> Fault:
        """What an error says: its class by the vendor's wording, the pause, and whether the key is to blame.

        The vendor says how long to wait only in the body (``google.rpc.RetryInfo``), answers a wrong key with status
        400, and a quota of the day that is used up with the same 429 as one of the minute.
        """
        return _fault(status, data)


# ── requests ────────────────────────────────────────────────────────────────────────────────


def _config(request: ChatRequest) -> dict[str, Any]:
    given = request.params.get("generationConfig")
    config: dict[str, Any] = dict(given) if isinstance(given, Mapping) else {}
    for key, value in request.params.items():
        if key not in _NOT_OURS | _BESIDE_CONFIG:
            name = _CONFIG_NAMES.get(key, key)
            config[name] = [value] if name == "stopSequences" and isinstance(value, str) else value
    config["seed"] = request.seed
    if request.output_schema is not None:
        config["responseMimeType"] = "application/json"
        config["responseJsonSchema"] = request.output_schema
    return config


def _declaration(tool: ToolSpec) -> dict[str, Any]:
    declaration: dict[str, Any] = {"name": tool.name, "description": tool.description}
    if tool.parameters:
        declaration["parametersJsonSchema"] = tool.parameters
    return declaration


def _contents(request: ChatRequest) -> list[dict[str, Any]]:
    contents: list[dict[str, Any]] = []
    waiting: list[ToolCall] = []
    signed = _WITHOUT_SIGNATURES.search(request.model) is None
    results: list[dict[str, Any]] | None = None
    for message in request.messages:
        if message.role == "tool":
            if results is None:
                results = []
                contents.append({"role": "user", "parts": results})
            results.append(_result(message, waiting))
            continue
        if message.role == "system":
            continue
        results = None
        waiting += message.tool_calls
        parts: list[dict[str, Any]] = [{"text": message.content}] if message.content else []
        parts += _call_parts(message.tool_calls, request.states, signed=signed)
        if parts:
            contents.append({"role": "model" if message.role == "assistant" else "user", "parts": parts})
    return contents


def _call_parts(calls: Sequence[ToolCall], states: Mapping[str, Any], *, signed: bool) -> list[dict[str, Any]]:
    """The calls of a round, each with its signature; where none has one, the first bears what stands for it."""
    parts: list[dict[str, Any]] = []
    for call in calls:
        signature = states.get(call.id)
        part: dict[str, Any] = {"functionCall": {**_id(call.id), "name": call.name, "args": call.arguments}}
        parts.append(part | ({"thoughtSignature": signature} if isinstance(signature, str) else {}))
    if signed and parts and not any("thoughtSignature" in part for part in parts):
        parts[0]["thoughtSignature"] = _UNSIGNED
    return parts


def _result(message: Message, waiting: list[ToolCall]) -> dict[str, Any]:
    """A result names the function that it is of; without an id it answers the first call without one."""
    asked = message.tool_call_id or ""
    call = next((call for call in waiting if call.id == asked), None)
    if call is None:
        raise CallError(
            f"a tool message answers the call `{log_safe(asked)}`, which no message before it makes", kind="protocol"
        )
    waiting.remove(call)
    return {"functionResponse": {**_id(call.id), "name": call.name, "response": _response(message.content)}}


def _response(content: str) -> dict[str, Any]:
    """The vendor wants an object, and knows ``output`` as the place of anything else."""
    try:
        value = load_json(content)
    except ValueError:
        value = content
    return value if isinstance(value, dict) else {"output": value}


def _id(name: str) -> dict[str, str]:
    return {"id": name} if name else {}


# ── answers ─────────────────────────────────────────────────────────────────────────────────


@dataclass
class _Reader:
    """Responses, one for a whole answer or a chunk at a time, put together."""

    _texts: list[str] = field(default_factory=list)
    _calls: list[RequestedCall] = field(default_factory=list)
    _finish: str = ""
    _model: str = ""
    _usage: Mapping[str, Any] | None = None

    def feed(self, event: str, data: str) -> bool:
        """Take one chunk of a stream; its events have no type."""
        try:
            return self.take(json.loads(data))
        except RecursionError:
            raise ValueError("a chunk is nested too deeply") from None

    def take(self, data: Any) -> bool:
        """Take one response; whether it brought something of the answer."""
        if data.get("error") is not None:
            raise _error(data)
        self._model = text_of(data, "modelVersion") or self._model
        self._usage = data.get("usageMetadata") or self._usage
        if text_of(data.get("promptFeedback") or {}, "blockReason"):
            self._finish = "SAFETY"
        first = next((each for each in data.get("candidates") or () if not each.get("index")), None)
        if first is None:
            return False
        self._finish = text_of(first, "finishReason") or self._finish
        # a candidate that was filtered, or cut while the model was thinking, has no parts
        parts = (first.get("content") or {}).get("parts") or ()
        return sum(self._part(part) for part in parts) > 0

    def finish(self) -> Reply:
        """The whole answer: every answer says why it ends."""
        if not self._finish:
            raise ValueError("the answer has no `finishReason`: it ended too early")
        reason = "tool_calls" if self._finish == "STOP" and self._calls else _FINISH.get(self._finish, self._finish)
        return Reply(
            text="".join(self._texts),
            tool_calls=tuple(self._calls),
            finish_reason=reason,
            usage=_usage(self._usage),
            model=self._model,
        )

    def _part(self, part: Mapping[str, Any]) -> bool:
        """Take a part. Thoughts, and what is neither text nor a call of ours, are passed over."""
        if "functionCall" in part:
            self._calls.append(_call(part["functionCall"], text_of(part, "thoughtSignature") or None))
            return True
        text = "" if part.get("thought") else text_of(part, "text")
        self._texts.append(text)
        return bool(text)


def _call(call: Mapping[str, Any], signature: str | None) -> RequestedCall:
    name = call["name"]
    if not isinstance(name, str):
        raise TypeError("`name` of a call is no text")
    if call.get("willContinue") or call.get("partialArgs"):
        raise ValueError("arguments in pieces (`partialArgs`) are not read: leave `streamFunctionCallArguments` off")
    try:
        raw = json.dumps(call.get("args", {}), ensure_ascii=False)
    except RecursionError:
        raise ValueError("`args` of a call are nested too deeply") from None
    return RequestedCall.decoded(name, raw, text_of(call, "id"), signature)


def _usage(usage: Mapping[str, Any] | None) -> Usage:
    """The prompt includes what was read from the cache; thoughts and results of the vendor's own tools stand beside."""
    if not usage or usage.get("promptTokenCount") is None:
        return Usage(source="none")
    prompt = count(usage, "promptTokenCount")
    thoughts = count(usage, "thoughtsTokenCount")
    return Usage(
        input_tokens=prompt + count(usage, "toolUsePromptTokenCount"),
        output_tokens=count(usage, "candidatesTokenCount") + thoughts,
        cached_tokens=count(usage, "cachedContentTokenCount", most=prompt),
        reasoning_tokens=thoughts,
    )


def _fault(status: int, data: Any) -> Fault:
    # some gateways and the stream without `alt=sse` put the error into a list
    outer = data[0] if isinstance(data, list) and data else data
    error = outer.get("error") if isinstance(outer, Mapping) else None
    error = error if isinstance(error, Mapping) else {}
    details = error.get("details")
    found = [each for each in details if isinstance(each, Mapping)] if isinstance(details, list) else []
    wrong_key = any(str(each.get("reason")) in _WRONG_KEY for each in found)
    return Fault(
        _class(status, error.get("message")),
        retry_after=next((wait for each in found if (wait := _seconds(each.get("retryDelay"))) is not None), None),
        fatal=True if wrong_key else None,
        retry=False if wrong_key or any(_is_daily(each) for each in found) else None,
    )


def _seconds(value: Any) -> float | None:
    """A duration as JSON holds it (``31s``, ``0.25s``), at most a minute."""
    return min(60.0, float(value[:-1])) if isinstance(value, str) and _DURATION.fullmatch(value) else None


def _is_daily(detail: Mapping[str, Any]) -> bool:
    """Whether a quota (``google.rpc.QuotaFailure``) is one that is not there again before tomorrow."""
    violations = detail.get("violations")
    if not isinstance(violations, list):
        return False
    return any(isinstance(each, Mapping) and "PerDay" in str(each.get("quotaId")) for each in violations)


def _class(status: int, message: Any) -> FaultClass:
    if status != 400 or not isinstance(message, str):
        return "context_window" if status == 413 else "general"
    if _TOO_LONG.search(message):
        return "context_window"
    return "content_policy" if _FILTERED.search(message) else "general"


def _error(data: Mapping[str, Any]) -> CallError:
    """An error (``google.rpc.Status``) that came with status 200, as a stream can bring one."""
    error = data["error"]
    code = error.get("code")
    status = code if isinstance(code, int) and 400 <= code <= 599 else 500
    fault = _fault(status, data)
    return CallError(
        excerpt(log_safe(f"{text_of(error, 'status') or status}: {text_of(error, 'message')}"), QUOTED),
        kind="status",
        status=status,
        fatal=status in (401, 403) if fault.fatal is None else fault.fatal,
        retry=status in (408, 409, 429) or status >= 500 if fault.retry is None else fault.retry,
        retry_after=fault.retry_after,
        fault=fault.kind,
    )
