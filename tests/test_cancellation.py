"""Every way out of a request frees its sequence, and nobody who waits is forgotten."""

from __future__ import annotations

import asyncio
import gc
import warnings
from pathlib import Path
from typing import Any

import anyio
import pytest
from support import CLIENT_OPTIONS, ENDLESS, QUESTION, gather, is_idle, stats, until

from llama_async import APIConnectionError, AsyncLlama, ClientClosedError, StreamClosedError

pytestmark = pytest.mark.anyio


async def test_cancelled_task_frees_its_sequence(client: AsyncLlama) -> None:
    for options in ({}, {"stream": True}):
        with anyio.move_on_after(0.2) as scope:
            result: Any = await client.chat.completions.create(**ENDLESS, **options, n=2)
            async for _ in result:
                pass
        assert scope.cancelled_caught
        await until(lambda: is_idle(client))
    assert (await client.chat.completions.create(**ENDLESS, max_tokens=2)).choices


async def test_cancelled_before_its_first_token(client: AsyncLlama) -> None:
    long: Any = {**ENDLESS, "messages": [{"role": "user", "content": "moon " * 800}]}
    for stream in (False, True):
        with anyio.CancelScope() as scope:
            async with anyio.create_task_group() as tasks:

                async def ask(stream: bool = stream) -> None:
                    await client.chat.completions.create(**long, stream=stream)

                tasks.start_soon(ask)
                await until(lambda: not is_idle(client))
                scope.cancel()
        await until(lambda: is_idle(client))
    assert stats(client)["n_generated"] < 100


async def test_cancelled_while_queued(client: AsyncLlama) -> None:
    """More wait than run; cancelling those who wait lets the others finish."""
    answered = 0

    async def ask() -> None:
        nonlocal answered
        await client.chat.completions.create(**ENDLESS, max_tokens=50)
        answered += 1

    async with anyio.create_task_group() as tasks:
        for _ in range(4):
            tasks.start_soon(ask)
        await until(lambda: stats(client)["n_running"] == 4)
        with anyio.CancelScope() as scope:
            async with anyio.create_task_group() as waiting:
                for _ in range(6):
                    waiting.start_soon(ask)
                await until(lambda: stats(client)["n_requests"] == 10)
                scope.cancel()
    assert answered == 4
    await until(lambda: is_idle(client))


async def test_native_asyncio_cancellation(client: AsyncLlama, anyio_backend: Any) -> None:
    if anyio_backend[0] != "asyncio":
        pytest.skip("asyncio's own tasks")
    task = asyncio.ensure_future(client.chat.completions.create(**ENDLESS))
    await until(lambda: not is_idle(client))
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    await until(lambda: is_idle(client))


async def test_break_then_close(client: AsyncLlama) -> None:
    stream = await client.chat.completions.create(**ENDLESS, stream=True)
    async for _ in stream:
        break
    assert not is_idle(client)
    await stream.close()
    await until(lambda: is_idle(client))


async def test_a_dropped_stream_is_collected(client: AsyncLlama) -> None:
    stream = await client.chat.completions.create(**ENDLESS, stream=True)
    async for _ in stream:
        break
    assert not is_idle(client)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        del stream
        gc.collect()
    await until(lambda: is_idle(client))


async def test_an_exception_in_the_consumer_frees_it(client: AsyncLlama) -> None:
    async def consume() -> None:
        async with await client.chat.completions.create(**ENDLESS, stream=True) as stream:
            async for _ in stream:
                raise KeyError

    with pytest.raises(KeyError):
        await consume()
    await until(lambda: is_idle(client))


async def test_closing_a_stream_wakes_its_reader(client: AsyncLlama) -> None:
    stream = await client.chat.completions.create(**ENDLESS, stream=True)
    started = anyio.Event()
    n_read = 0

    async def read() -> None:
        nonlocal n_read
        async for _ in stream:
            n_read += 1
            if n_read == 3:
                started.set()

    async def close() -> None:
        await started.wait()
        await stream.close()

    with anyio.fail_after(30):
        read_result, _ = await gather(read, close)
    assert isinstance(read_result, StreamClosedError)
    assert n_read < 50
    await until(lambda: is_idle(client))


async def test_closing_the_client_ends_every_call(model_path: Path) -> None:
    client = AsyncLlama(model_path, **CLIENT_OPTIONS)
    await client.load()

    async def ask() -> Any:
        return await client.chat.completions.create(**ENDLESS)

    async def read() -> Any:
        return [chunk async for chunk in await client.chat.completions.create(**ENDLESS, stream=True)]

    async def close() -> None:
        await until(lambda: stats(client)["n_requests"] == 8)
        await client.close()

    with anyio.fail_after(30):
        *results, closed = await gather(*[ask] * 4, *[read] * 4, close)
    assert closed is None
    for result in results:
        assert isinstance(result, ClientClosedError)
        assert isinstance(result, RuntimeError)
        assert isinstance(result, APIConnectionError)
    assert client.is_closed()


async def test_a_stream_held_over_the_close_ends_with_an_error(model_path: Path) -> None:
    async with AsyncLlama(model_path, **CLIENT_OPTIONS) as client:
        stream = await client.chat.completions.create(**ENDLESS, stream=True)
        await stream.__anext__()
    with pytest.raises(ClientClosedError):
        async for _ in stream:
            pass


async def test_leaving_async_with_by_cancellation_closes(model_path: Path) -> None:
    with anyio.move_on_after(1) as scope:
        async with AsyncLlama(model_path, **CLIENT_OPTIONS) as client:
            await client.chat.completions.create(**ENDLESS, n=4, timeout=None)
            while True:
                await client.chat.completions.create(**ENDLESS, n=4, timeout=None)
    assert scope.cancelled_caught
    assert client.is_closed()
    assert not client._model.is_open


async def test_a_thousand_cancelled_requests_leave_it_as_it_was(client: AsyncLlama) -> None:
    async def cancelled() -> None:
        with anyio.CancelScope() as scope:
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(lambda: client.chat.completions.create(**ENDLESS))
                await anyio.lowlevel.checkpoint()
                scope.cancel()

    for _ in range(100):
        async with anyio.create_task_group() as tasks:
            for _ in range(10):
                tasks.start_soon(cancelled)
    await until(lambda: is_idle(client))
    now = stats(client)
    assert now["n_requests"] == now["n_ended"]
    engine = client._model.engine
    assert engine is not None
    await client.chat.completions.create(model="default", messages=QUESTION, max_tokens=1)
    assert not engine._generations
