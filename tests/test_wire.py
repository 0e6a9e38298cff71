"""Events of a stream and error replies, without an engine."""

from __future__ import annotations

import json
from typing import Any

import pytest

import llama_async
from llama_async._abi import Status
from llama_async._errors import error_from_status, route_error
from llama_async._wire import EventStream, error_reply
from llama_async.types.chat import ChatCompletionChunk

pytestmark = pytest.mark.anyio


ONLY_ASYNCIO = True


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
