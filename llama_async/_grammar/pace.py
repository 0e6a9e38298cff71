"""Computing for long beside an event loop: others get the interpreter every millisecond.

A thread that wants the interpreter waits five milliseconds for one that does not give it back, at each of its turns:
every stream of the application would stutter while a large schema is compiled in a worker thread.
"""

from __future__ import annotations

import threading
import time

__all__ = ["let_others_run"]

_WORK_S = 0.001
# Not zero: the others have to wake up before this thread asks for the interpreter again.
_REST_S = 0.00005


class _Turn(threading.local):
    rested_s = 0.0


_turn = _Turn()
_sleep = time.sleep


def let_others_run() -> None:
    """Give the interpreter to others for a moment, if this thread has had it for long. Called at every step of work."""
    now = time.perf_counter()
    if now - _turn.rested_s > _WORK_S:
        _sleep(_REST_S)
        _turn.rested_s = time.perf_counter()
