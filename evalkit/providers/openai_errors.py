"""Errors as OpenAI words them, and those who speak like it: which fallback fits, and whether to ask again.

Shapes: ``{"error": {"message", "type", "param", "code"}}`` (OpenAI, vLLM, llama.cpp; Azure adds ``innererror``,
OpenRouter ``metadata`` and an HTTP status as ``code``), ``{"error": "text"}`` (Ollama, TGI), ``{"object": "error",
"message", ...}`` (older vLLM), ``{"type": "error", "message", "code"}`` (an event of Responses), and the first of
these in a list (Gemini's compatible endpoint).
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from evalkit.providers.base import CallError, FaultClass
from evalkit.providers.dialect import QUOTED, Fault
from evalkit.text import excerpt, log_safe

__all__ = ["call_error", "fault_of", "raise_reported"]

_TOO_LONG_CODES = frozenset({"context_length_exceeded", "exceed_context_size_error", "string_above_max_length"})
_TOO_LONG = (
    "maximum context length",  # OpenAI, vLLM, Mistral, OpenRouter, SGLang, Ollama
    "reduce the length of the (?:messages|prompt)",  # OpenAI, Groq, Cerebras
    "exceeds? the (?:available )?context (?:length|size|window)",  # OpenAI Responses, llama.cpp, Ollama
    "context (?:length|size|window) (?:has been )?exceeded",  # llama.cpp
    "contextwindowexceeded",  # LiteLLM
    "model's context length is only",  # vLLM
    "longer than the (?:maximum model length|model's context length)",  # vLLM, SGLang
    "max_tokens must be at least 1, got -",  # vLLM, where the prompt alone is too long
    "exceeded max context length",  # Ollama
    r"`inputs` (?:tokens \+ `max_new_tokens` must be <=|must have less than)",  # TGI, Together
    "prompt is too long",  # Anthropic behind a gateway
    r"input token count[^.]{0,40}exceeds the maximum number of tokens",  # Gemini behind a gateway
    "context length of only",  # LM Studio
)
_FILTERED_CODES = frozenset(
    {
        "content_filter",
        "content_policy_violation",
        "data_inspection_failed",  # Alibaba Model Studio
        "image_content_policy_violation",
        "invalid_prompt",  # OpenAI: "your prompt was flagged as potentially violating our usage policy"
        "moderation_blocked",
        "responsibleaipolicyviolation",  # Azure
    }
)
_FILTERED = (
    "content management policy",  # Azure
    "contentpolicyviolation",  # LiteLLM
    "content policy violation",
    "violat(?:ing|es|ed) our (?:usage|content) polic",  # OpenAI
    "input was flagged",  # OpenRouter
    "content exists risk",  # DeepSeek
)
_SAYS_TOO_LONG, _SAYS_FILTERED = (re.compile("|".join(words), re.IGNORECASE) for words in (_TOO_LONG, _FILTERED))
_LIMITED = frozenset({"rate_limit_exceeded", "rate_limit_error", "ratelimiterror", "too_many_requests"})
_PERMANENT = frozenset(
    {
        "authentication_error",
        "badrequesterror",
        "billing_hard_limit_reached",
        "insufficient_quota",
        "invalid_api_key",
        "invalid_request_error",
        "model_not_found",
        "not_found_error",
        "notfounderror",
        "permission_error",
        "unsupported_parameter",
        "unsupported_value",
    }
)
_WITHOUT_MONEY = frozenset({"insufficient_quota", "billing_hard_limit_reached"})
_FATAL = frozenset({401, 403})
_RETRIED = frozenset({408, 409, 429})
_READ = 1_000
"""Characters that are searched: behind them some servers quote the request."""


@dataclass(frozen=True, slots=True)
class _Reported:
    """An error in the words of the target: its text, its codes and types in lower case, and an HTTP status."""

    message: str
    codes: frozenset[str]
    status: int | None

    @property
    def fault(self) -> FaultClass:
        if self.codes & _TOO_LONG_CODES:
            return "context_window"
        if self.codes & _FILTERED_CODES:
            return "content_policy"
        head = self.message[:_READ]
        if _SAYS_TOO_LONG.search(head):
            return "context_window"
        return "content_policy" if _SAYS_FILTERED.search(head) else "general"

    @property
    def temporary(self) -> bool:
        """Whether asking again may help; an error without a known cause in an answer that had begun may pass."""
        if self.codes & _PERMANENT:
            return False
        return self.status is None or self.status in _RETRIED or self.status >= 500


def raise_reported(data: Any) -> None:
    """Raise the error that an answer, an event or a choice reports, if it reports one.

    Raises:
        CallError: with the class of the fault, and whether another attempt may succeed.
    """
    found = _error_in(data)
    if found:
        raise _as_call_error(_read(found))


def call_error(data: Any) -> CallError:
    """The error that a message reports which is known to be one, whatever its shape."""
    return _as_call_error(_read(_error_in(data) or data))


def fault_of(data: Any) -> FaultClass | Fault:
    """The class of an error answer from its JSON, None included; an account without money is no passing fault."""
    reported = _read(_error_in(data) or data)
    return Fault(fatal=True, retry=False) if reported.codes & _WITHOUT_MONEY else reported.fault


def _error_in(data: Any) -> Any:
    """What an answer says about an error; falsy where it says nothing."""
    if isinstance(data, list):
        data = data[0] if data else None
    if not isinstance(data, Mapping):
        return None
    if data.get("error"):
        return data["error"]
    return data if "error" in (data.get("object"), data.get("type")) else None


def _read(error: Any) -> _Reported:
    if not isinstance(error, Mapping):
        return _Reported(error if isinstance(error, str) else "", frozenset(), None)
    inner = error.get("innererror")
    metadata = error.get("metadata")
    texts = [error.get(key) for key in ("message", "detail")]
    if isinstance(metadata, Mapping):
        # OpenRouter keeps the words of the vendor behind it here
        texts.append(metadata.get("raw"))
    codes = [error.get("code"), error.get("type"), inner.get("code") if isinstance(inner, Mapping) else None]
    return _Reported(
        message=" ".join(text for text in texts if isinstance(text, str)),
        codes=frozenset(code.lower() for code in codes if isinstance(code, str) and not code.isdigit()),
        status=next((status for code in codes if (status := _status(code)) is not None), None),
    )


def _status(code: Any) -> int | None:
    """A code that is an HTTP status of an error, as a number or in digits."""
    if isinstance(code, str) and re.fullmatch("[45][0-9]{2}", code):
        return int(code)
    return code if isinstance(code, int) and 400 <= code <= 599 else None


def _as_call_error(error: _Reported) -> CallError:
    fault = error.fault
    said = excerpt(log_safe(" ".join([error.message, *(f"({code})" for code in sorted(error.codes))]).strip()), QUOTED)
    status = error.status or (429 if error.codes & _LIMITED else None)
    return CallError(
        f"the target reports an error: {said or 'it does not say which'}",
        kind="status",
        status=status,
        fault=fault,
        fatal=fault == "general" and status in _FATAL,
        retry=fault == "general" and error.temporary,
    )
