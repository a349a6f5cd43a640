"""OpenAI Chat Completions over HTTP, and everything that speaks it (vLLM, Ollama, gateways, our simulator)."""

from __future__ import annotations

import ipaddress
import json
from collections.abc import Mapping
from typing import Any
from urllib.parse import urlsplit

from evalkit.providers.base import CallError, ChatRequest, ChatResponse, RequestedCall
from evalkit.providers.http import HttpClient, HttpResult
from evalkit.records import Json, Message, Usage

__all__ = ["SIMULATED_HEADER", "OpenAIChat", "parse_response", "request_payload"]

SIMULATED_HEADER = "x-evalkit-simulated"
"""Response header of our simulator, whatever the model is called."""


class OpenAIChat:
    """A target that speaks ``POST {base_url}/chat/completions``.

    Args:
        name: As configured.
        base_url: Up to and including the version, for example ``https://api.openai.com/v1``.
        api_key: Sent as a bearer token; never stored or shown.
        timeout: Seconds for one attempt.
        connections: Most connections at once.
    """

    def __init__(
        self,
        name: str,
        base_url: str,
        api_key: str | None = None,
        *,
        timeout: float = 60.0,
        connections: int = 64,
    ) -> None:
        self.name = name
        self._base_url = base_url.rstrip("/")
        self._headers = {"authorization": f"Bearer {api_key}"} if api_key else {}
        self._timeout = timeout
        self._connections = connections
        self._client: HttpClient | None = None

    @property
    def identity(self) -> Mapping[str, Json]:
        """Kind and address; the port of a loopback address is left out, it changes from run to run."""
        parts = urlsplit(self._base_url)
        host = parts.hostname or ""
        where = host if _is_loopback(host) else parts.netloc
        return {"kind": "openai", "base_url": f"{parts.scheme}://{where}{parts.path}"}

    async def aclose(self) -> None:
        """Close all connections."""
        if self._client is not None:
            await self._client.aclose()
            self._client = None

    async def complete(self, request: ChatRequest) -> ChatResponse:
        """Answer a request.

        Raises:
            CallError: when no attempt succeeded or the answer is not a chat completion.
        """
        if self._client is None:
            self._client = HttpClient(headers=self._headers, timeout=self._timeout, connections=self._connections)
        result = await self._client.post(f"{self._base_url}/chat/completions", request_payload(request))
        try:
            return parse_response(result)
        except (KeyError, IndexError, TypeError, AttributeError, ValueError) as error:
            raise CallError(
                f"{self._base_url}: not a chat completion: {type(error).__name__} {error}",
                kind="protocol",
                attempts=result.attempts,
            ) from None


def _is_loopback(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def request_payload(request: ChatRequest) -> dict[str, Any]:
    """The JSON body of a request."""
    payload: dict[str, Any] = {
        **request.params,
        "model": request.model,
        "messages": [_message(message) for message in request.messages],
        "seed": request.seed,
    }
    if request.tools:
        payload["tools"] = [
            {
                "type": "function",
                "function": {"name": tool.name, "description": tool.description, "parameters": tool.parameters},
            }
            for tool in request.tools
        ]
    return payload


def _message(message: Message) -> dict[str, Any]:
    data: dict[str, Any] = {"role": message.role, "content": message.content}
    if message.tool_calls:
        data["tool_calls"] = [
            {
                "id": call.id,
                "type": "function",
                "function": {"name": call.name, "arguments": json.dumps(call.arguments, ensure_ascii=False)},
            }
            for call in message.tool_calls
        ]
    if message.tool_call_id is not None:
        data["tool_call_id"] = message.tool_call_id
    return data


def parse_response(result: HttpResult) -> ChatResponse:
    """A chat completion as a response.

    Raises:
        KeyError, IndexError, TypeError, AttributeError: when the JSON is something else.
    """
    data = result.data
    choice = data["choices"][0]
    message = choice["message"]
    return ChatResponse(
        text=message.get("content") or message.get("refusal") or "",
        tool_calls=tuple(_call(call) for call in message.get("tool_calls") or ()),
        finish_reason=choice.get("finish_reason") or "",
        usage=_usage(data.get("usage")),
        model=data.get("model") or "",
        system_fingerprint=data.get("system_fingerprint") or "",
        latency_us=result.latency_us,
        waited_us=result.waited_us,
        attempts=result.attempts,
        simulated=SIMULATED_HEADER in result.headers,
    )


def _call(call: Mapping[str, Any]) -> RequestedCall:
    function = call["function"]
    raw = function.get("arguments") or "{}"
    try:
        return RequestedCall(function["name"], json.loads(raw), call.get("id") or "")
    except ValueError as error:
        return RequestedCall(function["name"], raw, call.get("id") or "", f"arguments are not JSON: {error}")


def _usage(usage: Mapping[str, Any] | None) -> Usage:
    """Input includes cached tokens and output includes reasoning tokens, as the vendor counts them."""
    if not usage:
        return Usage(source="none")
    return Usage(
        input_tokens=usage.get("prompt_tokens") or 0,
        output_tokens=usage.get("completion_tokens") or 0,
        cached_tokens=(usage.get("prompt_tokens_details") or {}).get("cached_tokens") or 0,
        reasoning_tokens=(usage.get("completion_tokens_details") or {}).get("reasoning_tokens") or 0,
    )
