"""OpenAI Chat Completions over HTTP, and everything that speaks it (vLLM, Ollama, gateways, our simulator)."""

from __future__ import annotations

import ipaddress
import json
from collections.abc import Mapping
from typing import Any
from urllib.parse import urlsplit

from evalkit.errors import ConfigError
from evalkit.providers.base import CallError, ChatRequest, ChatResponse, RequestedCall
from evalkit.providers.http import HttpClient, HttpResult, is_address, without_user
from evalkit.records import Json, Message, Usage

__all__ = ["SIMULATED_FINGERPRINT", "SIMULATED_HEADER", "OpenAIChat", "parse_response", "request_payload"]

SIMULATED_HEADER = "x-evalkit-simulated"
"""Response header of our simulator, whatever the model is called."""
SIMULATED_FINGERPRINT = "evalkit-simulator-"
"""How its ``system_fingerprint`` begins, for a gateway that does not pass the header on."""
_MOST_TOKENS = 10**12


class OpenAIChat:
    """A target that speaks ``POST {base_url}/chat/completions``.

    Args:
        name: As configured.
        base_url: Up to and including the version, for example ``https://api.openai.com/v1``. A user and
            password in it are sent, and never stored or shown.
        api_key: Sent as a bearer token; never stored or shown.
        timeout: Seconds for one attempt.
        connections: Most connections at once.

    Raises:
        ConfigError: when ``base_url`` is not an address.
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
        self._shown_url = without_user(self._base_url)
        if not is_address(self._base_url):
            raise ConfigError(
                "not an address up to the version",
                key=f"providers.{name}.base_url",
                value=self._shown_url,
                fix="write it as http://HOST:PORT/v1 or https://HOST/v1",
            )
        self._headers = {"authorization": f"Bearer {api_key}"} if api_key else {}
        self._timeout = timeout
        self._connections = connections
        self._client: HttpClient | None = None

    @property
    def identity(self) -> Mapping[str, Json]:
        """Kind and address; the port of a loopback address is left out, it changes from run to run."""
        parts = urlsplit(self._shown_url)
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
                f"{self._shown_url}: not a chat completion: {type(error).__name__} {error}",
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
        KeyError, IndexError, TypeError, AttributeError, ValueError: when the JSON is something else.
    """
    data = result.data
    choice = data["choices"][0]
    message = choice["message"]
    system_fingerprint = _text(data, "system_fingerprint")
    return ChatResponse(
        text=_text(message, "content") or _text(message, "refusal"),
        tool_calls=tuple(_call(call) for call in message.get("tool_calls") or ()),
        finish_reason=_text(choice, "finish_reason"),
        usage=_usage(data.get("usage")),
        model=_text(data, "model"),
        system_fingerprint=system_fingerprint,
        latency_us=result.latency_us,
        waited_us=result.waited_us,
        attempts=result.attempts,
        simulated=SIMULATED_HEADER in result.headers or system_fingerprint.startswith(SIMULATED_FINGERPRINT),
    )


def _text(data: Mapping[str, Any], key: str) -> str:
    value = data.get(key)
    if value is not None and not isinstance(value, str):
        raise TypeError(f"`{key}` is no text")
    return value or ""


def _call(call: Mapping[str, Any]) -> RequestedCall:
    function = call["function"]
    if function["name"] is None:
        raise TypeError("`name` of a call is null")
    return RequestedCall.decoded(_text(function, "name"), _text(function, "arguments"), _text(call, "id"))


def _usage(usage: Mapping[str, Any] | None) -> Usage:
    """Input includes cached tokens and output includes reasoning tokens, as the vendor counts them."""
    if not usage or usage.get("prompt_tokens") is usage.get("completion_tokens") is None:
        return Usage(source="none")
    read = _count(usage, "prompt_tokens")
    return Usage(
        input_tokens=read,
        output_tokens=_count(usage, "completion_tokens"),
        cached_tokens=_count(usage.get("prompt_tokens_details") or {}, "cached_tokens", most=read),
        reasoning_tokens=_count(usage.get("completion_tokens_details") or {}, "reasoning_tokens"),
    )


def _count(usage: Mapping[str, Any], key: str, most: int = _MOST_TOKENS) -> int:
    value = usage.get(key)
    if value is None:
        return 0
    if not isinstance(value, int) or isinstance(value, bool) or not 0 <= value <= most:
        raise ValueError(f"`usage` counts {repr(value)[:40]} {key}, not 0 to {most:,}")
    return value
