"""One engine, one loop: it moves while idle, is refused to a second loop, and survives loops that just end."""

from __future__ import annotations

import asyncio
import os
import threading
import warnings
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
import trio
import trio.testing
import uvloop
from support import CLIENT_OPTIONS, ENDLESS, QUESTION, is_idle, run_child, until

from llama_async import APIConnectionError, AsyncLlama, EventLoopError
from llama_async._binding import live_engines
from llama_async._engine import reap

pytestmark = pytest.mark.own_thread


def in_thread(function: Callable[..., Any], *arguments: Any) -> Any:
    """Run a loop where no other is, not even a suspended one of the test runner's."""
    with ThreadPoolExecutor(1) as executor:
        return executor.submit(function, *arguments).result(120)


async def ask(client: AsyncLlama, **options: Any) -> Any:
    request = {"model": "default", "messages": QUESTION, "max_tokens": 4, **options}
    return await client.chat.completions.create(**request)


@pytest.fixture
def client(model_path: Path) -> AsyncLlama:
    return AsyncLlama(model_path, **CLIENT_OPTIONS)


def test_repeated_asyncio_run(client: AsyncLlama) -> None:
    for _ in range(3):
        assert asyncio.run(ask(client)).choices
    asyncio.run(client.close())
    assert client.is_closed()


def test_from_one_kind_of_loop_to_another(client: AsyncLlama) -> None:
    async def run() -> Any:
        return await ask(client)

    assert asyncio.run(run()).choices
    assert in_thread(trio.run, run).choices
    assert uvloop.run(run()).choices
    assert in_thread(trio.run, run).choices
    in_thread(trio.run, client.close)


@pytest.mark.parametrize("second", ["asyncio", "trio"])
@pytest.mark.parametrize("first", ["asyncio", "trio"])
def test_a_loop_that_ended_with_work_in_flight(client: AsyncLlama, first: str, second: str) -> None:
    streams = []

    async def leave() -> None:
        streams.append(await client.chat.completions.create(**ENDLESS, stream=True))
        await streams[0].__anext__()

    async def use() -> None:
        assert (await ask(client)).choices
        # What the first loop left behind was cancelled, and says so.
        with pytest.raises((APIConnectionError, RuntimeError)):
            await streams[0].__anext__()
        await client.close()

    def run(kind: str, function: Any) -> None:
        in_thread(asyncio.run, function()) if kind == "asyncio" else in_thread(trio.run, function)

    run(first, leave)
    run(second, use)


def test_asyncio_run_that_is_interrupted_while_loading(client: AsyncLlama) -> None:
    async def leave() -> None:
        loading = asyncio.ensure_future(client.load())
        await asyncio.sleep(0)
        loading.cancel()

    asyncio.run(leave())
    assert asyncio.run(ask(client)).choices
    asyncio.run(client.close())


def test_two_loops_in_two_threads(model_path: Path) -> None:
    answers: list[Any] = []

    async def work() -> None:
        async with AsyncLlama(model_path, **CLIENT_OPTIONS) as own:
            answers.extend([await ask(own) for _ in range(3)])

    threads = [threading.Thread(target=lambda: asyncio.run(work())), threading.Thread(target=lambda: trio.run(work))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert len(answers) == 6


def test_a_second_loop_is_refused_while_the_first_is_at_work(client: AsyncLlama) -> None:
    caught: list[BaseException] = []

    def other_thread() -> None:
        for call in (lambda: ask(client), client.load, client.close):
            try:
                asyncio.run(call())
            except BaseException as error:
                caught.append(error)

    async def work() -> None:
        async with await client.chat.completions.create(**ENDLESS, stream=True) as stream:
            await stream.__anext__()
            await asyncio.to_thread(other_thread)
            # Unharmed.
            assert await stream.__anext__()
        assert not client.is_closed()
        await until(lambda: is_idle(client))

    asyncio.run(work())
    assert [type(error) for error in caught] == [EventLoopError] * 3
    assert "another event loop" in str(caught[0])
    # Idle now: it may move.
    assert asyncio.run(ask(client)).choices
    asyncio.run(client.close())


def test_it_moves_between_two_living_loops_while_idle(client: AsyncLlama) -> None:
    first, second = asyncio.new_event_loop(), asyncio.new_event_loop()
    try:
        for loop in (first, second, first):
            assert loop.run_until_complete(ask(client)).choices
        first.run_until_complete(client.close())
    finally:
        first.close()
        second.close()


def test_closing_from_a_new_loop(client: AsyncLlama) -> None:
    asyncio.run(ask(client))
    before = len(live_engines())
    asyncio.run(client.close())
    assert len(live_engines()) == before - 1


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs os.fork")
def test_a_fork_is_detected(model_path: Path) -> None:
    child = run_child(
        """
        import asyncio, gc, os, sys, warnings
        from llama_async import AsyncLlama, ForkedError
        warnings.simplefilter("ignore", DeprecationWarning)
        question = [{"role": "user", "content": "hi"}]
        def ask(client):
            return asyncio.run(client.chat.completions.create(model="default", messages=question, max_tokens=2))
        client = AsyncLlama(sys.argv[1], n_ctx=256, n_threads=1)
        ask(client)
        pid = os.fork()
        if pid == 0:
            try:
                ask(client)
            except ForkedError as error:
                assert "fork" in str(error)
            else:
                os._exit(3)
            asyncio.run(client.close())
            del client
            gc.collect()
            fresh = AsyncLlama(sys.argv[1], n_ctx=256, n_threads=1)
            ask(fresh)
            asyncio.run(fresh.close())
            sys.exit(0)
        assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
        ask(client)
        asyncio.run(client.close())
        """,
        str(model_path),
    )
    assert (child.returncode, child.stdout, child.stderr) == (0, "", "")


def test_a_loop_without_add_reader(client: AsyncLlama, monkeypatch: pytest.MonkeyPatch) -> None:
    """As on Windows' Proactor loop: waiting tasks drain for each other."""

    class Loop(asyncio.SelectorEventLoop):
        refuses = True

        def add_reader(self, fd: Any, callback: Any, *args: Any) -> Any:
            # anyio's own wait_readable falls back on add_reader here; the engine's callback is what is refused.
            if getattr(callback, "__name__", "") == "_drain":
                raise NotImplementedError
            return super().add_reader(fd, callback, *args)

    async def work() -> None:
        answers = await asyncio.gather(
            *[ask(client, max_tokens=4 + n, extra_body=ENDLESS["extra_body"]) for n in range(6)]
        )
        assert [answer.usage.completion_tokens for answer in answers] == [4, 5, 6, 7, 8, 9]
        await client.close()

    loop = Loop()
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ResourceWarning)
            loop.run_until_complete(asyncio.wait_for(work(), 60))
    finally:
        loop.close()


def test_the_leader_hands_over_when_cancelled(client: AsyncLlama) -> None:
    """Under trio a waiting task drains for all; the others must not wait for one that has left."""
    finished: list[int] = []

    async def one(number: int) -> None:
        await ask(client, **ENDLESS, max_tokens=20 + number)
        finished.append(number)

    async def work() -> None:
        await client.load()
        async with trio.open_nursery() as nursery:
            with trio.CancelScope() as scope:
                async with trio.open_nursery() as leaders:
                    leaders.start_soon(one, 99)
                    await trio.testing.wait_all_tasks_blocked()
                    for number in range(3):
                        nursery.start_soon(one, number)
                    await trio.testing.wait_all_tasks_blocked()
                    scope.cancel()
        assert sorted(finished) == [0, 1, 2]
        await client.close()

    async def timed() -> None:
        with trio.fail_after(60):
            await work()

    in_thread(trio.run, timed)


@pytest.mark.own_thread
def test_a_client_dropped_after_its_loop_does_not_disturb_the_next(model_path: Path) -> None:
    """Its engine closes while no loop drains; the next client, which frees it, must not ask the ended loop to."""

    async def work() -> AsyncLlama:
        client = AsyncLlama(model_path, **CLIENT_OPTIONS)
        return await client.load()

    client = asyncio.run(work())
    # What the finalizer does, and the next client, before the engine has had the time to close.
    client._model.abandon()
    reap()

    async def work_again() -> None:
        async with AsyncLlama(model_path, **CLIENT_OPTIONS) as other:
            assert not other.is_closed()

    asyncio.run(work_again())
