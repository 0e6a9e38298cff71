"""`AsyncLlama`: what a user holds. Owns the model and its names, the defaults of requests, and the resources.

Constructing one touches neither the event loop nor the model file.
"""

from __future__ import annotations

import warnings
import weakref
from collections.abc import Callable, Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Literal

from typing_extensions import Self

from ._errors import OptionError, bad_request, model_not_found, shown
from ._model import Model
from ._options import engine_options
from ._parameters import timeout_seconds
from ._store import completion_store
from ._types import NotGiven, not_given
from .resources import AsyncChat, AsyncEmbeddings, AsyncRerank

if TYPE_CHECKING:
    import os
    from types import TracebackType

    import openai
    from httpx import Timeout

__all__ = ["AsyncLlama"]

_DEFAULT_NAME = "default"
_ANY_NAME = "*"
# openai's default: the read part of its default timeout.
_DEFAULT_TIMEOUT_S = 600.0


class AsyncLlama:
    """A local GGUF model behind the methods of `openai.AsyncOpenAI`.

    The model is loaded by `async with`, by `await client.load()` or by the first request, on a native thread, once
    however many wait for it. A client belongs to the event loop that uses it and may move to another while idle.

    Args:
        model: Path of a GGUF file. Its stem is the model's name, beside `"default"`.
        n_ctx: Longest context of one request in tokens; default: 4,096 or the model's, whichever is less.
        n_parallel: Requests decoding at once.
        n_batch: Most tokens of one decode step.
        n_ubatch: Most tokens of one compute graph.
        n_threads: Threads that decode; default: the cores this process may use.
        n_threads_batch: Threads that prefill; default: `n_threads`.
        n_gpu_layers: Layers kept on the devices; -1: as many as fit.
        devices: Names of devices to use, or one name; default: all.
        split_mode: How several devices share a model.
        main_gpu: The device, where `split_mode` is `"none"`.
        tensor_split: Each device's share.
        flash_attention: On or off; default: chosen at load.
        kv_unified: Share one KV cache among all requests rather than give each its own part.
        type_k: Type of the K cache, such as `"f16"` or `"q8_0"`.
        type_v: Type of the V cache.
        use_mmap: Map the file rather than read it.
        use_mlock: Keep the model from being swapped out.
        use_extra_buffers: Repack weights for the CPU's matrix instructions where it has them.
        check_tensors: Look for invalid values in the tensors while loading; default: in files up to 4 GiB.
        swa_full: Keep the whole context of sliding-window layers.
        offload_kqv: Keep the KV cache on the device.
        rope_freq_base: Overrides the model's.
        rope_freq_scale: Overrides the model's.
        pooling: How a text's tokens become one vector; default: as the GGUF says, and where it says nothing the mean.
        chat_template: Jinja source to use instead of the model's own.
        alias: Further names of the model; `"*"` takes any name.
        max_queue: Requests that may wait; past it they fail with RateLimitError.
        store: Where `create(store=True)` keeps answers: a SQLite file, which several processes may use at once,
            `":memory:"` until the client is closed, or `None` for nowhere.
        store_limit: Answers kept; the oldest go first. Default: 10,000.
        store_limit_bytes: Bytes of answers kept; the oldest go first. Default: 64 MiB.
        timeout: Seconds an answer may take or, when streaming, the engine may stay silent; `None`: no limit.
        max_retries: Accepted for openai's sake: in one process there is nothing to retry.
        on_progress: Called in the event loop with the fraction of the model loaded, 0 to 1. Raising from it ends the
            loading.

    Raises:
        OptionError: An option has a wrong type or value.
    """

    def __init__(
        self,
        model: str | os.PathLike[str] | None = None,
        *,
        n_ctx: int | None = None,
        n_parallel: int | None = None,
        n_batch: int | None = None,
        n_ubatch: int | None = None,
        n_threads: int | None = None,
        n_threads_batch: int | None = None,
        n_gpu_layers: int = -1,
        devices: str | Sequence[str] | None = None,
        split_mode: Literal["none", "layer", "row", "tensor"] | None = None,
        main_gpu: int | None = None,
        tensor_split: Sequence[float] | None = None,
        flash_attention: bool | None = None,
        kv_unified: bool | None = None,
        type_k: str | None = None,
        type_v: str | None = None,
        use_mmap: bool | None = None,
        use_mlock: bool | None = None,
        use_extra_buffers: bool | None = None,
        check_tensors: bool | None = None,
        swa_full: bool | None = None,
        offload_kqv: bool | None = None,
        rope_freq_base: float | None = None,
        rope_freq_scale: float | None = None,
        pooling: Literal["mean", "cls", "last", "rank"] | None = None,
        chat_template: str | None = None,
        alias: str | Sequence[str] | None = None,
        max_queue: int | None = None,
        store: str | os.PathLike[str] | None = ":memory:",
        store_limit: int | None = None,
        store_limit_bytes: int | None = None,
        timeout: float | Timeout | NotGiven | None = not_given,
        max_retries: int = 2,
        on_progress: Callable[[float], object] | None = None,
    ) -> None:
        if model is None:
            raise OptionError("model", None, "the path of a GGUF file")
        options = engine_options(
            model,
            n_ctx=n_ctx,
            n_parallel=n_parallel,
            n_batch=n_batch,
            n_ubatch=n_ubatch,
            n_threads=n_threads,
            n_threads_batch=n_threads_batch,
            n_gpu_layers=n_gpu_layers,
            devices=devices,
            split_mode=split_mode,
            main_gpu=main_gpu,
            tensor_split=tensor_split,
            flash_attention=flash_attention,
            kv_unified=kv_unified,
            type_k=type_k,
            type_v=type_v,
            use_mmap=use_mmap,
            use_mlock=use_mlock,
            use_extra_buffers=use_extra_buffers,
            check_tensors=check_tensors,
            pooling=pooling,
            swa_full=swa_full,
            offload_kqv=offload_kqv,
            rope_freq_base=rope_freq_base,
            rope_freq_scale=rope_freq_scale,
            chat_template=chat_template,
            max_queue=max_queue,
        )
        if isinstance(max_retries, bool) or max_retries < 0:
            raise OptionError("max_retries", max_retries, "an integer from 0")
        if on_progress is not None and not callable(on_progress):
            raise OptionError("on_progress", on_progress, "callable")
        self._names = _names(options.stem, alias)
        self.timeout = timeout
        self._timeout_s = _timeout_s(timeout)
        self.max_retries = max_retries
        self._store = completion_store(store, store_limit, store_limit_bytes)
        self._model = Model(options, on_progress)
        # Begins to close and no more: a finalizer may run anywhere and must not wait for threads.
        weakref.finalize(self, self._model.abandon).atexit = False

    @cached_property
    def chat(self) -> AsyncChat:
        """Conversations."""
        return AsyncChat(self)

    @cached_property
    def embeddings(self) -> AsyncEmbeddings:
        """Texts as vectors."""
        return AsyncEmbeddings(self)

    @cached_property
    def rerank(self) -> AsyncRerank:
        """Call it: documents by their relevance to a query."""
        return AsyncRerank(self)

    async def load(self) -> Self:
        """Load the model, unless it is loaded.

        Cancelling the last task that waits for the loading cancels it; a later call starts it anew.

        Returns:
            The client.

        Raises:
            ModelLoadError: The file is missing, truncated, corrupt, of an unknown kind, or does not fit into memory.
            ClientClosedError: The client is closed.
        """
        await self._model.acquire()
        return self

    async def close(self) -> None:
        """End every request with an exception, free the model, close the store.

        Idempotent; cancelling it does not undo it.

        Raises:
            EventLoopError: Another event loop is at work with the client.
        """
        try:
            await self._model.close()
        finally:
            # Not where another event loop keeps the client.
            if self._store is not None and self.is_closed():
                await self._store.close()

    async def aclose(self) -> None:
        """Do as `close`."""
        await self.close()

    def as_openai(self) -> openai.AsyncOpenAI:
        """Return a real `openai.AsyncOpenAI` that this client answers, for code that must have one.

        Requests stay in the process; streams come chunk by chunk, and closing one, or cancelling the task that waits,
        ends the work. It has this client's timeout and retries (`with_options` changes them); what failed in this
        process is not tried again, a full queue is. Closing it leaves this client open; it must not outlive it.

        Raises:
            ImportError: The `openai` package is not installed (the extra `llama-async[openai]`).
        """
        from ._openai import async_openai

        return async_openai(self)

    def is_closed(self) -> bool:
        """Whether `close` was called."""
        return self._model.is_closed

    async def __aenter__(self) -> Self:
        return await self.load()

    async def __aexit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self.close()

    def __del__(self, _warn: Callable[..., None] = warnings.warn) -> None:
        model = getattr(self, "_model", None)
        if model is not None and model.is_open:
            _warn(f"unclosed {self!r}: use `async with` or `await client.close()`", ResourceWarning, source=self)

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self._names[0]!r}{' closed' if self.is_closed() else ''}>"

    def _resolve(self, model: object) -> Model:
        """Return the model of a name."""
        if not isinstance(model, str):
            raise bad_request("model", f"model is {shown(model)}, but must be text")
        if model not in self._names and _ANY_NAME not in self._names:
            raise model_not_found(model, list(self._names))
        return self._model


def _names(stem: str, alias: object) -> tuple[str, ...]:
    aliases = (alias,) if isinstance(alias, str) else alias
    if aliases is None:
        aliases = ()
    if not isinstance(aliases, Sequence) or not all(isinstance(name, str) and name for name in aliases):
        raise OptionError("alias", alias, "a name, or a list of names")
    return tuple(dict.fromkeys((stem, _DEFAULT_NAME, *aliases)))


def _timeout_s(timeout: object) -> float | None:
    from ._errors import BadRequestError

    try:
        return timeout_seconds(timeout, _DEFAULT_TIMEOUT_S)
    except BadRequestError:
        raise OptionError("timeout", timeout, "seconds from 0, an httpx.Timeout, or None") from None
