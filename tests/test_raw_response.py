"""`with_raw_response` and `with_streaming_response`: surfaces, bodies, streams, and the request they stand for."""

from __future__ import annotations

import functools
import json
from pathlib import Path
from typing import Any

import httpx
import openai
import openai._legacy_response
import openai._response
import pytest
from openai import resources as theirs
from openai.resources.chat.completions import messages as their_messages
from support import QUESTION

from llama_async import AsyncLlama, AsyncStream, BadRequestError, BaseModel, ClientClosedError, NotFoundError, _response
from llama_async._response import (
    APIResponse,
    AsyncAPIResponse,
    LegacyAPIResponse,
    StreamAlreadyConsumed,
    to_raw_response_wrapper,
    to_streamed_response_wrapper,
)
from llama_async.pagination import AsyncPage
from llama_async.resources import raw
from llama_async.types import Model
from llama_async.types.chat import ChatCompletion

anyio_test = pytest.mark.anyio

REQUEST: dict[str, Any] = {"model": "default", "messages": QUESTION, "max_tokens": 4, "temperature": 0}


def public(thing: object) -> set[str]:
    return {name for name in dir(thing) if not name.startswith("_")}


@pytest.mark.parametrize(
    ("ours", "reference"),
    [
        (LegacyAPIResponse, openai._legacy_response.LegacyAPIResponse),
        (AsyncAPIResponse, openai._response.AsyncAPIResponse),
        (APIResponse, openai._response.APIResponse),
    ],
)
def test_surfaces_are_openais(ours: Any, reference: Any) -> None:
    # Attributes without a default stand in the annotations only.
    attributes = {"http_response", "retries_taken"}
    assert public(ours) | attributes == public(reference) | attributes


@pytest.mark.parametrize(
    ("ours", "reference"),
    [
        ("models", theirs.AsyncModels),
        ("embeddings", theirs.AsyncEmbeddings),
        ("chat", theirs.AsyncChat),
        ("chat.completions", theirs.chat.AsyncCompletions),
        ("chat.completions.messages", their_messages.AsyncMessages),
    ],
)
@pytest.mark.parametrize("kind", ["with_raw_response", "with_streaming_response"])
def test_what_openai_wraps_is_wrapped(ours: str, reference: Any, kind: str) -> None:
    client = AsyncLlama("/no/such/file.gguf")
    names = ours.split(".")
    resource = functools.reduce(getattr, names, client)
    wrapped = getattr(resource, kind)
    expected = public(getattr(reference(openai.AsyncOpenAI(api_key="x")), kind)) & public(resource)
    assert public(wrapped) == expected
    assert expected
    through_client = functools.reduce(getattr, names, getattr(client, kind))
    assert type(through_client) is type(wrapped)
    their_class = type(getattr(reference(openai.AsyncOpenAI(api_key="x")), kind))
    assert type(wrapped).__name__ == their_class.__name__


def test_every_class_is_exported_and_used() -> None:
    assert set(raw.__all__) == {name for name in vars(raw) if name.startswith("Async") and "With" in name}


@anyio_test
async def test_a_raw_response(shared_client: AsyncLlama) -> None:
    response = await shared_client.chat.completions.with_raw_response.create(
        **REQUEST, extra_headers={"x-mine": "1"}, extra_body={"cache_prompt": False}
    )
    completion = response.parse()
    assert isinstance(completion, ChatCompletion)
    assert response.parse() is completion
    assert response.status_code == 200
    assert response.request_id == response.headers["x-request-id"] == completion._request_id
    assert response.headers["content-type"] == "application/json"
    assert int(response.headers["openai-processing-ms"]) >= 0
    assert response.method == response.http_request.method == "POST"
    assert str(response.url) == "http://llama-async.invalid/v1/chat/completions"
    assert response.http_request.headers["x-mine"] == "1"
    assert response.elapsed.total_seconds() > 0
    assert response.retries_taken == 0
    assert response.is_closed
    assert response.http_version == "HTTP/1.1"
    assert isinstance(response.http_response, httpx.Response)
    assert json.loads(response.text) == json.loads(response.content) == completion.to_dict(mode="json")
    assert repr(response).startswith("<APIResponse [200 OK] type=<class")
    with pytest.raises(NotFoundError):
        await shared_client.chat.completions.with_raw_response.create(**{**REQUEST, "model": "?"})


@anyio_test
async def test_parse_to_other_types(shared_client: AsyncLlama) -> None:
    class Short(BaseModel):
        id: str
        model: str

    class Foreign:
        pass

    response = await shared_client.models.with_raw_response.retrieve("default")
    short = response.parse(to=Short)
    assert isinstance(short, Short)
    assert short.id == "default"
    assert short._request_id == response.request_id
    assert response.parse(to=dict) == json.loads(response.text)
    assert response.parse(to=str) == response.text
    assert response.parse(to=httpx.Response) is response.http_response
    import pydantic

    with pytest.raises(TypeError, match=r"subclass of llama_async\.BaseModel"):
        response.parse(to=pydantic.BaseModel)


@anyio_test
async def test_a_raw_stream(shared_client: AsyncLlama) -> None:
    response = await shared_client.chat.completions.with_raw_response.create(**REQUEST, stream=True)
    assert response.headers["content-type"].startswith("text/event-stream")
    assert not response.is_closed
    stream = response.parse()
    assert isinstance(stream, AsyncStream)
    assert response.parse(to=AsyncStream[Any]) is stream
    with pytest.raises(TypeError, match="AsyncStream"):
        response.parse(to=dict)
    chunks = [chunk async for chunk in stream]
    assert chunks[-1].choices[0].finish_reason == "length"
    assert response.is_closed


@anyio_test
async def test_a_streamed_response_is_read_when_asked_for(shared_client: AsyncLlama) -> None:
    async with shared_client.chat.completions.with_streaming_response.create(**REQUEST) as response:
        assert not response.is_closed
        completion = await response.parse()
        assert isinstance(completion, ChatCompletion)
        assert completion._request_id == response.request_id
        assert await response.json() == completion.to_dict(mode="json")
        assert json.loads(await response.text()) == json.loads(await response.read())
        assert await response.parse(to=str) == await response.text()
        assert repr(response).startswith("<AsyncAPIResponse [200 OK]")
    assert response.is_closed
    async with shared_client.models.with_streaming_response.list() as listed:
        parts = [part async for part in listed.iter_bytes(7)]
        assert all(len(part) == 7 for part in parts[:-1])
        assert json.loads(b"".join(parts))["object"] == "list"
        with pytest.raises(StreamAlreadyConsumed):
            await listed.read()
    async with shared_client.models.with_streaming_response.list() as unread:
        assert not unread.is_closed
    assert unread.is_closed


@anyio_test
async def test_events_of_a_streamed_response(shared_client: AsyncLlama) -> None:
    async with shared_client.chat.completions.with_streaming_response.create(**REQUEST, stream=True) as response:
        lines = [line async for line in response.iter_lines() if line]
    assert lines[-1] == "data: [DONE]"
    chunks = [json.loads(line.removeprefix("data: ")) for line in lines[:-1]]
    assert {chunk["object"] for chunk in chunks} == {"chat.completion.chunk"}
    text = "".join(chunk["choices"][0]["delta"].get("content") or "" for chunk in chunks)
    async with shared_client.chat.completions.with_streaming_response.create(**REQUEST, stream=True) as parsed:
        assert "".join([c.choices[0].delta.content or "" async for c in await parsed.parse()]) == text
    async with shared_client.chat.completions.with_streaming_response.create(**REQUEST, stream=True) as left:
        assert not left.is_closed
    assert left.is_closed


@anyio_test
async def test_paths_name_what_the_call_names(model_path: Path) -> None:
    client = AsyncLlama(
        model_path, alias="*", base_url="http://example.com/v1/", default_headers={"a": "1", "b": "2"}
    ).with_options(default_headers={"b": "3"})
    response = await client.with_raw_response.models.retrieve("ft:a/b c")
    assert str(response.url) == "http://example.com/v1/models/ft%3Aa%2Fb%20c"
    assert (response.method, response.http_request.headers["a"], response.http_request.headers["b"]) == (
        "GET",
        "1",
        "3",
    )
    assert response.parse().id == "ft:a/b c"
    deleted = await client.models.with_raw_response.delete(model="ft:a/b c")
    assert (deleted.method, deleted.parse().deleted) == ("DELETE", True)
    page = (await client.models.with_raw_response.list()).parse()
    assert isinstance(page, AsyncPage)
    assert page._request_id
    await client.close()


@anyio_test
async def test_a_context_that_is_never_entered_asks_nothing(model_path: Path) -> None:
    client = AsyncLlama(model_path)
    client.chat.completions.with_streaming_response.create(**REQUEST)
    await client.close()
    with pytest.raises(ClientClosedError):
        async with client.chat.completions.with_streaming_response.create(**REQUEST):
            pass
    wrong: Any = {**REQUEST, "temperature": "hot"}
    with pytest.raises(BadRequestError):
        await client.chat.completions.with_raw_response.create(**wrong)


class Blocking:
    """A resource of a blocking client."""

    def __init__(self) -> None:
        self._client = AsyncLlama("x.gguf")

    def retrieve(self, model: str) -> Model:
        return Model(id=model, created=1, object="model", owned_by="me")


def test_blocking_twins() -> None:
    resource = Blocking()
    response = to_raw_response_wrapper(resource.retrieve, "GET", "/models/{model}")("a")
    assert response.parse().id == "a"
    assert str(response.url).endswith("/models/a")
    with to_streamed_response_wrapper(resource.retrieve, "GET", "/models/{model}")("b") as streamed:
        assert isinstance(streamed, APIResponse)
        assert not streamed.is_closed
        assert streamed.parse().id == "b"
        assert streamed.json() == json.loads(streamed.text()) == json.loads(streamed.read())
    assert streamed.is_closed
    with to_streamed_response_wrapper(resource.retrieve, "GET", "/models/{model}")("b") as lines:
        assert json.loads("".join(lines.iter_lines()))["id"] == "b"
        with pytest.raises(_response.StreamAlreadyConsumed):
            lines.read()
