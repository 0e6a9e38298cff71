"""Streams: the order and shape of chunks, usage, closing, and what a consumer that lags gets."""

from __future__ import annotations

import json
from typing import Any

import anyio
import anyio.lowlevel
import httpx
import openai.types.chat
import pytest
from support import ENDLESS, QUESTION, is_idle, until

from llama_async import AsyncLlama, AsyncStream, BadRequestError, ClientClosedError, StreamClosedError
from llama_async.types.chat import ChatCompletionChunk

pytestmark = pytest.mark.anyio


def text(chunks: list[ChatCompletionChunk], index: int = 0) -> str:
    choices = [choice for chunk in chunks for choice in chunk.choices if choice.index == index]
    return "".join(choice.delta.content or "" for choice in choices)


async def test_chunks(shared_client: AsyncLlama) -> None:
    stream = await shared_client.chat.completions.create(model="default", messages=QUESTION, max_tokens=20, stream=True)
    assert isinstance(stream, AsyncStream)
    chunks = [chunk async for chunk in stream]
    assert all(isinstance(chunk, ChatCompletionChunk) for chunk in chunks)
    assert {chunk.object for chunk in chunks} == {"chat.completion.chunk"}
    assert len({(chunk.id, chunk.created, chunk.model, chunk.system_fingerprint) for chunk in chunks}) == 1
    first, *middle, last = chunks
    assert first.choices[0].index == 0
    assert first.choices[0].delta.role == "assistant"
    assert first.choices[0].delta.content == ""
    assert last.choices[0].finish_reason in {"stop", "length"}
    assert last.choices[0].delta.content is None
    for chunk in middle:
        [choice] = chunk.choices
        assert choice.delta.content
        assert choice.delta.role is None
        assert choice.finish_reason is None
    assert all(chunk.usage is None for chunk in chunks)
    for chunk in chunks:
        wire = chunk.to_dict()
        assert ChatCompletionChunk.model_validate(wire) == chunk
        assert "usage" not in wire
        openai.types.chat.ChatCompletionChunk.model_validate(wire)


async def test_the_stream_says_what_the_answer_says(shared_client: AsyncLlama) -> None:
    options: Any = {"model": "default", "messages": QUESTION, "max_tokens": 24, "temperature": 0}
    options["extra_body"] = {"cache_prompt": False}  # computed in the same chunks: others move logits by tenths
    whole = await shared_client.chat.completions.create(**options)
    chunks = [chunk async for chunk in await shared_client.chat.completions.create(**options, stream=True)]
    assert text(chunks) == whole.choices[0].message.content
    assert chunks[-1].choices[0].finish_reason == whole.choices[0].finish_reason


async def test_include_usage_adds_a_last_chunk(shared_client: AsyncLlama) -> None:
    stream = await shared_client.chat.completions.create(
        **ENDLESS, max_tokens=4, stream=True, stream_options={"include_usage": True}
    )
    *others, last = [chunk async for chunk in stream]
    assert last.choices == []
    assert last.usage is not None
    assert last.usage.completion_tokens == 4
    assert last.usage.total_tokens == last.usage.prompt_tokens + 4
    for chunk in others:
        assert chunk.usage is None
        assert chunk.to_dict()["usage"] is None


async def test_every_choice_opens_and_finishes(shared_client: AsyncLlama) -> None:
    stream = await shared_client.chat.completions.create(
        model="default", messages=QUESTION, max_tokens=6, n=3, stream=True, temperature=1.5
    )
    chunks = [chunk async for chunk in stream]
    assert chunks[0].choices[0].index == 0
    for index in range(3):
        own = [choice for chunk in chunks for choice in chunk.choices if choice.index == index]
        assert own[0].delta.role == "assistant"
        assert [choice.finish_reason for choice in own][:-1] == [None] * (len(own) - 1)
        assert own[-1].finish_reason in {"stop", "length"}
        assert text(chunks, index)


async def test_logprobs_come_with_their_text(shared_client: AsyncLlama) -> None:
    stream = await shared_client.chat.completions.create(
        **ENDLESS, max_tokens=8, stream=True, logprobs=True, top_logprobs=2
    )
    n_tokens = 0
    async for chunk in stream:
        for choice in chunk.choices:
            if choice.logprobs is not None:
                assert choice.logprobs.content
                n_tokens += len(choice.logprobs.content)
                assert all(len(entry.top_logprobs) == 2 for entry in choice.logprobs.content)
    assert n_tokens == 8


async def test_characters_are_never_split(shared_client: AsyncLlama) -> None:
    grammar = 'root ::= "日本語の文字と絵文字🙂🚀 äöü"'
    stream = await shared_client.chat.completions.create(
        model="default", messages=QUESTION, stream=True, extra_body={"grammar": grammar}
    )
    chunks = [chunk async for chunk in stream]
    assert text(chunks) == "日本語の文字と絵文字🙂🚀 äöü"
    assert all("\ufffd" not in (choice.delta.content or "") for chunk in chunks for choice in chunk.choices)


async def test_errors_of_the_prompt_are_raised_by_create(shared_client: AsyncLlama) -> None:
    with pytest.raises(BadRequestError) as caught:
        await shared_client.chat.completions.create(
            model="default", messages=[{"role": "user", "content": "word " * 5000}], stream=True
        )
    assert caught.value.code == "context_length_exceeded"
    assert caught.value.param == "messages"


async def test_a_consumer_that_lags_gets_longer_chunks(client: AsyncLlama) -> None:
    n_tokens = 200
    stream = await client.chat.completions.create(**ENDLESS, max_tokens=n_tokens, stream=True)
    await until(lambda: is_idle(client))
    await anyio.lowlevel.checkpoint()
    chunks = [chunk async for chunk in stream]
    assert len(chunks) < n_tokens / 4
    whole = await client.chat.completions.create(**ENDLESS, max_tokens=2)
    assert whole.choices[0].finish_reason == "length"
    assert len(text(chunks)) > n_tokens / 2


async def test_iterating_again_gives_nothing(shared_client: AsyncLlama) -> None:
    stream = await shared_client.chat.completions.create(model="default", messages=QUESTION, max_tokens=2, stream=True)
    assert [chunk async for chunk in stream]
    assert [chunk async for chunk in stream] == []
    await stream.close()
    assert [chunk async for chunk in stream] == []


async def test_a_closed_stream_cannot_be_read(client: AsyncLlama) -> None:
    stream = await client.chat.completions.create(**ENDLESS, stream=True)
    assert await stream.__anext__()
    await stream.close()
    await stream.aclose()
    with pytest.raises(StreamClosedError):
        await stream.__anext__()
    with pytest.raises(RuntimeError):
        async for _ in stream:
            pass


async def test_async_with_closes(client: AsyncLlama) -> None:
    async with await client.chat.completions.create(**ENDLESS, stream=True) as stream:
        async for _ in stream:
            break
    with pytest.raises(StreamClosedError):
        await stream.__anext__()
    await until(lambda: is_idle(client))


async def test_response_has_the_head_and_closes(client: AsyncLlama) -> None:
    stream = await client.chat.completions.create(**ENDLESS, stream=True)
    response = stream.response
    assert isinstance(response, httpx.Response)
    assert response.status_code == 200
    assert response.headers["content-type"].startswith("text/event-stream")
    assert response.headers["x-request-id"].startswith("req_")
    await response.aclose()
    with pytest.raises(StreamClosedError):
        await stream.__anext__()
    await until(lambda: is_idle(client))


async def test_response_has_the_rest_of_the_stream(shared_client: AsyncLlama) -> None:
    stream = await shared_client.chat.completions.create(
        model="default", messages=QUESTION, max_tokens=4, stream=True, extra_body={"ignore_eos": True}
    )
    first = await stream.__anext__()
    lines = [line async for line in stream.response.aiter_lines() if line]
    assert lines[-1] == "data: [DONE]"
    chunks = [json.loads(line.removeprefix("data: ")) for line in lines[:-1]]
    assert {chunk["id"] for chunk in chunks} == {first.id}
    assert chunks[-1]["choices"][0]["finish_reason"] == "length"
    assert stream.response.is_closed


async def test_response_is_closed_when_the_stream_ends(shared_client: AsyncLlama) -> None:
    for early in (True, False):
        stream = await shared_client.chat.completions.create(
            model="default", messages=QUESTION, max_tokens=2, stream=True
        )
        if early:
            assert not stream.response.is_closed
        assert [chunk async for chunk in stream]
        assert stream.response.is_closed
        with pytest.raises(StopAsyncIteration):
            await stream.__anext__()
        await stream.close()
        with pytest.raises(StopAsyncIteration):
            await stream.__anext__()


async def test_close_drops_what_was_not_read(client: AsyncLlama) -> None:
    """Also when the engine has finished long since."""
    stream = await client.chat.completions.create(model="default", messages=QUESTION, max_tokens=2, stream=True)
    await until(lambda: is_idle(client))
    await anyio.lowlevel.checkpoint()
    await stream.close()
    for _ in range(2):
        with pytest.raises(StreamClosedError):
            await stream.__anext__()


async def test_nothing_follows_an_error(client: AsyncLlama) -> None:
    stream = await client.chat.completions.create(**ENDLESS, stream=True)
    await client.close()
    with pytest.raises(ClientClosedError):
        [chunk async for chunk in stream]
    with pytest.raises(StopAsyncIteration):
        await stream.__anext__()


async def test_two_readers_of_one_stream_are_refused(client: AsyncLlama) -> None:
    stream = await client.chat.completions.create(**ENDLESS, stream=True)
    refused = []

    async def read() -> None:
        try:
            async for _ in stream:
                pass
        except RuntimeError as error:
            refused.append(error)
            tasks.cancel_scope.cancel()

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(read)
        tasks.start_soon(read)
    assert len(refused) == 1
    await stream.close()


async def test_streams_interleave(client: AsyncLlama) -> None:
    order: list[int] = []

    async def read(number: int) -> None:
        stream = await client.chat.completions.create(**ENDLESS, max_tokens=40, stream=True)
        async for _ in stream:
            order.append(number)  # noqa: PERF401 (when each comes is the point)

    async with anyio.create_task_group() as tasks:
        for number in range(4):
            tasks.start_soon(read, number)
    # Each talks before any has finished.
    assert {order.index(number) for number in range(4)} <= set(range(len(order) // 2))
