"""Waiting for asynchronous graders: together, and from code that is not asynchronous."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Awaitable, Coroutine, Iterable
from concurrent.futures import Future, wait
from contextlib import suppress
from typing import Any, TypeVar

__all__ = ["AT_ONCE", "all_of", "run_apart"]

T = TypeVar("T")

AT_ONCE = 16
"""Stored trials that asynchronous graders are asked about at a time."""
_LOOK = 0.05
"""Seconds between two looks whether whoever waits is cancelled."""


async def all_of(work: Iterable[Awaitable[T]], at_once: int = AT_ONCE) -> list[T]:
    """The results in order; so many are waited for at a time. The first fault ends the others.

    Raises:
        Exception: whatever the first fault is.
    """
    each = list(work)
    if len(each) == 1:
        return [await each[0]]
    room = asyncio.Semaphore(at_once)

    async def one(item: Awaitable[T]) -> T:
        async with room:
            return await item

    tasks = [asyncio.ensure_future(one(item)) for item in each]
    try:
        return await asyncio.gather(*tasks)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        for item in each:
            if asyncio.iscoroutine(item):
                item.close()


def run_apart(work: Coroutine[Any, Any, T]) -> T:
    """Run a coroutine to its end in an event loop of its own, also where another one is running in this thread.

    A task of that other loop that is cancelled meanwhile, by Ctrl-C for example, cancels the work.

    Raises:
        CancelledError: when the calling task is cancelled.
        Exception: whatever the work raises.
    """
    try:
        caller = asyncio.current_task()
    except RuntimeError:
        return asyncio.run(work)
    done: Future[T] = Future()
    begun: Future[tuple[asyncio.AbstractEventLoop, asyncio.Task[Any]]] = Future()

    async def main() -> T:
        task = asyncio.current_task()
        assert task is not None, "it runs in one"  # noqa: S101
        begun.set_result((asyncio.get_running_loop(), task))
        return await work

    def run() -> None:
        try:
            done.set_result(asyncio.run(main()))
        except BaseException as error:  # it is raised where the work is waited for  # noqa: BLE001
            done.set_exception(error)

    thread = threading.Thread(target=run, name="evalkit-graders", daemon=True)
    before = caller.cancelling() if caller is not None else 0
    thread.start()
    cancelled = False
    try:
        while wait([done], _LOOK).not_done:
            if caller is not None and caller.cancelling() > before and not cancelled:
                cancelled = True
                _cancel(begun)
    except BaseException:
        _cancel(begun)
        raise
    if cancelled:
        raise asyncio.CancelledError
    return done.result()


def _cancel(begun: Future[tuple[asyncio.AbstractEventLoop, asyncio.Task[Any]]]) -> None:
    loop, task = begun.result()
    with suppress(RuntimeError):  # the loop is closed: the work is done
        loop.call_soon_threadsafe(task.cancel)
