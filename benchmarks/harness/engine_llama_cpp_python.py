"""llama-cpp-python: one context, one request at a time; the others wait for their turn."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import llama_cpp

from .figures import sha256, usable_cores
from .workloads import Answer, Enough, Messages, Shape


class OneAtATime:
    """Asks the model from a single thread, in the order of arrival."""

    def __init__(self, llama: Any, thread: ThreadPoolExecutor) -> None:
        self._llama = llama
        self._thread = thread
        vocab = llama_cpp.llama_model_get_vocab(llama.model)
        ends = (token for token in range(llama.n_vocab()) if llama_cpp.llama_vocab_is_eog(vocab, token))
        self._never_end = dict.fromkeys(ends, float("-inf"))

    async def ask(self, messages: Messages, n_tokens: int, enough: Enough | None = None) -> Answer:
        started = time.perf_counter()
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._thread, self._ask, started, messages, n_tokens, enough)

    def _ask(self, started: float, messages: Messages, n_tokens: int, enough: Enough | None) -> Answer:
        answer = Answer(started)
        finish_reason = None
        for chunk in self._llama.create_chat_completion(
            messages, max_tokens=n_tokens, temperature=0, logit_bias=self._never_end, stream=True
        ):
            [choice] = chunk["choices"]
            finish_reason = choice["finish_reason"] or finish_reason
            if text := choice["delta"].get("content"):
                answer.times.append(time.perf_counter())
                answer.text += text
                if enough and enough():
                    return answer
        answer.ended = time.perf_counter()
        # Its streams report no usage. What ends by length has all its tokens, and the context holds all but the last.
        if finish_reason != "length":
            raise RuntimeError(f"the answer ended by {finish_reason!r}, not by its length")
        answer.n_generated = n_tokens
        answer.n_prompt = self._llama.n_tokens - (n_tokens - 1)
        return answer


@asynccontextmanager
async def open_engine(model: str, shape: Shape, n_threads: int | None, _: dict[str, Any]) -> AsyncIterator[OneAtATime]:
    n_threads = n_threads or usable_cores()  # its own default is half of them
    llama = llama_cpp.Llama(model, n_ctx=shape.n_ctx, n_threads=n_threads, n_threads_batch=n_threads, verbose=False)
    with ThreadPoolExecutor(max_workers=1) as thread:
        yield OneAtATime(llama, thread)


def facts() -> dict[str, object]:
    [library] = Path(llama_cpp.__file__).parent.glob("lib/libllama.so")
    return {
        "version": llama_cpp.__version__,
        "sha256": sha256(library),
        "features": llama_cpp.llama_print_system_info().decode().strip(),
    }
