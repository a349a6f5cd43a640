"""The simulator as a target in process: no server, and no waiting for the time a model says that it took."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from evalkit.providers.base import CallError, ChatRequest, ChatResponse
from evalkit.providers.openai_chat import OpenAIChatDialect
from evalkit.records import Json
from evalkit.simulator.model import BadRequestError, Reply, UnknownModelError, complete
from evalkit.simulator.profiles import PROFILES, SYSTEM_FINGERPRINT

__all__ = ["Simulator"]

_DIALECT = OpenAIChatDialect()


class Simulator:
    """Simulated models without a wire. The recorded latency is the one that the model states.

    Args:
        name: As configured.
        on_reply: Told of every request and its reply, for explanations.
    """

    def __init__(self, name: str = "simulator", on_reply: Callable[[ChatRequest, Reply], None] | None = None) -> None:
        self.name = name
        self._on_reply = on_reply

    @property
    def identity(self) -> Mapping[str, Json]:
        """The version of the simulator."""
        return {"kind": "simulator", "fingerprint": SYSTEM_FINGERPRINT}

    async def aclose(self) -> None:
        """Nothing to release."""

    async def complete(self, request: ChatRequest) -> ChatResponse:
        """Answer a request.

        Raises:
            CallError: when there is no such simulated model, or it cannot read the request.
        """
        try:
            answer = complete(_DIALECT.payload(request, stream=False))
        except UnknownModelError as error:
            known = ", ".join(profile.name for profile in PROFILES)
            raise CallError(f"no simulated model `{error}`; there are {known}", kind="status", fatal=True) from None
        except BadRequestError as error:
            raise CallError(str(error), kind="status") from None
        if self._on_reply is not None:
            self._on_reply(request, answer)
        return _DIALECT.reply(answer.body).response(latency_us=round(answer.latency_s * 1e6), simulated=True)
