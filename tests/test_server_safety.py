"""The server against strangers: keys, hosts, origins, limits, slow clients, and requests that nobody wrote by hand."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from serving import Running, read_all, read_until, serving, until
from support import QUESTION

from llama_async import OptionError, _registry
from llama_async.server import AppSettings, ServerSettings
from llama_async.server._guard import Guard

KEYS = ("first-key", "second-key")
BODY: dict[str, Any] = {"model": "default", "messages": QUESTION, "max_tokens": 2}
LARGE = {"name": "a", "schema": {"const": "a" * 5_000}}
HEAD = "POST /v1/tokenize HTTP/1.1\r\nhost: localhost\r\nauthorization: Bearer first-key\r\ncontent-length: {}\r\n\r\n"


@pytest.fixture(scope="module")
def server(model_path: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    keys = tmp_path_factory.mktemp("keys") / "keys"
    keys.write_text("# those of others\n\nthird-key\n")
    with serving(
        model_path,
        api_keys=list(KEYS),
        api_key_file=keys,
        max_body_bytes=20_000,
        max_messages=8,
        max_schema_bytes=4_000,
        body_timeout_s=0.5,
        header_timeout_s=0.5,
        max_requests=3,
    ) as running:
        yield running


@pytest.fixture
def http(server: Running) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=server.url, timeout=60, headers={"authorization": "Bearer second-key"}) as client:
        yield client


def error_of(reply: httpx.Response) -> Any:
    assert reply.headers["content-type"] == "application/json"
    error = reply.json()["error"]
    assert sorted(error) == ["code", "message", "param", "type"]
    return error


# -- who may ask -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("key", [*KEYS, "third-key"])
def test_each_key_is_let_in(server: Running, key: str) -> None:
    reply = httpx.get(f"{server.url}/v1/models", headers={"authorization": f"bearer {key}"})
    assert reply.status_code == 200


@pytest.mark.parametrize(
    ("headers", "status_code"),
    [
        ({"x-api-key": "first-key"}, 200),
        ({"X-API-Key": "third-key"}, 200),
        ({"x-api-key": "first-key", "authorization": "Bearer"}, 200),
        ({"x-api-key": "first-key", "authorization": "Basic dXNlcjpw"}, 200),
        ({"x-api-key": "first-ke"}, 401),
        ({"x-api-key": "Bearer first-key"}, 401),
        ({"x-api-key": ""}, 401),
        # The one that openai's clients send counts.
        ({"x-api-key": "first-key", "authorization": "Bearer wrong"}, 401),
    ],
)  # fmt: skip
def test_a_key_may_have_a_header_of_its_own(server: Running, headers: dict[str, str], status_code: int) -> None:
    assert httpx.get(f"{server.url}/v1/models", headers=headers).status_code == status_code


@pytest.mark.parametrize("value", [None, "", "Bearer", "Bearer first-ke", "Bearer first-key2", "Basic first-key"])
def test_others_are_not(server: Running, value: str | None) -> None:
    reply = httpx.get(f"{server.url}/v1/models", headers={} if value is None else {"authorization": value})
    assert reply.status_code == 401
    assert error_of(reply)["code"] == "invalid_api_key"
    assert reply.headers["www-authenticate"] == "Bearer"
    assert "first-key" not in reply.text


def test_health_and_pages_need_no_key_metrics_do(server: Running) -> None:
    for path in ("/health", "/health/live", "/v1/health/ready", "/", "/docs", "/openapi.json"):
        assert httpx.get(server.url + path).status_code == 200
    assert httpx.get(f"{server.url}/metrics").status_code == 401


def test_a_name_that_points_here_is_not_enough(server: Running, http: httpx.Client) -> None:
    for host in ("evil.example", "127.0.0.1.evil.example:80", ""):
        reply = http.get("/v1/models", headers={"host": host})
        assert reply.status_code in {400, 403}
    for host in ("localhost", "LOCALHOST:1", "127.0.0.1", "[::1]:80"):
        assert http.get("/v1/models", headers={"host": host}).status_code == 200


def test_pages_of_others_are_refused(server: Running, http: httpx.Client) -> None:
    def post(headers: dict[str, str]) -> httpx.Response:
        return http.post("/v1/tokenize", json={"content": "a"}, headers=headers)

    assert error_of(post({"origin": "https://evil.example"}))["code"] == "origin_not_allowed"
    assert post({"origin": "null"}).status_code == 403
    assert post({"sec-fetch-site": "cross-site"}).status_code == 403
    assert post({"origin": server.url}).status_code == 200
    assert post({"origin": "https://elsewhere.example", "sec-fetch-site": "same-origin"}).status_code == 200
    assert post({}).status_code == 200
    # And what is read is the browser's to keep from them: it is told nothing else.
    reply = http.get("/v1/models", headers={"origin": "https://evil.example"})
    assert "access-control-allow-origin" not in reply.headers


def test_a_configured_origin_is_let_in(model_path: Path) -> None:
    with serving(model_path, cors_origins=["https://good.example"]) as running:
        headers = {"origin": "https://good.example", "access-control-request-method": "POST"}
        preflight = httpx.options(f"{running.url}/v1/tokenize", headers=headers)
        assert preflight.status_code == 200
        assert preflight.headers["access-control-allow-origin"] == "https://good.example"
        reply = httpx.post(f"{running.url}/v1/tokenize", json={"content": "a"}, headers=headers)
        assert reply.status_code == 200
        assert "x-request-id" in reply.headers["access-control-expose-headers"]


@pytest.mark.parametrize("content", ["", "# nothing\n"])
def test_a_file_without_keys_is_an_error(tmp_path: Path, content: str) -> None:
    file = tmp_path / "keys"
    file.write_text(content)
    with pytest.raises(OptionError, match="api_key_file"):
        Guard(AppSettings(api_key_file=file))
    with pytest.raises(OptionError, match="api_key_file"):
        Guard(AppSettings(api_key_file=tmp_path / "none"))


def test_keys_are_not_shown() -> None:
    assert "secret-key" not in repr(AppSettings(api_keys=["secret-key"]))  # type: ignore[arg-type]
    assert ServerSettings(model="m.gguf").host == "127.0.0.1"


@pytest.mark.parametrize("path", ["/v1/models/default", "/models/default", "/v1/models/none", "/models/"])
def test_nobody_deletes_a_model_where_that_is_not_allowed(http: httpx.Client, path: str) -> None:
    reply = http.delete(path)
    assert (reply.status_code, error_of(reply)["code"]) == (403, "deletion_not_allowed")
    assert http.get("/v1/models/default").status_code == 200


def test_a_name_is_deleted_where_that_is_allowed(model_path: Path) -> None:
    with serving(model_path, alias=["other"], allow_delete=True, preload=False) as running:
        url = f"{running.url}/v1/models"
        assert httpx.delete(f"{url}/other").json() == {"id": "other", "deleted": True, "object": "model"}
        assert httpx.delete(f"{url}/other").status_code == httpx.get(f"{url}/other").status_code == 404
        assert httpx.get(f"{url}/default").status_code == 200


def test_deleted_names_are_not_kept_without_end(model_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_registry, "_MOST_DELETED", 2)
    with serving(model_path, alias=["other", "*"], allow_delete=True, preload=False) as running:
        registry = running.server.application.client._registry
        with httpx.Client(base_url=f"{running.url}/v1", timeout=60) as http:
            statuses = [http.delete(f"/models/{name}").status_code for name in ("a", "b", "c", "a", "other")]
            # What a model has of its own can always go.
            assert statuses == [200, 200, 400, 404, 200]
            assert [http.get(f"/models/{name}").status_code for name in ("a", "c", "other")] == [404, 200, 404]
            assert registry._deleted == {"a", "b", "other"}
            # Nothing has to be kept from a "*" that is gone.
            assert http.delete("/models/*").status_code == 200
            assert http.get("/models/c").status_code == http.delete("/models/c").status_code == 404
            assert not registry._deleted


# -- limits ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("body", "param"),
    [
        pytest.param({**BODY, "messages": QUESTION * 9}, "messages", id="messages"),
        pytest.param({**BODY, "messages": [{"role": "user", "content": "a" * 30_000}]}, None, id="body"),
        pytest.param(
            {**BODY, "response_format": {"type": "json_schema", "json_schema": LARGE}},
            "response_format",
            id="schema",
        ),
    ],
)  # fmt: skip
def test_what_is_too_large(http: httpx.Client, body: Any, param: str | None) -> None:
    reply = http.post("/v1/chat/completions", json=body)
    error = error_of(reply)
    assert (reply.status_code, error["code"], error["param"]) == (413, "request_too_large", param)


def test_a_body_of_no_declared_length_has_the_same_limit(http: httpx.Client) -> None:
    reply = http.post("/v1/chat/completions", content=(b" " * 1000 for _ in range(30)))
    assert reply.status_code == 413


def test_a_body_far_too_large_is_not_waited_for(server: Running) -> None:
    with server.connect() as connection:
        connection.sendall(HEAD.format(99999999999).encode())
        reply = read_all(connection)
    assert reply.startswith(b"HTTP/1.1 413 ")
    assert b"connection: close" in reply


def test_a_slow_body_is_given_up(server: Running) -> None:
    with server.connect() as connection:
        connection.sendall(HEAD.format(100).encode() + b'{"content"')
        reply = read_all(connection)
    assert reply.startswith(b"HTTP/1.1 408 ")
    assert json.loads(reply.partition(b"\r\n\r\n")[2])["error"]["code"] == "request_timeout"


@pytest.mark.parametrize("sent", [b"", b"GET /health HT", b"GET /health HTTP/1.1\r\nhost: localhost\r\nx-a: b\r\n"])
def test_a_slow_head_is_cut(server: Running, sent: bytes) -> None:
    with server.connect() as connection:
        connection.sendall(sent)
        # The end of the connection, in order or by a reset.
        try:
            assert read_all(connection) == b""
        except ConnectionResetError:
            pass


def test_a_slow_head_after_a_request_is_cut(server: Running) -> None:
    with server.connect() as connection:
        connection.sendall(b"GET /health HTTP/1.1\r\nhost: localhost\r\n\r\n")
        assert b"200 OK" in connection.recv(65536)
        connection.sendall(b"GET /he")
        try:
            assert read_all(connection) == b""
        except ConnectionResetError:
            pass


@pytest.mark.parametrize("path", ["/v1/models", "/health"])
def test_a_slow_body_behind_its_answer_is_cut(server: Running, path: str) -> None:
    head = HEAD.replace("POST /v1/tokenize", f"GET {path}").format(100_000)
    with server.connect() as connection:

        def is_cut() -> bool:
            try:
                connection.sendall(b" ")
            except (ConnectionResetError, BrokenPipeError):
                return True
            return False

        connection.sendall(head.encode())
        assert connection.recv(65536).startswith(b"HTTP/1.1 200 ")
        until(is_cut, timeout_s=5)


def test_an_unread_body_leaves_the_connection(server: Running) -> None:
    head = HEAD.replace("POST /v1/tokenize", "GET /v1/models").format(200_000)
    with server.connect() as connection:
        for _ in range(2):
            connection.sendall(head.encode())
            assert connection.recv(65536).startswith(b"HTTP/1.1 200 ")
            connection.sendall(b" " * 200_000)


def test_an_endless_head_is_cut(server: Running) -> None:
    with server.connect() as connection:
        connection.sendall(b"GET /health HTTP/1.1\r\nhost: localhost\r\n")
        try:
            for index in range(3000):
                connection.sendall(b"x-%d: %s\r\n" % (index, b"a" * 50))
            reply = read_all(connection)
        except (ConnectionResetError, BrokenPipeError):
            return
    assert reply == b"" or reply.startswith(b"HTTP/1.1 400 ")


def test_an_endless_head_behind_a_running_answer_is_cut(server: Running) -> None:
    body = {**BODY, "stream": True, "max_tokens": 800, "ignore_eos": True}
    with server.send("/v1/chat/completions", body, headers="authorization: Bearer first-key\r\n") as connection:
        assert b"200 OK" in connection.recv(65536)
        connection.sendall(b"GET /health HTTP/1.1\r\nhost: localhost\r\n")
        lines = b"".join(b"x-%d: %s\r\n" % (index, b"a" * 50) for index in range(400_000))
        with pytest.raises((ConnectionResetError, BrokenPipeError)):
            connection.sendall(lines)
    until(server.is_idle, timeout_s=5)


def test_a_client_that_has_asked_again_and_goes_is_seen(server: Running) -> None:
    body = {**BODY, "max_tokens": 800, "ignore_eos": True}
    connection = server.send("/v1/chat/completions", body, headers="authorization: Bearer first-key\r\n")
    until(lambda: not server.is_idle())
    connection.sendall(b"GET /health HTTP/1.1\r\nhost: localhost\r\n\r\n")
    connection.close()
    assert until(server.is_idle, timeout_s=5) < 2


@pytest.mark.parametrize("apart", [False, True])
def test_an_upgrade_that_is_not_taken_leaves_the_request(server: Running, apart: bool) -> None:
    """As Java's client offers HTTP/2. A body that looks like a request is a body."""
    upgrade = "connection: Upgrade, HTTP2-Settings\r\nupgrade: h2c\r\nhttp2-settings: AAMAAABk\r\n"
    with server.connect() as connection:
        for content in ("a", "GET /health HTTP/1.1\r\n\r\n"):
            body = json.dumps({"content": content}).encode()
            head = HEAD.format(len(body)).replace("content-length", upgrade + "content-length").encode()
            connection.sendall(head if apart else head + body)
            if apart:
                time.sleep(0.05)
                connection.sendall(body)
            reply = read_until(connection, b"]}")
            assert reply.startswith(b"HTTP/1.1 200 ")
            assert reply.count(b"HTTP/1.1 ") == 1
        connection.sendall(b"GET /health HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n")
        assert read_all(connection).startswith(b"HTTP/1.1 200 ")


def test_upgrades_that_come_together_leave_both_requests(server: Running) -> None:
    upgrade = "connection: Upgrade, HTTP2-Settings\r\nupgrade: h2c\r\nhttp2-settings: AAMAAABk\r\n"
    bodies = [json.dumps({"content": content}).encode() for content in ("a", "GET /health HTTP/1.1\r\n\r\n")]
    heads = [HEAD.format(len(body)).replace("content-length", upgrade + "content-length").encode() for body in bodies]
    with server.connect() as connection:
        connection.sendall(heads[0] + bodies[0] + heads[1] + bodies[1])
        replies = b""
        while replies.count(b"]}") < 2 and (part := connection.recv(65536)):
            replies += part
    assert replies.count(b"HTTP/1.1 ") == replies.count(b"HTTP/1.1 200 ") == 2


def test_a_large_body_with_a_wrong_key_is_told_so(model_path: Path) -> None:
    with serving(model_path, api_keys=["right"]) as running:
        wrong = {"authorization": "Bearer wrong"}
        for _ in range(3):
            reply = httpx.post(f"{running.url}/v1/tokenize", json={"content": "a" * 6_000_000}, headers=wrong)
            assert reply.status_code == 401


def test_requests_beyond_the_limit(server: Running, http: httpx.Client) -> None:
    body = {**BODY, "stream": True, "max_tokens": 800, "ignore_eos": True}
    connections = [
        server.send("/v1/chat/completions", body, headers="authorization: Bearer first-key\r\n") for _ in range(3)
    ]
    for connection in connections:
        assert b"200 OK" in connection.recv(65536)
    reply = http.post("/v1/tokenize", json={"content": "a"})
    assert (reply.status_code, reply.headers["retry-after"]) == (429, "1")
    assert error_of(reply)["code"] == "rate_limit_exceeded"
    # Whoever looks after the server still gets through.
    assert httpx.get(f"{server.url}/health/ready").status_code == 200
    for connection in connections:
        connection.close()


def test_bodies_have_a_limit_together(model_path: Path) -> None:
    def post(running: Running, n_bytes: int) -> httpx.Response:
        return httpx.post(f"{running.url}/v1/tokenize", content=b'{"content": "a"}'.ljust(n_bytes), timeout=60)

    with serving(model_path, max_body_bytes=200_000, max_buffered_bytes=300_000) as running:
        endpoint = running.server.application._endpoint
        body = b'{"content": "a"}'.ljust(200_000)
        for is_finished in (True, False):
            with running.connect() as connection:
                connection.sendall(HEAD.format(len(body)).encode() + body[:180_000])
                until(lambda: endpoint.n_buffered == 180_000)
                reply = post(running, 150_000)
                assert (reply.status_code, reply.headers["retry-after"]) == (429, "1")
                error = error_of(reply)
                assert error["code"] == "rate_limit_exceeded"
                assert "max_buffered_bytes" in error["message"]
                # Nothing is kept of what was refused; what has room is let in.
                assert endpoint.n_buffered == 180_000
                assert post(running, 100_000).status_code == 200
                if is_finished:
                    connection.sendall(body[180_000:])
                    assert connection.recv(65536).startswith(b"HTTP/1.1 200 ")
            until(lambda: endpoint.n_buffered == 0)
            assert post(running, 150_000).status_code == 200
        # One that is too long alone is told so.
        assert post(running, 250_000).status_code == 413
        assert endpoint.n_buffered == 0


def test_the_body_of_a_stream_counts_until_it_begins(server: Running) -> None:
    body = {**BODY, "stream": True, "max_tokens": 800, "ignore_eos": True}
    with server.send("/v1/chat/completions", body, headers="authorization: Bearer first-key\r\n") as connection:
        read_until(connection, b"data: ")
        assert server.server.application._endpoint.n_buffered == 0


# -- files and addresses -----------------------------------------------------------------------------------------------


def test_no_request_opens_a_file(http: httpx.Client, tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.write_text("the secret")
    for name in (str(secret), f"file://{secret}", f"../../../../../../..{secret}"):
        for body in (
            {**BODY, "model": name},
            {**BODY, "chat_template": name},
            {**BODY, "grammar": name},
            {**BODY, "messages": [{"role": "user", "content": [{"type": "image_url", "image_url": {"url": name}}]}]},
        ):
            reply = http.post("/v1/chat/completions", json=body)
            assert "the secret" not in reply.text
        assert "the secret" not in http.get(f"/v1/models/{name}").text
        assert "the secret" not in http.get(f"/{name}").text
    for path in ("/..%2f..%2fpyproject.toml", "/../../etc/passwd", "/page.html", "/docs.html"):
        assert http.get(path).status_code == 404


def test_no_request_makes_the_server_fetch_anything(http: httpx.Client) -> None:
    content = [{"type": "image_url", "image_url": {"url": "http://127.0.0.1:9/picture.png"}}]
    reply = http.post("/v1/chat/completions", json={**BODY, "messages": [{"role": "user", "content": content}]})
    assert reply.status_code == 400
    assert error_of(reply)["param"].startswith("messages[0]")


def test_a_model_that_cannot_be_loaded_is_not_named_by_its_file(tmp_path: Path) -> None:
    file = tmp_path / "hidden-place.gguf"
    file.write_bytes(b"not a model")
    with serving(file, preload=False, alias=["broken"]) as running:
        reply = httpx.post(f"{running.url}/v1/chat/completions", json={**BODY, "model": "broken"}, timeout=60)
    assert reply.status_code == 500
    assert str(tmp_path) not in reply.text
    assert "log" in error_of(reply)["message"]
