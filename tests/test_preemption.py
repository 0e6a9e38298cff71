"""A request that gave its slot to another goes on where it was: its answer is the one it gives alone."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import anyio
import pytest
from alone import EXACT, TINY_TOLERANCE, Bench, Messages, ask, ask_together, babble, n_prompt, say
from support import is_idle, stats, until
from tools.tiny_models import TINY_MODELS

from llama_async import AsyncLlama, OptionError
from llama_async.types.chat import ChatCompletion

pytestmark = pytest.mark.anyio

# The native engine does not see which loop drains it.
ONLY_ASYNCIO = True


@pytest.fixture(scope="module", params=TINY_MODELS)
def tiny(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> tuple[str, Path]:
    return request.param, TINY_MODELS[request.param](tmp_path_factory.mktemp(request.param) / "tiny.gguf")


async def _interrupted(client: AsyncLlama, *, reached: str, **low: Any) -> tuple[ChatCompletion, ChatCompletion]:
    """Return the answers of a request and of a more important one that arrived when `reached` had begun to count."""
    answers: dict[str, ChatCompletion] = {}
    ended: list[str] = []

    async def one(name: str, messages: Messages, **options: Any) -> None:
        answers[name] = await ask(client, messages, **options)
        ended.append(name)

    before = stats(client)[reached]
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(lambda: one("low", say(babble(1, 500)), n_tokens=200, **low))
        await until(lambda: stats(client)[reached] > before)
        tasks.start_soon(lambda: one("high", say(babble(2, 200)), n_tokens=8, service_tier="priority"))
    assert ended == ["high", "low"]
    return answers["low"], answers["high"]


@pytest.mark.parametrize("prefix_cache_bytes", [None, 0])
@pytest.mark.parametrize("reached", ["n_generated", "n_prefilled"])
async def test_who_is_preempted_goes_on(tiny: tuple[str, Path], reached: str, prefix_cache_bytes: int | None) -> None:
    kind, path = tiny
    async with (
        AsyncLlama(path, n_parallel=1, n_ubatch=32, prefix_cache_bytes=prefix_cache_bytes, **EXACT) as client,
        AsyncLlama(path, n_parallel=1, **EXACT) as alone,
    ):
        bench = Bench(client, alone, kind, TINY_TOLERANCE)
        low, high = await _interrupted(client, reached=reached)
        assert stats(client)["n_preempted"] == 1
        await bench.compare(low, say(babble(1, 500)))
        await bench.compare(high, say(babble(2, 200)))


async def test_a_private_prompt_is_not_left_behind(tiny: tuple[str, Path]) -> None:
    kind, path = tiny
    async with (
        AsyncLlama(path, n_parallel=1, **EXACT) as client,
        AsyncLlama(path, n_parallel=1, **EXACT) as alone,
    ):
        low, _ = await _interrupted(client, reached="n_generated", extra_body={"cache_prompt": False})
        await Bench(client, alone, kind, TINY_TOLERANCE).compare(low, say(babble(1, 500)))
        assert stats(client)["n_preempted"] == 1
        assert stats(client)["n_cached"] == 0


async def test_equals_do_not_preempt_each_other(tiny: tuple[str, Path]) -> None:
    _, path = tiny
    async with AsyncLlama(path, n_parallel=1, **EXACT) as client:
        async with anyio.create_task_group() as tasks:
            for seed in range(4):
                tasks.start_soon(lambda seed=seed: ask(client, say(babble(seed, 100)), service_tier="priority"))  # type: ignore[misc]
        assert stats(client)["n_preempted"] == 0


async def test_nobody_starves(tiny: tuple[str, Path]) -> None:
    """However many important requests keep arriving: each eighth slot goes to whoever waits longest."""
    _, path = tiny
    n_ended = 0
    async with AsyncLlama(path, n_parallel=1, **EXACT) as client:
        done = anyio.Event()

        async def important(seed: int) -> None:
            nonlocal n_ended
            while not done.is_set():
                await ask(client, say(babble(seed, 30)), n_tokens=2, extra_body={"priority": 5})
                n_ended += 1

        async with anyio.create_task_group() as tasks:
            for seed in range(3):
                tasks.start_soon(important, seed)
            await until(lambda: n_ended > 5)
            before = n_ended
            await ask(client, say("wait"), n_tokens=60)
            # Once it runs it is preempted at most once.
            waited = n_ended - before
            done.set()
        assert waited <= 18
        assert stats(client)["n_preempted"] <= 1


@pytest.mark.parametrize("prefix_cache_bytes", [None, 0])
async def test_more_than_the_cache_holds(tiny: tuple[str, Path], prefix_cache_bytes: int | None) -> None:
    """Four answers that would each fit, in cells for two: all of them come, and are right."""
    kind, path = tiny
    options = {**EXACT, "n_ctx": 512}
    async with (
        AsyncLlama(
            path, n_parallel=4, kv_unified=True, n_kv=768, n_ubatch=64, prefix_cache_bytes=prefix_cache_bytes, **options
        ) as client,
        AsyncLlama(path, n_parallel=1, **options) as alone,
    ):
        bench = Bench(client, alone, kind, TINY_TOLERANCE)
        prompts = [say(babble(30 + seed, 150)) for seed in range(6)]
        answers = await ask_together(bench, prompts, n_tokens=250)
        assert all(n_prompt(answer) > 150 for answer in answers)
        if kind != "mamba":  # whose state does not grow
            assert stats(client)["n_preempted"] > 0
        await until(lambda: is_idle(client))


def test_cells_are_shared_only_where_the_cache_is() -> None:
    with pytest.raises(OptionError, match="n_kv"):
        AsyncLlama("model.gguf", n_kv=0)
    with pytest.raises(OptionError, match="prefix_cache_bytes"):
        AsyncLlama("model.gguf", prefix_cache_bytes=-1)


async def test_cells_without_a_shared_cache_are_refused(tiny: tuple[str, Path]) -> None:
    _, path = tiny
    for options in ({"n_kv": 768}, {"n_kv": 256, "kv_unified": True}):
        with pytest.raises(Exception, match="n_kv"):
            async with AsyncLlama(path, **{**EXACT, "n_ctx": 512}, **options):  # type: ignore[arg-type]
                pass
