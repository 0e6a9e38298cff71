"""What deploy/ has: that its files say what the server understands, and the server behind nginx as configured there."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest
from serving import Running, serving, until
from support import QUESTION

from llama_async.server import load_settings

DEPLOY = Path(__file__).parent.parent / "deploy"
NGINX = shutil.which("nginx") or shutil.which("/usr/sbin/nginx")
HOST = "llm.example.org"

BODY: dict[str, Any] = {"model": "default", "messages": QUESTION, "max_tokens": 4, "temperature": 0, "ignore_eos": True}
LONG = {**BODY, "max_tokens": 900, "stream": True}


# -- files -------------------------------------------------------------------------------------------------------------


def test_settings() -> None:
    settings = load_settings(DEPLOY / "server.toml", environment={})
    assert set(settings.models) == {"chat", "embed"}
    assert HOST in settings.allowed_hosts


def test_unit() -> None:
    unit = (DEPLOY / "llama-async.service").read_text()
    settings = load_settings(DEPLOY / "server.toml", environment={})
    [stop_s] = re.findall(r"^TimeoutStopSec=(\d+)$", unit, re.MULTILINE)
    assert int(stop_s) > settings.drain_s + settings.shutdown_s
    if shutil.which("systemd-analyze"):
        done = subprocess.run(
            ["systemd-analyze", "verify", DEPLOY / "llama-async.service"], capture_output=True, text=True, check=False
        )
        complaints = [line for line in done.stderr.splitlines() if "llama-async.service" in line]
        assert [line for line in complaints if "is not executable" not in line] == []


def test_container_file() -> None:
    lines = (DEPLOY / "Containerfile").read_text()
    names = re.findall(r"LLAMA_ASYNC_SERVER_\w+=[^\s\\']+", lines)
    settings = load_settings(flags={"model": "m.gguf"}, environment=dict(name.split("=") for name in names))
    assert (settings.host, settings.port) == ("0.0.0.0", 8080)
    assert settings.allowed_hosts == ("localhost", "127.0.0.1")
    any_host = load_settings(flags={"model": "m.gguf"}, environment={"LLAMA_ASYNC_SERVER_ALLOWED_HOSTS": ""})
    assert any_host.allowed_hosts == ()


# -- nginx -------------------------------------------------------------------------------------------------------------

needs_nginx = pytest.mark.skipif(not NGINX, reason="there is no nginx: apt-get install nginx-light")


@contextmanager
def proxied(server: Running, place: Path, changes: dict[str, str] | None = None) -> Iterator[httpx.Client]:
    """Run nginx as deploy/ configures it, at a socket of the file system and without TLS."""
    socket = place / "nginx.sock"
    config = (DEPLOY / "nginx.conf").read_text()
    for pattern, new in {
        r"listen 443 ssl;": f"listen unix:{socket};",
        r"ssl_certificate.*;": "",
        r"server 127\.0\.0\.1:8080;": f"server {server.url.removeprefix('http://')};",
        **(changes or {}),
    }.items():
        config, n = re.subn(pattern, new, config)
        assert n
    paths = "".join(f"{name}_temp_path {place};" for name in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi"))
    (place / "nginx.conf").write_text(
        f"daemon off; master_process off; pid {place}/pid; error_log {place}/error.log; events {{}}"
        f"http {{ access_log off; {paths} {config} }}"
    )
    with ExitStack() as stack:
        command = [str(NGINX), "-p", str(place), "-e", f"{place}/error.log", "-c", f"{place}/nginx.conf"]
        process = stack.enter_context(subprocess.Popen(command))
        stack.callback(process.terminate)
        until(lambda: socket.is_socket() or process.poll() is not None)
        assert process.poll() is None, (place / "error.log").read_text()
        transport = httpx.HTTPTransport(uds=str(socket))
        yield stack.enter_context(httpx.Client(transport=transport, base_url=f"http://{HOST}", timeout=120))


@pytest.fixture(scope="module")
def server(model_path: Path) -> Iterator[Running]:
    with serving(model_path, allowed_hosts=[HOST, "127.0.0.1"]) as running:
        yield running


@pytest.fixture
def proxy(server: Running, tmp_path: Path) -> Iterator[httpx.Client]:
    with proxied(server, tmp_path) as client:
        yield client


@needs_nginx
def test_answers_and_errors_pass_the_proxy(proxy: httpx.Client) -> None:
    answer = proxy.post("/v1/chat/completions", json=BODY)
    assert answer.json()["usage"]["completion_tokens"] == 4
    assert answer.headers["x-request-id"]
    refused = proxy.post("/v1/chat/completions", json={**BODY, "temperature": 7})
    assert (refused.status_code, refused.json()["error"]["param"]) == (400, "temperature")
    assert "<title>llama-async</title>" in proxy.get("/").text


@needs_nginx
def test_the_proxy_does_not_collect_a_stream(server: Running, proxy: httpx.Client) -> None:
    with proxy.stream("POST", "/v1/chat/completions", json={**LONG, "max_tokens": 200}) as reply:
        parts = reply.iter_raw()
        assert next(parts).startswith(b"data: ")
        assert server.metric("slots_busy") == 1
        assert sum(1 for _ in parts) > 50


@needs_nginx
def test_leaving_the_proxy_frees_the_slot(server: Running, proxy: httpx.Client) -> None:
    with proxy.stream("POST", "/v1/chat/completions", json=LONG) as reply:
        parts = reply.iter_raw()  # a name, since the generator's end would close the connection
        next(parts)
        assert not server.is_idle()
    until(server.is_idle)


@needs_nginx
def test_the_proxy_lets_the_server_refuse_what_is_too_long(proxy: httpx.Client) -> None:
    by_server = proxy.post("/v1/chat/completions", content=b"x" * (8 * 1024 * 1024 + 1))
    assert by_server.status_code == 413
    assert by_server.json()["error"]["message"]
    by_proxy = proxy.post("/v1/chat/completions", content=b"x" * (10 << 20))
    assert by_proxy.status_code == 413
    assert "nginx" in by_proxy.text


@needs_nginx
def test_what_the_proxy_keeps_to_itself(server: Running, proxy: httpx.Client) -> None:
    assert proxy.get("/metrics").status_code == 403
    assert proxy.get("/health/ready").status_code == 200
    assert httpx.get(f"{server.url}/v1/models", headers={"host": "elsewhere.example"}).status_code == 403


@needs_nginx
def test_a_path_of_its_own(server: Running, tmp_path: Path) -> None:
    changes = {r"location / \{\s+proxy_pass http://llama_async;": "location /llm/ { proxy_pass http://llama_async/;"}
    with proxied(server, tmp_path, changes) as proxy:
        assert proxy.post("/llm/v1/chat/completions", json=BODY).json()["usage"]["completion_tokens"] == 4
        assert "<title>llama-async</title>" in proxy.get("/llm/").text
        assert proxy.get("/v1/models").status_code == 404


@needs_nginx
def test_a_stream_that_waits_outlives_the_timeout_of_the_proxy(model_path: Path, tmp_path: Path) -> None:
    with ExitStack() as stack:
        options = {"allowed_hosts": [HOST, "127.0.0.1"], "n_parallel": 1, "keep_alive_s": 0.1}
        server = stack.enter_context(serving(model_path, **options))
        proxy = stack.enter_context(proxied(server, tmp_path, {"proxy_read_timeout 620s;": "proxy_read_timeout 1s;"}))
        first = stack.enter_context(proxy.stream("POST", "/v1/chat/completions", json=LONG))
        parts = first.iter_raw()
        next(parts)
        second = stack.enter_context(proxy.stream("POST", "/v1/chat/completions", json={**LONG, "max_tokens": 4}))
        lines = second.iter_lines()
        until(lambda: server.metric("queue_length") == 1)
        # Two seconds of nothing but comments.
        n_comments = 0
        while n_comments < 20:
            line = next(lines)
            assert not line.startswith("data:")
            n_comments += line.startswith(":")
        first.close()
        assert json.loads(next(line for line in lines if line.startswith("data:")).removeprefix("data: "))
        assert list(lines)[-2] == "data: [DONE]"
