"""One model at one target, called with everything that a call needs around it: limits, one retry loop, a breaker.

The latency of a call is that of the attempt that answered. Queueing, pauses and attempts that failed are recorded
beside it, and each of those attempts by itself.
"""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Mapping
from dataclasses import dataclass, replace

from evalkit.providers.base import CallError, ChatRequest, ChatResponse, Provider
from evalkit.providers.breaker import CircuitBreaker
from evalkit.providers.limits import AdaptiveConcurrency, MinuteLimit
from evalkit.records import FailedAttempt, Json

__all__ = ["CallPolicy", "Deployment", "ResilientProvider", "estimated_tokens", "output_limit"]

_OVERLOAD = frozenset({408, 429, 503, 529})
_REFUSED = frozenset({408, 409, 429})
"""Statuses that say that the target is there and well, only not for us now."""
_DOUBLINGS = 30
_KNOCKS = 3
"""Attempts of a call where nobody has ever answered."""
_A_TURN_US = 1000
"""Less than this is a turn of the event loop and no queue."""


@dataclass(frozen=True, slots=True)
class CallPolicy:
    """How hard to try.

    Args:
        attempts: Most attempts of one call.
        deadline: Seconds from the first attempt after which no further one is begun; queueing for a place, or for
            room in the limits of a minute, is no part of them.
        concurrency: Most calls of one model in flight.
        requests_per_minute: Limit of the vendor, where known.
        tokens_per_minute: The same; input and most output tokens count when a call is made.
        first_pause: Seconds; the pause before attempt n + 1 is drawn from 0 to ``first_pause`` times two to the n.
        longest_pause: Its bound.
        cool_down: Seconds that a broken target is left alone.
        wait_when_open: Whether calls wait for a broken target, or fail at once so that a fallback takes over.
    """

    attempts: int = 8
    deadline: float = 300.0
    concurrency: int = 64
    requests_per_minute: int | None = None
    tokens_per_minute: int | None = None
    first_pause: float = 0.25
    longest_pause: float = 20.0
    cool_down: float = 5.0
    wait_when_open: bool = True


class Deployment:
    """Calls of one model, made within its limits.

    Args:
        provider: Makes one attempt.
        policy: How hard to try.
    """

    def __init__(self, provider: Provider, policy: CallPolicy) -> None:
        self._provider = provider
        self._policy = policy
        self.concurrency = AdaptiveConcurrency(policy.concurrency)
        self.breaker = CircuitBreaker(policy.cool_down)
        self._requests = MinuteLimit(policy.requests_per_minute) if policy.requests_per_minute else None
        self._tokens = MinuteLimit(policy.tokens_per_minute) if policy.tokens_per_minute else None
        self._resume = 0.0
        """Until when the target asked all calls to wait (``time.perf_counter``)."""
        self._is_there = False
        """Whether it has ever answered anything: one that has not is probably not there, and not waited for."""

    async def call(self, request: ChatRequest, *, wait_when_open: bool = True) -> ChatResponse:
        """Answer a request, by as many attempts as it takes.

        Args:
            request: What is asked.
            wait_when_open: False where the call has somewhere else to go; the policy can say so for all.

        Raises:
            CallError: when the attempts or the time are used up, or the fault is permanent.
        """
        call = _Call(wait_when_open and self._policy.wait_when_open)
        while True:
            call.queued = time.perf_counter()
            await self.concurrency.acquire()
            try:
                response = await self._attempt(request, call)
            except CallError as fault:
                call.failed(fault)
                pause = self._pause(fault, call)
                if pause is None:
                    raise _final(fault, call) from None
            else:
                return _with_waits(response, call)
            finally:
                self.concurrency.release()
            await asyncio.sleep(pause)

    async def _attempt(self, request: ChatRequest, call: _Call) -> ChatResponse:
        """Wait until one attempt may be made, and make it."""
        call.attempt = None
        await self._wait_for_minute(request)
        call.has_its_turn()
        try:
            await self._wait_as_asked(call)
            period = await self._admitted(call)
        except BaseException:
            self._give_back(request)
            raise
        call.attempt = began = time.perf_counter()
        call.made += 1
        try:
            response = await self._provider.complete(request)
        except CallError as fault:
            self._learn(fault, began, period)
            raise
        except BaseException:
            self.breaker.abandoned(period)
            raise
        self._is_there = True
        self.concurrency.succeeded()
        self.breaker.record(period, True)
        if self._tokens is not None and response.usage.source == "provider":
            used = response.usage.input_tokens + response.usage.output_tokens
            self._tokens.give_back(estimated_tokens(request) - used)
        return response

    def _learn(self, fault: CallError, began: float, period: int) -> None:
        """What a failed attempt says about the target."""
        self._is_there = self._is_there or fault.kind != "connect"
        if fault.kind == "timeout" or fault.status in _OVERLOAD:
            self.concurrency.overloaded(began)
        if fault.retry_after is not None:
            self._resume = max(self._resume, time.perf_counter() + fault.retry_after)
        if fault.retry and fault.status not in _REFUSED:
            self.breaker.record(period, False)
        elif fault.status is not None:
            self.breaker.record(period, True)
        else:
            self.breaker.abandoned(period)

    async def _admitted(self, call: _Call) -> int:
        """Wait until the breaker lets the call through; the period in which it did."""
        while not (period := self.breaker.admit()):
            wait = self.breaker.wait()
            if not self._is_there:
                raise CallError("the target cannot be reached", kind="connect")
            if not call.waits or call.spent + wait > self._policy.deadline:
                raise CallError("the target fails too often and is left alone for a while", kind="circuit_open")
            # all that wait must not come at once
            await asyncio.sleep(wait + random.uniform(0, 0.05))
        return period

    async def _wait_as_asked(self, call: _Call) -> None:
        """Wait as long as the target has asked for, be it of another call."""
        while (wait := self._resume - time.perf_counter()) > 0:
            if call.spent + wait > self._policy.deadline:
                raise CallError(
                    f"the target asked for a pause of {wait:.0f} s more, longer than the deadline of "
                    f"{self._policy.deadline:g} s",
                    kind="rate_limit",
                )
            await asyncio.sleep(wait)

    async def _wait_for_minute(self, request: ChatRequest) -> None:
        """Wait until the limits of a minute have room, and take it."""
        tokens = 0 if self._tokens is None else estimated_tokens(request)
        limit = self._policy.tokens_per_minute
        if limit is not None and tokens > limit:
            raise CallError(
                f"the request may use {tokens:,} tokens, more than the {limit:,} that `tokens_per_minute` allows",
                kind="rate_limit",
            )
        wait = 0.0 if self._requests is None else self._requests.take(1)
        if self._tokens is not None:
            wait = max(wait, self._tokens.take(tokens))
        try:
            if wait > 0:
                await asyncio.sleep(wait)
        except BaseException:
            self._give_back(request)
            raise

    def _give_back(self, request: ChatRequest) -> None:
        """What an attempt that was not made has taken of a minute."""
        if self._requests is not None:
            self._requests.give_back(1)
        if self._tokens is not None:
            self._tokens.give_back(estimated_tokens(request))

    def _pause(self, fault: CallError, call: _Call) -> float | None:
        """Seconds to the next attempt: full jitter, or what the target asked for; None where there is none."""
        policy, attempts = self._policy, len(call.failures)
        most_attempts = policy.attempts if self._is_there else min(policy.attempts, _KNOCKS)
        if not fault.retry or attempts >= most_attempts:
            return None
        most = min(policy.longest_pause, policy.first_pause * 2 ** min(attempts, _DOUBLINGS))
        # who asks for no wait at all, or for one that is over, does not ask to be hurried
        pause = fault.retry_after or random.uniform(0, most)
        return pause if call.spent + pause <= policy.deadline else None


class _Call:
    """One call while it lasts. Times are of ``time.perf_counter``."""

    __slots__ = ("asked", "attempt", "failures", "first", "made", "queued", "waits")

    def __init__(self, waits: bool) -> None:
        self.waits = waits
        self.asked = self.queued = time.perf_counter()
        self.first: float | None = None
        """When the first attempt could be begun, moved on by what was waited in queues since."""
        self.attempt: float | None = None
        """When the attempt that is made now was begun."""
        self.failures: list[FailedAttempt] = []
        self.made = 0
        """Attempts that were begun: a call can also fail in its queue."""

    def has_its_turn(self) -> None:
        """The queues are behind it: the time in them does not count towards the deadline."""
        now = time.perf_counter()
        self.first = now if self.first is None else self.first + now - self.queued

    @property
    def spent(self) -> float:
        """Seconds that count towards the deadline."""
        return 0.0 if self.first is None else time.perf_counter() - self.first

    def failed(self, fault: CallError) -> None:
        """Record an attempt that brought no answer."""
        now = time.perf_counter()
        began = now if self.attempt is None else self.attempt
        self.failures.append(
            FailedAttempt(
                kind=fault.kind,
                message=fault.message,
                status=fault.status,
                after_us=_us(began - self.asked),
                latency_us=_us(now - began),
                retry_after_us=None if fault.retry_after is None else _us(fault.retry_after),
            )
        )


def _with_waits(response: ChatResponse, call: _Call) -> ChatResponse:
    """The answer with what came before it; its provider counts the time before the request was on the wire."""
    assert call.attempt is not None, "it was answered"  # noqa: S101
    waited = _us(call.attempt - call.asked)
    if not call.failures and waited < _A_TURN_US:
        return response
    failures = tuple(call.failures)
    return replace(response, waited_us=waited + response.waited_us, attempts=len(failures) + 1, failures=failures)


def _final(fault: CallError, call: _Call) -> CallError:
    tried = f" (after {call.made} attempts)" if call.made > 1 else ""
    return CallError(
        f"{fault.message}{tried}",
        kind=fault.kind,
        attempts=call.made,
        fatal=fault.fatal,
        status=fault.status,
        fault=fault.fault,
        failures=tuple(call.failures),
    )


def _us(seconds: float) -> int:
    return round(seconds * 1e6)


class ResilientProvider:
    """A provider whose calls are made by one deployment for each model.

    Args:
        provider: Makes single attempts.
        policy: How hard to try.
        wait_when_open: Whether calls wait for a broken target, or fail at once so that a fallback takes over.
    """

    def __init__(self, provider: Provider, policy: CallPolicy, *, wait_when_open: bool = True) -> None:
        self.name = provider.name
        self._provider = provider
        self._policy = policy
        self._wait_when_open = wait_when_open
        self._deployments: dict[str, Deployment] = {}

    def failing_fast(self) -> ResilientProvider:
        """The same, with the same limits, for calls that have somewhere else to go."""
        other = ResilientProvider(self._provider, self._policy, wait_when_open=False)
        other._deployments = self._deployments
        return other

    @property
    def identity(self) -> Mapping[str, Json]:
        """That of the provider: how often a call is tried does not change its answer."""
        return self._provider.identity

    async def complete(self, request: ChatRequest) -> ChatResponse:
        """Answer a request.

        Raises:
            CallError: when no attempt succeeded.
        """
        found = self._deployments.get(request.model)
        if found is None:
            found = self._deployments[request.model] = Deployment(self._provider, self._policy)
        return await found.call(request, wait_when_open=self._wait_when_open)

    async def aclose(self) -> None:
        """Release connections."""
        await self._provider.aclose()


def estimated_tokens(request: ChatRequest) -> int:
    """Tokens that a call may use at most, about: four characters a token, and what its parameters allow as output."""
    return sum(len(message.content) for message in request.messages) // 4 + (output_limit(request) or 0)


def output_limit(request: ChatRequest) -> int | None:
    """Most output tokens that the parameters of a request allow; None where they do not say."""
    return next((value for key in _OUTPUT_LIMITS if isinstance(value := request.params.get(key), int)), None)


_OUTPUT_LIMITS = ("max_completion_tokens", "max_tokens", "max_output_tokens", "maxOutputTokens")
