"""`client.as_openai()`: a real openai client, answered in this process."""

from __future__ import annotations

import socket
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import anyio
import httpx
import openai
import openai.types.chat
import pytest
from support import CLIENT_OPTIONS, ENDLESS, QUESTION, gather, is_idle, run_child, stats, until

from llama_async import AsyncLlama
from llama_async._http import Router

pytestmark = [
    pytest.mark.anyio,
    # openai leaves generators of its own suspended after [DONE], and trio reports each. Ours are none.
    pytest.mark.filterwarnings("ignore:.*<async_generator object:pytest.PytestUnraisableExceptionWarning"),
]

SHORT: dict[str, Any] = {"model": "default", "messages": QUESTION, "max_tokens": 6, "temperature": 0}


@pytest.fixture
async def real(shared_client: AsyncLlama) -> AsyncIterator[openai.AsyncOpenAI]:
    async with shared_client.as_openai() as real:
        yield real


@pytest.fixture
def n_calls(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The paths of all requests that reached the router."""
    calls: list[str] = []
    handle = Router.handle

    async def counted(self: Router, request: Any) -> Any:
        calls.append(request.path)
        return await handle(self, request)

    monkeypatch.setattr(Router, "handle", counted)
    return calls


async def test_answer_without_a_socket(real: openai.AsyncOpenAI, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*arguments: object) -> None:
        raise AssertionError("a socket was connected")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    monkeypatch.setattr(socket, "getaddrinfo", refuse)
    answer = await real.chat.completions.create(**SHORT)
    assert type(answer) is openai.types.chat.ChatCompletion
    assert answer.usage is not None
    assert answer.usage.completion_tokens == 6
    assert answer._request_id is not None
    assert answer._request_id.startswith("req_")


async def test_stream_comes_chunk_by_chunk(shared_client: AsyncLlama, real: openai.AsyncOpenAI) -> None:
    stream = await real.chat.completions.create(**ENDLESS, stream=True)
    assert stream.response.headers["x-request-id"].startswith("req_")
    for _ in range(4):
        assert type(await stream.__anext__()) is openai.types.chat.ChatCompletionChunk
        assert not is_idle(shared_client)
    await stream.close()
    await until(lambda: is_idle(shared_client))
    assert [chunk async for chunk in stream] == []


async def test_stream_equals_the_whole(real: openai.AsyncOpenAI) -> None:
    options = {**SHORT, "max_tokens": 24, "extra_body": {"cache_prompt": False}}
    whole = await real.chat.completions.create(**options)
    stream = await real.chat.completions.create(**options, stream=True, stream_options={"include_usage": True})
    chunks = [chunk async for chunk in stream]
    text = "".join(chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices)
    assert text == whole.choices[0].message.content
    assert chunks[-1].usage == whole.usage
    assert chunks[-2].choices[0].finish_reason == whole.choices[0].finish_reason


async def test_cancelling_the_task_ends_the_work(shared_client: AsyncLlama, real: openai.AsyncOpenAI) -> None:
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(lambda: real.chat.completions.create(**ENDLESS))
        await until(lambda: not is_idle(shared_client))
        tasks.cancel_scope.cancel()
    await until(lambda: is_idle(shared_client))


async def test_streaming_response_closes_on_leaving(shared_client: AsyncLlama, real: openai.AsyncOpenAI) -> None:
    async with real.chat.completions.with_streaming_response.create(**ENDLESS, stream=True) as response:
        lines = response.iter_lines()
        assert (await lines.__anext__()).startswith('data: {"id":"chatcmpl-')
        assert not is_idle(shared_client)
        await lines.aclose()  # type: ignore[attr-defined]
    await until(lambda: is_idle(shared_client))


async def test_streaming_response_of_a_whole_answer_is_open(real: openai.AsyncOpenAI) -> None:
    async with real.chat.completions.with_streaming_response.create(**SHORT) as response:
        assert not response.is_closed
        assert (await response.parse()).choices[0].message.content
    assert response.is_closed


async def test_raw_response(real: openai.AsyncOpenAI) -> None:
    raw = await real.chat.completions.with_raw_response.create(**SHORT)
    assert raw.status_code == 200
    assert raw.headers["content-type"] == "application/json"
    assert int(raw.headers["openai-processing-ms"]) > 0
    assert raw.request_id == raw.headers["x-request-id"]
    assert raw.retries_taken == 0
    assert raw.parse().choices[0].message.content


async def test_closing_it_leaves_the_client_open(shared_client: AsyncLlama) -> None:
    async with shared_client.as_openai() as real:
        await real.chat.completions.create(**SHORT)
    assert real.is_closed()
    assert not shared_client.is_closed()
    await shared_client.chat.completions.create(**SHORT)
    with pytest.raises(RuntimeError, match="has been closed"):
        await real.chat.completions.create(**SHORT)


async def test_many_at_once(real: openai.AsyncOpenAI) -> None:
    answers = await gather(*[lambda: real.chat.completions.create(**SHORT)] * 8)
    assert {type(answer) for answer in answers} == {openai.types.chat.ChatCompletion}
    assert len({answer.choices[0].message.content for answer in answers}) == 1


# -- errors


@pytest.mark.parametrize(
    ("change", "error", "param", "code"),
    [
        ({"temperature": 3}, openai.BadRequestError, "temperature", None),
        ({"model": "other"}, openai.NotFoundError, "model", "model_not_found"),
        ({"max_tokens": 5000}, openai.BadRequestError, "messages", "context_length_exceeded"),
        ({"extra_body": {"nonsense": 1}}, openai.BadRequestError, "nonsense", None),
    ],
)
@pytest.mark.parametrize("stream", [False, True])
async def test_refusal_is_openais_error_and_not_tried_again(
    real: openai.AsyncOpenAI,
    n_calls: list[str],
    change: dict[str, Any],
    error: type[openai.APIStatusError],
    param: str,
    code: str | None,
    stream: bool,
) -> None:
    with pytest.raises(error) as caught:
        await real.chat.completions.create(**{**SHORT, **change}, stream=stream)
    assert (caught.value.param, caught.value.code, caught.value.type) == (param, code, "invalid_request_error")
    assert caught.value.request_id == caught.value.response.headers["x-request-id"]
    assert str(caught.value).startswith(f"Error code: {caught.value.status_code} - ")
    assert n_calls == ["/v1/chat/completions"]


async def test_ours_says_the_same(shared_client: AsyncLlama, real: openai.AsyncOpenAI) -> None:
    import llama_async

    with pytest.raises(openai.BadRequestError) as theirs:
        await real.chat.completions.create(**{**SHORT, "top_p": 2})
    with pytest.raises(llama_async.BadRequestError) as ours:
        await shared_client.chat.completions.create(**{**SHORT, "top_p": 2})
    assert str(theirs.value) == str(ours.value)
    assert theirs.value.body == ours.value.body


@pytest.mark.parametrize("stream", [False, True])
async def test_timeout_is_not_tried_again(real: openai.AsyncOpenAI, n_calls: list[str], stream: bool) -> None:
    with pytest.raises(openai.APITimeoutError):
        await real.with_options(timeout=0.001).chat.completions.create(**ENDLESS, stream=stream)
    assert len(n_calls) == 1


async def test_unknown_route(real: openai.AsyncOpenAI) -> None:
    with pytest.raises(openai.NotFoundError) as caught:
        await real.moderations.create(input="text")
    assert caught.value.code == "unknown_url"


async def test_full_queue_is_tried_again(anyio_backend: Any, model_path: Path, n_calls: list[str]) -> None:
    async with (
        AsyncLlama(model_path, **{**CLIENT_OPTIONS, "n_parallel": 1, "max_queue": 1}) as client,
        client.as_openai() as real,
        anyio.create_task_group() as tasks,
    ):
        for _ in range(2):
            tasks.start_soon(lambda: real.chat.completions.create(**ENDLESS))
        await until(lambda: stats(client)["n_running"] == 1 and stats(client)["n_queued"] == 1)
        with pytest.raises(openai.RateLimitError) as caught:
            await real.with_options(max_retries=0).chat.completions.create(**SHORT)
        assert float(caught.value.response.headers["retry-after"]) > 0
        n_calls.clear()
        with pytest.raises(openai.RateLimitError):
            await real.with_options(max_retries=1).chat.completions.create(**SHORT)
        assert len(n_calls) == 2
        tasks.cancel_scope.cancel()


async def test_closed_client(anyio_backend: Any, model_path: Path, n_calls: list[str]) -> None:
    client = AsyncLlama(model_path, **CLIENT_OPTIONS)
    real = client.as_openai()
    stream = await real.chat.completions.create(**ENDLESS, stream=True)
    await stream.__anext__()
    await client.close()
    with pytest.raises(openai.APIConnectionError) as caught:
        [_ async for _ in stream]
    assert isinstance(caught.value, RuntimeError)
    n_calls.clear()
    with pytest.raises(openai.APIConnectionError, match="has been closed"):
        await real.chat.completions.create(**SHORT)
    assert len(n_calls) == 1
    await real.close()


# -- options


@pytest.mark.parametrize("timeout", [3.0, None, httpx.Timeout(5, read=7)])
async def test_it_has_the_clients_timeout_and_retries(model_path: Path, timeout: Any) -> None:
    client = AsyncLlama(model_path, timeout=timeout, max_retries=5)
    async with client.as_openai() as real:
        assert real.max_retries == 5
        if isinstance(timeout, httpx.Timeout):
            assert getattr(real.timeout, "read", None) == 7
        else:
            assert real.timeout == timeout


def test_it_does_not_depend_on_the_environment(model_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    monkeypatch.setenv("OPENAI_BASE_URL", "http://elsewhere.invalid/v9")
    assert str(AsyncLlama(model_path).as_openai().base_url) == "http://llama-async.invalid/v1/"


def test_openai_is_imported_by_nothing_else() -> None:
    child = run_child(
        """
        import sys
        sys.modules["openai"] = None
        import llama_async
        client = llama_async.AsyncLlama("m.gguf")
        try:
            client.as_openai()
        except ImportError as error:
            print(error)
        """
    )
    assert child.returncode == 0, child.stderr
    assert "llama-async[openai]" in child.stdout
