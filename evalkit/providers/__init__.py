"""Targets: what answers a request, over HTTP, in process or from a recording."""

from evalkit.providers.base import CallError, ChatRequest, ChatResponse, Provider, RequestedCall
from evalkit.providers.openai_chat import OpenAIChat
from evalkit.providers.prices import Price, PriceTable
from evalkit.providers.replay import Replay

__all__ = [
    "CallError",
    "ChatRequest",
    "ChatResponse",
    "OpenAIChat",
    "Price",
    "PriceTable",
    "Provider",
    "Replay",
    "RequestedCall",
]
