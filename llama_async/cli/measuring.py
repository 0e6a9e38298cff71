"""`llama-async bench`: how fast a model is here, through the public client, as an application would use it."""

from __future__ import annotations

import statistics
import time
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import anyio

from llama_async import AsyncLlama

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from pathlib import Path

    from rich.table import Table

__all__ = ["Measurement", "measure", "table"]

# Decoding is measured on a prompt short enough to cost nothing beside it.
_SHORT_PROMPT = 8
_TEXT = "The quick brown fox jumps over the lazy dog while seventeen engineers count tokens in the rain. "


@dataclass(frozen=True, slots=True)
class Measurement:
    """What a number of streams reached together; of several rounds the median, and the lowest and highest.

    Attributes:
        n_streams: Requests at once.
        n_prompt: Tokens of each prompt.
        n_generated: Tokens of each answer.
        prefill: Prompt tokens a second, of all streams together.
        decode: Generated tokens a second, of all streams together.
        prefill_range: Lowest and highest of `prefill`.
        decode_range: Lowest and highest of `decode`.
        first_token_s: Seconds to the first token of one stream's prompt.
    """

    n_streams: int
    n_prompt: int
    n_generated: int
    prefill: float
    decode: float
    prefill_range: tuple[float, float]
    decode_range: tuple[float, float]
    first_token_s: float

    def facts(self) -> dict[str, Any]:
        """Return it for JSON."""
        return asdict(self)


async def measure(
    path: Path,
    *,
    streams: list[int],
    n_prompt: int,
    n_generated: int,
    n_rounds: int,
    options: dict[str, Any],
    on_step: Callable[[str], object],
) -> list[Measurement]:
    """Measure one model.

    Args:
        path: Its file.
        streams: Numbers of requests at once, each measured by itself.
        n_prompt: Tokens of each prompt.
        n_generated: Tokens of each answer.
        n_rounds: How often each is measured.
        options: Of the client.
        on_step: Told what is done next.

    Raises:
        ModelLoadError: The model cannot be loaded.
        BadRequestError: The prompts do not fit.
    """
    # A graph's width, a template and a tokenizer more or less: the context must hold what was asked for.
    n_ctx = max(n_prompt, _SHORT_PROMPT + n_generated) + 8
    options = {"n_ctx": n_ctx, "n_parallel": max(streams), "store": None, "timeout": None, **options}
    on_step(f"loading {path.name}")
    async with AsyncLlama(path, **options) as client:
        tokens = await client.tokenize(_TEXT)
        tokens *= (n_prompt + max(streams)) // len(tokens) + 1
        run = _Run(client, tokens)
        # The first request of all allocates.
        await run.request(0, _SHORT_PROMPT, 2)
        results = []
        for n_streams in streams:
            on_step(f"{n_streams} stream{'s' * (n_streams > 1)}")
            results.append(await run.measure(n_streams, n_prompt, n_generated, n_rounds))
        return results


class _Run:
    def __init__(self, client: AsyncLlama, tokens: list[int]) -> None:
        self._client = client
        self._tokens = tokens

    async def measure(self, n_streams: int, n_prompt: int, n_generated: int, n_rounds: int) -> Measurement:
        prefills, decodes, waits = [], [], []
        for _ in range(n_rounds):
            began = time.perf_counter()
            times = await _together(n_streams, lambda index: self.request(index, n_prompt, 1))
            ended = max(last for _, last in times)
            prefills.append(n_streams * n_prompt / (ended - began))
            waits.append(min(first for first, _ in times) - began)
            times = await _together(n_streams, lambda index: self.request(index, _SHORT_PROMPT, n_generated))
            took = max(last for _, last in times) - min(first for first, _ in times)
            decodes.append(n_streams * (n_generated - 1) / took)
        return Measurement(
            n_streams=n_streams,
            n_prompt=n_prompt,
            n_generated=n_generated,
            prefill=statistics.median(prefills),
            decode=statistics.median(decodes),
            prefill_range=(min(prefills), max(prefills)),
            decode_range=(min(decodes), max(decodes)),
            first_token_s=statistics.median(waits),
        )

    async def request(self, index: int, n_prompt: int, n_generated: int) -> tuple[float, float]:
        """Return when the first and the last token of an answer came."""
        # Prompts differ from their first token on, so that none is another's prefix.
        at = index % len(self._tokens)
        prompt = (self._tokens[at:] + self._tokens[:at])[:n_prompt]
        stream = await self._client.completions.create(
            model="default",
            prompt=prompt,
            max_tokens=n_generated,
            temperature=0,
            stream=True,
            extra_body={"ignore_eos": True, "cache_prompt": False},
        )
        first: float | None = None
        last = time.perf_counter()
        async for _ in stream:
            last = time.perf_counter()
            first = last if first is None else first
        return (last if first is None else first), last


async def _together(n: int, call: Callable[[int], Awaitable[tuple[float, float]]]) -> list[tuple[float, float]]:
    results: list[tuple[float, float]] = []

    async def run(index: int) -> None:
        results.append(await call(index))

    async with anyio.create_task_group() as tasks:
        for index in range(n):
            tasks.start_soon(run, index)
    return results


def table(measurements: list[Measurement]) -> Table:
    """Return the results for people."""
    from rich.table import Table

    result = Table(box=None, pad_edge=False, header_style="bold")
    for title in ("STREAMS", "PREFILL tok/s", "DECODE tok/s", "A STREAM tok/s", "FIRST TOKEN"):
        result.add_column(title, justify="right", no_wrap=True)
    for one in measurements:
        result.add_row(
            str(one.n_streams),
            _spread(one.prefill, one.prefill_range),
            _spread(one.decode, one.decode_range),
            f"{one.decode / one.n_streams:.1f}",
            f"{one.first_token_s:.3f} s",
        )
    return result


def _spread(middle: float, ends: tuple[float, float]) -> str:
    return f"{middle:.1f} ({ends[0]:.1f}-{ends[1]:.1f})"
