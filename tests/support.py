"""What tests of the client share beside fixtures: options, prompts, and waiting for conditions."""

from __future__ import annotations

import subprocess
import sys
import tempfile
import textwrap
from collections.abc import Awaitable, Callable
from typing import Any

import anyio

from llama_async import AsyncLlama

# Small, so that a test loads in a fraction of a second. One thread: two of them spin for each other at every step, and
# where something else keeps the cores busy that costs a hundredfold.
CLIENT_OPTIONS: dict[str, Any] = {"n_ctx": 1024, "n_parallel": 4, "n_threads": 1}

QUESTION = [{"role": "user", "content": "What is the capital of France?"}]
# Four tokens, the same ones each time.
SHORT: dict[str, Any] = {
    "model": "default",
    "messages": QUESTION,
    "max_tokens": 4,
    "temperature": 0,
    "extra_body": {"ignore_eos": True, "cache_prompt": False},
}
# An answer that goes on until somebody ends it.
ENDLESS: dict[str, Any] = {
    "model": "default",
    "messages": [{"role": "user", "content": "Count from one to a thousand, in words."}],
    "extra_body": {"ignore_eos": True},
}


async def until(condition: Callable[[], bool], *, timeout_s: float = 30) -> None:
    """Return when the condition holds. It changes by native threads, so that nothing can be awaited instead."""
    with anyio.fail_after(timeout_s):
        while not condition():
            await anyio.sleep(0.002)


def stats(client: AsyncLlama) -> dict[str, int | float]:
    engine = client._model.engine
    assert engine is not None
    return engine.stats()


def is_idle(client: AsyncLlama) -> bool:
    """Whether nothing runs, waits, or is about to end: a request gives its slot back before its end is posted."""
    now = stats(client)
    return now["n_running"] == 0 and now["n_queued"] == 0 and now["n_ended"] == now["n_requests"]


async def gather(*calls: Callable[[], Awaitable[Any]]) -> list[Any]:
    """Run all at once; a result is what the call returned or raised."""
    results: list[Any] = [None] * len(calls)

    async def run(index: int, call: Callable[[], Awaitable[Any]]) -> None:
        try:
            results[index] = await call()
        except Exception as error:
            results[index] = error

    async with anyio.create_task_group() as tasks:
        for index, call in enumerate(calls):
            tasks.start_soon(run, index, call)
    return results


def run_child(code: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run code in an interpreter of its own, away from a source tree that has no extension."""
    with tempfile.TemporaryDirectory() as directory:
        return subprocess.run(
            [sys.executable, "-X", "faulthandler", "-c", textwrap.dedent(code), *arguments],
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
            cwd=directory,
        )
