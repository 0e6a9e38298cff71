"""`Llama`: what a user holds. Owns the defaults of requests, and the resources; the models are its registry's.

Written by tools/gen_blocking.py from llama_async/_client.py.
"""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING, cast

from llama_async._blocking._base import BlockingClient, Wrapped
from llama_async._types import not_given

from .resources import (
    ApplyTemplate,
    Chat,
    Completions,
    CountTokens,
    Detokenize,
    Embeddings,
    Models,
    Rerank,
    Tokenize,
)

if TYPE_CHECKING:
    import os
    from collections.abc import Callable, Mapping, Sequence
    from typing import Any, Literal

    from httpx import URL, Timeout
    from typing_extensions import Self

    from llama_async._abi import ModelStats
    from llama_async._blocking.resources.raw import LlamaWithRawResponse, LlamaWithStreamedResponse
    from llama_async._options import ModelOptions
    from llama_async._types import NotGiven

__all__ = ["Client", "Llama"]


class Llama(BlockingClient):
    """Local GGUF models behind the methods of `openai.OpenAI`: `AsyncLlama` for code that blocks.

    Any number of threads may use a client at once. Nothing is loaded before `with`, `client.load()` or the first
    request; the work is done by an event loop in a thread of the client's own, which starts then. KeyboardInterrupt
    ends the call that it interrupts, and its request. In a thread that runs an event loop (a notebook's) calls work,
    and hold that loop up.

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
        on_progress: Called in its own thread with the fraction of a model loaded, 0 to 1. Raising from it ends the
            loading.

    Raises:
        OptionError: An option has a wrong type or value.
    """

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
        api_key: str | Callable[[], str] | None = None,
        organization: str | None = None,
        project: str | None = None,
        base_url: str | URL | NotGiven | None = not_given,
        default_headers: Mapping[str, str] | None = None,
        default_query: Mapping[str, object] | None = None,
        on_progress: Callable[[float], object] | None = None,
    ) -> None:
        self._cover(
            Wrapped(
                model,
                models=models,
                aliases=aliases,
                memory_budget=memory_budget,
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
                n_kv=n_kv,
                prefix_cache_bytes=prefix_cache_bytes,
                speculative=speculative,
                draft_model=draft_model,
                draft_max=draft_max,
                type_k=type_k,
                type_v=type_v,
                use_mmap=use_mmap,
                use_mlock=use_mlock,
                use_extra_buffers=use_extra_buffers,
                check_tensors=check_tensors,
                swa_full=swa_full,
                offload_kqv=offload_kqv,
                rope_freq_base=rope_freq_base,
                rope_freq_scale=rope_freq_scale,
                pooling=pooling,
                chat_template=chat_template,
                alias=alias,
                max_queue=max_queue,
                poll=poll,
                tune=tune,
                store=store,
                store_limit=store_limit,
                store_limit_bytes=store_limit_bytes,
                timeout=timeout,
                max_retries=max_retries,
                api_key=cast("Any", api_key),
                organization=organization,
                project=project,
                base_url=base_url,
                default_headers=default_headers,
                default_query=default_query,
                on_progress=on_progress,
            )
        )

    @property
    def max_retries(self) -> int:
        """As `AsyncLlama.max_retries`."""
        return self._wrapped.max_retries

    @max_retries.setter
    def max_retries(self, max_retries: int) -> None:
        self._wrapped.max_retries = max_retries

    @property
    def api_key(self) -> str:
        """As `AsyncLlama.api_key`."""
        return self._wrapped.api_key

    @api_key.setter
    def api_key(self, api_key: str) -> None:
        self._wrapped.api_key = api_key

    @property
    def organization(self) -> str | None:
        """As `AsyncLlama.organization`."""
        return self._wrapped.organization

    @organization.setter
    def organization(self, organization: str | None) -> None:
        self._wrapped.organization = organization

    @property
    def project(self) -> str | None:
        """As `AsyncLlama.project`."""
        return self._wrapped.project

    @project.setter
    def project(self, project: str | None) -> None:
        self._wrapped.project = project

    @property
    def base_url(self) -> str | URL:
        """As `AsyncLlama.base_url`."""
        return self._wrapped.base_url

    @base_url.setter
    def base_url(self, base_url: str | URL) -> None:
        self._wrapped.base_url = base_url

    def copy(
        self,
        *,
        api_key: str | Callable[[], str] | None = None,
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

        Blocks until that is done, else as `AsyncLlama.copy`.
        """
        result: Self = self._call(
            "copy",
            api_key=api_key,
            organization=organization,
            project=project,
            base_url=base_url,
            timeout=timeout,
            max_retries=max_retries,
            default_headers=default_headers,
            set_default_headers=set_default_headers,
            default_query=default_query,
            set_default_query=set_default_query,
        )
        return result

    with_options = copy

    @property
    def timeout(self) -> float | Timeout | None:
        """Seconds an answer may take or, when streaming, the engine may stay silent."""
        return self._wrapped.timeout

    @timeout.setter
    def timeout(self, timeout: float | Timeout | NotGiven | None) -> None:
        self._wrapped.timeout = timeout

    @property
    def default_headers(self) -> dict[str, str]:
        """Headers that stand in the requests which raw responses show."""
        return self._wrapped.default_headers

    @property
    def default_query(self) -> dict[str, object]:
        """What the constructor was given."""
        return self._wrapped.default_query

    @cached_property
    def chat(self) -> Chat:
        """Conversations."""
        return Chat(self, self._wrapped.chat)

    @cached_property
    def completions(self) -> Completions:
        """Texts continued."""
        return Completions(self, self._wrapped.completions)

    @cached_property
    def embeddings(self) -> Embeddings:
        """Texts as vectors."""
        return Embeddings(self, self._wrapped.embeddings)

    @cached_property
    def rerank(self) -> Rerank:
        """Call it: documents by their relevance to a query."""
        return Rerank(self, self._wrapped.rerank)

    @cached_property
    def tokenize(self) -> Tokenize:
        """Call it: texts as tokens."""
        return Tokenize(self, self._wrapped.tokenize)

    @cached_property
    def detokenize(self) -> Detokenize:
        """Call it: tokens as text."""
        return Detokenize(self, self._wrapped.detokenize)

    @cached_property
    def count_tokens(self) -> CountTokens:
        """Call it: how many tokens a prompt has."""
        return CountTokens(self, self._wrapped.count_tokens)

    @cached_property
    def apply_template(self) -> ApplyTemplate:
        """Call it: the prompt that a conversation becomes."""
        return ApplyTemplate(self, self._wrapped.apply_template)

    @cached_property
    def models(self) -> Models:
        """The models this client knows."""
        return Models(self, self._wrapped.models)

    @cached_property
    def with_raw_response(self) -> LlamaWithRawResponse:
        """The same resources, returning the response around the result: its headers, its bytes, its id."""
        from llama_async._blocking.resources.raw import LlamaWithRawResponse

        return LlamaWithRawResponse(self)

    @cached_property
    def with_streaming_response(self) -> LlamaWithStreamedResponse:
        """The same resources, returning a context of a response whose body is read when asked for."""
        from llama_async._blocking.resources.raw import LlamaWithStreamedResponse

        return LlamaWithStreamedResponse(self)

    def load(self, model: str | None = None) -> Self:
        """Load a model, unless it is loaded.

        Blocks until that is done, else as `AsyncLlama.load`.
        """
        result: Self = self._call("load", model=model)
        return result

    def unload(self, model: str | None = None) -> None:
        """Free the memory of a model. Requests in flight are answered first; those that come meanwhile load it again.

        Blocks until that is done, else as `AsyncLlama.unload`.
        """
        self._call("unload", model=model)

    def stats(self, model: str | None = None) -> ModelStats | None:
        """Return what a model has done since it was loaded, and what it is doing; `None` while it is not loaded.

        Blocks until that is done, else as `AsyncLlama.stats`.
        """
        result: ModelStats | None = self._call("stats", model=model)
        return result


# openai's other name of it.
Client = Llama
