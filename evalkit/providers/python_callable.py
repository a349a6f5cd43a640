"""A Python function of the user's as a target, called in this process."""

from __future__ import annotations

import asyncio
import contextvars
import difflib
import inspect
import threading
import time
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from types import ModuleType
from typing import Any, TypeVar

from evalkit.errors import ConfigError
from evalkit.fingerprint import fingerprint_bytes
from evalkit.providers.app import AppDialect, variables
from evalkit.providers.base import CallError, ChatRequest, ChatResponse, RequestedCall
from evalkit.providers.dialect import Reply
from evalkit.providers.program import Program, place, program_at, said
from evalkit.records import Json, RetrievedDocument, Usage

__all__ = ["PythonCallable"]

ItemT = TypeVar("ItemT")
_LONGEST_TEXT = 32 * 1024 * 1024


class PythonCallable:
    """A target that is ``module:function``, sync or async, of the project or installed.

    It is called with one argument, a dict of its own with the variables of
    :data:`~evalkit.providers.app.APP_VARIABLES` and those of the case. It returns the text of the answer, or a dict
    ``{"answer": ..., "tool_calls": [...], "documents": [...], "input_tokens": ..., "cost": ...}``; or a
    :class:`Reply` or :class:`ChatResponse`, whose tool calls evalkit answers unless it says ``final``. What it raises
    makes the trial an error; a :class:`CallError` that it raises may ask for another attempt.

    Args:
        name: As configured.
        target: ``package.module:function``; the function may be a method of an object, ``module:object.method``.
        root: The project's folder.
        version: Of whatever the function depends on that is not Python source of the project.
        timeout: Seconds for one attempt. A sync function cannot be stopped; what it still brings is dropped.
        concurrency: Most calls at once, and most threads of sync functions that may outlast their time.

    Raises:
        ConfigError: when there is no such function, or its module cannot be imported.
    """

    def __init__(
        self,
        name: str,
        target: str,
        root: Path,
        *,
        version: str = "",
        timeout: float = 60.0,
        concurrency: int = 64,
    ) -> None:
        self.name = name
        self._target = target
        self._timeout = timeout
        self._concurrency = concurrency
        self._root = root.resolve()
        module, _, attribute = target.partition(":")
        if not all(part.isidentifier() for part in [*module.split("."), *attribute.split(".")]):
            raise ConfigError("not a Python function", value=target, fix="write it as python:package.module:function")
        program = program_at(self._root)
        loaded = program.load(module)
        self._function = _attribute(loaded, attribute, target)
        self._identity: Mapping[str, Json] = {
            "kind": "python",
            "target": target,
            "program": _digest(program, loaded),
            "version": version,
        }
        self._dialect = AppDialect()
        self._slots = asyncio.Semaphore(concurrency)
        self._late: list[threading.Thread] = []

    @property
    def identity(self) -> Mapping[str, Json]:
        """The function, the source of its module and of the project's modules that it imports, and the version."""
        return self._identity

    async def aclose(self) -> None:
        """Nothing to release."""

    async def complete(self, request: ChatRequest) -> ChatResponse:
        """Call the function once; its wall time is the latency.

        Raises:
            CallError: when it raises, takes too long, or returns something else than an answer.
        """
        asked = time.perf_counter()
        async with self._slots:
            waited = time.perf_counter() - asked
            value, spent = await self._within(variables(request))
        try:
            response = self._response(value)
        except (KeyError, IndexError, TypeError, AttributeError, ValueError, RecursionError) as error:
            raise CallError(f"{self._target}: not an answer: {said(error)}", kind="protocol") from None
        return replace(response, latency_us=round(spent * 1e6), waited_us=round(waited * 1e6), timed=True)

    def _response(self, value: Any) -> ChatResponse:
        if isinstance(value, ChatResponse):
            return _checked(value)
        if isinstance(value, Reply):
            return _checked(value.response())
        if isinstance(value, (str, Mapping)):
            return _checked(self._dialect.reply(value).response())
        raise TypeError(f"it returned a {type(value).__name__}: return the text, or a dict with `answer`")

    async def _within(self, values: dict[str, Json]) -> tuple[Any, float]:
        """What the function returns in its time, and the seconds that it took."""
        task = asyncio.ensure_future(self._run(values))
        task.add_done_callback(_retrieve)
        try:
            # unlike asyncio.timeout this also ends where the function does not let itself be cancelled
            await asyncio.wait({task}, timeout=self._timeout)
        finally:
            task.cancel()
        if not task.done():
            raise CallError(f"{self._target}: timed out, no answer in {self._timeout:g} s", kind="timeout", retry=True)
        return task.result()

    async def _run(self, values: dict[str, Json]) -> tuple[Any, float]:
        value, spent = None, 0.0
        try:
            if inspect.iscoroutinefunction(self._function) or inspect.iscoroutinefunction(_call_of(self._function)):
                value = self._function(values)
            else:
                value, spent = await self._in_thread(values)
            if inspect.isawaitable(value):
                started = time.perf_counter()
                value = await value
                spent += time.perf_counter() - started
        except (CallError, KeyboardInterrupt, GeneratorExit):
            raise
        except asyncio.CancelledError as error:
            task = asyncio.current_task()
            if task is None or task.cancelling():
                raise
            raise self._fault(error) from error
        except BaseException as error:  # it is somebody's program: SystemExit too
            raise self._fault(error) from error
        return value, spent

    async def _in_thread(self, values: dict[str, Json]) -> tuple[Any, float]:
        """Run a sync function in a thread of its own, which does not keep the process from ending."""
        self._late = [thread for thread in self._late if thread.is_alive()]
        if len(self._late) >= self._concurrency:
            raise CallError(
                f"{self._target}: {len(self._late)} calls still run long after their time", kind="timeout", fatal=True
            )
        loop = asyncio.get_running_loop()
        future: asyncio.Future[tuple[Any, float]] = loop.create_future()
        context = contextvars.copy_context()

        def work() -> None:
            started = time.perf_counter()
            value, error = None, None
            try:
                value = context.run(self._function, values)
            except BaseException as raised:  # noqa: BLE001 - it is somebody's program
                error = raised if isinstance(raised, CallError) else self._fault(raised)
            spent = time.perf_counter() - started
            with suppress(RuntimeError):  # the loop is closed: nobody waits any more
                loop.call_soon_threadsafe(_settle, future, (value, spent), error)

        thread = threading.Thread(target=work, name=f"evalkit {self._target}", daemon=True)
        try:
            thread.start()
        except RuntimeError as error:
            raise CallError(f"{self._target}: {error}", kind="target", retry=True) from None
        try:
            return await future
        except asyncio.CancelledError:
            self._late.append(thread)
            raise

    def _fault(self, error: BaseException) -> CallError:
        where = place(error, self._root)
        return CallError(f"{self._target}: {said(error)}{f' ({where})' if where else ''}", kind="target")


def _attribute(module: ModuleType, path: str, target: str) -> Callable[[dict[str, Json]], Any]:
    found: Any = module
    for name in path.split("."):
        if not hasattr(found, name):
            close = difflib.get_close_matches(name, dir(found), n=1)
            fix = f"did you mean `{close[0]}`?" if close else None
            raise ConfigError(f"`{module.__name__}` has no `{path}`", file=module.__file__, value=target, fix=fix)
        found = getattr(found, name)
    if not callable(found):
        raise ConfigError(f"`{path}` is no function", file=module.__file__, value=target)
    function: Callable[[dict[str, Json]], Any] = found
    return function


def _digest(program: Program, module: ModuleType) -> str:
    """Hash of the sources; of those of its package where the module is an installed one."""
    if program.find(module.__name__) is not None:
        return program.digest(module.__name__)
    file = getattr(module, "__file__", None)
    if file is None:
        return ""
    path, top = Path(file), module.__name__.partition(".")[0]
    depth = module.__name__.count(".") + (path.name == "__init__.py")
    package = Program(path.parents[depth], only=top)
    return (
        package.digest(module.__name__)
        if package.find(module.__name__)
        else fingerprint_bytes("program", path.read_bytes())
    )


def _call_of(function: Any) -> Any:
    return getattr(function, "__call__", None)  # noqa: B004 - an object may have an async one


def _settle(future: asyncio.Future[Any], value: Any, error: BaseException | None) -> None:
    if future.done():
        return
    if error is None:
        future.set_result(value)
    else:
        future.set_exception(error)


def _retrieve(task: asyncio.Task[Any]) -> None:
    """Look at the outcome of a call that nobody waits for any more, which asyncio would complain about."""
    if not task.cancelled():
        task.exception()


def _checked(response: ChatResponse) -> ChatResponse:
    """An answer whose parts are what they are said to be.

    Raises:
        TypeError, ValueError: naming the part that is not.
    """
    if not isinstance(response.text, str):
        raise TypeError("`text` is no text")
    if len(response.text) > _LONGEST_TEXT:
        raise ValueError(f"the text is longer than {_LONGEST_TEXT:,} characters")
    if not isinstance(response.usage, Usage):
        raise TypeError("`usage` is no Usage")
    calls = _items(response.tool_calls, RequestedCall, "tool_calls")
    documents = response.documents
    if documents is not None:
        documents = _items(documents, RetrievedDocument, "documents")
    # nobody has counted anything
    usage = Usage(source="none") if response.usage == Usage() else response.usage
    return replace(response, tool_calls=calls, documents=documents, usage=usage)


def _items(items: Iterable[Any], kind: type[ItemT], name: str) -> tuple[ItemT, ...]:
    found = tuple(items)
    if not all(isinstance(item, kind) for item in found):
        raise TypeError(f"`{name}` holds something else than {kind.__name__}")
    return found
