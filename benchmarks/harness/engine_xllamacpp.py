"""xllamacpp: llama.cpp's server in the caller's process, called from a thread for each request."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import xllamacpp

from .figures import sha256, usable_cores
from .workloads import Answer, Enough, Messages, Shape


class Server:
    """Asks the server. Times are taken in the callback, so that no hop into an event loop counts against it."""

    def __init__(self, server: Any, threads: ThreadPoolExecutor) -> None:
        self._server = server
        self._threads = threads

    async def ask(self, messages: Messages, n_tokens: int, enough: Enough | None = None) -> Answer:
        started = time.perf_counter()
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._threads, self._ask, started, messages, n_tokens, enough)

    def _ask(self, started: float, messages: Messages, n_tokens: int, enough: Enough | None) -> Answer:
        answer = Answer(started)
        errors: list[Any] = []

        def on_chunk(chunk: dict[str, Any]) -> bool:
            if "error" in chunk:
                errors.append(chunk["error"])
                return True
            if usage := chunk.get("usage"):
                answer.n_prompt, answer.n_generated = usage["prompt_tokens"], usage["completion_tokens"]
                answer.n_cached = (usage.get("prompt_tokens_details") or {}).get("cached_tokens")
            choices = chunk["choices"]
            if choices and (text := choices[0]["delta"].get("content")):
                answer.times.append(time.perf_counter())
                answer.text += text
                return bool(enough and enough())
            return False

        request = {
            "messages": messages,
            "max_tokens": n_tokens,
            "temperature": 0,
            "ignore_eos": True,
            "stream": True,
            "stream_options": {"include_usage": True},
        }
        self._server.handle_chat_completions(request, on_chunk)
        answer.ended = time.perf_counter()
        if errors:
            raise RuntimeError(errors[0])
        return answer


@asynccontextmanager
async def open_engine(model: str, shape: Shape, n_threads: int | None, _: dict[str, Any]) -> AsyncIterator[Server]:
    params = xllamacpp.CommonParams()
    params.model.path = model
    params.n_parallel = shape.n_parallel
    params.n_ctx = shape.n_parallel * shape.n_ctx
    params.kv_unified = False
    params.cpuparams.n_threads = params.cpuparams_batch.n_threads = n_threads or usable_cores()
    params.verbosity = -1
    with ThreadPoolExecutor(max_workers=128) as threads:
        yield Server(xllamacpp.Server(params), threads)


def facts() -> dict[str, object]:
    [library] = Path(xllamacpp.__file__).parent.glob("xllamacpp.*.so")
    return {
        "version": xllamacpp.__version__,
        "sha256": sha256(library),
        "build": xllamacpp.BUILD_INFO,
        "features": xllamacpp.get_system_info().strip(),
    }
