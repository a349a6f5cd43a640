"""Calls of a model with everything around them: attempts, pauses, limits, the breaker, and where the time goes."""

from __future__ import annotations

import asyncio
import email.utils
import time
from collections.abc import Callable, Coroutine, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any, TypeAlias

import pytest

from evalkit.providers import CallError, ChatRequest, ChatResponse, OpenAIChatDialect, Provider
from evalkit.providers.deployment import CallPolicy, Deployment, ResilientProvider, estimated_tokens
from evalkit.providers.http import Timeouts
from evalkit.providers.vendor import HttpVendor
from evalkit.records import Json, Message, Usage

from .loopback import BOTH_LOOPS, Action, Loopback, Sent, answer, completion, drop, hang, raw, then_close

Run: TypeAlias = Callable[[Coroutine[Any, Any, Any]], Any]
AT_ONCE = {"retry-after-ms": "0"}
ASKED = ChatRequest("m-1", (Message("user", "hello"),))
OK = answer(completion("fine"))
PATIENT = Timeouts(total=20)


def call(*actions: Action, timeouts: Timeouts = PATIENT, key: str | None = None, **policy: Any) -> Any:
    """What one call comes to, the answer or the error, and the requests that it took."""

    async def main() -> tuple[ChatResponse | CallError, list[Sent]]:
        async with Loopback(actions) as server:
            vendor = HttpVendor("p", OpenAIChatDialect(), base_url=server.url, key=key, timeouts=timeouts)
            target = ResilientProvider(vendor, CallPolicy(**{"attempts": 2, "first_pause": 0.001, **policy}))
            try:
                return await target.complete(ASKED), server.requests
            except CallError as error:
                return error, server.requests
            finally:
                await target.aclose()

    return asyncio.run(main())


def answered(*actions: Action, **keys: Any) -> tuple[ChatResponse, list[Sent]]:
    response, requests = call(*actions, **keys)
    assert isinstance(response, ChatResponse), response
    return response, requests


def failed(*actions: Action, **keys: Any) -> tuple[CallError, int]:
    error, requests = call(*actions, **keys)
    assert isinstance(error, CallError), error
    return error, len(requests)


@dataclass
class Scripted:
    """A provider that does to each attempt what the test says."""

    attempts: list[Callable[[], Coroutine[Any, Any, ChatResponse]]]
    name: str = "scripted"
    begun: list[ChatRequest] = field(default_factory=list)
    running: int = 0
    most: int = 0

    @property
    def identity(self) -> Mapping[str, Json]:
        return {"kind": "scripted"}

    async def complete(self, request: ChatRequest) -> ChatResponse:
        step = self.attempts[min(len(self.begun), len(self.attempts) - 1)]
        self.begun.append(request)
        self.running += 1
        self.most = max(self.most, self.running)
        try:
            return await step()
        finally:
            self.running -= 1

    async def aclose(self) -> None:
        return None


def gives(response: ChatResponse | None = None, after: float = 0) -> Callable[[], Coroutine[Any, Any, ChatResponse]]:
    async def step() -> ChatResponse:
        await asyncio.sleep(after)
        return response or ChatResponse("fine")

    return step


def raises(error: BaseException, after: float = 0) -> Callable[[], Coroutine[Any, Any, ChatResponse]]:
    async def step() -> ChatResponse:
        await asyncio.sleep(after)
        raise error

    return step


def down(**keys: Any) -> Callable[[], Coroutine[Any, Any, ChatResponse]]:
    return raises(CallError("down", kind="status", **{"status": 500, "retry": True, **keys}))


async def never() -> ChatResponse:
    await asyncio.Event().wait()
    raise AssertionError


def deployment(*attempts: Any, **policy: Any) -> tuple[Deployment, Scripted]:
    provider = Scripted(list(attempts))
    checked: Provider = provider
    return Deployment(checked, CallPolicy(**{"first_pause": 0.0, **policy})), provider


# ── attempts ────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("status", [408, 409, 429, 500, 501, 502, 503, 504, 529, 599])
def test_passing_faults_are_tried_again(status: int) -> None:
    response, requests = answered(answer({"error": "busy"}, status, AT_ONCE), OK, key="k")
    assert (response.text, response.attempts, len(requests)) == ("fine", 2, 2)
    (failure,) = response.failures
    assert (failure.kind, failure.status, failure.retry_after_us) == ("status", status, 0)
    assert f"status {status}" in failure.message
    assert requests[0].body == requests[1].body
    assert [sent.headers["authorization"] for sent in requests] == ["Bearer k"] * 2


@pytest.mark.parametrize(
    ("status", "fatal"),
    [(400, False), (401, True), (403, True), (404, False), (413, False), (422, False)],
)
def test_lasting_faults_are_not(status: int, fatal: bool) -> None:
    error, requests = failed(answer({"error": {"message": "no such model"}}, status), OK)
    assert (error.kind, error.fatal, error.attempts, requests) == ("status", fatal, 1, 1)
    assert [failure.status for failure in error.failures] == [status]
    assert "attempts" not in error.message


def test_attempts_are_used_up() -> None:
    error, requests = failed(answer({"error": "busy"}, 500, AT_ONCE), attempts=3)
    assert (error.kind, error.status, error.attempts, requests) == ("status", 500, 3, 3)
    assert 'status 500: {"error": "busy"} (after 3 attempts)' in error.message
    assert len(error.failures) == 3
    assert not error.retry


@pytest.mark.parametrize(
    "action", [drop, raw(b"HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\n{"), raw(b"no HTTP\r\n\r\n")]
)
def test_a_connection_that_breaks_is_tried_again(action: Action) -> None:
    response, requests = answered(then_close(action), OK)
    assert (response.text, response.attempts) == ("fine", 2)
    assert [failure.kind for failure in response.failures] == ["connect"]
    assert requests[0].connection != requests[1].connection


def test_nobody_listens() -> None:
    async def main() -> None:
        async with Loopback((OK,)) as server:
            url = server.url
        target = ResilientProvider(
            HttpVendor("p", OpenAIChatDialect(), base_url=url), CallPolicy(attempts=2, first_pause=0.001)
        )
        try:
            await target.complete(ASKED)
        finally:
            await target.aclose()

    with pytest.raises(CallError, match=r"127\.0\.0\.1:\d+/v1/chat/completions: .*\(after 2 attempts\)") as caught:
        asyncio.run(main())
    assert caught.value.kind == "connect"


def unreachable() -> Any:
    return raises(CallError("refused", kind="connect", retry=True))


def test_a_target_that_has_never_answered_is_not_knocked_at_for_long() -> None:
    made, provider = deployment(unreachable(), attempts=8)
    with pytest.raises(CallError, match=r"refused \(after 3 attempts\)"):
        asyncio.run(made.call(ASKED))
    assert len(provider.begun) == 3


@pytest.mark.parametrize("first", [gives(), down(status=400, retry=False), down()])
def test_one_that_has_answered_whatever_it_said_is(first: Any) -> None:
    async def main() -> None:
        made, provider = deployment(first, unreachable(), attempts=5)
        with suppress(CallError):
            await made.call(ASKED)
        before = len(provider.begun)
        with pytest.raises(CallError, match=r"refused \(after 5 attempts\)"):
            await made.call(ASKED)
        assert len(provider.begun) == before + 5

    asyncio.run(main())


def test_one_that_has_never_answered_is_not_waited_for() -> None:
    async def main() -> tuple[CallError, int]:
        made, provider = deployment(unreachable(), attempts=1)
        for _ in range(10):
            with pytest.raises(CallError, match="refused"):
                await made.call(ASKED)
        with pytest.raises(CallError, match="the target cannot be reached") as caught:
            await made.call(ASKED)
        return caught.value, len(provider.begun)

    error, begun = asyncio.run(main())
    assert (error.kind, error.attempts, begun) == ("connect", 0, 10)


@pytest.mark.parametrize("body", [b"<html>", b'{"a": ', b"", b"{}", b'{"choices": []}'])
def test_an_answer_that_is_none_is_tried_again(body: bytes) -> None:
    response, _ = answered(answer(body), OK)
    assert (response.text, response.attempts, response.failures[0].kind) == ("fine", 2, "protocol")


def test_silence_is_a_timeout_of_each_attempt() -> None:
    error, requests = failed(hang, timeouts=Timeouts(total=0.1))
    assert (error.kind, error.attempts, requests) == ("timeout", 2, 2)
    assert "timed out, no whole answer in 0.1 s (after 2 attempts)" in error.message
    assert answered(hang, OK, timeouts=Timeouts(total=1.0))[0].attempts == 2


@pytest.mark.parametrize(
    "last", [answer({}, 400), raw(b"HTTP/1.1 200 OK\r\ncontent-length: 40000000\r\n\r\n", b" " * 34_000_000)]
)
def test_the_attempts_before_a_lasting_fault_are_counted(last: Action) -> None:
    error, requests = failed(answer({}, 500, AT_ONCE), last, attempts=4)
    assert (error.attempts, requests, len(error.failures)) == (2, 2, 2)


def test_a_model_has_its_own_limits_and_its_own_breaker() -> None:
    async def main() -> int:
        provider = Scripted([gives(after=0.05)])
        target = ResilientProvider(provider, CallPolicy(concurrency=1))
        await asyncio.gather(*(target.complete(ChatRequest(model, ())) for model in "aabb"))
        return provider.most

    assert asyncio.run(main()) == 2


# ── pauses ──────────────────────────────────────────────────────────────────────────────────


def http_date(seconds: float) -> str:
    return email.utils.formatdate(time.time() + seconds, usegmt=True)


@pytest.mark.parametrize(
    "headers",
    [
        {"Retry-After": "30"},
        {"retry-after": "30.5"},
        {"Retry-After": http_date(900)},
        {"Retry-After-Ms": "30000"},
        {"retry-after-ms": "30000", "retry-after": "0"},
    ],
)
def test_a_wait_that_is_asked_for_and_does_not_fit_ends_the_call(headers: Mapping[str, str]) -> None:
    error, requests = failed(answer({}, 429, headers), OK, deadline=20, attempts=4)
    assert (error.kind, error.attempts, requests) == ("status", 1, 1)
    assert "status 429" in error.message


@pytest.mark.parametrize(
    "headers",
    [{"Retry-After": "0"}, {"Retry-After": http_date(-60)}, AT_ONCE, {"retry-after-ms": "0", "retry-after": "30"}],
)
def test_a_wait_that_is_over_is_none(headers: Mapping[str, str]) -> None:
    response, _ = answered(answer({}, 429, headers), OK, deadline=20)
    assert (response.text, response.attempts) == ("fine", 2)


def test_who_asks_for_no_wait_is_not_hurried(monkeypatch: pytest.MonkeyPatch) -> None:
    ranges: list[tuple[float, float]] = []

    def draw(low: float, high: float) -> float:
        ranges.append((low, high))
        return 0.0

    monkeypatch.setattr("evalkit.providers.deployment.random.uniform", draw)
    made, _ = deployment(down(status=429, retry_after=0.0), gives(), first_pause=0.25)
    response = asyncio.run(made.call(ASKED))
    assert (ranges, response.failures[0].retry_after_us) == ([(0, 0.5)], 0)


def test_the_wait_that_is_asked_for_is_kept_and_counted() -> None:
    longest_own_pause_us = 10_000
    response, _ = answered(answer({}, 429, {"retry-after-ms": "700"}), OK, longest_pause=0.01)
    assert response.waited_us >= 700_000 > longest_own_pause_us
    assert response.failures[0].retry_after_us == 700_000


def test_the_wait_that_one_call_is_asked_for_is_kept_by_all() -> None:
    async def main() -> list[float]:
        made, provider = deployment(down(status=429, retry_after=0.4), gives())
        begun: list[float] = []
        original = provider.complete

        async def complete(request: ChatRequest) -> ChatResponse:
            begun.append(time.perf_counter())
            return await original(request)

        provider.complete = complete  # type: ignore[method-assign]
        first = asyncio.create_task(made.call(ASKED))
        await asyncio.sleep(0)
        await asyncio.sleep(0.05)
        response = await made.call(ASKED)
        assert response.attempts == 1
        await first
        return [each - begun[0] for each in begun]

    assert all(since >= 0.4 for since in asyncio.run(main())[1:])


def test_a_wait_that_others_are_asked_for_and_does_not_fit_is_an_error() -> None:
    async def main() -> tuple[CallError, int]:
        made, provider = deployment(down(status=429, retry_after=60.0), gives(), deadline=5, attempts=1)
        with pytest.raises(CallError):
            await made.call(ASKED)
        with pytest.raises(
            CallError, match="asked for a pause of 60 s more, longer than the deadline of 5 s"
        ) as caught:
            await made.call(ASKED)
        return caught.value, len(provider.begun)

    error, requests = asyncio.run(main())
    assert (error.kind, error.attempts, requests) == ("rate_limit", 0, 1)


def test_pauses_are_drawn_from_a_range_that_doubles_up_to_a_bound(monkeypatch: pytest.MonkeyPatch) -> None:
    ranges: list[float] = []

    def draw(low: float, high: float) -> float:
        assert low == 0
        ranges.append(high)
        return 0.0

    monkeypatch.setattr("evalkit.providers.deployment.random.uniform", draw)
    made, _ = deployment(down(status=429), first_pause=0.25, longest_pause=3.0, attempts=6)
    with pytest.raises(CallError):
        asyncio.run(made.call(ASKED))
    assert ranges == [0.5, 1.0, 2.0, 3.0, 3.0]


def test_very_many_attempts_are_made_where_they_are_asked_for() -> None:
    made, provider = deployment(down(status=429), attempts=2000)
    with pytest.raises(CallError, match="after 2000 attempts"):
        asyncio.run(made.call(ASKED))
    assert len(provider.begun) == 2000


def test_after_the_deadline_no_attempt_is_begun() -> None:
    made, provider = deployment(raises(CallError("slow", kind="timeout", retry=True), after=0.15), deadline=0.1)
    with pytest.raises(CallError, match="slow") as caught:
        asyncio.run(made.call(ASKED))
    assert (caught.value.attempts, len(provider.begun)) == (1, 1)


def test_the_deadline_does_not_run_while_a_call_waits_for_its_turn() -> None:
    async def main() -> ChatResponse:
        made, _ = deployment(gives(after=0.9), down(), gives(), deadline=0.8, concurrency=1)
        first = asyncio.create_task(made.call(ASKED))
        await asyncio.sleep(0)
        second = await made.call(ASKED)
        await first
        return second

    response = asyncio.run(main())
    assert (response.attempts, response.waited_us >= 800_000) == (2, True)


def test_nor_while_it_waits_for_its_turn_again() -> None:
    async def main() -> tuple[ChatResponse, int]:
        made, provider = deployment(down(), gives(after=0.9), down(), gives(), deadline=0.8, concurrency=1)
        first, second = (asyncio.create_task(made.call(ASKED)) for _ in range(2))
        await second
        return await first, len(provider.begun)

    response, attempts = asyncio.run(main())
    assert (response.attempts, attempts) == (3, 4)


# ── at once ─────────────────────────────────────────────────────────────────────────────────


@BOTH_LOOPS
def test_no_more_calls_at_once_than_the_policy_says(run: Run) -> None:
    async def main() -> list[int]:
        async with Loopback((answer(completion(), after=0.1),)) as server:
            target = ResilientProvider(
                HttpVendor("p", OpenAIChatDialect(), base_url=server.url), CallPolicy(concurrency=3)
            )
            await asyncio.gather(*(target.complete(ASKED) for _ in range(12)))
            await target.aclose()
        return server.connections

    connections = run(main())
    assert len(connections) == 12
    assert set(connections) == {1, 2, 3}


@pytest.mark.parametrize(("fault", "limit"), [(429, 7), (503, 7), (529, 7), (408, 7), (500, 10), (None, 7)])
def test_signs_of_overload_leave_less_at_once(fault: int | None, limit: int) -> None:
    kind = "timeout" if fault is None else "status"
    made, _ = deployment(raises(
        CallError("x", kind=kind, status=fault, retry=True)), gives(), concurrency=10)  # fmt: skip
    asyncio.run(made.call(ASKED))
    assert (made.concurrency.limit, made.concurrency.in_flight) == (limit, 0)


@BOTH_LOOPS
@pytest.mark.parametrize("end", ["answer", "fault", "bug", "cancel", "cancel in queue", "cancel in pause"])
def test_however_a_call_ends_its_place_is_free_again(run: Run, end: str) -> None:
    async def main() -> None:
        first: Any = {
            "answer": gives(),
            "fault": down(retry=False),
            "bug": raises(ZeroDivisionError()),
            "cancel in pause": down(retry_after=30.0),
        }.get(end, never)
        made, provider = deployment(first, gives(), concurrency=1)
        task = asyncio.create_task(made.call(ASKED))
        await asyncio.sleep(0.02)
        if end == "cancel in queue":
            queued = asyncio.create_task(made.call(ASKED))
            await asyncio.sleep(0)
            queued.cancel()
            await asyncio.wait([queued])
            assert made.concurrency.in_flight == 1
        task.cancel()
        await asyncio.wait([task])
        assert task.cancelled() == end.startswith("cancel")
        if not task.cancelled():
            task.exception()
        assert (made.concurrency.in_flight, provider.running) == (0, 0)

    run(main())


# ── in a minute ─────────────────────────────────────────────────────────────────────────────


def test_requests_in_a_minute_are_spread_and_the_queue_is_no_fault() -> None:
    async def main() -> tuple[list[ChatResponse], float]:
        made, _ = deployment(gives(), requests_per_minute=600, deadline=0.2)
        began = time.perf_counter()
        responses = await asyncio.gather(*(made.call(ASKED) for _ in range(15)))
        return responses, time.perf_counter() - began

    responses, spent = asyncio.run(main())
    assert spent >= 0.45
    assert sum(response.waited_us > 0 for response in responses) >= 4
    assert all(response.attempts == 1 for response in responses)


def test_the_queue_of_a_minute_is_no_part_of_the_deadline_of_a_call_that_is_tried_again() -> None:
    made, provider = deployment(down(), down(), gives(), requests_per_minute=60, deadline=0.8)
    response = asyncio.run(made.call(ASKED))
    assert (response.attempts, len(provider.begun)) == (3, 3)
    assert response.waited_us >= 1_500_000


def test_a_request_that_was_given_up_in_the_queue_of_a_minute_gives_its_share_back() -> None:
    async def main() -> float:
        made, _ = deployment(gives(), requests_per_minute=60, tokens_per_minute=60_000)
        await made.call(ASKED)
        lost = [asyncio.create_task(made.call(ASKED)) for _ in range(50)]
        await asyncio.sleep(0)
        for task in lost:
            task.cancel()
        await asyncio.wait(lost)
        assert made._requests is not None
        return made._requests.take(0)

    assert asyncio.run(main()) < 2


@pytest.mark.parametrize("end", ["left alone", "a pause that is too long", "given up in a pause"])
def test_an_attempt_that_was_not_made_gives_its_share_back(end: str) -> None:
    request = ChatRequest("m", (), params={"max_tokens": 1000})
    limits = {"tokens_per_minute": 60_000, "requests_per_minute": 6000}
    if end == "left alone":
        made, provider = broken(wait_when_open=False, cool_down=60, **limits)
    else:
        deadline = 5 if end == "a pause that is too long" else 300
        made, provider = deployment(down(status=429, retry_after=60.0), deadline=deadline, attempts=1, **limits)

    async def main() -> float:
        if end != "left alone":
            with pytest.raises(CallError, match="down"):
                await made.call(ASKED)
        made_before = len(provider.begun)
        for _ in range(4):
            task = asyncio.create_task(made.call(request))
            await asyncio.wait([task], timeout=0.01 if end == "given up in a pause" else None)
            task.cancel()
            await asyncio.wait([task])
            assert task.cancelled() or isinstance(task.exception(), CallError)
        assert len(provider.begun) == made_before
        assert made._tokens is not None
        return made._tokens.take(1000)

    # the bucket holds 1,000 tokens, and was full but for the few of the calls that were made
    assert asyncio.run(main()) < 0.5


def test_tokens_are_taken_as_estimated_and_corrected_by_what_was_used() -> None:
    request = ChatRequest("m", (Message("user", "x" * 400),), params={"max_tokens": 900})
    assert estimated_tokens(request) == 1000

    async def main(used: Usage) -> float:
        made, _ = deployment(gives(ChatResponse(usage=used)), tokens_per_minute=60_000)
        await made.call(request)
        assert made._tokens is not None
        return made._tokens.take(750)

    # the bucket holds a second's worth, 1,000 tokens, which is what the call was estimated to use
    assert asyncio.run(main(Usage(100, 100))) == 0
    assert asyncio.run(main(Usage(5000, 5000))) > 5


def test_a_request_that_no_minute_has_room_for_is_an_error_at_once() -> None:
    made, provider = deployment(gives(), tokens_per_minute=1000)
    request = ChatRequest("m", (), params={"max_tokens": 5000})
    with pytest.raises(CallError, match="may use 5,000 tokens, more than the 1,000 that `tokens_per_minute`") as caught:
        asyncio.run(made.call(request))
    assert (caught.value.kind, caught.value.attempts, provider.begun) == ("rate_limit", 0, [])
    assert made.breaker.state == "closed"


# ── the breaker ─────────────────────────────────────────────────────────────────────────────


def broken(**policy: Any) -> tuple[Deployment, Scripted]:
    """A deployment whose target has failed ten times."""
    made, provider = deployment(*[down()] * 10, gives(), **{"attempts": 1, "cool_down": 0.2, **policy})

    async def main() -> None:
        for _ in range(10):
            with pytest.raises(CallError, match="down"):
                await made.call(ASKED)

    asyncio.run(main())
    assert made.breaker.state == "open"
    return made, provider


def test_a_broken_target_is_left_alone_and_a_fallback_may_take_over_at_once() -> None:
    made, provider = broken(wait_when_open=False, cool_down=60)
    with pytest.raises(CallError, match="fails too often and is left alone") as caught:
        asyncio.run(made.call(ASKED))
    assert (caught.value.kind, caught.value.attempts, len(provider.begun)) == ("circuit_open", 0, 10)
    assert [failure.kind for failure in caught.value.failures] == ["circuit_open"]


def test_calls_wait_for_a_broken_target_and_one_of_them_tries_it() -> None:
    made, provider = broken()

    async def main() -> list[ChatResponse]:
        found_out = asyncio.Event()

        async def answer_later() -> ChatResponse:
            await found_out.wait()
            return ChatResponse("fine")

        provider.attempts = [answer_later]
        calls = [asyncio.create_task(made.call(ASKED)) for _ in range(8)]
        while made.breaker.state != "half_open" or not provider.running:
            assert provider.running == 0
            await asyncio.sleep(0.005)
        await asyncio.sleep(0.15)
        assert provider.running == 1
        found_out.set()
        return await asyncio.gather(*calls)

    responses = asyncio.run(main())
    assert made.breaker.state == "closed"
    assert len(responses) == 8
    assert all(response.attempts == 1 for response in responses)


def test_who_cannot_wait_so_long_is_told() -> None:
    made, provider = broken(cool_down=60, deadline=5)
    with pytest.raises(CallError) as caught:
        asyncio.run(made.call(ASKED))
    assert (caught.value.kind, len(provider.begun)) == ("circuit_open", 10)


@pytest.mark.parametrize("end", ["cancel", "bug", "no request"])
def test_a_probe_that_ends_without_telling_anything_leaves_its_place(end: str) -> None:
    made, provider = broken()

    async def main() -> ChatResponse:
        bug = raises(CallError("no JSON", kind="protocol") if end == "no request" else ZeroDivisionError())
        provider.attempts = [gives()] * 10 + [never if end == "cancel" else bug] + [gives()]
        probe = asyncio.create_task(made.call(ASKED))
        while len(provider.begun) < 11:
            await asyncio.sleep(0.005)
        probe.cancel()
        await asyncio.wait([probe])
        if not probe.cancelled():
            probe.exception()
        assert made.breaker.state == "half_open"
        return await made.call(ASKED)

    assert asyncio.run(main()).text == "fine"
    assert made.breaker.state == "closed"


@pytest.mark.parametrize(
    "fault",
    [
        CallError("x", kind="status", status=400),
        CallError("x", kind="status", status=401, fatal=True),
        CallError("x", kind="status", status=429, retry=True),
        CallError("x", kind="protocol"),
    ],
)
def test_a_target_that_refuses_is_there(fault: CallError) -> None:
    made, _ = deployment(raises(fault), attempts=1)

    async def main() -> None:
        for _ in range(30):
            with pytest.raises(CallError):
                await made.call(ASKED)

    asyncio.run(main())
    assert made.breaker.state == "closed"


# ── where the time goes ─────────────────────────────────────────────────────────────────────


def test_the_latency_is_that_of_the_attempt_that_answered_and_the_waits_are_beside_it() -> None:
    began = time.perf_counter()
    failing, answering = answer({}, 500, {"retry-after-ms": "100"}, after=0.2), answer(completion(), after=0.15)
    response, _ = answered(failing, answering)
    whole_us = (time.perf_counter() - began) * 1e6
    assert response.waited_us >= 300_000
    assert response.latency_us >= 150_000
    assert response.waited_us + response.latency_us <= whole_us
    (failure,) = response.failures
    assert failure.latency_us >= 200_000
    assert failure.after_us + failure.latency_us + 100_000 <= response.waited_us


def test_a_first_attempt_waits_for_nothing_but_its_connection() -> None:
    response, _ = answered(answer(completion(), after=0.1))
    assert response.waited_us > 0
    assert response.latency_us >= 100_000
    assert (response.attempts, response.failures) == (1, ())


def test_the_opening_of_a_connection_is_a_wait_too() -> None:
    connected = ChatResponse("fine", waited_us=5_000_000, latency_us=7)
    for attempts, failed in (([gives(connected)], 0), ([down(), gives(connected)], 1)):
        made, _ = deployment(*attempts)
        response = asyncio.run(made.call(ASKED))
        assert (response.waited_us >= 5_000_000, response.latency_us, len(response.failures)) == (True, 7, failed)


def test_what_waits_for_its_turn_waits_and_is_not_late() -> None:
    async def main() -> list[ChatResponse]:
        async with Loopback((answer(completion(), after=0.1),)) as server:
            target = ResilientProvider(
                HttpVendor("p", OpenAIChatDialect(), base_url=server.url), CallPolicy(concurrency=1)
            )
            try:
                return await asyncio.gather(*(target.complete(ASKED) for _ in range(3)))
            finally:
                await target.aclose()

    first, second, third = asyncio.run(main())
    assert first.waited_us < second.waited_us >= 100_000
    assert third.waited_us >= 200_000
    assert third.latency_us < third.waited_us
    assert [each.attempts for each in (first, second, third)] == [1, 1, 1]
