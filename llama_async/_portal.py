"""An event loop in a thread of its own, for callers that block.

Not anyio's blocking portal: a call here can be interrupted at any point (Ctrl-C) and then ends its work, a call that is
cut off by closing gets the exception for it, and neither a portal nobody closed nor a call that hangs keeps the
interpreter from ending. The thread starts with the first call.
"""

from __future__ import annotations

import asyncio
import atexit
import contextvars
import inspect
import os
import sys
import threading
import weakref
from concurrent.futures import Future
from typing import TYPE_CHECKING, Any

from ._errors import ClientClosedError, EventLoopError, ForkedError

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["Portal"]

# What ending the loop may take: cancelled tasks clean up, its executor's threads end.
_CLOSE_TIMEOUT_S = 10


class Portal:
    """Runs functions in its event loop. Its methods may be called from any thread."""

    def __init__(self) -> None:
        self._pid = os.getpid()
        # Guards the start, and closing against calls that are just being handed over.
        self._lock = threading.Lock()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread: threading.Thread | None = None
        self._closed = False

    @property
    def is_closed(self) -> bool:
        """Whether `close` was called."""
        return self._closed

    @property
    def is_own_thread(self) -> bool:
        """Whether its loop runs in the calling thread."""
        return self._thread is not None and self._thread.ident == threading.get_ident()

    def run(self, function: Callable[[], Any]) -> Any:
        """Return what the function returns in the loop; if that can be awaited, what it gives.

        It sees the caller's context variables. An exception that reaches the waiting thread (KeyboardInterrupt) cancels
        what was begun.

        Raises:
            ClientClosedError: The portal is closed, or was before the function had ended.
            ForkedError: The portal was made before a fork.
            EventLoopError: The caller is the loop's own thread, which would wait for itself.
        """
        if self._pid != os.getpid():
            raise ForkedError
        if self.is_own_thread:
            raise EventLoopError(
                "a blocking client was called from a function that it calls itself, such as on_progress: it would wait "
                "for itself"
            )
        call = _Call(function)
        try:
            with self._lock:
                if self._closed:
                    raise ClientClosedError
                call.hand_to(self._loop or self._start())
            return call.future.result()
        except BaseException:
            if self._loop is not None and not call.future.done():
                call.cancel(self._loop)
            raise
        finally:
            # An exception's traceback holds this frame, which would hold the exception.
            del call

    def close(self) -> None:
        """End the loop; what is still running in it is cancelled. Idempotent."""
        with self._lock:
            self._closed = True
            loop, thread = self._loop, self._thread
        if loop is None or thread is None or self._pid != os.getpid():
            return
        _stop(loop)
        if not self.is_own_thread:
            thread.join(_CLOSE_TIMEOUT_S)

    def _start(self) -> asyncio.AbstractEventLoop:
        loop = self._loop = asyncio.new_event_loop()
        # The thread does not know the portal, so that one nobody knows any more ends.
        self._thread = threading.Thread(target=_serve, args=(loop,), name="llama-async-portal", daemon=True)
        weakref.finalize(self, _stop_of, self._pid, loop).atexit = False
        _portals[self._thread] = loop
        self._thread.start()
        return loop


class _Call:
    """A function on its way through the loop."""

    def __init__(self, function: Callable[[], Any]) -> None:
        self._function: Callable[[], Any] | None = function
        self._task: asyncio.Task[None] | None = None
        self._cancelled = False
        self.future: Future[Any] = Future()

    def hand_to(self, loop: asyncio.AbstractEventLoop) -> None:
        """Have the loop begin it."""
        try:
            loop.call_soon_threadsafe(self._start, loop, context=contextvars.copy_context())
        except RuntimeError:
            # The interpreter is about to end, and has ended the loop.
            raise ClientClosedError from None

    def _start(self, loop: asyncio.AbstractEventLoop) -> None:
        if not self._cancelled:
            # Among the caller's variables may be that trio runs where it waits. Who has no sniffio does not ask it.
            sniffio = sys.modules.get("sniffio")
            if sniffio is not None:
                sniffio.current_async_library_cvar.set("asyncio")
            self._task = loop.create_task(self._run())

    def cancel(self, loop: asyncio.AbstractEventLoop) -> None:
        """End it soon. Called in any thread."""
        self._cancelled = True
        try:
            loop.call_soon_threadsafe(self._cancel)
        except RuntimeError:
            # The loop has ended, and all calls with it.
            pass

    def _cancel(self) -> None:
        if self._task is not None:
            self._task.cancel()

    async def _run(self) -> None:
        future, function = self.future, self._function
        self._function = None
        assert function is not None
        try:
            result = function()
            if inspect.isawaitable(result):
                result = await result
        except asyncio.CancelledError:
            # Nobody but this module cancels: the portal was closed, or the caller has gone.
            future.set_exception(ClientClosedError())
        except BaseException as error:
            future.set_exception(error)
        else:
            future.set_result(result)
        finally:
            self._task = None
            del future, function


_portals: dict[threading.Thread, asyncio.AbstractEventLoop] = {}


def _serve(loop: asyncio.AbstractEventLoop) -> None:
    asyncio.set_event_loop(loop)
    try:
        loop.run_forever()
        tasks = asyncio.all_tasks(loop)
        for task in tasks:
            task.cancel()
        if tasks:
            loop.run_until_complete(asyncio.gather(*tasks, return_exceptions=True))
        loop.run_until_complete(loop.shutdown_asyncgens())
        loop.run_until_complete(loop.shutdown_default_executor())
    finally:
        asyncio.set_event_loop(None)
        loop.close()
        _portals.pop(threading.current_thread(), None)


def _stop(loop: asyncio.AbstractEventLoop) -> None:
    try:
        loop.call_soon_threadsafe(loop.stop)
    except RuntimeError:
        # It has ended.
        pass


def _stop_of(pid: int, loop: asyncio.AbstractEventLoop) -> None:
    # After a fork the loop's wake-up pipe is the parent's, too.
    if pid == os.getpid():
        _stop(loop)


def _stop_all_at_exit() -> None:
    for thread, loop in list(_portals.items()):
        _stop(loop)
        thread.join(_CLOSE_TIMEOUT_S)


atexit.register(_stop_all_at_exit)
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_portals.clear)
