"""Work that would hold the event loop, run on a thread."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import TypeVar

import anyio

from ._pump import running_loop

__all__ = ["run_in_thread"]

_T = TypeVar("_T")


async def run_in_thread(function: Callable[[], _T]) -> _T:
    """Return what `function` returns; raises what it raises. Cancelling does not stop it."""
    loop = running_loop()
    if isinstance(loop, asyncio.AbstractEventLoop):
        # Not anyio's threads: they end with the loop's main task, and where that never ends (`loop.stop()`, an exit
        # from a callback) the interpreter waits for them for ever. The loop's own executor is told at exit.
        return await loop.run_in_executor(None, function)
    return await anyio.to_thread.run_sync(function)
