"""Who reads the engine's wake-up descriptor: which event loop an engine belongs to, and how a task waits for records.

Where the loop offers `add_reader` (asyncio on Unix, uvloop) a callback drains for everybody. Elsewhere (trio, asyncio's
Proactor loop) no task of ours may exist without a nursery, so a waiting consumer leads: it waits for the descriptor and
drains for all, and hands over to a follower when it leaves, also by cancellation.

Knows no records: it calls `drain`, and the drain wakes whoever got something.
"""

from __future__ import annotations

import asyncio
import sys
from typing import TYPE_CHECKING, Any, Protocol

import anyio

from ._errors import EventLoopError

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["Pump", "Source", "Waker", "loop_has_ended", "running_loop"]


class Waker(Protocol):
    """What a drain rings: an asyncio future, or `_Bell`."""

    def done(self) -> bool:
        """Whether it was rung already, or its task cancelled."""

    def set_result(self, _result: None, /) -> None:
        """Ring it."""


class Source:
    """Something one task at a time may wait for."""

    __slots__ = ("waker",)

    def __init__(self) -> None:
        self.waker: Waker | None = None

    def ready(self) -> bool:
        """Whether the wait is over."""
        raise NotImplementedError

    def wake(self) -> None:
        """Wake the waiting task, if there is one."""
        waker = self.waker
        if waker is not None and not waker.done():
            waker.set_result(None)


class _Bell:
    """A `Waker` for the loops that anyio hides."""

    __slots__ = ("_event",)

    def __init__(self) -> None:
        self._event = anyio.Event()

    def done(self) -> bool:
        return self._event.is_set()

    def set_result(self, _result: None, /) -> None:
        self._event.set()

    async def wait(self) -> None:
        await self._event.wait()


class _Nap:
    """The `Waker` of a leader: ends its wait for the descriptor, so that it looks again."""

    __slots__ = ("_scope",)

    def __init__(self, scope: anyio.CancelScope) -> None:
        self._scope = scope

    def done(self) -> bool:
        return self._scope.cancel_called

    def set_result(self, _result: None, /) -> None:
        self._scope.cancel()


class Pump:
    """One engine's tie to an event loop.

    Args:
        fd: The descriptor that polls readable while records wait.
        drain: Takes every waiting record and wakes the sources concerned.
        is_busy: Whether somebody still waits for something of the engine.
        orphan: Called when the loop of those somebodies has ended for good: nobody will fetch what they asked for.

    All methods but `bind` belong to the loop's thread; the caller of `bind` serialises it with them.
    """

    def __init__(
        self, fd: int, drain: Callable[[], None], *, is_busy: Callable[[], bool], orphan: Callable[[], None]
    ) -> None:
        self._fd = fd
        self._drain = drain
        self._is_busy = is_busy
        self._orphan = orphan
        self._loop: Any = None  # an asyncio loop or a trio token
        self._by_reader = False  # whether the loop has a working add_reader
        self._reading = False  # whether the reader is registered now
        self._leader: Source | None = None
        self._followers: dict[Source, _Bell] = {}

    @property
    def has_ended(self) -> bool:
        """Whether its loop has ended for good, or it never had one."""
        return self._loop is None or loop_has_ended(self._loop)

    @property
    def is_watched(self) -> bool:
        """Whether a loop will call `drain`."""
        return (self._reading or self._leader is not None) and not self.has_ended

    def bind(self) -> None:
        """Make the running event loop the one that drains.

        Raises:
            EventLoopError: Another loop does, and is not done with the engine.
        """
        loop = running_loop()
        if loop is self._loop:
            return
        if self._loop is not None:
            if loop_has_ended(self._loop):
                # asyncio.run() ended with answers under way. Its selector is gone, nothing is left to unregister.
                self._orphan()
            elif self._reading or self._leader is not None or self._is_busy():
                raise EventLoopError(
                    "this client is at work for another event loop; use one client per loop, or let it become idle "
                    "before another loop uses it"
                )
        self._reading, self._leader = False, None
        self._followers.clear()
        self._loop = loop
        self._by_reader = isinstance(loop, asyncio.AbstractEventLoop)

    def watch(self, wanted: bool) -> None:
        """Have the loop drain from now on, or no more. An idle engine is not watched, so that it can be collected."""
        if wanted == self._reading or not self._by_reader:
            return
        if not wanted:
            # A closed loop has no selector to unregister from.
            if not self._loop.is_closed():
                self._loop.remove_reader(self._fd)
        elif not self._loop.is_closed():
            # A closed one drains no more: whoever comes next does, or `reap`.
            try:
                self._loop.add_reader(self._fd, self._drain)
            except NotImplementedError:
                self._by_reader = False
                return
        else:
            return
        self._reading = wanted

    async def wait(self, source: Source) -> None:
        """Return when the source was woken; check `ready` again then. One task at a time waits for a source."""
        if not self._by_reader:
            await self._lead_or_follow(source)
            return
        future: asyncio.Future[None] = self._loop.create_future()
        source.waker = future
        try:
            await future
        finally:
            source.waker = None

    async def _lead_or_follow(self, source: Source) -> None:
        try:
            if self._leader is None:
                self._leader = source
                try:
                    while not source.ready():
                        # What it waits for may come to pass without a record: somebody else leaves the engine.
                        with anyio.CancelScope() as scope:
                            source.waker = _Nap(scope)
                            await anyio.wait_readable(self._fd)
                        self._drain()
                finally:
                    source.waker = None
                    self._leader = None
            else:
                bell = self._followers[source] = _Bell()
                source.waker = bell
                try:
                    await bell.wait()
                finally:
                    source.waker = None
                    del self._followers[source]
        finally:
            # Whoever leaves, with an answer or cancelled, must not leave the others without a leader. Woken for
            # nothing, a follower finds its source not ready, waits again, and leads.
            if self._leader is None and self._followers:
                next(iter(self._followers.values())).set_result(None)


def running_loop() -> object:
    """Return what identifies the loop that runs here: an asyncio loop or a trio token."""
    trio: Any = sys.modules.get("trio")
    if trio is not None:
        # First, for in trio's guest mode an asyncio loop runs in the same thread.
        try:
            token: object = trio.lowlevel.current_trio_token()
            return token
        except RuntimeError:
            pass
    return asyncio.get_running_loop()


def loop_has_ended(loop: Any) -> bool:
    """Return whether a loop, as `running_loop` identifies it, will never run again."""
    if isinstance(loop, asyncio.AbstractEventLoop):
        return loop.is_closed()
    trio: Any = sys.modules["trio"]
    try:
        loop.run_sync_soon(int, idempotent=True)
    except trio.RunFinishedError:
        return True
    return False
