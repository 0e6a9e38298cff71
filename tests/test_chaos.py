"""Five hundred requests of all kinds at once: each ends in the way it must, and the engine is whole afterwards."""

from __future__ import annotations

import gc
import random
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import anyio
import anyio.lowlevel
import pytest
from support import is_idle, stats, until
from tools.tiny_models import tiny_llama

from llama_async import APITimeoutError, AsyncLlama, BadRequestError

pytestmark = [pytest.mark.anyio, pytest.mark.timeout(120)]

_N_REQUESTS = 500
_N_CTX = 1024
_PROBE = [{"role": "user", "content": "What comes after all of this?"}]


@pytest.fixture
async def client(anyio_backend: Any, tmp_path: Path) -> AsyncIterator[AsyncLlama]:
    # A queue that is never full: whether one of 500 is refused is not what is asked here.
    options: dict[str, Any] = {"n_ctx": _N_CTX, "n_parallel": 4, "n_threads": 1, "max_queue": 2 * _N_REQUESTS}
    async with AsyncLlama(tiny_llama(tmp_path / "tiny.gguf"), **options) as client:
        yield client


class _Chaos:
    """Draws requests and drives them; counts how each ended."""

    def __init__(self, client: AsyncLlama, seed: int) -> None:
        self.client = client
        self.random = random.Random(seed)
        self.ends: Counter[str] = Counter()

    def request(self, **options: Any) -> dict[str, Any]:
        choose = self.random
        text = "".join(choose.choice("abc ") for _ in range(choose.choice((1, 10, 60, 200))))
        return {
            "model": "default",
            "messages": [{"role": "user", "content": text}],
            "max_tokens": choose.choice((1, 2, 10, 60)),
            "temperature": choose.choice((0, 0.7, 1.5)),
            "seed": choose.randrange(1000),
            "n": choose.choice((1, 1, 1, 2, 5)),
            **options,
        }

    def patience(self) -> float:
        """Return seconds: too few, as many as an answer may just take, or enough on a machine of any speed."""
        return self.random.choice((0.001, self.random.random() ** 2 * 3, 60))

    async def plain(self) -> None:
        request = self.request()
        answer = await self.client.chat.completions.create(**request)
        assert len(answer.choices) == request["n"]
        assert answer.usage is not None
        assert answer.usage.completion_tokens <= request["n"] * request["max_tokens"]
        assert all(choice.finish_reason in ("stop", "length") for choice in answer.choices)

    async def streamed(self) -> None:
        request = self.request(stream=True, stream_options={"include_usage": True}, stop=["q", "zz"])
        finished: Counter[str] = Counter()
        usage = None
        async for chunk in await self.client.chat.completions.create(**request):
            usage = chunk.usage or usage
            finished.update(choice.finish_reason for choice in chunk.choices if choice.finish_reason)
            await anyio.lowlevel.checkpoint()
        assert sum(finished.values()) == request["n"]
        assert usage is not None

    async def broken_off(self) -> None:
        """Leave a stream after some chunks: by closing it, by `async with`, or by forgetting it."""
        stream = await self.client.chat.completions.create(**self.request(stream=True, max_tokens=200))
        n_wanted = self.random.randrange(6)
        way = self.random.choice(("close", "with", "forget"))
        if way == "with":
            async with stream:
                await self._take(stream, n_wanted)
            return
        await self._take(stream, n_wanted)
        if way == "close":
            await stream.close()

    async def _take(self, stream: Any, n_wanted: int) -> None:
        async for _ in stream:
            n_wanted -= 1
            if n_wanted < 0:
                break

    async def cancelled(self) -> None:
        """Cancel the task after a while that may fall anywhere, before the first step or after the last."""
        with anyio.move_on_after(self.patience()) as scope:
            if self.random.random() < 0.5:
                await self.client.chat.completions.create(**self.request())
            else:
                async for _ in await self.client.chat.completions.create(**self.request(stream=True)):
                    pass
        self.ends["cut short" if scope.cancelled_caught else "in time"] += 1

    async def wrong(self) -> None:
        options: dict[str, Any] = self.random.choice(
            (
                {"max_tokens": 10 * _N_CTX},
                {"temperature": float("nan")},
                {"messages": []},
                {"messages": [{"role": "user", "content": "long " * _N_CTX}]},
                {"logit_bias": {"99999999": 1}},
                {"extra_body": {"grammar": "root ::= nonesuch"}},
                {"extra_body": {"samplers": ["nonesuch"]}},
                {"stop": ["a", "b", "c", "d", "e"]},
            )
        )
        with pytest.raises(BadRequestError):
            await self.client.chat.completions.create(**self.request(**options))

    async def timed_out(self) -> None:
        try:
            await self.client.chat.completions.create(**self.request(timeout=self.patience()))
        except APITimeoutError:
            self.ends["timed out"] += 1

    async def run(self, n_requests: int) -> None:
        kinds: list[Callable[[], Awaitable[None]]] = [
            self.plain,
            self.streamed,
            self.broken_off,
            self.cancelled,
            self.wrong,
            self.timed_out,
        ]

        async def one(kind: Callable[[], Awaitable[None]]) -> None:
            await kind()
            self.ends[getattr(kind, "__name__", "")] += 1

        async with anyio.create_task_group() as tasks:
            for _ in range(n_requests):
                tasks.start_soon(one, self.random.choice(kinds))
                # Some arrive together, some while others are at every stage.
                if self.random.random() < 0.2:
                    await anyio.sleep(self.random.random() * 0.02)


@pytest.mark.parametrize("seed", [1, 2])
async def test_every_call_ends_and_the_engine_is_whole(client: AsyncLlama, seed: int) -> None:
    async def probe() -> str | None:
        answer = await client.chat.completions.create(
            model="default", messages=_PROBE, max_tokens=20, temperature=0, extra_body={"cache_prompt": False}
        )
        return answer.choices[0].message.content

    expected = await probe()
    chaos = _Chaos(client, seed)
    with anyio.fail_after(60):
        await chaos.run(_N_REQUESTS)
    # Streams that were forgotten are cancelled by the collector where a cycle holds them.
    gc.collect()
    await until(lambda: is_idle(client))
    counts = stats(client)
    assert counts["n_ended"] == counts["n_requests"]
    # Every way of ending came up; else this test has stopped testing.
    kinds = ("plain", "streamed", "broken_off", "cut short", "in time", "wrong", "timed out")
    assert all(chaos.ends[kind] > 5 for kind in kinds), chaos.ends
    # Alone and computed anew, the answer is the one from before to the last bit.
    assert await probe() == expected
    assert client._model.engine is not None
    assert not client._model.engine._generations
