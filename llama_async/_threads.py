"""Work that would hold the event loop: on a thread (any one, or one that keeps the order), or cut into pieces."""

from __future__ import annotations

import asyncio
import atexit
import os
import threading
import weakref
from concurrent.futures import Future
from queue import SimpleQueue
from typing import TYPE_CHECKING, Any, TypeVar

import anyio
import anyio.lowlevel

from ._errors import ForkedError
from ._pump import running_loop

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["Worker", "let_others_run", "run_in_thread"]

_T = TypeVar("_T")

# What a worker may still take, at the interpreter's exit, for the work that was given to it.
_EXIT_TIMEOUT_S = 10


async def run_in_thread(function: Callable[[], _T], *, abandon: bool = False) -> _T:
    """Return what `function` returns; raises what it raises. Cancelling does not stop it.

    Args:
        function: What to run.
        abandon: Whether a cancelled task leaves it alone on every event loop; otherwise trio's waits for it.
    """
    loop = running_loop()
    if isinstance(loop, asyncio.AbstractEventLoop):
        # Not anyio's threads: they end with the loop's main task, and where that never ends (`loop.stop()`, an exit
        # from a callback) the interpreter waits for them for ever. The loop's own executor is told at exit.
        return await loop.run_in_executor(None, function)
    return await anyio.to_thread.run_sync(function, abandon_on_cancel=abandon)


async def let_others_run() -> None:
    """Give the event loop a turn between two pieces of work. A cancelled task ends here."""
    if isinstance(running_loop(), asyncio.AbstractEventLoop):
        # Not anyio's checkpoint, whose first call imports for 17 ms.
        await asyncio.sleep(0)
    else:
        await anyio.lowlevel.checkpoint()


class Worker:
    """A thread that runs functions in the order in which they came. It starts with the first of them.

    Not an executor of the standard library: those take locks when a finalizer gives them work, and a finalizer may run
    inside those very locks. Here everything goes through a queue made for that.

    Args:
        name: The thread's.
    """

    def __init__(self, name: str) -> None:
        self._name = name
        self._pid = os.getpid()
        self._lock = threading.Lock()
        self._started = False
        self._jobs: _Jobs = SimpleQueue()
        # The thread knows the queue only, so that a worker nobody knows any more ends.
        weakref.finalize(self, self._jobs.put, None).atexit = False

    @property
    def is_forked(self) -> bool:
        """Whether it was made in another process, before a fork."""
        return self._pid != os.getpid()

    @property
    def is_started(self) -> bool:
        """Whether anything was ever submitted."""
        return self._started

    @property
    def n_queued(self) -> int:
        """How many functions wait for their turn, about."""
        return self._jobs.qsize()

    def submit(self, function: Callable[[], _T]) -> Future[_T]:
        """Run `function` after all that was submitted before.

        Raises:
            ForkedError: The worker was made before a fork.
        """
        if self.is_forked:
            raise ForkedError
        future: Future[_T] = Future()
        self._jobs.put((future, function))
        with self._lock:
            if not self._started:
                self._started = True
                thread = threading.Thread(target=_work, args=(self._jobs,), name=self._name, daemon=True)
                _workers[thread] = self._jobs
                thread.start()
        return future

    async def run(self, function: Callable[[], _T]) -> _T:
        """Return what `function` returns, in the order of `submit`. Cancelling keeps it from starting, no more."""
        future = self.submit(function)
        loop: Any = running_loop()
        if isinstance(loop, asyncio.AbstractEventLoop):
            return await asyncio.wrap_future(future)
        done = anyio.Event()

        def ring(_: object) -> None:
            # The run may be over: nobody waits any more.
            with _suppressing_run_finished():
                loop.run_sync_soon(done.set)

        future.add_done_callback(ring)
        try:
            await done.wait()
        except BaseException:
            future.cancel()
            raise
        return future.result()

    def stop(self) -> None:
        """Let the thread end after what was submitted. Never blocks; nothing may be submitted afterwards."""
        self._jobs.put(None)


if TYPE_CHECKING:
    _Jobs = SimpleQueue[tuple[Future[Any], Callable[[], Any]] | None]

_workers: dict[threading.Thread, _Jobs] = {}


def _work(jobs: _Jobs) -> None:
    while (job := jobs.get()) is not None:
        future, function = job
        if not future.set_running_or_notify_cancel():
            continue
        try:
            result = function()
        except BaseException as error:
            future.set_exception(error)
        else:
            future.set_result(result)
            del result
        # Not until the next job comes: it may hold a whole answer.
        del job, future, function
    _workers.pop(threading.current_thread(), None)


def _suppressing_run_finished() -> Any:
    import contextlib
    import sys

    return contextlib.suppress(sys.modules["trio"].RunFinishedError)


def _finish_all_at_exit() -> None:
    for jobs in list(_workers.values()):
        jobs.put(None)
    for thread in list(_workers):
        thread.join(_EXIT_TIMEOUT_S)


atexit.register(_finish_all_at_exit)
if hasattr(os, "register_at_fork"):
    # Their threads are the parent's.
    os.register_at_fork(after_in_child=_workers.clear)
