"""A model file that is opened when first needed: once, however many wait for it, and again after a failed attempt.

Knows no other models: where several share memory, `_registry` lets them in one by one and asks them to leave.
"""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Protocol

import anyio

from ._engine import Engine, reap
from ._errors import ClientClosedError
from ._threads import Worker, run_in_thread
from ._tuning import granted_s, look_up

if TYPE_CHECKING:
    from collections.abc import Callable
    from contextlib import AbstractAsyncContextManager

    from ._options import EngineOptions
    from ._tuning import Tuned

__all__ = ["Admission", "Model"]

# Closing takes one aborted decode step and the freeing of memory. Past this it goes on without its caller.
_CLOSE_TIMEOUT_S = 60


class Admission(Protocol):
    """Whom a model asks before it takes memory."""

    def __call__(self, model: Model, options: EngineOptions, /) -> AbstractAsyncContextManager[None]:
        """Return a context that is entered when there is room, and in which the model begins to load."""


class Model:
    """The engine of one model file, if it is open.

    Args:
        options: What to load and how.
        on_progress: Called in the loop's thread with the fraction loaded.
        admission: Asked before it loads; `None`: it just loads.
    """

    def __init__(
        self,
        options: EngineOptions,
        on_progress: Callable[[float], object] | None,
        admission: Admission | None = None,
    ) -> None:
        self.options = options
        self._on_progress = on_progress
        self._admission = admission
        self._engine: Engine | None = None
        # What is known of the fastest settings; `None`: not looked up yet.
        self._tuned: Tuned | None = None
        self._tuned_by: Engine | None = None
        self._closed = False
        # Set while it waits to be idle, to be unloaded then: requests that come wait for this and load it anew.
        self._leaving: anyio.Event | None = None

    @property
    def engine(self) -> Engine | None:
        """The engine, while its model is loaded."""
        engine = self._engine
        return engine if engine is not None and engine.is_ready else None

    @property
    def is_available(self) -> bool:
        """Whether `acquire` would not wait."""
        return self.engine is not None and self._leaving is None

    @property
    def is_open(self) -> bool:
        """Whether it holds memory and threads that nobody has begun to give back."""
        return self._engine is not None and self._engine.is_open

    @property
    def has_memory(self) -> bool:
        """Whether it holds memory, be it to give it back."""
        return self._engine is not None and not self._engine.is_freed

    @property
    def is_idle(self) -> bool:
        """Whether it is loaded, and no request is in flight or waits."""
        return self._engine is not None and self._engine.is_idle

    @property
    def idle_since(self) -> float:
        """When a request last ended, by `time.monotonic`; of use while it has memory."""
        return self._engine.idle_since if self._engine is not None else 0.0

    @property
    def is_closed(self) -> bool:
        """Whether `close` was called."""
        return self._closed

    async def acquire(self) -> Engine:
        """Return the engine, loaded and tied to the running loop.

        Cancelling the last task that waits here cancels the loading; the next call starts it anew, as it does after a
        failure.

        Raises:
            ModelLoadError: The model cannot be loaded.
            ClientClosedError: `close` was called.
        """
        while True:
            if self._closed:
                raise ClientClosedError
            engine = self._engine
            if engine is not None and engine.is_ending:
                # Two copies of a model may not fit into memory: wait for the old one to go.
                await engine.close()
                if self._engine is engine:
                    self._engine = None
                continue
            if engine is None:
                await self._open()
                continue
            if self._leaving is not None:
                engine.bind()
                await self._leaving.wait()
                continue
            if engine.is_ready:
                engine.bind()
            else:
                await engine.wait_ready()
            if self._tuned_by is not engine:
                self._keep_tuning(engine)
            return engine

    async def _open(self) -> None:
        """Begin to load, unless somebody else has done so when it may."""
        options = self.options
        if "use_extra_buffers" not in options.numbers:
            if _extra_buffers.usable is None:
                await run_in_thread(_extra_buffers.find_out)
                return
            options = options.with_number("use_extra_buffers", int(_extra_buffers.usable))
        if granted_s(options) != 0:
            if self._tuned is None:
                self._tuned = await run_in_thread(lambda: look_up(options))
                return
            options = self._tuned.options
        if self._admission is None:
            self._engine = Engine(options, self._on_progress)
            return
        async with self._admission(self, options):
            if self._engine is None and not self._closed:
                self._engine = Engine(options, self._on_progress)

    def _keep_tuning(self, engine: Engine) -> None:
        """Keep what the engine has measured. Never waits: it would seem idle between loading and its first request."""
        self._tuned_by = engine
        measured = engine.tuning()
        if measured and self._tuned is not None:
            tuned, self._tuned = self._tuned, self._tuned.known(measured)
            worker = Worker("llama-async tuning")
            worker.submit(lambda: tuned.keep(measured))
            worker.stop()

    async def wait_idle(self) -> None:
        """Return when no request is in flight or waits for it."""
        if self._engine is not None and not self._engine.is_freed:
            await self._engine.wait_idle()

    async def unload(self) -> None:
        """Give the memory back when no request is in flight. Those that come meanwhile wait, and load it again.

        Cancelled before that, it stays loaded.

        Raises:
            EventLoopError: Another event loop is at work with it.
        """
        while self._leaving is not None:
            await self._leaving.wait()
        engine = self._engine
        if engine is None:
            return
        engine.bind()
        left = self._leaving = anyio.Event()
        try:
            await engine.wait_idle()
            await engine.close()
            if self._engine is engine:
                self._engine = None
        finally:
            self._leaving = None
            left.set()

    def bind(self) -> None:
        """Make it belong to the running event loop.

        Raises:
            EventLoopError: Another event loop is at work with it.
        """
        if self._engine is not None and not self._engine.is_forked:
            self._engine.bind()

    def close_soon(self) -> None:
        """Begin to close: every request ends with an exception. Never blocks."""
        self._closed = True
        if self._engine is not None:
            self._engine.close_soon()

    async def close(self) -> None:
        """End every request and free the model. Idempotent; cancelling it lets the closing go on by itself.

        Raises:
            EventLoopError: Another event loop is at work with it.
        """
        engine = self._engine
        if engine is not None and not engine.is_forked:
            engine.bind()
            self._closed = True
            # Shielded: an `async with` that is left by cancellation has to free the model all the same.
            with anyio.move_on_after(_CLOSE_TIMEOUT_S, shield=True):
                await engine.close()
            self._engine = None
        self._closed = True
        reap()

    def abandon(self) -> None:
        """Begin to close. Never blocks and needs no loop; finalizers call it."""
        self._on_progress = None
        self.close_soon()


class _ExtraBuffers:
    """Whether the CPU's rearranged weight buffers may be used; asked once a process."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self.usable: bool | None = None

    def find_out(self) -> None:
        # May run the self-test in a child process: not for an event loop, and not for several threads at once.
        from ._doctor import extra_buffers_usable

        with self._lock:
            if self.usable is None:
                self.usable = extra_buffers_usable()


_extra_buffers = _ExtraBuffers()
