"""llama-async, in this process."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import llama_async
from llama_async import AsyncLlama

from .figures import sha256
from .workloads import Answer, Enough, Messages, Shape


class Ours:
    """Asks a client; remembers what it was asked."""

    def __init__(self, client: AsyncLlama) -> None:
        self._client = client
        self.loop_pid = os.getpid()
        self.asked: list[Messages] = []

    async def ask(self, messages: Messages, n_tokens: int, enough: Enough | None = None) -> Answer:
        self.asked.append(messages)
        answer = Answer(time.perf_counter())
        stream = await self._client.chat.completions.create(
            model="default",
            messages=messages,  # type: ignore[arg-type]
            stream=True,
            stream_options={"include_usage": True},
            max_tokens=n_tokens,
            temperature=0,
            extra_body={"ignore_eos": True},
        )
        async with stream:
            async for chunk in stream:
                if chunk.usage is not None:
                    details = chunk.usage.prompt_tokens_details
                    answer.n_prompt = chunk.usage.prompt_tokens
                    answer.n_cached = details.cached_tokens if details else None
                    answer.n_generated = chunk.usage.completion_tokens
                elif chunk.choices and (text := chunk.choices[0].delta.content):
                    answer.times.append(time.perf_counter())
                    answer.text += text
                    if enough and enough():
                        break
        answer.ended = time.perf_counter()
        return answer

    async def tokens(self, messages: Messages) -> list[int]:
        """Return the prompt as the model sees it."""
        prompt = await self._client.apply_template(messages)  # type: ignore[arg-type]
        return await self._client.tokenize(prompt)


@asynccontextmanager
async def open_engine(model: str, shape: Shape, n_threads: int | None, settings: dict[str, Any]) -> AsyncIterator[Ours]:
    options: dict[str, Any] = {"n_parallel": shape.n_parallel, "n_ctx": shape.n_ctx, "n_threads": n_threads, **settings}
    async with AsyncLlama(model, store=None, **options) as client:
        await client.load()
        yield Ours(client)


def facts() -> dict[str, object]:
    from llama_async._doctor import build

    found = build()
    library = sys.modules["llama_async._native"].__file__
    assert library
    return {"version": llama_async.__version__, "sha256": sha256(Path(library)), "build": found}
