"""The only user of the compiled extension: pointers, lifetimes, encodings. Knows nothing of asyncio.

A `NativeEngine` may be called from any thread. Its lock is held for each call, so that `free` cannot pull the handle
from under a call that runs with the GIL released; it is reentrant because a garbage collection inside a call may run a
finalizer that calls `cancel` or `close`.
"""

from __future__ import annotations

import contextlib
import os
import threading
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from ._abi import LOGIT_BIAS_STRUCT, RECORD_STRUCT, Status
from ._native import ffi, lib  # noqa: TID251 (the one place)

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from ._abi import Request
    from ._options import EngineOptions

__all__ = [
    "Batch",
    "NativeEngine",
    "NativeError",
    "build_info",
    "drain_log",
    "estimate_bytes",
    "live_engines",
    "set_log_level",
]

# Tensor data of a file up to this size is validated while loading unless the user says otherwise: 4 GiB take seconds.
_CHECK_TENSORS_MAX_BYTES = 4 << 30

_OK: int = lib.LA_OK
_HAS_LOG: int = lib.LA_DRAINED_LOG
_LOG_BUFFER_BYTES = 1 << 16

if lib.la_abi_version() != lib.LA_ABI_VERSION:
    raise ImportError(f"the extension speaks ABI {lib.la_abi_version()}, its header says {lib.LA_ABI_VERSION}")


class NativeError(Exception):
    """A call that returned a status other than OK. `_errors.error_from_status` makes the public exception."""

    def __init__(self, status: int, message: str, param: str) -> None:
        super().__init__(message)
        self.status = status
        self.message = message
        self.param = param


class Batch(NamedTuple):
    """What one drain took."""

    records: Iterator[tuple[Any, ...]]
    """The fields of `la_record` (see `RECORD_STRUCT`)."""
    blob: bytes
    """Slicing it by a record's offsets gives bytes."""
    has_log: bool


_NO_RECORDS = Batch(iter(()), b"", False)


def _check(status: int) -> None:
    if status != _OK:
        message = ffi.string(lib.la_last_error()).decode("utf-8", "replace")
        param = ffi.string(lib.la_last_error_param()).decode("utf-8", "replace")
        raise NativeError(status, message, param)


def build_info() -> str:
    """Return the build's description, a JSON object."""
    return str(ffi.string(lib.la_build_info()).decode("utf-8", "replace"))


def set_log_level(level: int) -> None:
    """Collect upstream's log from a ggml level on: 1 debug to 4 error, 5 nothing."""
    lib.la_log_set_level(level)


def drain_log() -> Iterator[tuple[int, str]]:
    """Yield the waiting log lines with their ggml levels."""
    buffer = ffi.new("char[]", _LOG_BUFFER_BYTES)
    rest = b""
    while True:
        size = lib.la_log_drain(buffer, _LOG_BUFFER_BYTES)
        *lines, rest = (rest + ffi.buffer(buffer, size)[:]).split(b"\n")
        for line in lines:
            level, text = line[:1], line[1:].decode("utf-8", "replace")
            yield (int(level), text) if level.isdigit() else (2, text)
        if not size:
            break


class _Memory:
    """Builds C values out of Python ones and keeps what they point to alive."""

    def __init__(self) -> None:
        self._kept: list[Any] = []

    def keep(self, value: Any) -> Any:
        self._kept.append(value)
        return value

    def set_str(self, target: Any, text: bytes) -> None:
        """Point an `la_str` at `text`."""
        target.data = self.keep(ffi.from_buffer("char[]", text)) if text else ffi.NULL
        target.size = len(text)

    def strs(self, texts: tuple[str, ...]) -> Any:
        array = self.keep(ffi.new("la_str[]", len(texts)))
        for place, text in zip(array, texts, strict=True):
            self.set_str(place, text.encode())
        return array


def estimate_bytes(options: EngineOptions) -> int:
    """Return about how much memory an engine takes: weights, KV cache and compute buffers, of all devices together.

    llama.cpp lays them out without allocating them, which takes tens of milliseconds or more: not for an event loop.

    Raises:
        NativeError: The model cannot be loaded, or the options are refused.
    """
    memory = _Memory()
    found = ffi.new("la_memory *")
    found.struct_size = ffi.sizeof("la_memory")
    _check(lib.la_engine_estimate(_engine_params(options, memory), found))
    return int(found.weights_bytes + found.context_bytes + found.compute_bytes)


class NativeEngine:
    """An `la_engine`. Exists from `open` to `free`; every call after that fails with CLOSED or does nothing.

    Raises:
        NativeError: The options are refused. A model that cannot be loaded is reported by the READY record instead.
    """

    def __init__(self, options: EngineOptions) -> None:
        self._lock = threading.RLock()
        self._engine: Any = ffi.NULL
        self._forked = False
        self._drained = ffi.new("la_drained *")
        self._sampling: Any = None
        memory = _Memory()
        params = _engine_params(options, memory)
        out = ffi.new("la_engine **")
        _check(lib.la_engine_open(params, out))
        self._engine = out[0]
        self.wake_fd = int(lib.la_engine_wake_fd(self._engine))
        _live.add(self)

    @property
    def is_forked(self) -> bool:
        """Whether this process is a child of the one that opened it."""
        return self._forked

    @property
    def is_open(self) -> bool:
        """Whether the handle exists."""
        return not self._forked and bool(self._engine != ffi.NULL)

    def _handle(self) -> Any:
        """Return the handle. Call with the lock held."""
        if self._forked:
            raise NativeError(Status.FORKED, "", "")
        if self._engine == ffi.NULL:
            raise NativeError(Status.CLOSED, "", "")
        return self._engine

    def submit(self, request: Request) -> int:
        """Hand over a request and return its id; its records follow."""
        memory = _Memory()
        with self._lock:
            engine = self._handle()
            if self._sampling is None:
                sampling = ffi.new("la_sampling *")
                _check(lib.la_engine_sampling_init(engine, sampling))
                self._sampling = sampling
            native = _request(request, self._sampling, memory)
            request_id = ffi.new("uint64_t *")
            _check(lib.la_engine_submit(engine, native, request_id))
        return int(request_id[0])

    def cancel(self, request_id: int) -> None:
        """Set a request's cancel flag. Never blocks and never fails: finalizers call it."""
        if self._forked:
            return
        with self._lock:
            if self._engine != ffi.NULL:
                lib.la_engine_cancel(self._engine, request_id)

    def drain(self) -> Batch:
        """Take every waiting record. One caller at a time."""
        with self._lock:
            if self._forked or self._engine == ffi.NULL:
                return _NO_RECORDS
            drained = self._drained
            _check(lib.la_engine_drain(self._engine, drained))
            # Copied under the lock: a `free` from another thread (at exit) must not pull them from under the reader.
            records = (
                ffi.buffer(drained.records, drained.n_records * RECORD_STRUCT.size)[:] if drained.n_records else b""
            )
            blob = ffi.buffer(drained.blob, drained.blob_size)[:] if drained.blob_size else b""
            return Batch(RECORD_STRUCT.iter_unpack(records), blob, bool(drained.flags & _HAS_LOG))

    def info(self) -> str:
        """Return the loaded model's description, a JSON object."""
        with self._lock:
            json = ffi.new("const char **")
            _check(lib.la_engine_info(self._handle(), json))
            return str(ffi.string(json[0]).decode("utf-8", "replace"))

    def tuning(self) -> str:
        """Return what was measured while the model was loaded, a JSON object."""
        with self._lock:
            json = ffi.new("const char **")
            _check(lib.la_engine_tuning(self._handle(), json))
            return str(ffi.string(json[0]).decode("utf-8", "replace"))

    def stats(self) -> dict[str, int | float]:
        """Return the fields of `la_stats`."""
        with self._lock:
            stats = ffi.new("la_stats *")
            stats.struct_size = ffi.sizeof("la_stats")
            _check(lib.la_engine_stats(self._handle(), stats))
            return {name: getattr(stats, name) for name, _ in ffi.typeof("la_stats").fields if name != "struct_size"}

    def bare_loop(self, n_streams: int, n_prompt: int, n_decode: int) -> dict[str, int | float]:
        """Run llama_decode without anything around it and return `la_bare_result`. Blocks; for benchmarks."""
        params = ffi.new("la_bare_params *")
        params.struct_size = ffi.sizeof("la_bare_params")
        params.n_streams, params.n_prompt, params.n_decode = n_streams, n_prompt, n_decode
        result = ffi.new("la_bare_result *")
        # Without the lock: it runs for seconds, and a loop may have to drain meanwhile.
        _check(lib.la_engine_bare_loop(self._handle(), params, result))
        return {name: getattr(result, name) for name, _ in ffi.typeof("la_bare_result").fields}

    def close(self) -> None:
        """Begin to close: every request ends, then the CLOSED record follows. Never blocks: finalizers call it."""
        if self._forked:
            return
        with self._lock:
            if self._engine != ffi.NULL:
                lib.la_engine_close(self._engine)

    def free(self) -> None:
        """Join the threads and free the handle. Blocks unless CLOSED was drained."""
        if self._forked:
            return
        with self._lock:
            engine, self._engine = self._engine, ffi.NULL
            _live.discard(self)
            if engine != ffi.NULL:
                lib.la_engine_free(engine)

    def mark_forked(self) -> None:
        """Note that this process is a child: the threads behind the handle do not exist here."""
        # The lock may have been held by a thread that does not exist here either.
        self._lock = threading.RLock()
        self._forked = True


def _engine_params(options: EngineOptions, memory: _Memory) -> Any:
    params = ffi.new("la_engine_params *")
    lib.la_engine_params_init(params)
    memory.set_str(params.model_path, os.fsencode(options.path))
    for name, number in options.numbers.items():
        setattr(params, name, number)
    for name, text in options.texts.items():
        memory.set_str(getattr(params, name), text.encode())
    _speculation(params.speculation, options.speculation, memory)
    memory.set_str(params.draft_model_path, os.fsencode(options.draft_model))
    if options.tensor_split:
        params.tensor_split = memory.keep(ffi.new("float[]", options.tensor_split))
        params.n_tensor_split = len(options.tensor_split)
    check = options.check_tensors
    if check is None:
        # A file that cannot be looked at is the loader's to report.
        with contextlib.suppress(OSError):
            check = Path(options.path).stat().st_size <= _CHECK_TENSORS_MAX_BYTES
    if check is not None:
        params.check_tensors = int(check)
    return params


def _request(request: Request, default_sampling: Any, memory: _Memory) -> Any:
    native = memory.keep(ffi.new("la_request *"))
    lib.la_request_init(native)
    segments = memory.keep(ffi.new("la_segment[]", len(request.segments)))
    # A thousand inputs are one buffer rather than a thousand: the event loop waits for this.
    data = b"".join([segment.data for segment in request.segments]) if len(request.segments) > 1 else None
    joined = None if data is None else memory.keep(ffi.from_buffer("char[]", data))
    offset = 0
    for place, segment in zip(segments, request.segments, strict=True):
        size = len(segment.data)
        place.kind = segment.kind
        place.flags = segment.flags
        if joined is not None:
            place.data = joined + offset
        elif size:
            place.data = memory.keep(ffi.from_buffer(segment.data))
        place.size = size
        offset += size
    native.segments, native.n_segments = segments, len(request.segments)
    native.sampling = default_sampling[0]
    _sampling(native.sampling, request, memory)
    if request.stop:
        native.stop, native.n_stop = memory.strs(request.stop), len(request.stop)
    native.n_choices = request.n_choices
    native.max_tokens = request.max_tokens
    native.flags = int(request.flags)
    native.priority = request.priority
    native.timeout_s = request.timeout_s
    native.task = int(request.task)
    native.embd_normalize = request.embd_normalize
    native.embd_dimensions = request.embd_dimensions
    _speculation(native.speculation, request.speculation, memory)
    memory.set_str(native.prediction, request.prediction.encode())
    return native


def _speculation(target: Any, fields: Mapping[str, int | float | str], memory: _Memory) -> None:
    for name, value in fields.items():
        if isinstance(value, str):
            memory.set_str(getattr(target, name), value.encode())
        else:
            setattr(target, name, value)


def _sampling(sampling: Any, request: Request, memory: _Memory) -> None:
    for name, value in request.sampling.items():
        setattr(sampling, name, value)
    if request.logit_bias:
        sampling.logit_bias = memory.keep(ffi.from_buffer("la_logit_bias[]", request.logit_bias))
        sampling.n_logit_bias = len(request.logit_bias) // LOGIT_BIAS_STRUCT.size
    if request.dry_breakers is not None:
        sampling.dry_breakers = memory.strs(request.dry_breakers)
        sampling.n_dry_breakers = len(request.dry_breakers)
    if request.samplers is not None:
        sampling.samplers, sampling.n_samplers = memory.strs(request.samplers), len(request.samplers)
    if request.grammar:
        memory.set_str(sampling.grammar, request.grammar.encode())


# Handles that were opened and not freed. Strong: the threads of a handle that Python forgot would outlive the
# interpreter.
_live: set[NativeEngine] = set()


def live_engines() -> list[NativeEngine]:
    """Return every handle that is open and not yet freed."""
    return list(_live)


def _after_fork_in_child() -> None:
    for engine in live_engines():
        engine.mark_forked()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork_in_child)
