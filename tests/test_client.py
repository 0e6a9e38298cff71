"""The life of a client: options, names, loading on use, closing, leaks, log."""

from __future__ import annotations

import gc
import logging
import warnings
import weakref
from pathlib import Path
from typing import Any

import anyio
import httpx
import pytest
from support import CLIENT_OPTIONS, QUESTION, gather, run_child, until

from llama_async import AsyncLlama, ClientClosedError, NotFoundError, OpenAIError, OptionError, not_given
from llama_async._binding import live_engines

anyio_test = pytest.mark.anyio


@pytest.mark.parametrize(
    ("option", "value"),
    [
        ("n_ctx", 0),
        ("n_ctx", -1),
        ("n_ctx", 2**31),
        ("n_ctx", 1.5),
        ("n_ctx", True),
        ("n_ctx", "4096"),
        ("n_parallel", 0),
        ("n_parallel", 257),
        ("n_batch", 0),
        ("n_ubatch", -5),
        ("n_threads", 0),
        ("n_threads_batch", 0),
        ("n_gpu_layers", -2),
        ("main_gpu", -1),
        ("split_mode", "diagonal"),
        ("tensor_split", []),
        ("tensor_split", [-1.0, 2.0]),
        ("tensor_split", [float("nan")]),
        ("tensor_split", [0.0]),
        ("devices", ""),
        ("devices", []),
        ("devices", ["a,b"]),
        ("flash_attention", "on"),
        ("kv_unified", 1),
        ("use_mmap", "yes"),
        ("check_tensors", 1),
        ("type_k", "f17"),
        ("type_v", ""),
        ("rope_freq_base", 0),
        ("rope_freq_scale", float("inf")),
        ("chat_template", ""),
        ("chat_template", "\ud800"),
        ("max_queue", 0),
        ("alias", ""),
        ("alias", [1]),
        ("timeout", -1),
        ("timeout", "soon"),
        ("max_retries", -1),
        ("on_progress", "print"),
    ],
)
def test_wrong_option_is_refused_at_once(option: str, value: object) -> None:
    options: Any = {option: value}
    with pytest.raises(OptionError) as caught:
        AsyncLlama("no-such-file.gguf", **options)
    assert caught.value.param == option
    assert option in str(caught.value)
    assert caught.value.limit in str(caught.value)
    assert isinstance(caught.value, OpenAIError)


@pytest.mark.parametrize("model", [None, "", "a\0b", 5, b"model.gguf"])
def test_wrong_path_is_refused_at_once(model: Any) -> None:
    with pytest.raises(OptionError) as caught:
        AsyncLlama(model)
    assert caught.value.param == "model"


def test_unknown_option_is_a_type_error() -> None:
    wrong: Any = {"n_context": 5}
    with pytest.raises(TypeError):
        AsyncLlama("model.gguf", **wrong)


def test_constructing_touches_no_file_and_no_loop() -> None:
    client = AsyncLlama("/no/such/file.gguf", timeout=httpx.Timeout(5), alias=["a", "b"], max_retries=0)
    assert not client.is_closed()
    assert client.chat.completions is client.chat.completions
    assert client.max_retries == 0
    assert "file" in repr(client)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        del client
        gc.collect()


def test_default_timeout_is_openais() -> None:
    assert AsyncLlama("x.gguf")._timeout_s == 600
    assert AsyncLlama("x.gguf", timeout=not_given)._timeout_s == 600
    assert AsyncLlama("x.gguf", timeout=None)._timeout_s is None
    assert AsyncLlama("x.gguf", timeout=httpx.Timeout(1, read=7))._timeout_s == 7


def test_timeout_of_the_client() -> None:
    client = AsyncLlama("x.gguf")
    assert client.timeout == httpx.Timeout(600, connect=5)
    client.timeout = 7
    assert (client.timeout, client._timeout_s) == (7, 7)
    with pytest.raises(OptionError):
        client.timeout = -1
    assert client.timeout == 7


def test_arguments_of_openais_client() -> None:
    client = AsyncLlama("x.gguf", api_key="sk-x", organization="o", project="p", base_url="http://h/v1")
    assert (client.api_key, client.organization, client.project, client.base_url) == ("sk-x", "o", "p", "http://h/v1")
    assert AsyncLlama("x.gguf").api_key == ""
    wrong: Any = {"http_client": None}
    with pytest.raises(TypeError):
        AsyncLlama("x.gguf", **wrong)


def test_a_copy_has_what_it_was_not_given() -> None:
    class Mine(AsyncLlama):
        extra = 0

    client = Mine("x.gguf", timeout=5, max_retries=4, default_headers={"a": "1"}, default_query={"q": 1}, project="p")
    client.extra = 3
    chat = client.chat
    same = client.copy()
    assert type(same) is Mine
    assert (same.timeout, same.max_retries, same.extra, same.project) == (5, 4, 3, "p")
    assert same.chat is not chat
    assert same.chat._client is same
    other = client.with_options(timeout=None, max_retries=0, default_headers={"b": "2"}, set_default_query={"r": 2})
    assert (other.timeout, other._timeout_s, other.max_retries) == (None, None, 0)
    assert other.default_headers["a"] == "1"
    assert other.default_headers["b"] == "2"
    assert other.default_query == {"r": 2}
    assert "a" not in client.copy(set_default_headers={"c": "3"}).default_headers
    assert (client.timeout, client.default_query) == (5, {"q": 1})
    for name in ("headers", "query"):
        both: Any = {f"default_{name}": {}, f"set_default_{name}": {}}
        with pytest.raises(ValueError, match="exclude each other"):
            client.copy(**both)
    with pytest.raises(OptionError):
        client.with_options(timeout=-1)


@anyio_test
async def test_copies_share_the_model_and_its_end(model_path: Path) -> None:
    client = AsyncLlama(model_path, **CLIENT_OPTIONS)
    answer = await client.with_options(timeout=60).chat.completions.create(
        model="default", messages=QUESTION, max_tokens=1
    )
    assert answer.choices
    stats = client.stats()
    assert stats is not None
    assert (stats.n_requests, stats.n_parallel) == (1, CLIENT_OPTIONS["n_parallel"])
    gc.collect()
    assert client.stats() is not None
    await client.copy().close()
    assert client.is_closed()
    assert client.stats() is None
    with pytest.raises(ClientClosedError):
        await client.chat.completions.create(model="default", messages=QUESTION)


@anyio_test
@pytest.mark.parametrize(
    ("option", "value", "limit"),
    [("devices", "Nope", "among CPU"), ("tensor_split", [1.0] * 500, "at most"), ("n_batch", 2**30, "at most 1048576")],
)
async def test_an_option_the_engine_refuses_says_what_there_is(
    model_path: Path, option: str, value: Any, limit: str
) -> None:
    client = AsyncLlama(model_path, **{option: value})
    with pytest.raises(OptionError) as caught:
        await client.load()
    assert caught.value.param == option
    assert limit in caught.value.limit
    assert str(caught.value).startswith(f"{option} is ")
    assert str(caught.value).count("must be") == 1
    await client.close()


@anyio_test
async def test_first_request_loads(model_path: Path) -> None:
    client = AsyncLlama(model_path, **CLIENT_OPTIONS)
    assert client._model.engine is None
    try:
        answer = await client.chat.completions.create(model="default", messages=QUESTION, max_tokens=1)
        assert answer.choices
        assert client._model.engine is not None
    finally:
        await client.close()


@anyio_test
async def test_load_returns_the_client_and_may_be_repeated(model_path: Path) -> None:
    client = AsyncLlama(model_path, **CLIENT_OPTIONS)
    assert await client.load() is client
    engine = client._model.engine
    assert await client.load() is client
    assert client._model.engine is engine
    await client.aclose()


@anyio_test
async def test_close_is_idempotent_and_final(model_path: Path) -> None:
    client = AsyncLlama(model_path, **CLIENT_OPTIONS)
    async with client as entered:
        assert entered is client
    assert client.is_closed()
    await gather(client.close, client.close)
    await client.close()
    with pytest.raises(ClientClosedError):
        await client.load()
    with pytest.raises(RuntimeError, match="has been closed"):
        await client.chat.completions.create(model="default", messages=QUESTION)
    with pytest.raises(ClientClosedError):
        async with client:
            pass


@anyio_test
async def test_a_client_never_loaded_closes() -> None:
    client = AsyncLlama("/no/such/file.gguf")
    await client.close()
    assert client.is_closed()


@anyio_test
async def test_several_clients_in_one_process(model_path: Path) -> None:
    async with AsyncLlama(model_path, **CLIENT_OPTIONS) as one, AsyncLlama(model_path, **CLIENT_OPTIONS) as two:

        async def ask(client: AsyncLlama) -> Any:
            return await client.chat.completions.create(model="default", messages=QUESTION, max_tokens=8)

        results = await gather(lambda: ask(one), lambda: ask(two), lambda: ask(one))
        assert all(result.choices for result in results)
        await one.close()
        assert (await ask(two)).choices


@anyio_test
async def test_aliases(model_path: Path) -> None:
    async with AsyncLlama(model_path, **CLIENT_OPTIONS, alias=["gpt-4o", "small"]) as client:
        answer = await client.chat.completions.create(model="gpt-4o", messages=QUESTION, max_tokens=1)
        assert answer.model == "gpt-4o"
        with pytest.raises(NotFoundError) as caught:
            await client.chat.completions.create(model="gpt-5", messages=QUESTION)
        assert "'small'" in str(caught.value)


@anyio_test
async def test_a_star_takes_any_name_and_unknown_names_need_no_model() -> None:
    client = AsyncLlama("/no/such/file.gguf", alias="*")
    assert client._registry.resolve("whatever") is client._model
    plain = AsyncLlama("/no/such/file.gguf")
    # The name is looked at before anything else: before the messages, and before the file.
    with pytest.raises(NotFoundError):
        await plain.chat.completions.create(model="whatever", messages=[])


@anyio_test
async def test_a_leaked_client_warns_and_is_closed(model_path: Path) -> None:
    clients = [AsyncLlama(model_path, **CLIENT_OPTIONS)]
    await clients[0].load()
    reference = weakref.ref(clients[0])
    n_live = len(live_engines())
    with pytest.warns(ResourceWarning, match="unclosed"):
        clients.clear()
    gc.collect()
    assert reference() is None

    def reaped() -> bool:
        # What the next use of any client does.
        from llama_async._engine import reap

        reap()
        return len(live_engines()) == n_live - 1

    await until(reaped)


@anyio_test
async def test_a_stream_keeps_its_client(model_path: Path) -> None:
    async def begin() -> Any:
        client = AsyncLlama(model_path, **CLIENT_OPTIONS)
        return await client.chat.completions.create(model="default", messages=QUESTION, max_tokens=5, stream=True)

    stream = await begin()
    gc.collect()
    assert [chunk async for chunk in stream]
    await stream._client.close()


@anyio_test
async def test_upstreams_log_goes_to_logging(model_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.DEBUG, logger="llama_async.native"):
        async with AsyncLlama(model_path, **CLIENT_OPTIONS):
            pass
    records = [record for record in caplog.records if record.name == "llama_async.native"]
    assert records
    assert any("llama" in record.getMessage() for record in records)
    caplog.clear()
    with caplog.at_level(logging.CRITICAL, logger="llama_async.native"):
        async with AsyncLlama(model_path, **CLIENT_OPTIONS):
            pass
    assert not caplog.records


def test_it_is_silent_and_installs_no_signal_handlers(model_path: Path) -> None:
    child = run_child(
        """
        import asyncio, signal, sys
        from llama_async import AsyncLlama
        handlers = [signal.getsignal(number) for number in signal.valid_signals()]
        async def main():
            async with AsyncLlama(sys.argv[1], n_ctx=256, n_threads=1) as client:
                await client.chat.completions.create(
                    model="default", messages=[{"role": "user", "content": "hi"}], max_tokens=2)
        asyncio.run(main())
        assert [signal.getsignal(number) for number in signal.valid_signals()] == handlers
        """,
        str(model_path),
    )
    assert (child.returncode, child.stdout, child.stderr) == (0, "", "")


@pytest.mark.parametrize("how", ["return", "sys.exit(0)", "asyncio.get_running_loop().stop()"])
def test_the_interpreter_exits_with_work_in_flight(model_path: Path, how: str) -> None:
    child = run_child(
        f"""
        import asyncio, sys
        from llama_async import AsyncLlama
        async def main():
            global client, stream
            client = AsyncLlama(sys.argv[1], n_ctx=512, n_threads=1)
            stream = await client.chat.completions.create(
                model="default", messages=[{{"role": "user", "content": "hi"}}], stream=True, n=4,
                extra_body={{"ignore_eos": True}})
            {how}
        loop = asyncio.new_event_loop()
        try:
            loop.run_until_complete(main())
        except RuntimeError:
            pass
        """,
        str(model_path),
    )
    assert (child.returncode, child.stdout) == (0, "")
    assert "Fatal" not in child.stderr


@anyio_test
async def test_load_and_close_many_times(model_path: Path) -> None:
    for _ in range(20):
        async with AsyncLlama(model_path, n_ctx=256, n_parallel=1, n_threads=1, check_tensors=False) as client:
            await client.chat.completions.create(model="default", messages=QUESTION, max_tokens=1)
    assert not [engine for engine in live_engines() if not engine.is_open]


@anyio_test
async def test_close_while_loading(model_path: Path) -> None:
    client = AsyncLlama(model_path, **CLIENT_OPTIONS)
    started = anyio.Event()
    client._model._on_progress = lambda _: started.set()

    async def close() -> None:
        await started.wait()
        await client.close()

    loaded, closed = await gather(client.load, close)
    assert closed is None
    assert loaded is client or isinstance(loaded, ClientClosedError)
    assert client.is_closed()
