"""Several models in one client: names, loading on use, the memory budget, unloading, closing."""

from __future__ import annotations

import gc
import sys
import warnings
import weakref
from pathlib import Path
from typing import Any

import anyio
import pytest

sys.path.insert(0, str(Path(__file__).parent / "tools"))

from support import gather, until
from tiny_models import tiny_llama

from llama_async import APITimeoutError, AsyncLlama, ClientClosedError, ModelLoadError, NotFoundError, OptionError
from llama_async._binding import estimate_bytes, live_engines
from llama_async._options import ModelOptions
from llama_async._registry import Registry

anyio_test = pytest.mark.anyio

OPTIONS: dict[str, Any] = {"n_ctx": 2048, "n_parallel": 2, "n_threads": 1}
NAMES = ("a", "b", "c")


@pytest.fixture(scope="module")
def paths(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    directory = tmp_path_factory.mktemp("models")
    return {name: tiny_llama(directory / f"{name}.gguf", seed=seed) for seed, name in enumerate(NAMES)}


def make_client(paths: dict[str, Path], **options: Any) -> AsyncLlama:
    return AsyncLlama(models=dict(paths), **{**OPTIONS, **options})


def budget_for(client: AsyncLlama, n: int) -> int:
    """Return what `n` of the tiny models take together."""
    one = estimate_bytes(client._registry.resolve("a").options)
    return n * one + one // 2


def limited(paths: dict[str, Path], n: int, **options: Any) -> AsyncLlama:
    return make_client(paths, memory_budget=budget_for(make_client(paths), n), **options)


async def ask(client: AsyncLlama, name: str, n_tokens: int = 2, **options: Any) -> Any:
    return await client.chat.completions.create(
        model=name,
        messages=[{"role": "user", "content": "hello"}],
        max_tokens=n_tokens,
        temperature=0,
        extra_body={"ignore_eos": True},
        **options,
    )


def loaded(client: AsyncLlama) -> list[str]:
    return [name for name in NAMES if client.stats(name) is not None]


# -- arguments ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "param"),
    [
        ({}, "model"),
        ({"model": "x.gguf", "models": {"a": "x.gguf"}}, "models"),
        ({"models": {}}, "models"),
        ({"models": {"": "x.gguf"}}, "models"),
        ({"models": {"*": "x.gguf"}}, "models"),
        ({"models": ["x.gguf"]}, "models"),
        ({"models": {"a": 5}}, "models['a']"),
        ({"models": {"a": {}}}, "models['a']['path']"),
        ({"models": {"a": {"path": "x.gguf", "n_ctxx": 5}}}, "models['a']"),
        ({"models": {"a": {"path": "x.gguf", "n_ctx": 0}}}, "models['a']['n_ctx']"),
        ({"models": {"a": "x.gguf"}, "n_ctx": 0}, "n_ctx"),
        ({"models": {"a": "x.gguf"}, "alias": "b"}, "alias"),
        ({"models": {"a": "x.gguf"}, "aliases": {"b": "c"}}, "aliases"),
        ({"models": {"a": "x.gguf"}, "aliases": {"b": 5}}, "aliases"),
        ({"models": {"a": "x.gguf"}, "aliases": "b"}, "aliases"),
        ({"models": {"a": "x.gguf"}, "memory_budget": 0}, "memory_budget"),
        ({"models": {"a": "x.gguf"}, "memory_budget": "8 GiB"}, "memory_budget"),
        ({"models": {"a": "x.gguf"}, "memory_budget": True}, "memory_budget"),
    ],
)
def test_wrong_arguments_are_refused_at_once(arguments: Any, param: str) -> None:
    with pytest.raises(OptionError) as caught:
        AsyncLlama(**arguments)
    assert caught.value.param == param
    assert caught.value.limit in str(caught.value)


def test_a_models_options_override_the_clients() -> None:
    client = AsyncLlama(
        models={"a": Path("a.gguf"), "b": {"path": "b.gguf", "n_ctx": 64, "flash_attention": True}}, n_ctx=128
    )
    a, b = (client._registry.resolve(name).options for name in "ab")
    assert (a.path, a.numbers["n_ctx"], "flash_attention" in a.numbers) == ("a.gguf", 128, False)
    assert (b.path, b.numbers["n_ctx"], b.numbers["flash_attention"]) == ("b.gguf", 64, 1)


def test_every_option_of_the_client_may_differ_by_model() -> None:
    names = set(ModelOptions.__annotations__) - {"path"}
    with pytest.raises(OptionError) as caught:
        AsyncLlama(models={"a": {"path": "x.gguf", "unknown": 1}})  # type: ignore[typeddict-unknown-key]
    assert set(caught.value.limit.partition("any of ")[2].split(", ")) == names


def test_names_and_aliases() -> None:
    registry = AsyncLlama(models={"a": "x", "b": "y"}, aliases={"gpt-4o": "a", "gpt": "gpt-4o"})._registry
    assert registry.names == ["a", "b", "gpt-4o", "gpt"]
    assert registry.resolve("gpt") is registry.resolve("a") is not registry.resolve("b")
    with pytest.raises(NotFoundError, match="'gpt-4o'"):
        registry.resolve("default")
    anything = AsyncLlama(models={"a": "x", "b": "y"}, aliases={"*": "b"})._registry
    assert anything.resolve("whatever") is anything.resolve("b")
    assert anything.names == ["a", "b"]
    single = AsyncLlama("dir/m.gguf", aliases={"gpt": "m"})._registry
    assert single.names == ["m", "default", "gpt"]


# -- loading -----------------------------------------------------------------------------------------------------------


@anyio_test
async def test_models_load_when_first_used_and_once(paths: dict[str, Path]) -> None:
    before = len(live_engines())
    async with make_client(paths, aliases={"d": "b"}) as client:
        assert loaded(client) == []
        results = await gather(*[lambda name=name: ask(client, name) for name in ("a", "b", "d", "a", "b", "d")])
        assert not [result for result in results if isinstance(result, BaseException)]
        assert [result.model for result in results] == ["a", "b", "d", "a", "b", "d"]
        assert loaded(client) == ["a", "b"]
        assert len(live_engines()) == before + 2
        answers = {result.model: result.choices[0].message.content for result in results}
        assert answers["b"] == answers["d"] != answers["a"]
    assert len(live_engines()) == before


@anyio_test
async def test_load_wants_a_name_where_there_are_several(paths: dict[str, Path]) -> None:
    async with make_client(paths) as client:
        for call in (client.load, client.unload):
            with pytest.raises(OptionError, match="'a', 'b', 'c'"):
                await call()
        with pytest.raises(OptionError):
            client.stats()
        assert await client.load("b") is client
        assert loaded(client) == ["b"]
        with pytest.raises(NotFoundError):
            await client.load("x")


@anyio_test
async def test_one_of_several_that_cannot_be_loaded(paths: dict[str, Path], tmp_path: Path) -> None:
    async with make_client({**paths, "bad": tmp_path / "missing.gguf"}, memory_budget=1 << 40) as client:
        results = await gather(lambda: ask(client, "bad"), lambda: ask(client, "a"), lambda: ask(client, "bad"))
        assert isinstance(results[0], ModelLoadError)
        assert isinstance(results[2], ModelLoadError)
        assert results[1].choices


# -- the memory budget -------------------------------------------------------------------------------------------------


def test_the_estimate_counts_weights_context_and_compute(paths: dict[str, Path]) -> None:
    small, large = (AsyncLlama(paths["a"], **{**OPTIONS, "n_ctx": n_ctx})._model.options for n_ctx in (256, 4096))
    assert estimate_bytes(small) > paths["a"].stat().st_size * 0.8
    # Two layers of two heads of 16 values, K and V, two bytes each.
    assert estimate_bytes(large) - estimate_bytes(small) >= (4096 - 256) * OPTIONS["n_parallel"] * 2 * 2 * 32 * 2


@anyio_test
async def test_the_least_recently_used_model_makes_room(paths: dict[str, Path]) -> None:
    async with limited(paths, 2) as client:
        await ask(client, "a")
        await ask(client, "b")
        assert loaded(client) == ["a", "b"]
        await ask(client, "a")
        await ask(client, "c")
        assert loaded(client) == ["a", "c"]
        await ask(client, "b")
        assert loaded(client) == ["b", "c"]


@anyio_test
async def test_concurrent_first_uses_load_once_under_a_budget(paths: dict[str, Path]) -> None:
    async with limited(paths, 1) as client:
        results = await gather(*[lambda: ask(client, "a")] * 4)
        assert all(result.choices for result in results)
        stats = client.stats("a")
        assert stats is not None
        assert stats.n_requests == 4


@anyio_test
async def test_a_model_beyond_the_budget_is_refused(paths: dict[str, Path]) -> None:
    async with make_client(paths, memory_budget=1000) as client:
        with pytest.raises(ModelLoadError, match="memory_budget, which is 1000") as caught:
            await ask(client, "a")
        assert caught.value.param == "memory_budget"
        assert loaded(client) == []


@anyio_test
async def test_a_model_with_a_request_in_flight_stays(paths: dict[str, Path]) -> None:
    async with limited(paths, 1) as client:
        stream = await ask(client, "a", 1000, stream=True)
        order: list[str] = []

        async def other() -> None:
            assert (await ask(client, "b")).choices
            order.append("b")

        async def read() -> int:
            n_chunks = len([chunk async for chunk in stream])
            order.append("a")
            return n_chunks

        results = await gather(other, read)
        assert isinstance(results[1], int), results
        assert results[0] is None, results
        assert loaded(client) == ["b"]
        usage = await ask(client, "a")
        assert usage.choices


@anyio_test
async def test_a_closed_stream_makes_room_at_once(paths: dict[str, Path]) -> None:
    async with limited(paths, 1) as client:
        stream = await ask(client, "a", 2000, stream=True)
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(ask, client, "b")
            await until(lambda: client._registry.resolve("a")._leaving is not None)
            await stream.close()
        assert loaded(client) == ["b"]


@anyio_test
async def test_what_is_unread_of_an_unloaded_model_can_be_read(paths: dict[str, Path]) -> None:
    async with limited(paths, 1) as client:
        stream = await ask(client, "a", 30, stream=True)
        await ask(client, "b")
        assert loaded(client) == ["b"]
        chunks = [chunk async for chunk in stream]
        assert chunks[-1].choices[0].finish_reason == "length"


@anyio_test
async def test_models_that_are_never_idle_take_turns(paths: dict[str, Path]) -> None:
    async with limited(paths, 1) as client:
        done = anyio.Event()
        n_answers = 0

        async def keep_busy() -> None:
            nonlocal n_answers
            while not done.is_set():
                await ask(client, "a", 20)
                n_answers += 1

        async def sometimes() -> None:
            for _ in range(3):
                await ask(client, "b")
            done.set()

        with anyio.fail_after(60):
            async with anyio.create_task_group() as tasks:
                for _ in range(3):
                    tasks.start_soon(keep_busy)
                await until(lambda: n_answers > 0)
                tasks.start_soon(sometimes)
        assert n_answers > 0


@anyio_test
async def test_waiting_for_room_counts_towards_the_timeout_and_can_be_given_up(paths: dict[str, Path]) -> None:
    async with limited(paths, 1) as client:
        stream = await ask(client, "a", 2000, stream=True)
        with pytest.raises(APITimeoutError):
            await ask(client, "b", timeout=0.05)
        # The model that was to leave takes requests again.
        assert client._registry.resolve("a").is_available
        assert (await ask(client, "a")).choices
        await stream.close()
        assert (await ask(client, "b")).choices


@anyio_test
async def test_closing_ends_the_wait_for_room(paths: dict[str, Path]) -> None:
    client = limited(paths, 1)
    stream = await ask(client, "a", 2000, stream=True)

    async def close() -> None:
        await until(lambda: client._registry.resolve("a")._leaving is not None)
        await client.close()

    results = await gather(lambda: ask(client, "b"), close)
    assert isinstance(results[0], ClientClosedError)
    assert results[1] is None
    await stream.close()


# -- unloading ---------------------------------------------------------------------------------------------------------


@anyio_test
async def test_unload_frees_the_model_and_the_next_use_loads_it(paths: dict[str, Path]) -> None:
    before = len(live_engines())
    async with make_client(paths) as client:
        await gather(lambda: client.load("a"), lambda: client.load("b"))
        await client.unload("a")
        assert loaded(client) == ["b"]
        assert len(live_engines()) == before + 1
        await client.unload("a")
        await client.unload("c")
        assert (await ask(client, "a")).choices


@anyio_test
async def test_unload_lets_requests_in_flight_finish(paths: dict[str, Path]) -> None:
    async with make_client(paths) as client:
        await client.load("a")
        results: list[Any] = []

        async def first() -> None:
            results.append(await ask(client, "a", 300))

        async def unload() -> None:
            await until(lambda: getattr(client.stats("a"), "n_running", 0) > 0)
            await client.unload("a")
            results.append("unloaded")

        async def late() -> None:
            await until(lambda: client._registry.resolve("a")._leaving is not None)
            results.append(await ask(client, "a", 1))

        errors = [result for result in await gather(first, unload, late) if result is not None]
        assert not errors
        assert results[0].usage.completion_tokens == 300
        assert results[1] == "unloaded"
        assert results[2].usage.completion_tokens == 1
        stats = client.stats("a")
        assert stats is not None
        assert stats.n_requests == 1


@anyio_test
async def test_an_unload_that_is_cancelled_leaves_the_model(paths: dict[str, Path]) -> None:
    async with make_client(paths) as client:
        stream = await ask(client, "a", 2000, stream=True)
        with anyio.move_on_after(0.05) as scope:
            await client.unload("a")
        assert scope.cancelled_caught
        assert client._registry.resolve("a").is_available
        await stream.close()


@anyio_test
async def test_concurrent_unloads(paths: dict[str, Path]) -> None:
    async with make_client(paths) as client:
        await client.load("a")
        assert await gather(*[lambda: client.unload("a")] * 4) == [None] * 4
        assert loaded(client) == []


# -- the end -----------------------------------------------------------------------------------------------------------


@anyio_test
async def test_close_closes_all(paths: dict[str, Path]) -> None:
    before = len(live_engines())
    client = make_client(paths)
    await gather(*[lambda name=name: client.load(name) for name in NAMES])
    stream = await ask(client, "a", 2000, stream=True)
    await client.close()
    assert len(live_engines()) == before
    with pytest.raises(ClientClosedError):
        async for _ in stream:
            pass
    for name in NAMES:
        with pytest.raises(ClientClosedError):
            await ask(client, name)
    with pytest.raises(ClientClosedError):
        await client.load("a")
    with pytest.raises(ClientClosedError):
        async with client:
            pass


@anyio_test
async def test_a_leaked_client_warns_with_its_last_copy(paths: dict[str, Path]) -> None:
    from llama_async._engine import reap

    before = len(live_engines())
    clients = [make_client(paths)]
    registry: weakref.ref[Registry] = weakref.ref(clients[0]._registry)
    await gather(lambda: clients[0].load("a"), lambda: clients[0].load("b"))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        clients.append(clients[0].with_options(timeout=5))
        del clients[0]
        gc.collect()
    assert (await ask(clients[0], "a")).choices
    with pytest.warns(ResourceWarning, match="unclosed <AsyncLlama 'a', 'b', 'c'>"):  # noqa: PT031
        clients.clear()
        gc.collect()  # a client and its resources know each other
    assert registry() is None

    def reaped() -> bool:
        reap()
        return len(live_engines()) == before

    await until(reaped)
