"""What embedding costs beside a bare llama_decode loop, and what it leaves to streams in the same process.

    python benchmarks/embeddings.py MODEL.gguf [--chat CHAT_MODEL.gguf] [--inputs 512] [--words 20] [--rounds 3]

Bare and client take turns, so that a machine that slows down slows both. The bare loop packs the same inputs into steps
of the same size, and does nothing else. Printed are medians and the spread (min..max).
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import time
from collections.abc import Iterator
from pathlib import Path

from harness.figures import spread

from llama_async import AsyncLlama
from llama_async.lowlevel import ffi, lib

N_STEP_TOKENS = 512
N_STEP_SEQUENCES = 64
N_STREAMS = 4


class Bare:
    """The engine's own work and no more, in a context of its own."""

    def __init__(self, path: str, n_threads: int) -> None:
        lib.llama_backend_init()
        self._model = lib.llama_model_load_from_file(path.encode(), lib.llama_model_default_params())
        params = lib.llama_context_default_params()
        params.n_ctx = params.n_batch = params.n_ubatch = N_STEP_TOKENS
        params.n_seq_max = N_STEP_SEQUENCES
        params.kv_unified = params.embeddings = True
        params.pooling_type = 1
        params.n_threads = params.n_threads_batch = n_threads
        self._context = lib.llama_init_from_model(self._model, params)
        self._batch = lib.llama_batch_init(N_STEP_TOKENS, 0, 1)

    def tokens(self, text: str) -> list[int]:
        data = text.encode()
        buffer = ffi.new("llama_token[]", len(data) + 8)
        n = lib.llama_tokenize(
            lib.llama_model_get_vocab(self._model), data, len(data), buffer, len(buffer), True, False
        )
        return list(buffer[0:n])

    def run(self, inputs: list[list[int]]) -> float:
        """Return the seconds that all steps took."""
        seconds = 0.0
        for step in packed(inputs):
            batch = self._batch
            row = 0
            for sequence, tokens in enumerate(step):
                for position, token in enumerate(tokens):
                    batch.token[row], batch.pos[row], batch.n_seq_id[row] = token, position, 1
                    batch.seq_id[row][0], batch.logits[row] = sequence, 1
                    row += 1
            batch.n_tokens = row
            lib.llama_memory_clear(lib.llama_get_memory(self._context), False)
            started = time.perf_counter()
            if lib.llama_decode(self._context, batch) != 0:
                raise SystemExit("llama_decode failed")
            seconds += time.perf_counter() - started
        return seconds

    def close(self) -> None:
        lib.llama_batch_free(self._batch)
        lib.llama_free(self._context)
        lib.llama_model_free(self._model)


def packed(inputs: list[list[int]]) -> Iterator[list[list[int]]]:
    step: list[list[int]] = []
    for tokens in inputs:
        if sum(map(len, step)) + len(tokens) > N_STEP_TOKENS or len(step) == N_STEP_SEQUENCES:
            yield step
            step = []
        step.append(tokens)
    yield step


def show(name: str, values: list[float]) -> None:
    print(f"{name:44} {spread(values)}")


async def throughput(options: argparse.Namespace, texts: list[str]) -> None:
    async with AsyncLlama(options.model, n_threads=options.threads) as client:
        bare = Bare(options.model, options.threads)
        inputs = [bare.tokens(text) for text in texts]
        bare.run(inputs[:N_STEP_SEQUENCES])
        await client.embeddings.create(model="default", input=texts[:N_STEP_SEQUENCES])
        ours, ceiling, shares = [], [], []
        for _ in range(options.rounds):
            ceiling.append(len(texts) / await asyncio.to_thread(bare.run, inputs))
            started = time.perf_counter()
            await client.embeddings.create(model="default", input=texts)
            ours.append(len(texts) / (time.perf_counter() - started))
            shares.append(100 * ours[-1] / ceiling[-1])
        bare.close()
    show("inputs/s, bare llama_decode", ceiling)
    show("inputs/s, embeddings.create", ours)
    show("share of bare, %", shares)


async def beside_streams(options: argparse.Namespace, texts: list[str]) -> None:
    n_tokens = 0

    async def stream(chat: AsyncLlama) -> None:
        nonlocal n_tokens
        parts = await chat.chat.completions.create(
            model="default",
            messages=[{"role": "user", "content": "Count to a thousand."}],
            stream=True,
            extra_body={"ignore_eos": True},
        )
        async for _ in parts:
            n_tokens += 1

    async def pace(seconds: float) -> float:
        before, started = n_tokens, time.perf_counter()
        await asyncio.sleep(seconds)
        return (n_tokens - before) / (time.perf_counter() - started)

    async with (
        AsyncLlama(options.chat, n_ctx=4096, n_parallel=N_STREAMS, n_threads=options.threads) as chat,
        AsyncLlama(options.model, n_threads=options.threads) as client,
    ):
        await client.embeddings.create(model="default", input="warm up")
        streams = [asyncio.ensure_future(stream(chat)) for _ in range(N_STREAMS)]
        await asyncio.sleep(2)
        alone, beside, kept = [], [], []
        for _ in range(options.rounds):
            alone.append(await pace(3))
            work = asyncio.ensure_future(client.embeddings.create(model="default", input=(texts * 2048)[:2048]))
            await asyncio.sleep(0.2)
            beside.append(await pace(3))
            work.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await work
            kept.append(100 * beside[-1] / alone[-1])
        for task in streams:
            task.cancel()
        await asyncio.gather(*streams, return_exceptions=True)
    show(f"tok/s of {N_STREAMS} streams alone", alone)
    show(f"tok/s of {N_STREAMS} streams beside embedding", beside)
    show("kept, %", kept)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model")
    parser.add_argument("--chat")
    parser.add_argument("--inputs", type=int, default=512)
    parser.add_argument("--words", type=int, default=20)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--threads", type=int, default=2)
    options = parser.parse_args()
    texts = [f"input number {index} is " + "made of words " * (options.words // 3) for index in range(options.inputs)]
    print(json.dumps({**vars(options), "model": Path(options.model).name}))
    asyncio.run(throughput(options, texts))
    if options.chat:
        asyncio.run(beside_streams(options, texts))


if __name__ == "__main__":
    main()
