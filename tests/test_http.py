"""The routes of the HTTP API, on the real engine and without HTTP."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import anyio
import pytest
from support import CLIENT_OPTIONS, ENDLESS, QUESTION, is_idle, until

from llama_async import APITimeoutError, AsyncLlama, ClientClosedError
from llama_async._http import HTTPReply, HTTPRequest, Router
from llama_async._wire import EventStream

pytestmark = pytest.mark.anyio

BODY: dict[str, Any] = {"model": "default", "messages": QUESTION, "max_tokens": 4, "temperature": 0}


ONLY_ASYNCIO = True


@pytest.fixture(scope="module")
async def client(anyio_backend: Any, model_path: Path) -> AsyncIterator[AsyncLlama]:
    async with AsyncLlama(model_path, alias="org/name", **CLIENT_OPTIONS) as client:
        yield client


@pytest.fixture
def router(client: AsyncLlama) -> Router:
    return Router(client)


def post(path: str, body: object) -> HTTPRequest:
    return HTTPRequest("POST", path, body=body if isinstance(body, bytes) else json.dumps(body).encode())


def content(reply: HTTPReply) -> Any:
    assert isinstance(reply.body, bytes)
    assert reply.headers["content-type"] == "application/json"
    assert reply.headers["x-request-id"].startswith("req_")
    assert int(reply.headers["openai-processing-ms"]) >= 0
    return json.loads(reply.body)


async def refusal(router: Router, request: HTTPRequest) -> tuple[int, Any, str]:
    reply = await router.handle(request)
    error = content(reply)["error"]
    assert sorted(error) == ["code", "message", "param", "type"]
    assert error["type"] == "invalid_request_error"
    return reply.status_code, error["param"], error["message"]


@pytest.mark.parametrize("path", ["/v1/chat/completions", "/chat/completions", "chat/completions"])
async def test_an_answer(router: Router, path: str) -> None:
    reply = await router.handle(post(path, BODY))
    assert reply.status_code == 200
    answer = content(reply)
    assert answer["object"] == "chat.completion"
    assert answer["usage"]["completion_tokens"] == 4
    assert "_request_id" not in answer


async def test_a_stream(router: Router) -> None:
    reply = await router.handle(post("/v1/chat/completions", {**BODY, "stream": True}))
    assert reply.status_code == 200
    assert reply.headers["content-type"] == "text/event-stream; charset=utf-8"
    assert reply.headers["x-request-id"].startswith("req_")
    assert isinstance(reply.body, EventStream)
    events = [event async for event in reply.body]
    assert events[-1] == b"data: [DONE]\n\n"
    chunks = [json.loads(event.removeprefix(b"data: ")) for event in events[:-1]]
    assert {chunk["object"] for chunk in chunks} == {"chat.completion.chunk"}
    assert chunks[-1]["choices"][0]["finish_reason"] == "length"


async def test_closing_a_stream_ends_the_request(client: AsyncLlama, router: Router) -> None:
    body = {**ENDLESS, **ENDLESS["extra_body"], "stream": True}
    del body["extra_body"]
    reply = await router.handle(post("/v1/chat/completions", body))
    assert isinstance(reply.body, EventStream)
    await reply.body.__anext__()
    assert not is_idle(client)
    await reply.body.aclose()
    await until(lambda: is_idle(client))


async def test_cancelling_ends_the_request(client: AsyncLlama, router: Router) -> None:
    body = {**ENDLESS, **ENDLESS["extra_body"]}
    del body["extra_body"]
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(router.handle, post("/v1/chat/completions", body))
        await until(lambda: not is_idle(client))
        tasks.cancel_scope.cancel()
    await until(lambda: is_idle(client))


@pytest.mark.parametrize(
    ("method", "path", "status_code"),
    [
        ("GET", "/", 404),
        ("GET", "/v1", 404),
        ("GET", "/v1/", 404),
        ("POST", "/v2/chat/completions", 404),
        ("POST", "/v1/chat/completions/", 404),
        ("POST", "/v1/responses", 404),
        ("POST", "/v1/chat", 404),
        ("GET", "/v1/chat/completions/a/b", 404),
        ("PUT", "/v1/chat/completions", 405),
        ("POST", "/v1/models", 405),
        ("GET", "/v1/embeddings", 405),
    ],
)
async def test_no_such_route(router: Router, method: str, path: str, status_code: int) -> None:
    assert (await refusal(router, HTTPRequest(method, path)))[:2] == (status_code, None)


@pytest.mark.parametrize(
    "body",
    [
        pytest.param(b"", id="empty"),
        pytest.param(b"{", id="cut"),
        pytest.param(b"[]", id="list"),
        pytest.param(b"null", id="null"),
        pytest.param(b'"text"', id="text"),
        pytest.param(b"\xff\xfe", id="not utf-8"),
        pytest.param(b"[" * 200_000, id="nested"),
        pytest.param(b'{"seed": NaN}', id="nan"),
        pytest.param(b'{"seed": ' + b"9" * 5000 + b"}", id="huge integer"),
        pytest.param(b'{"model": "\\ud800", "messages": []}', id="surrogate"),
    ],
)
async def test_body_is_no_json_object(router: Router, body: bytes) -> None:
    status_code, param, message = await refusal(router, post("/v1/chat/completions", body))
    assert (status_code, param) == (400, None)
    assert "body" in message


@pytest.mark.parametrize(
    ("change", "param"),
    [
        pytest.param({"messages": ...}, "messages", id="messages missing"),
        pytest.param({"model": ...}, "model", id="model missing"),
        pytest.param({"messages": None}, "messages", id="messages null"),
        pytest.param({"model": 1}, "model", id="model wrong"),
        pytest.param({"temperature": 9}, "temperature", id="range"),
        pytest.param({"nonsense": 1}, "nonsense", id="unknown"),
        pytest.param({"timeout": 1}, "timeout", id="an argument that is no parameter"),
        pytest.param({"extra_body": {"top_k": 1}}, "extra_body", id="another"),
        pytest.param({"top_k": -1}, "top_k", id="the engine's own"),
    ],
)
async def test_wrong_parameter(router: Router, change: dict[str, Any], param: str) -> None:
    body = {name: value for name, value in {**BODY, **change}.items() if value is not ...}
    assert (await refusal(router, post("/v1/chat/completions", body)))[:2] == (400, param)


async def test_an_unknown_parameter_is_called_by_the_place_it_has(router: Router) -> None:
    """Not by `extra_body`, of which there is none over HTTP."""
    _, _, message = await refusal(router, post("/v1/chat/completions", {**BODY, "nonsense": 1}))
    assert message == "unknown parameter 'nonsense'"


async def test_the_engines_own_parameters_stand_beside_the_others(router: Router) -> None:
    body = {**BODY, "ignore_eos": True, "top_k": 1, "max_tokens": 12}
    answer = content(await router.handle(post("/v1/chat/completions", body)))
    assert answer["usage"]["completion_tokens"] == 12


async def test_unknown_model(router: Router) -> None:
    reply = await router.handle(post("/v1/chat/completions", {**BODY, "model": "other"}))
    assert reply.status_code == 404
    assert content(reply)["error"]["code"] == "model_not_found"


async def test_timeout_is_raised(router: Router) -> None:
    body = json.dumps({**BODY, "max_tokens": 900, "ignore_eos": True}).encode()
    with pytest.raises(APITimeoutError):
        await router.handle(HTTPRequest("POST", "/v1/chat/completions", body=body, timeout=0.001))


async def test_closed_client_is_raised(model_path: Path) -> None:
    client = AsyncLlama(model_path, **CLIENT_OPTIONS)
    await client.close()
    with pytest.raises(ClientClosedError):
        await Router(client).handle(post("/v1/chat/completions", BODY))
