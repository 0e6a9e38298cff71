"""`AsyncLlama`: what a user holds. Owns the defaults of requests, and the resources; the models are its registry's.

Constructing one touches neither the event loop nor a model file.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Any, ClassVar, Literal, cast

from typing_extensions import Self

from ._abi import ModelStats
from ._errors import BASE_URL, BadRequestError, ClientClosedError, OptionError
from ._parameters import timeout_seconds
from ._pretrained import Pretrained, fetched_model
from ._registry import Registry
from ._types import NotGiven, not_given

if TYPE_CHECKING:
    import os
    from pathlib import Path
    from types import TracebackType

    import openai
    from httpx import URL, Timeout

    from ._model import Model
    from ._options import ModelOptions
    from .resources import (
        AsyncApplyTemplate,
        AsyncChat,
        AsyncCompletions,
        AsyncCountTokens,
        AsyncDetokenize,
        AsyncEmbeddings,
        AsyncModels,
        AsyncRerank,
        AsyncTokenize,
    )
    from .resources.raw import AsyncLlamaWithRawResponse, AsyncLlamaWithStreamedResponse

__all__ = ["AsyncClient", "AsyncLlama"]

# openai's default timeout.
_DEFAULT_TIMEOUT_S = 600.0
_DEFAULT_CONNECT_TIMEOUT_S = 5.0
# What requests would be sent to, if there were HTTP.
_DEFAULT_BASE_URL = f"{BASE_URL}/"


class AsyncLlama:
    """Local GGUF models behind the methods of `openai.AsyncOpenAI`.

    A model is loaded by `await client.load()` or by the first request, the only one also by `async with`, on a native
    thread, once however many wait for it. A client belongs to the event loop that uses it and may move to another while
    idle.

    Args:
        model: Path of a GGUF file. Its stem is the model's name, beside `"default"`.
        models: Instead of `model`, several by name: `{"chat": path, "embed": {"path": path, "n_ctx": 512}}`. Options
            in a model's mapping override those of the client.
        aliases: Further names of models: `{"gpt-4o-mini": "chat"}`; the name `"*"` takes any name.
        memory_budget: Bytes that the loaded models may take together. Before one is loaded that does not fit, the
            least recently used is unloaded when no request for it is in flight; meanwhile requests wait. What a model
            takes is llama.cpp's own sum of weights, KV cache and compute buffers, of all devices together; the memory
            of requests, of embedding contexts and of Python is not in it. Default: no limit.
        n_ctx: Longest context of one request in tokens; default: 4,096 or the model's, whichever is less.
        n_parallel: Requests decoding at once.
        n_batch: Most tokens of one decode step.
        n_ubatch: Most tokens of one compute graph; default: 512, or what was measured (`tune`).
        n_threads: Threads of steps of one token; default: the cores this process may use, or what was measured.
        n_threads_batch: Threads of all other steps: prompts, several requests; default: `n_threads`, or what was
            measured if that is left out too.
        n_gpu_layers: Layers kept on the devices; -1: as many as fit.
        devices: Names of devices to use, or one name; default: all.
        split_mode: How several devices share a model.
        main_gpu: The device, where `split_mode` is `"none"`.
        tensor_split: Each device's share.
        flash_attention: On or off; default: llama.cpp's choice, or what was measured.
        kv_unified: Share one KV cache among all requests rather than give each its own part; default: not, unless it
            was measured to be faster.
        n_kv: Tokens that a shared KV cache holds for all requests together, where `kv_unified` is set; default:
            `n_ctx * n_parallel`. With fewer, the request that came last gives way when they are used up, and goes on
            later.
        prefix_cache_bytes: Main memory for prefixes that had to leave the KV cache, so that they need not be computed
            again; default: 512 MiB, 0: none.
        speculative: What guesses tokens, which are computed beside the next one and taken if they are right: `"ngram"`
            (what the text has said before), other kinds by llama.cpp's names, or several, the preferred first; or a
            mapping of `type`, `n_max` and others, as in a request's `extra_body["speculative"]`. Answers stay what they
            would be; where it does not pay, nothing is guessed. Default: `"draft"` with a `draft_model`, or else what
            requests ask for.
        draft_model: Path of a smaller model of the same vocabulary, which guesses (`"draft"`).
        draft_max: Tokens guessed at a time, at most; default: 32.
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
        chat_template: What to use instead of the model's own: Jinja text, or the name of a format such as `"chatml"` or
            `"llama-2"` (`llama_async/chat_formats`).
        alias: Further names of `model`; `"*"` takes any name.
        max_queue: Requests that may wait; past it they fail with RateLimitError.
        poll: How long idle compute threads poll for work before they sleep, 0 to 100; default: 50, or what was
            measured.
        tune: Whether what is left open of `flash_attention`, `n_threads`, `n_threads_batch`, `kv_unified`, `poll` and
            `n_ubatch` is measured when the model is loaded for the first time on this machine, by this build, with
            these options; what was found is kept in the cache directory. A number: seconds that it may take, and where
            less was granted before it is measured again. Default: `LLAMA_ASYNC_TUNE` (0, 1 or seconds), else 1.7
            seconds or half of what loading takes, if that is more.
        store: Where `create(store=True)` keeps answers: a SQLite file, which several processes may use at once,
            `":memory:"` until the client is closed, or `None` for nowhere.
        store_limit: Answers kept; the oldest go first. Default: 10,000.
        store_limit_bytes: Bytes of answers kept; the oldest go first. Default: 64 MiB.
        timeout: Seconds an answer may take or, when streaming, the engine may stay silent; `None`: no limit.
        max_retries: Accepted for openai's sake: in one process there is nothing to retry.
        api_key: Accepted for openai's sake, without effect, as none of openai's options for HTTP has one.
        organization: Without effect.
        project: Without effect.
        base_url: Stands in the URLs that raw responses show.
        default_headers: Stand among the request headers that raw responses show.
        default_query: Without effect.
        on_progress: Called in the event loop with the fraction of a model loaded, 0 to 1. Raising from it ends the
            loading.

    Raises:
        OptionError: An option has a wrong type or value.
    """

    _closed_by: ClassVar[str] = "`async with` or `await client.close()`"

    def __init__(
        self,
        model: str | os.PathLike[str] | None = None,
        *,
        models: Mapping[str, str | os.PathLike[str] | ModelOptions] | None = None,
        aliases: Mapping[str, str] | None = None,
        memory_budget: int | None = None,
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
        n_kv: int | None = None,
        prefix_cache_bytes: int | None = None,
        speculative: str | Sequence[str] | Mapping[str, object] | None = None,
        draft_model: str | os.PathLike[str] | None = None,
        draft_max: int | None = None,
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
        poll: int | None = None,
        tune: bool | float | None = None,
        store: str | os.PathLike[str] | None = ":memory:",
        store_limit: int | None = None,
        store_limit_bytes: int | None = None,
        timeout: float | Timeout | NotGiven | None = not_given,
        max_retries: int = 2,
        api_key: str | Callable[[], Awaitable[str]] | None = None,
        organization: str | None = None,
        project: str | None = None,
        base_url: str | URL | NotGiven | None = not_given,
        default_headers: Mapping[str, str] | None = None,
        default_query: Mapping[str, object] | None = None,
        on_progress: Callable[[float], object] | None = None,
    ) -> None:
        from ._store import completion_store

        options: dict[str, Any] = {
            "n_ctx": n_ctx,
            "n_parallel": n_parallel,
            "n_batch": n_batch,
            "n_ubatch": n_ubatch,
            "n_threads": n_threads,
            "n_threads_batch": n_threads_batch,
            "n_gpu_layers": n_gpu_layers,
            "devices": devices,
            "split_mode": split_mode,
            "main_gpu": main_gpu,
            "tensor_split": tensor_split,
            "flash_attention": flash_attention,
            "kv_unified": kv_unified,
            "n_kv": n_kv,
            "prefix_cache_bytes": prefix_cache_bytes,
            "speculative": speculative,
            "draft_model": draft_model,
            "draft_max": draft_max,
            "type_k": type_k,
            "type_v": type_v,
            "use_mmap": use_mmap,
            "use_mlock": use_mlock,
            "use_extra_buffers": use_extra_buffers,
            "check_tensors": check_tensors,
            "pooling": pooling,
            "swa_full": swa_full,
            "offload_kqv": offload_kqv,
            "rope_freq_base": rope_freq_base,
            "rope_freq_scale": rope_freq_scale,
            "chat_template": chat_template,
            "max_queue": max_queue,
            "poll": poll,
            "tune": tune,
        }
        self._registry = Registry(
            model,
            models,
            alias=alias,
            aliases=aliases,
            memory_budget=memory_budget,
            defaults=options,
            on_progress=on_progress,
        )
        self.timeout = timeout
        self.max_retries = _checked_retries(max_retries)
        self.api_key = api_key if isinstance(api_key, str) else ""
        self.organization = organization
        self.project = project
        self.base_url = _DEFAULT_BASE_URL if base_url is None or isinstance(base_url, NotGiven) else base_url
        self._custom_headers = dict(default_headers or {})
        self._custom_query = dict(default_query or {})
        self._store = completion_store(store, store_limit, store_limit_bytes)
        self._registry.attach(self, self._closed_by)

    @classmethod
    def from_pretrained(
        cls,
        repo_id: str,
        filename: str | None = None,
        *,
        revision: str | None = None,
        token: str | None = None,
        cache_dir: str | os.PathLike[str] | None = None,
        local_files_only: bool = False,
        on_download: Callable[[int, int | None], object] | None = None,
        **options: Any,
    ) -> Pretrained[Self]:
        """Return a client of a model of the Hugging Face hub, which is fetched unless it is in the cache.

            async with AsyncLlama.from_pretrained("owner/repo", filename="*Q4_K_M.gguf") as client:

        The result is awaited for the client, or entered with `async with`. The model is verified by its hash; what was
        cut goes on where it ended. The cache is the one of the hub's own tools, and so are the environment variables:
        `HF_HOME`, `HF_HUB_CACHE`, `HF_TOKEN`, `HF_ENDPOINT`, `HF_HUB_OFFLINE`. Without network the cached model is
        used.
        Cancelling ends the transfer, and keeps what came.

        Args:
            repo_id: `"owner/repo"`, or `"owner/repo:Q4_K_M"`.
            filename: Path, glob, or name of a quantization of one GGUF model; all parts of a split one come. Default:
                the only one there is, else the usual quantization (`Q4_K_M`, then what is next to it).
            revision: Branch, tag or commit.
            token: Instead of `HF_TOKEN`; `""`: none.
            cache_dir: Instead of `HF_HUB_CACHE`.
            local_files_only: Use the cache alone.
            on_download: Called in the downloading thread with the bytes that are there of a file, and their number if
                it is known; of one part after the other, where there are several. Raising from it ends the transfer.
            options: As the constructor's.

        Raises:
            DownloadError: The model cannot be had.
            OptionError: An argument has a wrong type or value.
        """

        def fetched(is_cancelled: Callable[[], bool]) -> Path:
            return fetched_model(
                repo_id,
                filename,
                revision=revision,
                token=token,
                cache_dir=cache_dir,
                local_files_only=local_files_only,
                on_download=on_download,
                is_cancelled=is_cancelled,
            )

        return Pretrained(fetched, lambda path: cls(path, **options))

    def copy(
        self,
        *,
        api_key: str | Callable[[], Awaitable[str]] | None = None,
        organization: str | None = None,
        project: str | None = None,
        base_url: str | URL | NotGiven | None = not_given,
        timeout: float | Timeout | NotGiven | None = not_given,
        max_retries: int | NotGiven = not_given,
        default_headers: Mapping[str, str] | None = None,
        set_default_headers: Mapping[str, str] | None = None,
        default_query: Mapping[str, object] | None = None,
        set_default_query: Mapping[str, object] | None = None,
    ) -> Self:
        """Return a client with other defaults over the same models; closing one closes both.

        Args:
            api_key: Without effect, as in the constructor.
            organization: Without effect.
            project: Without effect.
            base_url: Stands in the URLs that raw responses show.
            timeout: As in the constructor; left out: this client's.
            max_retries: As in the constructor; left out: this client's.
            default_headers: Put over those of this client.
            set_default_headers: Instead of those of this client.
            default_query: Put over that of this client.
            set_default_query: Instead of that of this client.

        Raises:
            ValueError: Both forms of headers or queries are given.
            OptionError: A value is wrong.
        """
        if default_headers is not None and set_default_headers is not None:
            raise ValueError("default_headers and set_default_headers exclude each other")
        if default_query is not None and set_default_query is not None:
            raise ValueError("default_query and set_default_query exclude each other")
        copied = object.__new__(type(self))
        # Its resources are made anew: those of this client know this client.
        resources = {name for kind in type(self).__mro__ for name, value in vars(kind).items() if _is_cached(value)}
        vars(copied).update({name: value for name, value in vars(self).items() if name not in resources})
        copied._registry.attach(copied, self._closed_by)
        if not isinstance(timeout, NotGiven):
            copied.timeout = timeout
        if not isinstance(max_retries, NotGiven):
            copied.max_retries = _checked_retries(max_retries)
        if isinstance(api_key, str):
            copied.api_key = api_key
        copied.organization = organization or self.organization
        copied.project = project or self.project
        if base_url is not None and not isinstance(base_url, NotGiven):
            copied.base_url = base_url
        headers = self._custom_headers if set_default_headers is None else set_default_headers
        copied._custom_headers = {**headers, **(default_headers or {})}
        query = self._custom_query if set_default_query is None else set_default_query
        copied._custom_query = {**query, **(default_query or {})}
        return copied

    # openai's second name for it, which reads better before a call.
    with_options = copy

    @property
    def timeout(self) -> float | Timeout | None:
        """Seconds an answer may take or, when streaming, the engine may stay silent."""
        if isinstance(self._timeout, NotGiven):
            from httpx import Timeout

            return Timeout(_DEFAULT_TIMEOUT_S, connect=_DEFAULT_CONNECT_TIMEOUT_S)
        return self._timeout

    @timeout.setter
    def timeout(self, timeout: float | Timeout | NotGiven | None) -> None:
        self._timeout_s = _timeout_s(timeout)
        self._timeout = timeout

    @property
    def default_headers(self) -> dict[str, str]:
        """Headers that stand in the requests which raw responses show."""
        return {"Accept": "application/json", "Content-Type": "application/json", **self._custom_headers}

    @property
    def default_query(self) -> dict[str, object]:
        """What the constructor was given."""
        return dict(self._custom_query)

    @cached_property
    def chat(self) -> AsyncChat:
        """Conversations."""
        from .resources import AsyncChat

        return AsyncChat(self)

    @cached_property
    def completions(self) -> AsyncCompletions:
        """Texts continued."""
        from .resources import AsyncCompletions

        return AsyncCompletions(self)

    @cached_property
    def embeddings(self) -> AsyncEmbeddings:
        """Texts as vectors."""
        from .resources import AsyncEmbeddings

        return AsyncEmbeddings(self)

    @cached_property
    def rerank(self) -> AsyncRerank:
        """Call it: documents by their relevance to a query."""
        from .resources import AsyncRerank

        return AsyncRerank(self)

    @cached_property
    def tokenize(self) -> AsyncTokenize:
        """Call it: texts as tokens."""
        from .resources import AsyncTokenize

        return AsyncTokenize(self)

    @cached_property
    def detokenize(self) -> AsyncDetokenize:
        """Call it: tokens as text."""
        from .resources import AsyncDetokenize

        return AsyncDetokenize(self)

    @cached_property
    def count_tokens(self) -> AsyncCountTokens:
        """Call it: how many tokens a prompt has."""
        from .resources import AsyncCountTokens

        return AsyncCountTokens(self)

    @cached_property
    def apply_template(self) -> AsyncApplyTemplate:
        """Call it: the prompt that a conversation becomes."""
        from .resources import AsyncApplyTemplate

        return AsyncApplyTemplate(self)

    @cached_property
    def models(self) -> AsyncModels:
        """The models this client knows."""
        from .resources import AsyncModels

        return AsyncModels(self)

    @cached_property
    def with_raw_response(self) -> AsyncLlamaWithRawResponse:
        """The same resources, returning the response around the result: its headers, its bytes, its id."""
        from .resources.raw import AsyncLlamaWithRawResponse

        return AsyncLlamaWithRawResponse(self)

    @cached_property
    def with_streaming_response(self) -> AsyncLlamaWithStreamedResponse:
        """The same resources, returning a context of a response whose body is read when asked for."""
        from .resources.raw import AsyncLlamaWithStreamedResponse

        return AsyncLlamaWithStreamedResponse(self)

    async def load(self, model: str | None = None) -> Self:
        """Load a model, unless it is loaded.

        Cancelling the last task that waits for the loading cancels it; a later call starts it anew.

        Args:
            model: Its name; may be left out where there is one only.

        Returns:
            The client.

        Raises:
            ModelLoadError: The file is missing, truncated, corrupt, of an unknown kind, or does not fit into memory or
                `memory_budget`.
            NotFoundError: The client has no such model.
            OptionError: There are several, and none is named.
            ClientClosedError: The client is closed.
        """
        await self._named(model).acquire()
        return self

    async def unload(self, model: str | None = None) -> None:
        """Free the memory of a model. Requests in flight are answered first; those that come meanwhile load it again.

        Cancelled before the last of those is answered, it has no effect.

        Args:
            model: Its name; may be left out where there is one only.

        Raises:
            NotFoundError: The client has no such model.
            OptionError: There are several, and none is named.
            EventLoopError: Another event loop is at work with it.
        """
        await self._named(model).unload()

    def stats(self, model: str | None = None) -> ModelStats | None:
        """Return what a model has done since it was loaded, and what it is doing; `None` while it is not loaded.

        Args:
            model: Its name; may be left out where there is one only.

        Raises:
            NotFoundError: The client has no such model.
            OptionError: There are several, and none is named.
        """
        engine = self._named(model).engine
        if engine is None:
            return None
        return ModelStats(**cast("dict[str, Any]", engine.stats()))

    async def close(self) -> None:
        """End every request with an exception, free all models, close the store.

        Idempotent; cancelling it does not undo it.

        Raises:
            EventLoopError: Another event loop is at work with the client.
        """
        try:
            await self._registry.close()
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
        """Whether `close` was called, of this client or a copy."""
        return self._registry.is_closed

    async def __aenter__(self) -> Self:
        if self.is_closed():
            raise ClientClosedError
        # Several may not be wanted all at once, or not fit.
        return await self.load() if self._registry.has_one else self

    async def __aexit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self.close()

    def __repr__(self) -> str:
        names = ", ".join(map(repr, self._registry.names))
        return f"<{type(self).__name__} {names}{' closed' if self.is_closed() else ''}>"

    @property
    def _model(self) -> Model:
        """The only model."""
        return self._registry.only

    def _named(self, model: str | None) -> Model:
        return self._registry.only if model is None else self._registry.resolve(model)


# openai's other name for its client.
AsyncClient = AsyncLlama


def _timeout_s(timeout: object) -> float | None:
    try:
        return timeout_seconds(timeout, _DEFAULT_TIMEOUT_S)
    except BadRequestError:
        raise OptionError("timeout", timeout, "seconds from 0, an httpx.Timeout, or None") from None


def _checked_retries(max_retries: object) -> int:
    if isinstance(max_retries, bool) or not isinstance(max_retries, int) or max_retries < 0:
        raise OptionError("max_retries", max_retries, "an integer from 0")
    return max_retries


def _is_cached(attribute: object) -> bool:
    return isinstance(attribute, cached_property)
