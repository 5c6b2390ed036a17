"""Synchronous Python callables off the event loop, stopped as far as Python allows.

A thread cannot be killed. On cancellation an exception is raised inside it, which ends Python code at its next
bytecode; the cancellation is passed on only when the thread has really ended, so that nobody is told that work
stopped which did not. A call that sits in C code (a socket read, `time.sleep`) ends when that returns.
"""

from __future__ import annotations

import asyncio
import contextvars
import ctypes
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

_pool = ThreadPoolExecutor(max_workers=64, thread_name_prefix="function")


class Stopped(BaseException):
    """Raised inside a callable whose task was cancelled or ran out of time."""


class _Call:
    def __init__(self, function: Callable[..., Any], args: tuple[Any, ...]) -> None:
        self._work = (function, args)
        self._context = contextvars.copy_context()
        self._lock = threading.Lock()
        self._thread: int | None = None

    def run(self) -> Any:
        function, args = self._work
        thread = threading.get_ident()
        with self._lock:
            self._thread = thread
        try:
            return self._context.run(function, *args)
        finally:
            with self._lock:
                self._thread = None
                _raise_in(thread, None)  # what came too late must not hit the thread's next call

    def stop(self) -> None:
        with self._lock:
            if self._thread is not None:
                _raise_in(self._thread, ctypes.py_object(Stopped))


def _raise_in(thread: int, error: ctypes.py_object[type[Stopped]] | None) -> None:
    ctypes.pythonapi.PyThreadState_SetAsyncExc(ctypes.c_ulong(thread), error)


async def in_thread(function: Callable[..., Any], *args: Any) -> Any:
    """Runs the callable in a thread and returns its result; on cancellation, stops it first."""
    call = _Call(function, args)
    running = _pool.submit(call.run)
    future = asyncio.wrap_future(running)
    try:
        return await asyncio.shield(future)
    except asyncio.CancelledError:
        if not running.cancel():
            while not future.done():
                call.stop()
                await asyncio.wait([future], timeout=1)
            future.exception()
        raise
