"""Events of a stream and error replies, without an engine."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest

import llama_async
from llama_async._abi import Finish, Status
from llama_async._assemble import ChatAssembler
from llama_async._errors import error_from_status, route_error
from llama_async._generation import Delta, Generation
from llama_async._stream import AsyncStream
from llama_async._text_assemble import TextAssembler
from llama_async._wire import EventStream, error_reply, json_body
from llama_async.types.chat import ChatCompletionChunk

pytestmark = pytest.mark.anyio


ONLY_ASYNCIO = True


def assemblers(model: str) -> list[ChatAssembler | TextAssembler]:
    both: dict[str, Any] = {"model": model, "fingerprint": "fp", "n_choices": 2}
    return [
        ChatAssembler(**both, logprobs=False, include_usage=False),
        ChatAssembler(**both, logprobs=False, include_usage=True, tools=True),
        TextAssembler(**both, echo=None, n_prompts=1, n=2, logprobs=None, include_usage=True),
    ]


class Pump:
    """Has a task wait for what a drain would bring."""

    async def wait(self, source: Any) -> None:
        source.waker = asyncio.get_running_loop().create_future()
        await source.waker


class Writer:
    """Writes while it is open."""

    def __init__(self) -> None:
        self.written: list[bytes] = []
        self.is_open = True

    def write(self, events: bytes) -> bool:
        if self.is_open:
            self.written.append(events)
        return self.is_open


def streamed(assembler: Any) -> tuple[Generation, EventStream]:
    generation = Generation(Pump(), streaming=True)  # type: ignore[arg-type]
    return generation, EventStream(AsyncStream(generation=generation, assembler=assembler, client=None))


def as_events(parts: list[Any]) -> bytes:
    return b"".join(b"data: " + json_body(part) + b"\n\n" for part in parts)


NO_FINISH = int(Finish.NONE)


def delta(text: str, choice: int = 0) -> Delta:
    return Delta(choice, text, b"", NO_FINISH, 1)


TEXTS = [
    " word", '"', "\\", "\n\r\t\b\f\v\0\x1f\x7f", "\u2028\u2029\ufeff", "äß漢字", "\U0001f600", "</script>",
    "a" * 10_000, "".join(map(chr, range(256))),
]  # fmt: skip
CHUNK = ChatCompletionChunk(id="c", choices=[], created=1, model="m", object="chat.completion.chunk")


class Parts:
    """Hands out parts, raising those that are exceptions."""

    def __init__(self, *parts: object) -> None:
        self._parts = list(parts)
        self.closed = False

    async def __anext__(self) -> Any:
        if not self._parts:
            raise StopAsyncIteration
        part = self._parts.pop(0)
        if isinstance(part, Exception):
            raise part
        return part

    def _close(self) -> None:
        self.closed = True

    def _has_next(self) -> bool:
        return True

    def _take_text(self) -> None:
        return None


def data(event: bytes) -> Any:
    assert event.startswith(b"data: ")
    assert event.endswith(b"\n\n")
    assert event.count(b"\n") == 2
    return json.loads(event[6:])


async def test_events_end_with_done() -> None:
    events = [event async for event in EventStream(Parts(CHUNK, CHUNK))]
    assert [data(event) for event in events[:-1]] == [CHUNK.to_dict(), CHUNK.to_dict()]
    assert events[-1] == b"data: [DONE]\n\n"


async def test_an_error_in_the_middle_is_the_last_event() -> None:
    error = error_from_status(Status.INTERNAL, "fault", mid_stream=True)
    events = [event async for event in EventStream(Parts(CHUNK, error, CHUNK))]
    assert len(events) == 2
    assert data(events[1]) == {
        "error": {"message": "fault", "type": "server_error", "param": None, "code": None},
    }


@pytest.mark.parametrize("status", [Status.TIMEOUT, Status.CLOSED, Status.CANCELLED])
async def test_an_error_of_the_connection_is_raised(status: Status) -> None:
    events = EventStream(Parts(CHUNK, error_from_status(status, ""), CHUNK))
    assert data(await events.__anext__())
    with pytest.raises(llama_async.APIConnectionError):
        await events.__anext__()
    with pytest.raises(StopAsyncIteration):
        await events.__anext__()


@pytest.mark.parametrize("model", ["m", '"', "\\", "ü\n"])
async def test_events_of_text_are_those_of_its_chunks(model: str) -> None:
    for assembler in assemblers(model):
        generation, events = streamed(assembler)
        written: list[bytes] = []
        expected = as_events(assembler.opening())
        for index, text in enumerate(TEXTS):
            expected += as_events([assembler.chunk(delta(text, index % 2))])
            generation.push(index % 2, text, b"", NO_FINISH, 1)
            written.append(await events.batch())
        assert b"".join(written) == expected


async def test_a_writer_gets_events_while_they_are_waited_for() -> None:
    for assembler in assemblers("m"):
        generation, events = streamed(assembler)
        generation.push(0, "a", b"", NO_FINISH, 1)
        assert await events.batch() == as_events([*assembler.opening(), assembler.chunk(delta("a"))])
        writer = Writer()
        written = writer.written
        task = asyncio.create_task(events.batch(writer.write))
        await asyncio.sleep(0)
        for text in TEXTS:
            generation.push(0, text, b"", NO_FINISH, 1)
        generation.push(1, "b", b"", NO_FINISH, 1)
        await asyncio.sleep(0)
        assert not task.done()
        assert b"".join(written) == as_events(
            [assembler.chunk(delta(text)) for text in TEXTS] + [assembler.chunk(delta("b", 1))]
        )
        written.clear()
        # What cannot be written is the reader's, and so is all that follows before the reader has it.
        writer.is_open = False
        generation.push(1, "c", b"", NO_FINISH, 1)
        writer.is_open = True
        generation.push(0, "d", b"", NO_FINISH, 1)
        generation.push(1, "e", b"", NO_FINISH, 1)
        assert await task == as_events([assembler.chunk(delta("ce", 1)), assembler.chunk(delta("d"))])
        assert not written


async def test_what_is_more_than_text_is_the_readers() -> None:
    for assembler in assemblers("m"):
        generation, events = streamed(assembler)
        generation.push(0, "a", b"", NO_FINISH, 1)
        await events.batch()
        writer = Writer()
        # Text that ends its choice, and an end without text.
        for choice, text, finish, reason in ((0, "b", Finish.STOP, "stop"), (1, "", Finish.LENGTH, "length")):
            task = asyncio.create_task(events.batch(writer.write))
            await asyncio.sleep(0)
            generation.push(choice, text, b"", int(finish), 1)
            *others, last = [data(event + b"\n\n") for event in (await task).split(b"\n\n")[:-1]]
            assert others == ([json.loads(json_body(assembler.chunk(delta(text))))] if text else [])
            assert last["choices"][0]["finish_reason"] == reason
        assert not writer.written


async def test_log_probabilities_are_the_readers() -> None:
    """The first of text completions have offsets, which depend on what came before."""
    assembler = TextAssembler(
        model="m", fingerprint="fp", echo=None, n_prompts=1, n=1, n_choices=1, logprobs=0, include_usage=False
    )
    generation, events = streamed(assembler)
    writer = Writer()
    task = asyncio.create_task(events.batch(writer.write))
    await asyncio.sleep(0)
    generation.push(0, "a", b"", NO_FINISH, 1)
    assert b'"text_offset":[' in await task
    assert not writer.written


async def test_cancelling_who_waits_cancels_the_request() -> None:
    generation, events = streamed(assemblers("m")[2])
    task = asyncio.create_task(events.batch(lambda _event: True))
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert generation.closed
    generation.push(0, "a", b"", NO_FINISH, 1)
    assert generation.take() is None


async def test_closing_the_events_closes_the_stream() -> None:
    parts = Parts(CHUNK, CHUNK)
    events = EventStream(parts)
    await events.__anext__()
    await events.aclose()
    assert parts.closed
    assert [event async for event in events] == []


@pytest.mark.parametrize(
    ("error", "status_code", "retry"),
    [
        (error_from_status(Status.INVALID, "wrong", "n"), 400, True),
        (error_from_status(Status.QUEUE_FULL, "full"), 429, True),
        (error_from_status(Status.INTERNAL, "fault"), 500, False),
        (error_from_status(Status.MEMORY, "memory"), 500, False),
        (error_from_status(Status.NOT_READY, "soon"), 503, True),
        (error_from_status(Status.LOAD, "corrupt", path="m.gguf"), 500, False),
        (error_from_status(Status.TIMEOUT, ""), 504, True),
        (error_from_status(Status.CLOSED, ""), 503, True),
        (error_from_status(Status.FORKED, ""), 500, False),
        (route_error("GET", "/nowhere"), 404, True),
        (route_error("PUT", "/models", ("GET",)), 405, True),
    ],
)
def test_error_reply(error: llama_async.OpenAIError, status_code: int, retry: bool) -> None:
    reply = error_reply(error)
    assert reply.status_code == status_code
    assert reply.headers["content-type"] == "application/json"
    assert reply.headers["x-request-id"].startswith("req_")
    assert reply.headers.get("x-should-retry") == (None if retry else "false")
    assert ("retry-after" in reply.headers) == (status_code == 429)
    assert reply.headers.get("allow") == ("GET" if status_code == 405 else None)
    body = json.loads(reply.body)
    assert sorted(body["error"]) == ["code", "message", "param", "type"]
    assert body["error"]["message"]
    assert body["error"]["param"] == ("n" if status_code == 400 else None)


def test_an_errors_reply_does_not_depend_on_who_looked_at_its_response() -> None:
    error = error_from_status(Status.QUEUE_FULL, "full")
    assert isinstance(error, llama_async.RateLimitError)
    before = error_reply(error)
    assert error.response.status_code == 429
    assert error_reply(error) == before
