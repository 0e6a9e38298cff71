"""A model file that is opened when first needed: once, however many wait for it, and again after a failed attempt."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

import anyio

from ._engine import Engine, reap
from ._errors import ClientClosedError
from ._threads import run_in_thread

if TYPE_CHECKING:
    from collections.abc import Callable

    from ._options import EngineOptions

__all__ = ["Model"]

# Closing takes one aborted decode step and the freeing of memory. Past this it goes on without its caller.
_CLOSE_TIMEOUT_S = 60


class Model:
    """The engine of one model file, if it is open.

    Args:
        options: What to load and how.
        on_progress: Called in the loop's thread with the fraction loaded.
    """

    def __init__(self, options: EngineOptions, on_progress: Callable[[float], object] | None) -> None:
        self.options = options
        self._on_progress = on_progress
        self._engine: Engine | None = None
        self._closed = False

    @property
    def engine(self) -> Engine | None:
        """The engine, while its model is loaded."""
        engine = self._engine
        return engine if engine is not None and engine.is_ready else None

    @property
    def is_open(self) -> bool:
        """Whether it holds memory and threads."""
        return self._engine is not None and self._engine.is_open

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
                options = self.options
                if "use_extra_buffers" not in options.numbers:
                    if _extra_buffers.usable is None:
                        await run_in_thread(_extra_buffers.find_out)
                        continue
                    options = options.with_number("use_extra_buffers", int(_extra_buffers.usable))
                engine = self._engine = Engine(options, self._on_progress)
            if engine.is_ready:
                engine.bind()
            else:
                await engine.wait_ready()
            return engine

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
        self._closed = True
        self._on_progress = None
        if self._engine is not None:
            self._engine.close_soon()


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
