"""What the engine costs beside the bare llama_decode loop of the same process, model and shape.

    nox -s bench [-- --streams 1,4,16,32 --decode 128 --rounds 3 --model FILE --uvloop --json FILE]

For every number of streams the bare loop and the client take turns (bare, ours, bare, ours, ...), so that a machine
that slows down slows both. Printed are medians, the spread (min..max) and ours as a share of bare. Tokens are counted
from usage. Both compute the same number of tokens at the same depth; ours also samples, detokenizes, crosses into
Python and builds a typed chunk for each token.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import statistics
import subprocess
import sys
import time
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import psutil
from harness.figures import describe, print_facts, spread
from harness.workloads import Answer, while_all

from llama_async import AsyncLlama
from llama_async._default_model import default_model_path

if TYPE_CHECKING:
    from llama_async._engine import Engine

PROMPT_WORDS = 40  # about as many tokens in each prompt, besides the template's


@dataclass
class Row:
    """One figure of a table: what was seen in each round."""

    name: str
    unit: str
    ours: list[float] = field(default_factory=list)
    bare: list[float] = field(default_factory=list)

    def shown(self) -> str:
        """Return the line of the printed table."""

        ratios = [ours / bare for ours, bare in zip(self.ours, self.bare, strict=True)] if self.bare else []
        share = f"{statistics.median(ratios):6.3f}" if ratios else "     -"
        return f"{self.name:34} {self.unit:8} {spread(self.ours):26} {spread(self.bare):26} {share}"


def messages(stream: int) -> list[dict[str, str]]:
    words = " ".join(f"{'abcdefghij'[(stream + i) % 10]}{i % 7}" for i in range(PROMPT_WORDS // 2))
    return [{"role": "user", "content": f"{stream} {words}"}]


async def engine_of(client: AsyncLlama) -> Engine:
    """Return what has the bare loop, which is not for users."""
    return await client._model.acquire()  # noqa: SLF001


@dataclass
class Seen:
    """What one run of the client saw."""

    n_prompt: int
    ttft_s: float
    tokens_per_s: float  # while every stream was decoding
    python_us_per_token: float


async def run_streams(client: AsyncLlama, n_streams: int, n_decode: int) -> Seen:
    """Let `n_streams` answers of `n_decode` tokens stream at once."""
    answers: list[Answer] = []
    first_cpu: list[float] = []  # the loop thread's CPU seconds when a stream's first token came
    last_cpu: list[float] = []  # and when its last one came

    async def one(index: int) -> None:
        answer = Answer(time.perf_counter())
        cpu_s = 0.0
        stream = await client.chat.completions.create(
            model="default",
            messages=messages(index),
            stream=True,
            stream_options={"include_usage": True},
            max_tokens=n_decode,
            temperature=0,
            extra_body={"ignore_eos": True, "cache_prompt": False},
        )
        async for chunk in stream:
            if not chunk.choices:
                assert chunk.usage is not None
                answer.n_prompt, answer.n_generated = chunk.usage.prompt_tokens, chunk.usage.completion_tokens
            elif chunk.choices[0].delta.content:
                answer.times.append(time.perf_counter())
                cpu_s = time.thread_time()
                if len(answer.times) == 1:
                    first_cpu.append(cpu_s)
        answers.append(answer)
        last_cpu.append(cpu_s)

    await asyncio.gather(*(one(index) for index in range(n_streams)))
    assert all(answer.n_generated == n_decode for answer in answers), "an answer was cut short"
    n_tokens, seconds = while_all(answers)
    return Seen(
        n_prompt=answers[0].n_prompt,
        ttft_s=min(answer.first_s for answer in answers),
        tokens_per_s=n_tokens / seconds,
        python_us_per_token=1e6 * (min(last_cpu) - max(first_cpu)) / n_tokens,
    )


async def throughput(model: Path, n_streams: int, n_decode: int, rounds: int, n_threads: int | None) -> list[Row]:
    """Measure tokens per second, time to first token and Python's share for one number of streams."""
    speed = Row(f"{n_streams} streams, decode", "tok/s")
    ttft = Row(f"{n_streams} streams, first token", "ms")
    python = Row(f"{n_streams} streams, loop thread's CPU", "us/token")
    async with AsyncLlama(model, n_parallel=n_streams, n_ctx=512, n_threads=n_threads) as client:
        engine = await engine_of(client)
        seen = await run_streams(client, n_streams, 64)  # warm: Python's code paths, the model's pages
        for _ in range(rounds):
            bare = await asyncio.to_thread(engine.bare_loop, n_streams, seen.n_prompt, n_decode)
            seen = await run_streams(client, n_streams, n_decode)
            speed.ours.append(seen.tokens_per_s)
            speed.bare.append(n_streams * n_decode / bare["decode_s"])
            python.ours.append(seen.python_us_per_token)
            if n_streams == 1:
                ttft.ours.append(1e3 * seen.ttft_s)
                ttft.bare.append(1e3 * bare["prefill_s"])
    return [speed, *([ttft] if ttft.ours else []), python]


async def wake_floor(model: Path, rounds: int, n_threads: int | None) -> Row:
    """Measure what asyncio alone takes for a wake-up at a stream's pace, while the bare loop keeps the cores busy.

    Nothing of ours runs in the event loop: a thread writes to an eventfd, a reader callback resolves a future. What a
    stream's token costs beyond this is ours. (On a core that just woke, or whose caches a model has swept, the same
    Python code takes several times as long as in a tight loop.)
    """
    row = Row("asyncio's own wake-up", "us")
    loop = asyncio.get_running_loop()
    async with AsyncLlama(model, n_parallel=1, n_ctx=512, n_threads=n_threads) as client:
        engine = await engine_of(client)
        for _ in range(rounds):
            fd = os.eventfd(0, os.EFD_NONBLOCK)
            waiting: list[asyncio.Future[None]] = []

            def on_readable(fd: int = fd, waiting: list[asyncio.Future[None]] = waiting) -> None:
                os.eventfd_read(fd)
                if waiting and not waiting[0].done():
                    waiting[0].set_result(None)

            loop.add_reader(fd, on_readable)
            busy = asyncio.create_task(asyncio.to_thread(engine.bare_loop, 1, 32, 256))
            await asyncio.sleep(0.5)

            def write(fd: int = fd) -> None:
                for _ in range(100):
                    time.sleep(0.01)
                    os.eventfd_write(fd, 1)

            writing = asyncio.create_task(asyncio.to_thread(write))
            start = time.thread_time()
            for _ in range(100):
                waiting[:] = [loop.create_future()]
                await waiting[0]
            row.ours.append(1e6 * (time.thread_time() - start) / 100)
            loop.remove_reader(fd)
            await asyncio.gather(busy, writing)
            os.close(fd)
    return row


async def loop_lag(model: Path, n_threads: int | None) -> Row:
    """Measure how late the event loop runs a timer while 16 streams decode and a 4,000-token prompt prefills."""
    row = Row("loop lag, 16 streams + long prompt", "ms")
    long_prompt = [{"role": "user", "content": "word " * 3900}]
    async with AsyncLlama(model, n_parallel=17, n_ctx=4096, n_threads=n_threads) as client:
        await run_streams(client, 16, 64)
        lags: list[float] = []
        done = asyncio.Event()

        async def probe() -> None:
            while not done.is_set():
                before = time.perf_counter()
                await asyncio.sleep(0.002)
                lags.append(1e3 * (time.perf_counter() - before - 0.002))

        async def late() -> None:
            answer = await client.chat.completions.create(model="default", messages=long_prompt, max_tokens=4)
            assert answer.usage is not None
            assert answer.usage.prompt_tokens > 3900

        task = asyncio.create_task(probe())
        await asyncio.gather(run_streams(client, 16, 128), late())
        done.set()
        await task
    lags.sort()
    row.ours.extend([statistics.median(lags), lags[int(len(lags) * 0.99)], lags[-1]])
    row.name += " (p50, p99, max)"
    return row


async def memory(model: Path, n_threads: int | None) -> Row:
    """Measure resident memory beside weights, KV cache and compute buffers."""
    row = Row("resident memory beyond Python", "MiB")
    process = psutil.Process()
    n_file = model.stat().st_size  # noqa: ASYNC240 (once, and nothing else runs)
    before = process.memory_info().rss
    async with AsyncLlama(model, n_parallel=16, n_ctx=2048, n_threads=n_threads) as client:
        await run_streams(client, 16, 64)
        row.ours.append((process.memory_info().rss - before) / 2**20)
        engine = await engine_of(client)
        bare = await asyncio.to_thread(engine.bare_loop, 16, 8, 1)
        # The bare context has its own: what it allocated is what ours did.
        row.bare.append((bare["context_bytes"] + n_file) / 2**20)
    return row


def chunk_cost(rounds: int) -> Row:
    """Measure what building one typed chunk of text takes, from a delta that is there, in a tight loop."""
    from llama_async._assemble import ChatAssembler
    from llama_async._generation import Delta

    assembler = ChatAssembler(model="m", fingerprint="fp", n_choices=1, logprobs=False, include_usage=False)
    deltas = [Delta(0, f" word{index}", b"", 0, 1) for index in range(1000)]
    row = Row("a chunk's building", "us")
    for _ in range(rounds):
        start = time.perf_counter()
        for _ in range(10):
            for delta in deltas:
                assembler.chunk(delta)
        row.ours.append(1e6 * (time.perf_counter() - start) / (10 * len(deltas)))
    return row


def import_time(rounds: int) -> Row:
    """Measure `import llama_async` in a fresh interpreter, beside an empty one."""
    row = Row("import llama_async (less python)", "ms")
    for _ in range(rounds):
        walls = []
        for code in ("pass", "import llama_async"):
            start = time.perf_counter()
            subprocess.run([sys.executable, "-c", code], check=True)
            walls.append(1e3 * (time.perf_counter() - start))
        row.ours.append(walls[1] - walls[0])
    return row


async def measure(args: argparse.Namespace, model: Path) -> list[Row]:
    """Run everything asked for."""
    rows = [import_time(max(5, args.rounds)), chunk_cost(max(5, args.rounds))]
    for n_streams in args.streams:
        rows += await throughput(model, n_streams, args.decode, args.rounds, args.threads)
        print(*(row.shown() for row in rows[-2:]), sep="\n", file=sys.stderr)
    if not args.quick:
        if hasattr(os, "eventfd"):
            rows.append(await wake_floor(model, args.rounds, args.threads))
        rows += [await loop_lag(model, args.threads), await memory(model, args.threads)]
    return rows


def main() -> None:
    """Parse the command line, measure, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", type=Path)
    parser.add_argument("--streams", default="1,4,16,32", type=lambda text: [int(n) for n in text.split(",")])
    parser.add_argument("--decode", default=128, type=int)
    parser.add_argument("--rounds", default=3, type=int)
    parser.add_argument("--threads", type=int)
    parser.add_argument("--uvloop", action="store_true")
    parser.add_argument("--quick", action="store_true", help="leave out loop lag and memory")
    parser.add_argument("--json", type=Path)
    args = parser.parse_args()
    model = args.model or default_model_path()
    facts = describe(model)
    if args.uvloop:
        import uvloop

        rows = uvloop.run(measure(args, model))
    else:
        rows = asyncio.run(measure(args, model))
    print_facts(facts)
    print(f"\n{'':34} {'unit':8} {'ours: median (min..max)':26} {'bare: median (min..max)':26} ours/bare")
    for row in rows:
        print(row.shown())
    if args.json:
        args.json.write_text(json.dumps({"facts": facts, "rows": [asdict(row) for row in rows]}, indent=1))


if __name__ == "__main__":
    main()
