"""The server over real sockets: its routes, its bytes, openai's own clients."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import openai
import pytest
from serving import Running, read_all, read_until, serving, until
from support import ENDLESS, QUESTION
from tools.tiny_models import tiny_llama

from llama_async.server._endpoint import _Exchange

BODY: dict[str, Any] = {
    "model": "default", "messages": QUESTION, "max_tokens": 4, "temperature": 0, "ignore_eos": True,
}  # fmt: skip
UNENDING = {**ENDLESS, **ENDLESS["extra_body"], "stream": True}
del UNENDING["extra_body"]


@pytest.fixture(scope="module")
def server(model_path: Path) -> Iterator[Running]:
    with serving(model_path, alias=["org/name"]) as running:
        yield running


@pytest.fixture(scope="module")
def tiny_path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_llama(tmp_path_factory.mktemp("models") / "tiny.gguf")


@pytest.fixture
def http(server: Running) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=server.url, timeout=60) as client:
        yield client


# -- whole answers -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("prefix", ["", "/v1"])
def test_every_route(http: httpx.Client, prefix: str) -> None:
    chat = http.post(f"{prefix}/chat/completions", json=BODY)
    assert chat.status_code == 200
    assert chat.headers["content-type"] == "application/json"
    assert chat.headers["x-request-id"].startswith("req_")
    assert int(chat.headers["openai-processing-ms"]) >= 0
    assert chat.json()["usage"]["completion_tokens"] == 4
    text = http.post(f"{prefix}/completions", json={"model": "default", "prompt": "One, two,", "max_tokens": 3})
    assert text.json()["object"] == "text_completion"
    vectors = http.post(f"{prefix}/embeddings", json={"model": "default", "input": ["a", "b"]})
    assert [entry["index"] for entry in vectors.json()["data"]] == [0, 1]
    models = http.get(f"{prefix}/models").json()
    assert models["object"] == "list"
    assert {"default", "org/name"} <= {model["id"] for model in models["data"]}
    assert http.get(f"{prefix}/models/org%2Fname").json()["id"] == "org/name"
    tokens = http.post(f"{prefix}/tokenize", json={"content": "hello world"}).json()["tokens"]
    assert http.post(f"{prefix}/tokenize", json={"text": "hello world"}).json()["tokens"] == tokens
    assert http.post(f"{prefix}/detokenize", json={"tokens": tokens}).json() == {"content": "hello world"}
    prompt = http.post(f"{prefix}/apply-template", json={"messages": QUESTION}).json()["prompt"]
    assert "What is the capital of France?" in prompt
    # This model has no rank head.
    rank = http.post(f"{prefix}/rerank", json={"model": "default", "query": "a", "documents": ["b"]})
    assert (rank.status_code, rank.json()["error"]["param"]) == (400, "model")
    assert http.get(f"{prefix}/health").json() == {"status": "ok"}
    assert http.get(f"{prefix}/health/live").json() == {"status": "ok"}
    assert http.get(f"{prefix}/health/ready").json() == {"status": "ready"}
    assert "llama_async_slots" in http.get(f"{prefix}/metrics").text


@pytest.mark.parametrize(
    ("method", "path", "body", "status_code", "param", "code"),
    [
        ("POST", "/v1/chat/completions", {"model": "default"}, 400, "messages", None),
        ("POST", "/v1/chat/completions", {**BODY, "temperature": "hot"}, 400, "temperature", None),
        ("POST", "/v1/chat/completions", {**BODY, "nonsense": 1}, 400, "nonsense", None),
        ("POST", "/v1/chat/completions", {**BODY, "model": "gpt-5"}, 404, "model", "model_not_found"),
        ("POST", "/v1/chat/completions", {**BODY, "max_tokens": 5000}, 400, "messages", "context_length_exceeded"),
        ("POST", "/v1/tokenize", {"content": "a", "text": "a"}, 400, "text", None),
        ("POST", "/v1/chat/completions", b"{", 400, None, None),
        ("POST", "/v1/responses", {}, 404, None, "unknown_url"),
        ("PUT", "/v1/chat/completions", {}, 405, None, "method_not_allowed"),
        ("GET", "/v1/embeddings", None, 405, None, "method_not_allowed"),
        ("GET", "/v1/models/other", None, 404, "model", "model_not_found"),
    ],
)
def test_errors(
    http: httpx.Client, method: str, path: str, body: Any, status_code: int, param: str | None, code: str | None
) -> None:
    content = body if isinstance(body, bytes) else json.dumps(body).encode()
    reply = http.request(method, path, content=content)
    error = reply.json()["error"]
    assert (reply.status_code, error["param"], error["code"]) == (status_code, param, code)
    assert sorted(error) == ["code", "message", "param", "type"]
    assert reply.headers["content-type"] == "application/json"
    assert reply.headers["x-request-id"].startswith("req_")


def test_head_is_get_without_the_body(server: Running, http: httpx.Client) -> None:
    paths = ("/v1/models", "/models", "/v1/models/default", "/health", "/v1/health/ready", "/metrics", "/docs", "/")
    with server.connect() as connection:
        for path in paths:
            connection.sendall(f"HEAD {path} HTTP/1.1\r\nhost: localhost\r\n\r\n".encode())
            # The next reply would begin with the body.
            head, _, rest = read_until(connection, b"\r\n\r\n").decode().partition("\r\n\r\n")
            assert head.startswith("HTTP/1.1 200 ")
            assert not rest
            if path != "/metrics":  # whose numbers vary
                assert f"content-length: {len(http.get(path).content)}\r\n" in head + "\r\n"
    assert http.head("/v1/models/other").status_code == 404
    assert http.head("/v1/embeddings").status_code == 405


@pytest.mark.parametrize(("path", "code"), [("/v1/models/a%0Ab", "model_not_found"), ("/a%0D%0Ab", "unknown_url")])
def test_a_path_with_a_line_end_is_answered_as_any_other(http: httpx.Client, path: str, code: str) -> None:
    reply = http.get(path)
    assert (reply.status_code, reply.json()["error"]["code"]) == (404, code)
    assert reply.headers["x-request-id"]


def test_connections_are_kept(http: httpx.Client) -> None:
    for _ in range(3):
        assert http.post("/v1/tokenize", json={"content": "a"}).status_code == 200
    with httpx.Client(base_url=http.base_url) as one:
        ports = set()
        for _ in range(3):
            reply = one.get("/health", extensions={"trace": lambda *_: None})
            ports.add(reply.extensions["network_stream"].get_extra_info("client_addr"))
        assert len(ports) == 1


# -- streams -----------------------------------------------------------------------------------------------------------


def test_a_stream_byte_by_byte(server: Running) -> None:
    body = {**BODY, "stream": True, "stream_options": {"include_usage": True}}
    with server.send("/v1/chat/completions", body, headers="connection: close\r\n") as connection:
        head, _, rest = read_all(connection).partition(b"\r\n\r\n")
    lines = head.decode().lower().split("\r\n")
    assert lines[0] == "http/1.1 200 ok"
    assert "content-type: text/event-stream; charset=utf-8" in lines
    assert "cache-control: no-cache" in lines
    assert any(line.startswith("x-request-id: req_") for line in lines)
    assert any(line.startswith("openai-processing-ms: ") for line in lines)
    events = unchunked(rest).decode().split("\n\n")
    assert events[-2:] == ["data: [DONE]", ""]
    chunks = [json.loads(event.removeprefix("data: ")) for event in events[:-2]]
    assert chunks[0]["choices"][0]["delta"]["role"] == "assistant"
    assert chunks[-2]["choices"][0]["finish_reason"] == "length"
    assert chunks[-1]["choices"] == []
    assert chunks[-1]["usage"]["completion_tokens"] == 4
    assert all(chunk["usage"] is None for chunk in chunks[:-1])
    assert len({chunk["id"] for chunk in chunks}) == 1


@pytest.mark.parametrize("connection", ["close", "keep-alive"])
def test_a_client_of_http_1_0_gets_no_chunks(server: Running, connection: str) -> None:
    def ask(path: str, body: Any) -> tuple[str, bytes]:
        content = json.dumps(body).encode()
        head = f"POST {path} HTTP/1.0\r\nhost: localhost\r\nconnection: {connection}\r\ncontent-length: {len(content)}"
        with server.connect() as opened:
            opened.sendall(f"{head}\r\n\r\n".encode() + content)
            # To the end of the connection, which ends the body.
            answered, _, rest = read_all(opened).partition(b"\r\n\r\n")
        assert b"transfer-encoding" not in answered
        assert b"connection: close" in answered
        return answered.decode(), rest

    head, events = ask("/v1/chat/completions", {**BODY, "stream": True})
    assert "content-length" not in head
    assert events.startswith(b'data: {"id"')
    assert events.endswith(b"data: [DONE]\n\n")
    head, whole = ask("/v1/tokenize", {"content": "a"})
    assert f"content-length: {len(whole)}" in head
    assert json.loads(whole)["tokens"]


@pytest.mark.parametrize("path", ["/v1/chat/completions", "/v1/completions"])
def test_events_written_without_a_task_are_those_written_by_one(
    server: Running, path: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    question = {"messages": QUESTION} if "chat" in path else {"prompt": "One, two,"}
    body = {"model": "default", **question, "stream": True, "max_tokens": 24, "temperature": 0, "ignore_eos": True}
    # What differs between two runs of one request.
    several = {"n": 2, "seed": 1}

    def texts(direct: bool) -> list[dict[int, str]]:
        written: list[bytes] = []
        write_now = _Exchange._write_now

        def counting(exchange: _Exchange, events: bytes) -> bool:
            return direct and write_now(exchange, events) and not written.append(events)

        monkeypatch.setattr(_Exchange, "_write_now", counting)
        found = []
        for more in ({}, several):
            with server.send(path, {**body, **more}, headers="connection: close\r\n") as connection:
                events = unchunked(read_all(connection).partition(b"\r\n\r\n")[2]).decode().split("\n\n")
            assert events[-2:] == ["data: [DONE]", ""]
            by_choice: dict[int, str] = {}
            for event in events[:-2]:
                for choice in json.loads(event.removeprefix("data: "))["choices"]:
                    text = choice["delta"].get("content") or "" if "delta" in choice else choice["text"]
                    by_choice[choice["index"]] = by_choice.get(choice["index"], "") + text
            found.append(by_choice)
        monkeypatch.undo()
        assert bool(written) is direct
        return found

    assert texts(direct=True) == texts(direct=False)


def unchunked(data: bytes) -> bytes:
    parts = []
    while data:
        size, _, data = data.partition(b"\r\n")
        n = int(size, 16)
        parts.append(data[:n])
        assert data[n : n + 2] == b"\r\n"
        data = data[n + 2 :]
        if n == 0:
            assert not data
    return b"".join(parts)


def test_any_name_of_a_model(tiny_path: Path) -> None:
    question = {"messages": QUESTION, "max_tokens": 1}
    with serving(tiny_path, alias="*") as running, httpx.Client(base_url=running.url, timeout=60) as http:
        for name in ("gpt-4o", "org/name:tag", "*", "default"):
            answer = http.post("/v1/chat/completions", json={"model": name, **question})
            assert (answer.status_code, answer.json()["model"]) == (200, name)
        vectors = http.post("/v1/embeddings", json={"model": "text-embedding-3-small", "input": "a"})
        assert vectors.json()["model"] == "text-embedding-3-small"
        assert http.get("/v1/models/org%2Fname").json()["id"] == "org/name"
        # The names it has of its own; there is no end of the others.
        assert [model["id"] for model in http.get("/v1/models").json()["data"]] == [tiny_path.stem, "default"]
        # A name is asked for all the same, as openai's server does.
        assert http.post("/v1/chat/completions", json=question).json()["error"]["param"] == "model"


def test_models_are_described_by_what_is_known_of_them(tiny_path: Path) -> None:
    models = {"told": {"path": tiny_path, "n_ctx": 96}, "untold": tiny_path}
    with (
        serving(None, models=models, n_ctx=None, preload=False) as running,
        httpx.Client(base_url=running.url, timeout=60) as http,
    ):

        def entries() -> list[Any]:
            listed: list[Any] = http.get("/v1/models").json()["data"]
            assert listed == [http.get(f"/v1/models/{name}").json() for name in models]
            return listed

        own = {"created", "id", "object", "owned_by"}
        told, untold = entries()
        assert set(untold) == own
        assert (set(told) - own, told["max_model_len"]) == ({"max_model_len"}, 96)
        for name in models:
            http.post("/v1/completions", json={"model": name, "prompt": "a", "max_tokens": 1}).raise_for_status()
        told, untold = entries()
        assert (told["max_model_len"], untold["max_model_len"]) == (96, 4096)
        assert told["meta"] == untold["meta"]
        assert set(told["meta"]) == {"n_vocab", "n_ctx_train", "n_embd", "n_params", "size"}
        assert told["meta"]["n_ctx_train"] == 4096
        # All in 32-bit floats.
        assert told["meta"]["size"] == 4 * told["meta"]["n_params"]


def test_a_refused_stream_is_no_stream(http: httpx.Client) -> None:
    reply = http.post("/v1/chat/completions", json={**BODY, "stream": True, "temperature": -1})
    assert reply.status_code == 400
    assert reply.headers["content-type"] == "application/json"
    assert reply.json()["error"]["param"] == "temperature"


def test_a_client_that_leaves_frees_its_sequence(server: Running) -> None:
    took_s = []
    for _ in range(5):
        connection = server.send("/v1/chat/completions", UNENDING)
        assert b"data: " in read_until(connection, b"data: ")
        assert not server.is_idle()
        connection.close()
        took_s.append(until(server.is_idle, timeout_s=5))
    assert min(took_s) < 0.1


def test_a_client_that_leaves_before_the_answer_frees_its_sequence(server: Running) -> None:
    connection = server.send("/v1/chat/completions", {**UNENDING, "stream": False})
    until(lambda: not server.is_idle())
    connection.close()
    until(server.is_idle, timeout_s=5)


# -- openai's own clients ----------------------------------------------------------------------------------------------


def test_openais_client(server: Running) -> None:
    with openai.OpenAI(base_url=f"{server.url}/v1", api_key="none", max_retries=0) as client:
        answer = client.chat.completions.create(**BODY_FOR_CLIENT)
        assert answer.usage
        assert answer.usage.completion_tokens == 4
        assert answer._request_id
        stream = client.chat.completions.create(**BODY_FOR_CLIENT, stream=True)
        assert "".join(chunk.choices[0].delta.content or "" for chunk in stream) == answer.choices[0].message.content
        # Asked for in base64, as that client does by itself.
        vector = client.embeddings.create(model="default", input="a").data[0].embedding
        assert all(isinstance(number, float) for number in vector)
        assert {model.id for model in client.models.list()} >= {"default", "org/name"}
        with pytest.raises(openai.BadRequestError) as caught:
            client.chat.completions.create(**{**BODY_FOR_CLIENT, "temperature": 9})
        assert caught.value.param == "temperature"
        assert caught.value.request_id
        with pytest.raises(openai.NotFoundError):
            client.chat.completions.create(**{**BODY_FOR_CLIENT, "model": "other"})


@pytest.mark.anyio
async def test_openais_async_client(server: Running, anyio_backend: Any) -> None:
    async with openai.AsyncOpenAI(base_url=server.url, api_key="none", max_retries=0) as client:
        async with client.chat.completions.stream(**BODY_FOR_CLIENT) as stream:
            kinds = {event.type async for event in stream}
        assert "content.delta" in kinds
        assert stream.current_completion_snapshot.choices[0].finish_reason == "length"


BODY_FOR_CLIENT: dict[str, Any] = {
    "model": "default",
    "messages": QUESTION,
    "max_tokens": 4,
    "temperature": 0,
    "extra_body": {"ignore_eos": True, "cache_prompt": False},
}

ONLY_ASYNCIO = True
