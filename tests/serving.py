"""A server on a port of its own, in a thread: what the tests of `llama_async.server` talk to over real sockets."""

from __future__ import annotations

import json
import signal
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import httpx
from support import CLIENT_OPTIONS, is_idle

from llama_async.server import ServerSettings
from llama_async.server._run import Server


class Running:
    """A server that runs in a thread."""

    def __init__(self, settings: ServerSettings) -> None:
        self._ready = threading.Event()
        self.server = Server(settings, lambda _url: self._ready.set())
        self.url = self.server.url
        self.error: BaseException | None = None
        self._thread = threading.Thread(target=self._run, daemon=True)

    def _run(self) -> None:
        try:
            self.server.run()
        except BaseException as error:
            self.error = error
        finally:
            self._ready.set()

    def start(self) -> None:
        self._thread.start()
        assert self._ready.wait(60)
        if self.error is not None:
            raise self.error

    def stop(self) -> None:
        """Do as a signal does; return when it has ended."""
        if not self.server.should_exit:
            self.server.handle_exit(signal.SIGTERM, None)
        self.join()

    def join(self) -> None:
        self._thread.join(60)
        assert not self._thread.is_alive()
        if self.error is not None:
            raise self.error

    @property
    def address(self) -> tuple[str, int]:
        url = httpx.URL(self.url)
        assert url.port
        return url.host, url.port

    def metric(self, name: str) -> float:
        """Return what a counter or gauge of the only model says."""
        lines = httpx.get(f"{self.url}/metrics").text.splitlines()
        [line] = [line for line in lines if line.startswith((f"llama_async_{name}{{", f"llama_async_{name} "))]
        return float(line.rpartition(" ")[2])

    def is_idle(self) -> bool:
        return is_idle(self.server.application.client)

    def connect(self) -> socket.socket:
        return socket.create_connection(self.address, timeout=30)

    def send(self, path: str, body: object, *, headers: str = "", method: str = "POST") -> socket.socket:
        """Return a connection on which a request was sent."""
        content = body if isinstance(body, bytes) else json.dumps(body).encode()
        connection = self.connect()
        host, port = self.address
        head = f"{method} {path} HTTP/1.1\r\nhost: {host}:{port}\r\ncontent-length: {len(content)}\r\n{headers}\r\n"
        connection.sendall(head.encode() + content)
        return connection


@contextmanager
def serving(model: object, **settings: Any) -> Iterator[Running]:
    """Run a server; it has ended afterwards."""
    given = {**({} if "models" in settings else {"model": model}), **CLIENT_OPTIONS, "port": 0, "access_log": False}
    running = Running(ServerSettings(**{**given, **settings}))
    running.start()
    try:
        yield running
    finally:
        running.stop()


def read_until(connection: socket.socket, mark: bytes) -> bytes:
    """Return what comes up to the mark, or to the end."""
    data = b""
    while mark not in data and (part := connection.recv(65536)):
        data += part
    return data


def read_all(connection: socket.socket) -> bytes:
    """Return what comes to the end of the connection."""
    data = b""
    while part := connection.recv(65536):
        data += part
    return data


def until(condition: Callable[[], bool], *, timeout_s: float = 30) -> float:
    """Return after how many seconds the condition held."""
    started = time.perf_counter()
    while not condition():
        assert time.perf_counter() - started < timeout_s
        time.sleep(0.002)
    return time.perf_counter() - started
