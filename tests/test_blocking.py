"""`Llama`: the blocking client, over its portal thread."""

from __future__ import annotations

import ast
import gc
import inspect
import os
import runpy
import subprocess
import sys
import threading
import warnings
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import anyio
import anyio.lowlevel
import openai
import openai.resources.chat.completions as reference
import pydantic
import pytest
import trio
from support import CLIENT_OPTIONS, ENDLESS, QUESTION, SHORT, run_child

import llama_async
import llama_async.resources
import llama_async.resources.chat
import llama_async.resources.chat.completions
from llama_async import (
    APITimeoutError,
    AsyncLlama,
    BadRequestError,
    ClientClosedError,
    EventLoopError,
    Llama,
    ModelLoadError,
    NotFoundError,
    Stream,
    StreamClosedError,
)
from llama_async._blocking._base import BlockingClient, SyncAPIResource
from llama_async._portal import Portal
from llama_async.pagination import SyncCursorPage, SyncPage
from llama_async.types import Model
from llama_async.types.chat import ChatCompletion, ChatCompletionStoreMessage

# Those that use the client of the module, and those that start loops or make signals of their own.
pytestmark = pytest.mark.own_thread

ROOT = Path(__file__).parent.parent


@pytest.fixture(scope="module")
def shared(model_path: Path) -> Iterator[Llama]:
    with Llama(model_path, **CLIENT_OPTIONS) as client:
        yield client


@pytest.fixture
def client(model_path: Path) -> Iterator[Llama]:
    with Llama(model_path, **CLIENT_OPTIONS) as client:
        yield client


def wait(condition: Callable[[], bool], timeout_s: float = 30) -> None:
    """Return when the condition holds, which native threads or the portal's change."""
    limit = threading.Event()
    timer = threading.Timer(timeout_s, limit.set)
    timer.start()
    try:
        while not condition():
            assert not limit.wait(0.002), "the condition never held"
    finally:
        timer.cancel()
        timer.join()


def is_idle(client: Llama) -> bool:
    engine = client._wrapped._model.engine
    assert engine is not None
    now = engine.stats()
    return now["n_running"] == 0 and now["n_queued"] == 0


def portal_threads() -> list[threading.Thread]:
    return [thread for thread in threading.enumerate() if thread.name == "llama-async-portal"]


# -- calls -------------------------------------------------------------------------------------------------------------


def test_whole_and_streamed_answers_agree(shared: Llama) -> None:
    whole = shared.chat.completions.create(**SHORT)
    assert type(whole) is ChatCompletion
    stream = shared.chat.completions.create(**SHORT, stream=True)
    assert type(stream) is Stream
    texts = [chunk.choices[0].delta.content or "" for chunk in stream]
    assert "".join(texts) == whole.choices[0].message.content
    assert next(stream, None) is None
    assert stream.response.status_code == 200
    assert stream.response.headers["x-request-id"].startswith("req_")


def test_errors_are_those_of_the_async_client(shared: Llama, model_path: Path, tmp_path: Path) -> None:
    with pytest.raises(NotFoundError):
        shared.chat.completions.create(**{**SHORT, "model": "other"})
    with pytest.raises(BadRequestError) as caught:
        shared.chat.completions.create(**{**SHORT, "temperature": 9})
    assert caught.value.param == "temperature"
    with pytest.raises(TypeError):
        shared.chat.completions.create(nonsense=1)  # type: ignore[call-overload]
    with pytest.raises(ValueError, match="completion_id"):
        shared.chat.completions.retrieve("")
    with pytest.raises(APITimeoutError):
        shared.chat.completions.create(**ENDLESS, timeout=0.05)
    missing = Llama(tmp_path / "missing.gguf")
    with pytest.raises(ModelLoadError, match=r"missing\.gguf"):
        missing.load()
    missing.close()


def test_stored_completions(shared: Llama) -> None:
    names = [shared.chat.completions.create(**SHORT, store=True).id for _ in range(3)]
    page = shared.chat.completions.list(limit=2)
    assert type(page) is SyncCursorPage[ChatCompletion]
    assert [item.id for item in page.data] == names[:2]
    assert page.has_next_page()
    assert [item.id for item in page] == names
    assert [len(part.data) for part in page.iter_pages()] == [2, 1]
    assert page.get_next_page().to_dict()["first_id"] == names[2]
    messages = shared.chat.completions.messages.list(names[0])
    assert type(messages) is SyncCursorPage[ChatCompletionStoreMessage]
    assert [message.content for message in messages] == [QUESTION[0]["content"]]
    assert shared.chat.completions.update(names[0], metadata={"a": "b"}).to_dict()["metadata"] == {"a": "b"}
    for name in names:
        assert shared.chat.completions.delete(name).deleted
    assert shared.chat.completions.list().data == []


def test_events_and_parsed_answers(shared: Llama) -> None:
    manager = shared.chat.completions.stream(**SHORT)
    with manager as stream:
        events = list(stream)
        final = stream.current_completion_snapshot
    assert {"chunk", "content.delta", "content.done"} <= {event.type for event in events}
    whole = shared.chat.completions.create(**SHORT)
    assert final.choices[0].message.content == whole.choices[0].message.content


def test_raw_and_streaming_responses(shared: Llama) -> None:
    raw = shared.chat.completions.with_raw_response.create(**SHORT)
    completion = raw.parse()
    assert type(completion) is ChatCompletion
    assert raw.http_response.json() == completion.to_dict(mode="json")
    assert raw.request_id == completion._request_id
    assert raw.url.path.endswith("/chat/completions")
    assert shared.with_raw_response.models.list().parse().data[0].id
    with shared.chat.completions.with_streaming_response.create(**SHORT, stream=True) as response:
        lines = [line for line in response.iter_lines() if line]
    assert lines[0].startswith('data: {"id":"chatcmpl-')
    assert lines[-1] == "data: [DONE]"
    assert response.is_closed
    with shared.chat.completions.with_streaming_response.create(**ENDLESS, stream=True) as response:
        assert next(response.iter_lines())
    wait(lambda: is_idle(shared))


def test_a_stream_closed_in_the_portals_thread(shared: Llama) -> None:
    """As by a generator that reads from it and is collected there."""
    stream = shared.chat.completions.create(**ENDLESS, stream=True)
    next(stream)
    shared._portal.run(stream.close)
    with pytest.raises(StreamClosedError):
        next(stream)
    wait(lambda: is_idle(shared))


def test_a_real_openai_client_on_it(shared: Llama) -> None:
    with shared.as_openai() as real:
        assert isinstance(real, openai.OpenAI)
        whole = real.chat.completions.create(**SHORT)
        stream = real.chat.completions.create(**SHORT, stream=True)
        text = "".join(chunk.choices[0].delta.content or "" for chunk in stream)
    assert text == whole.choices[0].message.content
    assert shared.chat.completions.create(**SHORT).choices[0].message.content == text


def test_models(shared: Llama, model_path: Path) -> None:
    page = shared.models.list()
    assert type(page) is SyncPage[Model]
    assert {model.id for model in page} >= {"default", model_path.stem}
    assert shared.models.retrieve("default").id == "default"


def test_several_threads_share_a_client(shared: Llama) -> None:
    asked = {**SHORT, "max_tokens": 8}
    expected = shared.chat.completions.create(**asked).choices[0].message.content

    def streamed(_: int) -> str:
        stream = shared.chat.completions.create(**asked, stream=True)
        return "".join(chunk.choices[0].delta.content or "" for chunk in stream)

    with ThreadPoolExecutor(4) as executor:
        answers = list(executor.map(streamed, range(6)))
    # Batches differ in size, which rounds differently: the beginnings agree.
    assert {answer[:5] for answer in answers} == {(expected or "")[:5]}


def test_concurrent_first_calls_load_once(model_path: Path) -> None:
    fractions: list[float] = []
    with Llama(model_path, **CLIENT_OPTIONS, on_progress=fractions.append) as client:
        with ThreadPoolExecutor(4) as executor:
            loaded = list(executor.map(lambda _: client.load(), range(4)))
        assert all(one is client for one in loaded)
    assert fractions == sorted(fractions)
    assert fractions[-1] == 1
    assert fractions.count(1) == 1


# -- streams -----------------------------------------------------------------------------------------------------------


def test_closing_a_stream_frees_the_engine(shared: Llama) -> None:
    with shared.chat.completions.create(**ENDLESS, stream=True) as stream:
        next(stream)
    wait(lambda: is_idle(shared))
    with pytest.raises(StreamClosedError):
        next(stream)
    stream.close()
    stream = shared.chat.completions.create(**ENDLESS, stream=True)
    stream.response.close()
    with pytest.raises(StreamClosedError):
        list(stream)


def test_a_stream_that_is_dropped_frees_the_engine(shared: Llama) -> None:
    for chunk in shared.chat.completions.create(**ENDLESS, stream=True):
        assert chunk.choices
        break
    gc.collect()
    wait(lambda: is_idle(shared))


def test_another_thread_may_close_a_stream(shared: Llama) -> None:
    stream = shared.chat.completions.create(**ENDLESS, stream=True)
    next(stream)
    reading = threading.Event()

    def read() -> None:
        for _ in stream:
            reading.set()

    with ThreadPoolExecutor(1) as executor:
        reader = executor.submit(read)
        assert reading.wait(30)
        stream.close()
        with pytest.raises(StreamClosedError):
            reader.result(30)
    wait(lambda: is_idle(shared))


# -- the end -----------------------------------------------------------------------------------------------------------


def test_closing_ends_what_others_wait_for(model_path: Path) -> None:
    client = Llama(model_path, **CLIENT_OPTIONS)
    stream = client.chat.completions.create(**ENDLESS, stream=True)
    reading = threading.Event()

    def read() -> None:
        for _ in stream:
            reading.set()

    with ThreadPoolExecutor(2) as executor:
        readers = [executor.submit(read), executor.submit(client.chat.completions.create, **ENDLESS)]
        assert reading.wait(30)
        client.close()
        for reader in readers:
            with pytest.raises(ClientClosedError):
                reader.result(30)
    assert client.is_closed()
    client.close()
    stream.close()
    for call in (client.load, lambda: client.chat.completions.create(**SHORT), client.__enter__, lambda: next(stream)):
        with pytest.raises(ClientClosedError):
            call()


def test_closing_ends_the_thread(model_path: Path) -> None:
    before = len(portal_threads())
    client = Llama(model_path, **CLIENT_OPTIONS)
    client.close()
    assert len(portal_threads()) == before
    with Llama(model_path, **CLIENT_OPTIONS):
        assert len(portal_threads()) == before + 1
    assert len(portal_threads()) == before


def test_a_client_nobody_closed_warns_and_goes(model_path: Path) -> None:
    before = len(portal_threads())
    client = Llama(model_path, **CLIENT_OPTIONS)
    client.load()
    stream = client.chat.completions.create(**ENDLESS, stream=True)
    next(stream)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        del client, stream
        gc.collect()
    mine = [str(warning.message) for warning in caught if warning.category is ResourceWarning]
    assert len(mine) == 1
    assert "unclosed <Llama" in mine[0]
    assert "use `with` or `client.close()`" in mine[0]
    wait(lambda: len(portal_threads()) == before)


def test_the_stream_outlives_the_client(model_path: Path) -> None:
    client = Llama(model_path, **CLIENT_OPTIONS)
    stream = client.chat.completions.create(**SHORT, stream=True)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        del client
        gc.collect()
    assert [chunk.choices[0].finish_reason for chunk in stream][-1] == "length"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        del stream
        gc.collect()


def test_the_interpreter_ends_in_the_middle(model_path: Path) -> None:
    code = """
        import sys, threading, warnings
        warnings.simplefilter("ignore")
        from llama_async import Llama
        client = Llama(sys.argv[1], n_ctx=512, n_threads=1)
        asked = dict(model="default", messages=[{"role": "user", "content": "Count."}], extra_body={"ignore_eos": True})
        stream = client.chat.completions.create(**asked, stream=True)
        next(stream)
        threading.Thread(target=lambda: client.chat.completions.create(**asked), daemon=True).start()
        print("end")
    """
    result = run_child(code, str(model_path))
    assert result.returncode == 0, result.stderr
    assert result.stdout == "end\n"


INTERRUPTED = """
    import signal, sys, threading, time
    from llama_async import Llama
    asked = dict(model="default", messages=[{"role": "user", "content": "Count."}], extra_body={"ignore_eos": True})

    def interrupt_when_running(client):
        def look():
            while client._wrapped._model.engine.stats()["n_running"] == 0:
                time.sleep(0.002)
            signal.pthread_kill(threading.main_thread().ident, signal.SIGINT)
        threading.Thread(target=look, daemon=True).start()

    with Llama(sys.argv[1], n_ctx=4096, n_threads=1) as client:
        for work in (
            lambda: client.chat.completions.create(**asked),
            lambda: list(client.chat.completions.create(**asked, stream=True)),
        ):
            interrupt_when_running(client)
            try:
                work()
            except KeyboardInterrupt:
                print("interrupted")
            limit = time.monotonic() + 30
            while client._wrapped._model.engine.stats()["n_running"] > 0:
                assert time.monotonic() < limit
                time.sleep(0.002)
            print("idle")
        print(len(client.chat.completions.create(**asked, max_tokens=2).choices))
"""


def test_an_interrupt_ends_the_request(model_path: Path) -> None:
    result = run_child(INTERRUPTED, str(model_path))
    assert (result.returncode, result.stdout) == (0, "interrupted\nidle\ninterrupted\nidle\n1\n"), result.stderr


# -- threads, loops, processes -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("backend", ["asyncio", "trio"])
def test_it_works_inside_a_running_loop(shared: Llama, backend: str) -> None:
    async def main() -> str | None:
        return shared.chat.completions.create(**SHORT).choices[0].message.content

    assert anyio.run(main, backend=backend)


def test_calling_it_from_its_own_thread_is_an_error(model_path: Path) -> None:
    errors: list[BaseException] = []

    def progress(_: float) -> None:
        try:
            client.chat.completions.create(**SHORT)
        except EventLoopError as error:
            errors.append(error)

    client = Llama(model_path, **CLIENT_OPTIONS, on_progress=progress)
    with client:
        pass
    assert "wait for itself" in str(errors[0])


def test_copies_share_models_and_thread(client: Llama) -> None:
    before = len(portal_threads())
    other = client.with_options(timeout=0.01)
    assert type(other) is Llama
    with pytest.raises(APITimeoutError):
        other.chat.completions.create(**ENDLESS)
    assert client.chat.completions.create(**SHORT).choices
    assert len(portal_threads()) == before
    other.close()
    assert client.is_closed()


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork")
def test_a_fork_is_an_error_not_a_hang(model_path: Path) -> None:
    code = """
        import os, sys, warnings
        warnings.simplefilter("ignore")
        from llama_async import ForkedError, Llama
        client = Llama(sys.argv[1], n_ctx=512, n_threads=1)
        client.load()
        child = os.fork()
        if child == 0:
            try:
                client.load()
            except ForkedError:
                os._exit(7)
            os._exit(1)
        print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
        asked = dict(model="default", messages=[{"role": "user", "content": "Hi"}], max_tokens=2)
        print(len(client.chat.completions.create(**asked).choices))
        client.close()
    """
    result = run_child(code, str(model_path))
    assert (result.returncode, result.stdout) == (0, "7\n1\n"), result.stderr


# -- the portal --------------------------------------------------------------------------------------------------------


def test_portal_calls() -> None:
    import contextvars

    variable = contextvars.ContextVar("variable", default=0)
    portal = Portal()
    variable.set(5)
    assert portal.run(variable.get) == 5

    async def look() -> int:
        await anyio.lowlevel.checkpoint()
        return variable.get()

    assert portal.run(look) == 5

    class Stopped(BaseException):
        pass

    def fail() -> None:
        raise Stopped

    with pytest.raises(Stopped):
        portal.run(fail)
    assert portal.run(look) == 5
    begun = threading.Event()

    async def for_ever() -> None:
        begun.set()
        await anyio.sleep_forever()

    with ThreadPoolExecutor(1) as executor:
        waiting = executor.submit(portal.run, for_ever)
        assert begun.wait(30)
        portal.close()
        with pytest.raises(ClientClosedError):
            waiting.result(30)
    portal.close()
    with pytest.raises(ClientClosedError):
        portal.run(look)


def test_portal_keeps_nothing() -> None:
    """Neither results nor exceptions live longer than their caller wants them."""
    import weakref

    class Thing:
        pass

    portal = Portal()
    found = weakref.ref(portal.run(Thing))
    portal.run(int)
    assert found() is None

    class Failure(Exception):
        pass

    def fail() -> None:
        raise Failure

    gc.collect()
    gc.disable()
    try:
        with pytest.raises(Failure):
            portal.run(fail)
    finally:
        gc.enable()
    portal.close()


# -- signatures --------------------------------------------------------------------------------------------------------


def pairs() -> list[tuple[Any, Any]]:
    """Return each blocking class and its async one."""
    found: list[tuple[Any, Any]] = [(Llama, AsyncLlama)]
    for package in (
        llama_async.resources,
        llama_async.resources.chat,
        llama_async.resources.chat.completions,
    ):
        for name in package.__all__:
            if name.startswith("Async"):
                pair = (getattr(package, name[5:]), getattr(package, name))
                if pair not in found:
                    found.append(pair)
    return found


@pytest.mark.parametrize("pair", pairs(), ids=lambda pair: pair[1].__name__)
def test_signatures_are_in_sync(pair: tuple[Any, Any]) -> None:
    sync, twin = pair
    assert issubclass(sync, (SyncAPIResource, BlockingClient))
    without = {"aclose"} if twin is AsyncLlama else set()
    own = {name for name in dir(sync) if not name.startswith("_")}
    assert own - {"max_retries", "timeout", *own_attributes()} | without >= {
        name for name in dir(twin) if not name.startswith("_")
    } - {"timeout", *own_attributes()}
    for name in [*own, "__init__", "__call__"]:
        mine, theirs = inspect.getattr_static(sync, name, None), inspect.getattr_static(twin, name, None)
        if not inspect.isfunction(mine) or (name == "__init__" and twin is not AsyncLlama):
            continue
        assert not inspect.iscoroutinefunction(mine)
        expected, actual = inspect.signature(theirs), inspect.signature(mine)
        assert [(p.name, p.kind, p.default) for p in actual.parameters.values()] == [
            (p.name, p.kind, p.default) for p in expected.parameters.values()
        ], name


def own_attributes() -> set[str]:
    return set(runpy.run_path(str(ROOT / "tools" / "gen_blocking.py"))["CLIENT_ATTRIBUTES"])


@pytest.mark.parametrize("name", ["create", "retrieve", "update", "list", "delete", "parse", "stream"])
def test_signatures_are_openais(name: str) -> None:
    theirs = getattr(reference.Completions, name)
    mine = getattr(llama_async.resources.chat.completions.Completions, name)
    expected, actual = (inspect.signature(method).parameters.values() for method in (theirs, mine))
    assert [(p.name, p.kind, type(p.default).__name__) for p in actual] == [
        (p.name, p.kind, type(p.default).__name__) for p in expected
    ]


def test_stream_has_openais_methods() -> None:
    assert {name for name in dir(openai.Stream) if not name.startswith("_")} <= {*dir(Stream), "response"}


def test_what_is_generated_is_current() -> None:
    result = subprocess.run(
        [sys.executable, str(ROOT / "tools" / "gen_blocking.py"), "--check"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert result.returncode == 0, f"run `python tools/gen_blocking.py`: {result.stdout}{result.stderr}"


def test_nothing_of_asyncio_is_left_in_what_is_generated() -> None:
    for path in (ROOT / "llama_async" / "_blocking" / "resources").rglob("*.py"):
        tree = ast.parse(path.read_text(encoding="utf-8"))
        names = {node.id for node in ast.walk(tree) if isinstance(node, ast.Name)}
        assert not {name for name in names if name.startswith("Async")}, path
        assert not [node for node in ast.walk(tree) if isinstance(node, (ast.AsyncFunctionDef, ast.Await))], path


def test_called_where_trio_runs(model_path: Path) -> None:
    async def main() -> None:
        with Llama(model_path, **CLIENT_OPTIONS) as client:
            answer = client.chat.completions.create(model="default", messages=QUESTION, max_tokens=2)
            assert answer.choices
            assert client._portal.run(anyio.get_current_task).id  # anyio's calls work in the portal

    with ThreadPoolExecutor(1) as executor:
        executor.submit(trio.run, main).result()


# -- tools -------------------------------------------------------------------------------------------------------------


class GetWeather(pydantic.BaseModel):
    city: str


def test_tools(shared: Llama) -> None:
    """Whole, streamed, parsed and by events, on ours and on openai's own blocking client."""
    asked: dict[str, Any] = {
        "model": "default",
        "messages": [{"role": "user", "content": "What is the weather in Paris?"}],
        "temperature": 0,
        "max_tokens": 40,
        "tool_choice": "required",
        "parallel_tool_calls": False,
    }
    with shared.as_openai() as real:
        for sdk, client in ((llama_async, shared), (openai, real)):
            tools: Any = [sdk.pydantic_function_tool(GetWeather)]  # type: ignore[attr-defined]
            answers: Any = client.chat.completions
            whole = answers.parse(**asked, tools=tools)
            (call,) = whole.choices[0].message.tool_calls
            assert whole.choices[0].finish_reason == "tool_calls"
            assert call.function.parsed_arguments == GetWeather(city="Paris")
            chunks = list(answers.create(**asked, tools=tools, stream=True))
            deltas = [delta for chunk in chunks for delta in chunk.choices[0].delta.tool_calls or ()]
            assert deltas[0].function.name == "GetWeather"
            assert "".join(delta.function.arguments for delta in deltas) == call.function.arguments
            with answers.stream(**asked, tools=tools) as stream:
                done = [event for event in stream if event.type == "tool_calls.function.arguments.done"]
            assert [event.parsed_arguments for event in done] == [GetWeather(city="Paris")]
