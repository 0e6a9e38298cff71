"""How the server ends, and what is left of connections that end before it: nothing."""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest
from serving import Running, read_all, read_until, serving
from support import ENDLESS, QUESTION, stats

from llama_async import ModelLoadError, OptionError
from llama_async.server import ServerSettings, run

UNENDING: dict[str, Any] = {**ENDLESS, **ENDLESS["extra_body"], "stream": True}
del UNENDING["extra_body"]
Opened = Callable[[socket.socket], socket.socket]
SHORT: dict[str, Any] = {
    "model": "default", "messages": QUESTION, "stream": True, "max_tokens": 100, "ignore_eos": True,
}  # fmt: skip


def wait_for(condition: Callable[[], bool], timeout_s: float = 30) -> None:
    deadline = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.002)


def status_of(running: Running, path: str) -> int:
    return httpx.get(running.url + path).status_code


@pytest.fixture
def opened() -> Iterator[Opened]:
    """Takes connections that are closed at the end."""
    with ExitStack() as stack:
        yield stack.enter_context


def test_readiness_ends_first_and_streams_finish(model_path: Path, opened: Opened) -> None:
    with serving(model_path, drain_s=1) as running:
        connection = opened(running.send("/v1/chat/completions", SHORT))
        data = read_until(connection, b"data: ")
        running.server.handle_exit(signal.SIGTERM, None)
        # Still answered, so that who sends requests here can turn elsewhere first.
        assert status_of(running, "/health/ready") == 503
        assert status_of(running, "/health/live") == 200
        assert status_of(running, "/v1/models") == 200
        data += read_all(connection)
        running.join()
        assert data.endswith(b"data: [DONE]\n\n\r\n0\r\n\r\n")
        with pytest.raises(OSError, match="refused"):
            running.connect()


def test_streams_past_the_deadline_end_with_an_error(model_path: Path, opened: Opened) -> None:
    with serving(model_path, shutdown_s=0.2) as running:
        stream = opened(running.send("/v1/chat/completions", UNENDING))
        whole = opened(running.send("/v1/chat/completions", {**UNENDING, "stream": False}))
        data = read_until(stream, b"data: ")
        wait_for(lambda: stats(running.server.application.client)["n_running"] == 2)
        running.server.handle_exit(signal.SIGTERM, None)
        data += read_all(stream)
        reply = read_all(whole)
        running.join()
    last = data.split(b"data: ")[-1]
    assert b'"code": "server_shutdown"' in last
    assert b"[DONE]" not in data
    assert data.endswith(b"\n\n\r\n0\r\n\r\n")
    assert reply.startswith(b"HTTP/1.1 503 ")
    assert b"retry-after: 1" in reply
    assert b'"code": "server_shutdown"' in reply


# -- as a process ------------------------------------------------------------------------------------------------------

PROGRAM = """
import sys
from llama_async.server import ServerSettings, run
run(
    ServerSettings(model=sys.argv[1], port=0, n_ctx=1024, n_threads=1, shutdown_s=float(sys.argv[2])),
    on_ready=lambda url: print(url, flush=True),
)
print("ended in order", flush=True)
"""


@contextmanager
def process(model_path: Path, shutdown_s: float) -> Iterator[tuple[subprocess.Popen[str], str]]:
    environment = {**os.environ, "PYTHONUNBUFFERED": "1"}
    arguments = [sys.executable, "-c", PROGRAM, str(model_path), str(shutdown_s)]
    with subprocess.Popen(
        arguments,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        env=environment,
        cwd=model_path.parent,  # away from a source tree that has no extension
    ) as child:
        try:
            assert child.stdout is not None
            yield child, child.stdout.readline().strip()
        finally:
            child.kill()


def open_stream(url: str) -> socket.socket:
    address = httpx.URL(url)
    assert address.port
    body = json.dumps(UNENDING).encode()
    connection = socket.create_connection((address.host, address.port), timeout=60)
    connection.sendall(
        b"POST /v1/chat/completions HTTP/1.1\r\nhost: localhost\r\ncontent-length: %d\r\n\r\n%b" % (len(body), body)
    )
    read_until(connection, b"data: ")
    return connection


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_it_in_order(model_path: Path, number: signal.Signals) -> None:
    with process(model_path, 0.1) as (child, url), open_stream(url) as connection:
        child.send_signal(number)
        assert b"server_shutdown" in read_all(connection)
        assert child.wait(60) == 0
        assert child.stdout is not None
        assert child.stdout.read().splitlines()[-1] == "ended in order"


def test_a_second_signal_ends_it_at_once(model_path: Path) -> None:
    with process(model_path, 600) as (child, url), open_stream(url):
        child.send_signal(signal.SIGTERM)
        wait_for(lambda: is_refused(url))
        child.send_signal(signal.SIGTERM)
        assert child.wait(10) == -signal.SIGTERM


def is_refused(url: str) -> bool:
    try:
        return httpx.get(f"{url}/health/ready").status_code == 503
    except httpx.TransportError:
        return True


def test_a_model_that_cannot_be_loaded_ends_it(tmp_path: Path) -> None:
    # In this thread a runner of trio may be waiting for its next test.
    with ThreadPoolExecutor(1) as thread:
        with pytest.raises(ModelLoadError):
            thread.submit(run, ServerSettings(model=tmp_path / "none.gguf", port=0)).result()
        with pytest.raises(OptionError, match="host"):
            thread.submit(run, ServerSettings(model=tmp_path / "none.gguf", host="192.0.2.1", port=0)).result()


# -- connections -------------------------------------------------------------------------------------------------------


def test_aborted_connections_leave_nothing(model_path: Path) -> None:
    """Before the answer, in its midst; closed in order, or reset. `ABORTED_CONNECTIONS=10000` for more of them."""
    n_threads = 4
    n_each = int(os.environ.get("ABORTED_CONNECTIONS", "240")) // n_threads
    with serving(model_path) as running:

        def abort(index: int) -> None:
            for step in range(n_each):
                body: dict[str, Any] = {**UNENDING, "stream": step % 3 != 0}
                connection = running.send("/v1/chat/completions", body)
                if step % 6 == 1:
                    connection.settimeout(120)
                    connection.recv(1)
                if (step + index) % 2:
                    # A reset rather than an end.
                    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
                connection.close()

        threads = [threading.Thread(target=abort, args=(index,)) for index in range(n_threads)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        client = running.server.application.client
        wait_for(lambda: running.is_idle() and running.server.application.n_requests == 0, 120)
        now = stats(client)
        assert now["n_ended"] == now["n_requests"]
        assert (
            httpx.post(f"{running.url}/v1/chat/completions", json={**SHORT, "stream": False}, timeout=60).status_code
            == 200
        )
        wait_for(lambda: len(running.server.server_state.connections) == 0)


def test_a_client_that_does_not_read_is_cut(model_path: Path) -> None:
    with serving(model_path, write_timeout_s=0.3, n_ctx=8192, n_parallel=1) as running:
        connection = socket.socket()
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 2048)
        connection.connect(running.address)

        # Log probabilities make much text of few tokens.
        body = json.dumps({**UNENDING, "logprobs": True, "top_logprobs": 20}).encode()
        connection.sendall(
            b"POST /v1/chat/completions HTTP/1.1\r\nhost: localhost\r\ncontent-length: %d\r\n\r\n%b" % (len(body), body)
        )
        wait_for(lambda: not running.is_idle())
        wait_for(lambda: running.is_idle() and running.server.application.n_requests == 0)
        connection.close()


def test_a_long_silence_is_broken_by_comments(model_path: Path) -> None:
    words = " ".join(f"word{index}" for index in range(150))
    body = {**SHORT, "messages": [{"role": "user", "content": words}], "max_tokens": 2, "cache_prompt": False}
    with serving(model_path, keep_alive_s=0.02, n_ctx=2048) as running:
        connection = running.send("/v1/chat/completions", body, headers="connection: close\r\n")
        data = read_all(connection)
        connection.close()
    assert data.index(b": keep-alive\n\n") < data.index(b"data: ")
    head = data.partition(b"\r\n\r\n")[0]
    assert b"text/event-stream" in head
    assert head.count(b"x-request-id: req_") == 1
    assert b"data: [DONE]" in data


def test_an_error_after_a_comment_is_an_event(model_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = " ".join(f"word{index}" for index in range(150))
    body = {**SHORT, "messages": [{"role": "user", "content": words}], "cache_prompt": False}
    with serving(model_path, keep_alive_s=0.02, request_timeout_s=0.1, n_ctx=2048) as running:
        connection = running.send("/v1/chat/completions", body, headers="connection: close\r\n")
        data = read_all(connection)
        connection.close()
    assert data.startswith(b"HTTP/1.1 200 ")
    assert b'data: {"error": ' in data.split(b"\n\n")[-2]
    assert b"[DONE]" not in data
    # What the client was told is what the log has it by.
    [request_id] = re.findall(rb"x-request-id: (req_\w+)", data)
    assert f"request {request_id.decode()}: " in capsys.readouterr().err
