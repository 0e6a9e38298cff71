"""A client of openai's HTTP API that does as little as a client can: it shares its cores with what it measures.

A thread waits for all sockets at once, reads what is there, notes the time and counts pieces of text; what they say is
looked at when the answer has ended.
"""

from __future__ import annotations

import asyncio
import json
import selectors
import socket
import threading
import time
from typing import Any

from .workloads import Answer, Enough, Messages

# With what an event of text begins, which is small enough to come in one piece.
_TEXT = b'"delta":{"content":"'
# The opening's content is empty.
_EMPTY = _TEXT + b'"'

# Of which buffers are made quickly.
_PIECE_BYTES = 8192


class _Exchange:
    """A request and its reply."""

    def __init__(self, request: bytes, answer: Answer, enough: Enough | None) -> None:
        self.request = request
        self.answer = answer
        self.enough = enough
        self.parts: list[bytes] = []
        # Whether it was read to its end.
        self.ended: asyncio.Future[bool] = asyncio.get_running_loop().create_future()

    def end(self, outcome: bool | BaseException) -> None:
        ended = self.ended
        tell = ended.set_exception if isinstance(outcome, BaseException) else ended.set_result
        # A future that was cancelled meanwhile waits for nothing.
        ended.get_loop().call_soon_threadsafe(lambda: ended.done() or tell(outcome))  # type: ignore[arg-type]


class _Reader:
    """Reads replies in a thread of its own. `close` ends it."""

    def __init__(self, address: tuple[str, int]) -> None:
        self._address = address
        self._selector = selectors.DefaultSelector()
        self._bell, bell = socket.socketpair()
        self._new: list[_Exchange] = []
        self._is_closed = False
        self._selector.register(bell, selectors.EVENT_READ)
        self._thread = threading.Thread(target=self._run, args=(bell,), daemon=True)
        self._thread.start()

    def start(self, exchange: _Exchange) -> None:
        self._new.append(exchange)
        self._bell.send(b"!")

    def close(self) -> None:
        self._is_closed = True
        self._bell.close()
        self._thread.join()

    def _run(self, bell: socket.socket) -> None:
        while not self._is_closed:
            for key, _ in self._selector.select():
                if key.data is None:
                    bell.recv(64)
                    while self._new:
                        self._connect(self._new.pop(0))
                else:
                    self._read(key.fileobj, key.data)
        self._selector.close()
        bell.close()

    def _connect(self, exchange: _Exchange) -> None:
        try:
            connection = socket.create_connection(self._address)
            connection.sendall(exchange.request)
        except OSError as error:
            exchange.end(error)
            return
        self._selector.register(connection, selectors.EVENT_READ, exchange)

    def _read(self, connection: Any, exchange: _Exchange) -> None:
        outcome: bool | BaseException | None = None
        try:
            part = connection.recv(_PIECE_BYTES)
        except OSError as error:
            part, outcome = b"", error
        now = time.perf_counter()
        exchange.parts.append(part)
        for _ in range(part.count(_TEXT) - part.count(_EMPTY)):
            exchange.answer.times.append(now)
            if exchange.enough and exchange.enough():
                outcome = False
                break
        if part and outcome is None:
            return
        self._selector.unregister(connection)
        connection.close()
        exchange.end(True if outcome is None else outcome)


class BareClient:
    """Asks a server; remembers what it was asked.

    Args:
        address: Where it listens.
        pid: The server's process, whose main thread runs its event loop; `None` if it has none.
    """

    def __init__(self, address: tuple[str, int], pid: int | None = None) -> None:
        self.loop_pid = pid
        self.asked: list[Messages] = []
        self._reader = _Reader(address)

    def close(self) -> None:
        self._reader.close()

    async def ask(self, messages: Messages, n_tokens: int, enough: Enough | None = None) -> Answer:
        self.asked.append(messages)
        body = {
            "model": "default", "messages": messages, "max_tokens": n_tokens, "temperature": 0, "ignore_eos": True,
            "stream": True, "stream_options": {"include_usage": True},
        }  # fmt: skip
        request = _request("POST", "/v1/chat/completions", body)
        answer = Answer(time.perf_counter())
        data = await self._exchange(request, answer, enough)
        answer.ended = time.perf_counter()
        if data is not None:
            _read(data, answer)
        return answer

    async def tokens(self, messages: Messages) -> list[int]:
        """Return the prompt as the model sees it."""
        prompt = (await self._post("/apply-template", {"messages": messages}))["prompt"]
        tokens: list[int] = (await self._post("/tokenize", {"content": prompt}))["tokens"]
        return tokens

    async def _post(self, path: str, body: object) -> Any:
        data = await self._exchange(_request("POST", path, body), Answer(0.0), None)
        assert data is not None
        return json.loads(_body(data))

    async def _exchange(self, request: bytes, answer: Answer, enough: Enough | None) -> bytes | None:
        """Return the whole reply, `None` if it was broken off; times go into the answer."""
        exchange = _Exchange(request, answer, enough)
        self._reader.start(exchange)
        return b"".join(exchange.parts) if await exchange.ended else None


def _request(method: str, path: str, body: object) -> bytes:
    content = json.dumps(body).encode()
    head = f"{method} {path} HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\nconnection: close\r\n"
    return f"{head}content-length: {len(content)}\r\n\r\n".encode() + content


def _body(data: bytes) -> bytes:
    head, _, rest = data.partition(b"\r\n\r\n")
    if not head.startswith(b"HTTP/1.1 200 "):
        raise RuntimeError(data.decode(errors="replace"))
    if b"transfer-encoding: chunked" not in head.lower():
        return rest
    body = bytearray()
    at = 0
    while at < len(rest):
        begin = rest.index(b"\r\n", at) + 2
        end = begin + int(rest[at:begin], 16)
        body += rest[begin:end]
        at = end + 2
    return bytes(body)


def _read(data: bytes, answer: Answer) -> None:
    for event in _body(data).split(b"\n\n"):
        if not event.startswith(b"data: {"):
            continue
        chunk = json.loads(event[6:])
        if "error" in chunk:
            raise RuntimeError(chunk["error"])
        if usage := chunk.get("usage"):
            answer.n_prompt, answer.n_generated = usage["prompt_tokens"], usage["completion_tokens"]
            answer.n_cached = (usage.get("prompt_tokens_details") or {}).get("cached_tokens")
        if chunk["choices"]:
            answer.text += chunk["choices"][0]["delta"].get("content") or ""
