"""A Python function as a target: sync and async, what it is given, what it may return, and how it may fail."""

from __future__ import annotations

import asyncio
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from evalkit.errors import ConfigError
from evalkit.providers import CallError, ChatRequest, ChatResponse, Provider, RequestedCall
from evalkit.providers.app import variables
from evalkit.providers.python_callable import PythonCallable
from evalkit.records import Message, RetrievedDocument, Usage

ASKED = ChatRequest("m", (Message("user", "How long?"),), context={"role": "customer", "documents": [{"id": "a"}]})

Make = Callable[..., PythonCallable]
pytestmark = pytest.mark.usefixtures("clean_interpreter")


@pytest.fixture
def make(tmp_path: Path) -> Make:
    """A target from the text of its module; the function is ``answer``."""

    def make(text: str, target: str = "app.support:answer", **options: Any) -> PythonCallable:
        path = tmp_path / "app/support.py"
        path.parent.mkdir(exist_ok=True)
        path.write_text(text)
        return PythonCallable("python", target, tmp_path, **options)

    return make


def ask(target: PythonCallable, request: ChatRequest = ASKED) -> ChatResponse:
    return asyncio.run(target.complete(request))


def fail(target: PythonCallable, request: ChatRequest = ASKED) -> CallError:
    with pytest.raises(CallError) as caught:
        asyncio.run(target.complete(request))
    return caught.value


def returning(expression: str, imports: str = "") -> str:
    return f"{imports}\ndef answer(request):\n    return {expression}\n"


# ── what it is given and returns ────────────────────────────────────────────────────────────

SHAPES = {
    "sync": "def answer(request): return request['question'] + ' 30 days'",
    "async": "async def answer(request): return request['question'] + ' 30 days'",
    "object": "class A:\n  def __call__(self, r): return r['question'] + ' 30 days'\nanswer = A()",
    "async object": "class A:\n  async def __call__(self, r): return r['question'] + ' 30 days'\nanswer = A()",
    "async in sync": "async def a(r): return r['question'] + ' 30 days'\nanswer = lambda r: a(r)",
    "partial": "from functools import partial\ndef a(x, r): return r['question'] + x\nanswer = partial(a, ' 30 days')",
}


@pytest.mark.parametrize("shape", SHAPES)
def test_functions_of_every_shape_answer(make: Make, shape: str) -> None:
    target = make(SHAPES[shape])
    response = ask(target)
    assert isinstance(target, Provider)
    assert (response.text, response.finish_reason, response.final) == ("How long? 30 days", "stop", True)
    assert (response.usage, response.cost_microusd, response.timed) == (Usage(source="none"), None, True)


def test_it_is_given_the_variables_of_an_application_and_may_change_them(make: Make) -> None:
    target = make("SEEN = []\ndef answer(r):\n    SEEN.append(dict(r))\n    r['documents'].clear()\n    return 'x'\n")
    ask(target)
    ask(target)
    seen = sys.modules["app.support"].SEEN
    assert seen[1].pop("documents") == []
    assert {**seen[1], "documents": [{"id": "a"}]} == variables(ASKED)
    assert ASKED.context["documents"] == [{"id": "a"}]


def test_a_dict_has_the_envelopes_names(make: Make) -> None:
    response = ask(
        make(
            returning(
                "{'answer': 'x', 'tool_calls': ({'name': 'lookup', 'arguments': {'n': 1}},), 'input_tokens': 5,"
                " 'output_tokens': 2, 'cost': 0.01, 'documents': [{'id': 'd', 'text': 'D'}], 'model': 'm-1'}"
            )
        )
    )
    assert response.tool_calls == (RequestedCall("lookup", {"n": 1}),)
    assert (response.usage, response.cost_microusd, response.model) == (Usage(5, 2), 10_000, "m-1")
    assert response.documents == (RetrievedDocument("d", "D", rank=1),)
    assert response.final


def test_a_response_of_evalkits_own_says_itself_whether_anything_follows(make: Make) -> None:
    text = """
from evalkit.providers import ChatResponse, RequestedCall
from evalkit.providers.dialect import Reply
from evalkit.records import Usage

def answer(request):
    return ChatResponse("x", [RequestedCall("lookup", {})], usage=Usage(5, 2), latency_us=10**9, waited_us=7)

def reply(request):
    return Reply("y", final=True)
"""
    response = ask(make(text))
    assert (response.text, response.tool_calls, response.final) == ("x", (RequestedCall("lookup", {}),), False)
    assert response.usage == Usage(5, 2)
    assert response.latency_us < 10**9
    reply = ask(make(text, "app.support:reply"))
    assert (reply.text, reply.final, reply.usage) == ("y", True, Usage(source="none"))


def test_tokens_that_nobody_counted_are_not_taken_for_none(make: Make) -> None:
    text = returning("ChatResponse('x')", "from evalkit.providers import ChatResponse")
    assert ask(make(text)).usage == Usage(source="none")


@pytest.mark.parametrize(
    ("expression", "why"),
    [
        ("None", "it returned a NoneType: return the text, or a dict with `answer`"),
        ("['x']", "it returned a list"),
        ("b'x'", "it returned a bytes"),
        ("(c for c in 'x')", "it returned a generator"),
        ("{}", "there is no text: neither `answer` nor `text` is there"),
        ("{'answer': 5}", "`answer` is no text"),
        ("{'answer': 'x', 'cost': float('nan')}", "`cost` is nan, no number of dollars"),
        ("{'answer': 'x', 'tool_calls': [5]}", "item 0 of `tool_calls` is no object"),
        ("ChatResponse(5)", "`text` is no text"),
        ("ChatResponse('x', ['lookup'])", "`tool_calls` holds something else than RequestedCall"),
        ("ChatResponse('x', None)", "TypeError"),
        ("ChatResponse('x', usage={'input_tokens': 1})", "`usage` is no Usage"),
        ("ChatResponse('x', documents=['d'])", "`documents` holds something else than RetrievedDocument"),
        ("'x' * (32 * 1024 * 1024 + 1)", "the text is longer than 33,554,432 characters"),
    ],
)
def test_what_is_no_answer_is_an_error_of_protocol(make: Make, expression: str, why: str) -> None:
    fault = fail(make(returning(expression, "from evalkit.providers import ChatResponse")))
    assert (fault.kind, fault.retry, fault.fatal) == ("protocol", False, False)
    assert str(fault).startswith("app.support:answer: not an answer: ")
    assert why in str(fault)


def test_an_error_in_a_dict_is_one_of_the_target(make: Make) -> None:
    fault = fail(make(returning("{'error': 'no stock'}")))
    assert (fault.kind, str(fault)) == ("target", "the application reports an error: no stock")


# ── failing ─────────────────────────────────────────────────────────────────────────────────

KINDS = {"sync": "def", "async": "async def"}


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    ("statement", "said"),
    [
        ("raise ValueError('bad\\x1b[2J order')", "ValueError: bad"),
        ("raise SystemExit(4)", "SystemExit: 4"),
        ("exit()", "SystemExit: None"),
        ("request['order']", "KeyError: 'order'"),
        ("answer = helper()", "RuntimeError: deep"),
        ("raise CancelledError('mine')", "CancelledError: mine"),
        ("raise BaseException('odd')", "BaseException: odd"),
        ("raise ExceptionGroup('two', [ValueError()])", "ExceptionGroup: two (1 sub-exception)"),
    ],
)
def test_what_it_raises_is_told_with_its_place_and_not_tried_again(
    make: Make, kind: str, statement: str, said: str
) -> None:
    text = f"""from asyncio import CancelledError
def helper():
    raise RuntimeError('deep')
{KINDS[kind]} answer(request):
    {statement}
"""
    fault = fail(make(text))
    assert (fault.kind, fault.retry, fault.fatal) == ("target", False, False)
    assert str(fault).startswith(f"app.support:answer: {said}")
    assert str(fault).endswith(f"(app/support.py:{3 if 'helper' in statement else 5})")
    assert "\x1b" not in str(fault)


@pytest.mark.parametrize("kind", KINDS)
def test_it_may_ask_for_another_attempt(make: Make, kind: str) -> None:
    fault = fail(
        make(
            "from evalkit.providers import CallError\n"
            f"{KINDS[kind]} answer(request):\n"
            "    raise CallError('busy', kind='status', status=429, retry=True, retry_after=2)\n"
        )
    )
    assert (fault.kind, fault.retry, fault.retry_after, str(fault)) == ("status", True, 2, "busy")


@pytest.mark.parametrize("wait", ["time.sleep(1)", "threading.Event().wait(1)"])
def test_a_sync_function_that_takes_too_long_is_left_behind(make: Make, wait: str) -> None:
    target = make(f"import time, threading\ndef answer(r):\n    {wait}\n", timeout=0.05)
    fault = fail(target)
    assert (fault.kind, fault.retry) == ("timeout", True)
    assert str(fault) == "app.support:answer: timed out, no answer in 0.05 s"


def test_an_async_function_that_takes_too_long_is_cancelled(make: Make) -> None:
    text = """
import asyncio
SEEN = []
async def answer(request):
    try:
        await asyncio.sleep(60)
    except asyncio.CancelledError:
        SEEN.append('cancelled')
        raise
"""
    assert fail(make(text, timeout=0.05)).kind == "timeout"
    assert sys.modules["app.support"].SEEN == ["cancelled"]


def test_an_async_function_that_ignores_its_cancellation_does_not_hold_the_run_up(make: Make) -> None:
    text = """
import asyncio
async def answer(request):
    try:
        await asyncio.sleep(60)
    except asyncio.CancelledError:
        await asyncio.sleep(0.2)
        raise ValueError('late') from None
"""
    assert fail(make(text, timeout=0.05)).kind == "timeout"


def test_cancelling_the_call_cancels_the_function_and_stays_a_cancellation(make: Make) -> None:
    text = """
import asyncio
SEEN = []
async def answer(request):
    SEEN.append('begun')
    try:
        await asyncio.sleep(60)
    finally:
        SEEN.append('ended')
"""
    target = make(text)

    async def run() -> None:
        task = asyncio.create_task(target.complete(ASKED))
        while not sys.modules["app.support"].SEEN:
            await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        await asyncio.sleep(0)

    asyncio.run(run())
    assert sys.modules["app.support"].SEEN == ["begun", "ended"]


def test_a_late_answer_of_a_thread_is_dropped_and_its_place_free_again(make: Make) -> None:
    text = """
import threading
GO = threading.Event()
def answer(request):
    GO.wait()
    return 'now'
"""
    target = make(text, timeout=0.05, concurrency=2)
    module = sys.modules["app.support"]
    before = set(threading.enumerate())

    async def run() -> list[Any]:
        first = await asyncio.gather(*(target.complete(ASKED) for _ in range(2)), return_exceptions=True)
        full = await asyncio.gather(target.complete(ASKED), return_exceptions=True)
        module.GO.set()
        for thread in set(threading.enumerate()) - before:
            await asyncio.to_thread(thread.join, 20)
        target._timeout = 20
        return [*first, *full, await target.complete(ASKED)]

    *late, full, answered = asyncio.run(run())
    assert [fault.kind for fault in late] == ["timeout", "timeout"]
    assert "2 calls still run long after their time" in str(full)
    assert full.fatal
    assert answered.text == "now"


def test_a_hanging_function_does_not_keep_the_process(make: Make, tmp_path: Path) -> None:
    make("import threading\ndef answer(r):\n    threading.Event().wait()\n")
    script = """
import asyncio, pathlib
from evalkit.providers import CallError, ChatRequest
from evalkit.providers.python_callable import PythonCallable
target = PythonCallable("python", "app.support:answer", pathlib.Path.cwd(), timeout=0.05)
try:
    asyncio.run(target.complete(ChatRequest("m", ())))
except CallError as error:
    print(error.kind)
"""
    done = subprocess.run(
        [sys.executable, "-c", script], cwd=tmp_path, capture_output=True, text=True, timeout=60, check=False
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "timeout\n", "")


# ── side by side ────────────────────────────────────────────────────────────────────────────


def test_sync_functions_run_side_by_side_and_no_more_than_allowed(make: Make) -> None:
    text = """
import threading
BOTH = threading.Barrier(2, timeout=20)
LOCK, NOW, MOST = threading.Lock(), [0], [0]
def answer(request):
    with LOCK:
        NOW[0] += 1
        MOST[0] = max(MOST[0], NOW[0])
    BOTH.wait()
    with LOCK:
        NOW[0] -= 1
    BOTH.wait()
    return str(request['seed'])
"""
    target = make(text, concurrency=2)

    async def run() -> list[ChatResponse]:
        return await asyncio.gather(*(target.complete(ChatRequest("m", (), seed=number)) for number in range(6)))

    responses = asyncio.run(run())
    assert [response.text for response in responses] == list("012345")
    assert sys.modules["app.support"].MOST == [2]
    assert max(response.waited_us for response in responses) > 0


def test_a_context_variable_reaches_the_thread(make: Make) -> None:
    text = "from contextvars import ContextVar\nWHO = ContextVar('who')\ndef answer(request):\n    return WHO.get()\n"
    target = make(text)

    async def run() -> str:
        sys.modules["app.support"].WHO.set("me")
        return (await target.complete(ASKED)).text

    assert asyncio.run(run()) == "me"


def test_the_latency_is_the_functions_own(make: Make) -> None:
    response = ask(make("import time\ndef answer(r):\n    time.sleep(0.05)\n    return 'x'\n"))
    assert response.latency_us >= 50_000
    assert response.waited_us < response.latency_us


# ── which program it is ─────────────────────────────────────────────────────────────────────


def test_the_identity_is_that_of_the_program(make: Make, tmp_path: Path) -> None:
    text = "from app import words\ndef answer(r): return words.HELLO\ndef other(r): return ''\n"
    (tmp_path / "app").mkdir()
    (tmp_path / "app/words.py").write_text("HELLO = 'a'\n")
    first = make(text).identity
    assert first["kind"] == "python"
    assert first["target"] == "app.support:answer"
    assert make(text).identity == first
    changed = [
        make(text + "\n").identity,
        make(text, "app.support:other").identity,
        make(text, version="index of May").identity,
    ]
    (tmp_path / "app/words.py").write_text("HELLO = 'b'\n")
    target = make(text)
    assert ask(target).text == "b"
    assert all(identity != first for identity in [*changed, target.identity])


def test_an_installed_function_is_a_target_too(tmp_path: Path) -> None:
    target = PythonCallable("python", "json:dumps", tmp_path)
    assert '"question": "How long?"' in ask(target).text
    assert target.identity["program"]
    assert target.identity != PythonCallable("python", "json:dumps", tmp_path, version="2").identity
    installed = PythonCallable("python", "packaging.version:parse", tmp_path)
    assert installed.identity["program"] not in ("", target.identity["program"])


@pytest.mark.parametrize(
    ("target", "why"),
    [
        ("app.support", "not a Python function"),
        ("app/support.py:answer", "not a Python function"),
        (":answer", "not a Python function"),
        ("app.support:", "not a Python function"),
        ("app.support:answer()", "not a Python function"),
        ("app.support:anser", "`app.support` has no `anser`"),
        ("app.support:answer.nothing", "`app.support` has no `answer.nothing`"),
        ("app.support:CONSTANT", "`CONSTANT` is no function"),
        ("app.nowhere:answer", "the module `app.nowhere` cannot be imported: ModuleNotFoundError"),
    ],
)
def test_what_is_no_function_is_refused_before_any_call(make: Make, target: str, why: str) -> None:
    with pytest.raises(ConfigError) as caught:
        make("CONSTANT = 5\ndef answer(r): return ''\n", target)
    assert why in str(caught.value)
    if "anser" in target:
        assert caught.value.fix == "did you mean `answer`?"
