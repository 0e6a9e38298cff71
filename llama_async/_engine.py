"""One native engine in an event loop: opening, submitting, draining, closing.

An `Engine` lives once: it opens its model when it is made, becomes ready or fails, and is closed. It belongs to the
loop that uses it and moves to another only while idle (see `_pump`). Closing, freeing and the interpreter's exit are
kept apart: `close_soon` never blocks, the handle is freed when its CLOSED record was drained, and at exit whatever is
left is freed the blocking way, since native threads must not outlive the interpreter.
"""

from __future__ import annotations

import atexit
import enum
import json
import logging
import threading
import time
from contextlib import contextmanager
from functools import cached_property
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from ._abi import PREDICTED_STRUCT, Predicted, RecordKind, RequestFlag, Status
from ._binding import NativeEngine, NativeError, build_info, drain_log, live_engines, set_log_level
from ._errors import ClientClosedError, ForkedError, OptionError, error_from_status
from ._generation import End, Generation
from ._pump import Pump, Source

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from ._abi import Request
    from ._options import EngineOptions

__all__ = ["Engine"]

_native_log = logging.getLogger("llama_async.native")
logging.getLogger("llama_async").addHandler(logging.NullHandler())

_DELTA = int(RecordKind.DELTA)
_REASONING = int(RecordKind.REASONING)
_TOOL_CALL = int(RecordKind.TOOL_CALL)
_END = int(RecordKind.END)
_OK = int(Status.OK)
_LOADING = int(RecordKind.LOADING)
_READY = int(RecordKind.READY)
_CLOSED = int(RecordKind.CLOSED)

# ggml's levels and logging's.
_LOG_LEVELS = {1: logging.DEBUG, 2: logging.INFO, 3: logging.WARNING, 4: logging.ERROR}
_LOG_NOTHING = 5


class _State(enum.Enum):
    LOADING = "loading"
    READY = "ready"
    CLOSING = "closing"  # asked to close, or loading failed; CLOSED will follow
    CLOSED = "closed"


class _Change(Source):
    """One task's wait for a state."""

    __slots__ = ("_reached",)

    def __init__(self, reached: Callable[[], bool]) -> None:
        super().__init__()
        self._reached = reached

    def ready(self) -> bool:
        return self._reached()


class Engine:
    """A model being loaded, loaded, or being closed.

    Args:
        options: What to load and how.
        on_progress: Called in the loop's thread with the fraction loaded. What it raises ends the loading and is raised
            by `wait_ready`.

    Raises:
        OptionError: The engine refuses an option.
    """

    def __init__(self, options: EngineOptions, on_progress: Callable[[float], object] | None = None) -> None:
        reap()
        set_log_level(_ggml_level())
        self.options = options
        try:
            self._native = NativeEngine(options)
        except NativeError as error:
            if error.status == Status.INVALID:
                # "<option> is <value>, must be <limit>": an OptionError puts the first part together itself.
                limit = error.message.rpartition("must be ")[2]
                raise OptionError(error.param or "model", options.given(error.param), limit) from None
            raise error_from_status(error.status, error.message, error.param, path=options.path) from None
        self._on_progress = on_progress
        self._state = _State.LOADING
        self._failure: End | None = None
        self._callback_error: BaseException | None = None
        self._load_waits: set[_Change] = set()
        self._generations: dict[int, Generation] = {}
        self._close_waits: set[_Change] = set()
        self._idle_waits: set[_Change] = set()
        self._n_held = 0
        self.idle_since = time.monotonic()
        # Guards the tie to a loop against a second thread that looks whether it may take the engine over.
        self._lock = threading.RLock()
        self._pump = Pump(self._native.wake_fd, self._drain, is_busy=self._is_busy, orphan=self._orphan)

    # -- state

    @property
    def is_ready(self) -> bool:
        """Whether it takes requests."""
        return self._state is _State.READY

    @property
    def is_open(self) -> bool:
        """Whether it holds native resources that nobody has begun to give back."""
        return self._native.is_open and not self.is_ending

    @property
    def is_freed(self) -> bool:
        """Whether its memory was given back."""
        return self._state is _State.CLOSED

    @property
    def is_idle(self) -> bool:
        """Whether its model is loaded and nobody has a request in flight or under way to it."""
        return self._state is _State.READY and not self._is_at_work()

    @property
    def is_forked(self) -> bool:
        """Whether it was made in another process, before a fork."""
        return self._native.is_forked

    @property
    def is_ending(self) -> bool:
        """Whether it will never take requests (again)."""
        return self._state in (_State.CLOSING, _State.CLOSED)

    def bind(self) -> None:
        """Make it belong to the running event loop.

        Raises:
            EventLoopError: It is at work for another one.
            ForkedError: It was made before a fork.
        """
        if self._native.is_forked:
            raise ForkedError
        with self._lock:
            self._pump.bind()
            self._pump.watch(self._expects_records())

    async def wait_ready(self) -> None:
        """Return when the model is loaded. The loading is cancelled with the last task that waits here.

        Raises:
            ModelLoadError: It cannot be loaded.
            ClientClosedError: The engine was closed meanwhile.
        """
        self.bind()
        try:
            await self._wait_until(lambda: self._state is not _State.LOADING, self._load_waits)
        except BaseException:
            if not self._load_waits and self._state is _State.LOADING:
                self.close_soon()
            raise
        if self._callback_error is not None:
            raise self._callback_error
        if self._failure is not None:
            end = self._failure
            raise error_from_status(end.status, end.message, end.param, path=self.options.path)
        if self._state is not _State.READY:
            raise ClientClosedError

    async def wait_idle(self) -> None:
        """Return when it is idle, or closed by somebody else. Nothing begins until the caller awaits."""
        self.bind()
        await self._wait_until(lambda: self.is_ending or not self._is_at_work(), self._idle_waits)

    @contextmanager
    def held(self) -> Iterator[None]:
        """Keep it from being idle: from `wait_ready` until `submit` a request is known to nobody else."""
        self._n_held += 1
        try:
            yield
        finally:
            self._n_held -= 1
            self._rest()

    async def close(self) -> None:
        """Return when model and threads are gone. Cancelling it lets the closing go on."""
        self.bind()
        await self._wait_until(lambda: self._state is _State.CLOSED, self._close_waits, begin=self.close_soon)

    async def _wait_until(
        self, reached: Callable[[], bool], waits: set[_Change], *, begin: Callable[[], None] | None = None
    ) -> None:
        change = _Change(reached)
        waits.add(change)
        try:
            # After it is known that somebody waits: another thread's `reap` must not take the records away.
            if begin is not None:
                begin()
                self._pump.watch(self._expects_records())
            while not change.ready():
                await self._pump.wait(change)
        finally:
            waits.discard(change)
            if waits is self._load_waits:
                self._rest()

    def _enter(self, state: _State) -> None:
        self._state = state
        for change in (*self._load_waits, *self._close_waits, *self._idle_waits):
            if change.ready():
                change.wake()

    # -- work

    def submit(self, request: Request) -> Generation:
        """Hand a request to the engine. Call `bind` and `wait_ready` before.

        Raises:
            OpenAIError: It was not accepted: the queue is full, a value is out of range, the engine is closed.
        """
        generation = Generation(self._pump, streaming=bool(request.flags & RequestFlag.STREAM))
        with self._lock:
            self._pump.bind()
            try:
                request_id = self._native.submit(request)
            except NativeError as error:
                raise error_from_status(error.status, error.message, error.param) from None
            native = self._native
            generation.started(lambda: native.cancel(request_id))
            self._generations[request_id] = generation
            self._pump.watch(True)
        return generation

    @cached_property
    def fingerprint(self) -> str:
        """What stands for build and model in `system_fingerprint`: equal ones may be expected to answer alike."""
        import hashlib

        digest = hashlib.sha256(f"{build_info()}\n{self._native.info()}".encode()).hexdigest()
        return f"fp_{digest[:10]}"

    @cached_property
    def facts(self) -> Mapping[str, Any]:
        """The loaded model's description: the object of `la_engine_info`."""
        facts: dict[str, Any] = json.loads(self._native.info())
        return MappingProxyType(facts)

    def info(self) -> str:
        """Return the loaded model's description, a JSON object."""
        return self._native.info()

    def tuning(self) -> dict[str, Any]:
        """Return what was measured while the model was loaded, the object of `la_engine_tuning`; empty: nothing."""
        measured: dict[str, Any] = json.loads(self._native.tuning())
        return measured

    def stats(self) -> dict[str, int | float]:
        """Return the counters of `la_stats`."""
        return self._native.stats()

    def bare_loop(self, n_streams: int, n_prompt: int, n_decode: int) -> dict[str, int | float]:
        """Run the bare decode loop of the benchmarks; blocks the calling thread, which should not be a loop's."""
        return self._native.bare_loop(n_streams, n_prompt, n_decode)

    # -- closing

    def close_soon(self) -> None:
        """Begin to close: whatever waits ends with an exception. Idempotent, never blocks; finalizers call it."""
        if self.is_ending or self._native.is_forked:
            return
        _closing.add(self)
        self._enter(_State.CLOSING)
        self._native.close()

    # -- records

    def _expects_records(self) -> bool:
        return bool(self._generations) or self._state in (_State.LOADING, _State.CLOSING)

    def _is_at_work(self) -> bool:
        return bool(self._load_waits or self._n_held) or any(
            not generation.closed for generation in self._generations.values()
        )

    def _is_busy(self) -> bool:
        return bool(self._close_waits or self._idle_waits) or self._is_at_work()

    def _rest(self) -> None:
        """Note that it may have become idle."""
        self.idle_since = time.monotonic()
        for change in self._idle_waits:
            if change.ready():
                change.wake()

    def _orphan(self) -> None:
        for generation in self._generations.values():
            generation.waker = None
            generation.cancel()
        self._load_waits.clear()
        self._close_waits.clear()
        self._idle_waits.clear()
        self._n_held = 0

    def _drain(self) -> None:
        records, blob, has_log = self._native.drain()
        generations = self._generations
        for (
            request_id, kind, choice, status, finish, text_offset, text_size, aux_offset, aux_size,
            n_tokens, n_prompt, n_cached, n_generated, prompt_ms, decode_ms,
        ) in records:  # fmt: skip
            text = str(blob[text_offset : text_offset + text_size], "utf-8", "replace") if text_size else ""
            aux = blob[aux_offset : aux_offset + aux_size] if aux_size else b""
            if kind == _DELTA:
                generation = generations.get(request_id)
                if generation is not None:
                    generation.push(choice, text, aux, finish, n_tokens)
            elif kind == _REASONING:
                generation = generations.get(request_id)
                if generation is not None:
                    generation.push_reasoning(choice, text, n_tokens)
            elif kind == _TOOL_CALL:
                generation = generations.get(request_id)
                if generation is not None:
                    generation.push_call(choice, n_prompt, aux, text, n_tokens)
            elif kind == _END:
                generation = generations.pop(request_id, None)
                if generation is not None:
                    counts = (n_prompt, n_cached, n_generated, prompt_ms, decode_ms, n_tokens)
                    if status == _OK:
                        predicted = Predicted(*PREDICTED_STRUCT.unpack(aux)) if aux else None
                        generation.finish(End(status, text, "", *counts, predicted))
                    else:
                        generation.finish(End(status, text, aux.decode("utf-8", "replace"), *counts))
            elif kind == _LOADING:
                self._progress(n_tokens / 1000)
            elif kind == _READY:
                self._loaded(End(status, text, aux.decode("utf-8", "replace")))
            elif kind == _CLOSED:
                self._closed()
        if has_log:
            _forward_log()
        if not generations:
            self._pump.watch(self._expects_records())
        if self._idle_waits or not generations:
            self._rest()

    def drain_unwatched(self) -> None:
        """Take the records that no loop will take."""
        with self._lock:
            if not self._pump.is_watched and (self._pump.has_ended or not self._is_busy()):
                self._drain()

    def _progress(self, fraction: float) -> None:
        if self._on_progress is None or self._state is not _State.LOADING:
            return
        try:
            self._on_progress(fraction)
        except BaseException as error:
            self._callback_error = error
            self.close_soon()

    def _loaded(self, result: End) -> None:
        if self._state is not _State.LOADING:
            return
        # It may refer to the client, which would keep the client from being collected.
        self._on_progress = None
        if result.status == Status.OK:
            self._enter(_State.READY)
            return
        self._failure = result
        self.close_soon()

    def _closed(self) -> None:
        self._on_progress = None
        # CLOSED follows every END; should one be missing, its consumer must not wait for ever.
        for generation in self._generations.values():
            generation.finish(End(int(Status.CLOSED)))
        self._generations.clear()
        self._state = _State.CLOSED
        self._pump.watch(False)
        self._native.free()
        _closing.discard(self)
        self._enter(_State.CLOSED)


# -- what nobody waits for ---------------------------------------------------------------------------------------------

# Engines between `close_soon` and their CLOSED record.
_closing: set[Engine] = set()


def reap() -> None:
    """Free the engines that have closed since and that no loop watches: their clients were collected. Never blocks."""
    for engine in list(_closing):
        engine.drain_unwatched()


def _free_all_at_exit() -> None:
    engines = live_engines()
    for native in engines:
        native.close()
    for native in engines:
        native.free()


# Before the interpreter takes itself apart: free() joins the native threads, which log and post records until then.
atexit.register(_free_all_at_exit)


# -- upstream's log ----------------------------------------------------------------------------------------------------


def _ggml_level() -> int:
    level = _native_log.getEffectiveLevel()
    return next((ggml for ggml, python in sorted(_LOG_LEVELS.items()) if python >= level), _LOG_NOTHING)


def _forward_log() -> None:
    for level, text in drain_log():
        _native_log.log(_LOG_LEVELS.get(level, logging.INFO), "%s", text)
