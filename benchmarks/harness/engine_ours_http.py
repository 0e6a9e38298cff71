"""llama-async over HTTP: a server in a process of its own, read by bare sockets that look at as little as they can."""

from __future__ import annotations

import asyncio
import json
import signal
import sys
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from .engine_ours import facts
from .workloads import Answer, Enough, Messages, Shape

# With what an event of text begins, which is small enough to come in one piece.
_TEXT = b'"delta":{"content":"'

__all__ = ["OursOverHTTP", "facts", "open_engine"]

PROGRAM = """
import json, sys
from llama_async.server import ServerSettings, run
run(ServerSettings(**json.loads(sys.argv[1])), on_ready=lambda url: print(url, flush=True))
"""


class OursOverHTTP:
    """Asks a server; remembers what it was asked."""

    def __init__(self, host: str, port: int) -> None:
        self._host = host
        self._port = port
        self.asked: list[Messages] = []

    async def ask(self, messages: Messages, n_tokens: int, enough: Enough | None = None) -> Answer:
        self.asked.append(messages)
        body = {
            "model": "default", "messages": messages, "max_tokens": n_tokens, "temperature": 0, "ignore_eos": True,
            "stream": True, "stream_options": {"include_usage": True},
        }  # fmt: skip
        answer = Answer(time.perf_counter())
        reader, writer = await asyncio.open_connection(self._host, self._port)
        try:
            writer.write(self._request("POST", "/v1/chat/completions", body))
            parts: list[bytes] = []
            while part := await reader.read(65536):
                now = time.perf_counter()
                parts.append(part)
                # The opening's content is empty.
                for _ in range(part.count(_TEXT) - part.count(_TEXT + b'"')):
                    answer.times.append(now)
                    if enough and enough():
                        return answer
        finally:
            writer.close()
            answer.ended = time.perf_counter()
        _read(b"".join(parts), answer)
        return answer

    async def tokens(self, messages: Messages) -> list[int]:
        """Return the prompt as the model sees it."""
        prompt = (await self._post("/apply-template", {"messages": messages}))["prompt"]
        tokens: list[int] = (await self._post("/tokenize", {"content": prompt}))["tokens"]
        return tokens

    async def _post(self, path: str, body: object) -> Any:
        reader, writer = await asyncio.open_connection(self._host, self._port)
        writer.write(self._request("POST", path, body))
        reply = await reader.read(-1)
        writer.close()
        return json.loads(reply.partition(b"\r\n\r\n")[2])

    def _request(self, method: str, path: str, body: object) -> bytes:
        content = json.dumps(body).encode()
        head = f"{method} {path} HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n"
        return f"{head}content-length: {len(content)}\r\n\r\n".encode() + content


def _read(data: bytes, answer: Answer) -> None:
    head, _, chunks = data.partition(b"\r\n\r\n")
    if not head.startswith(b"HTTP/1.1 200 "):
        raise RuntimeError(data.decode(errors="replace"))
    events = bytearray()
    while chunks:
        size, _, chunks = chunks.partition(b"\r\n")
        n = int(size, 16)
        events += chunks[:n]
        chunks = chunks[n + 2 :]
    for event in events.split(b"\n\n"):
        if not event.startswith(b"data: {"):
            continue
        chunk = json.loads(event[6:])
        if usage := chunk.get("usage"):
            answer.n_prompt, answer.n_generated = usage["prompt_tokens"], usage["completion_tokens"]
            answer.n_cached = usage["prompt_tokens_details"]["cached_tokens"]
        elif chunk["choices"]:
            answer.text += chunk["choices"][0]["delta"].get("content") or ""


@asynccontextmanager
async def open_engine(
    model: str, shape: Shape, n_threads: int | None, settings: dict[str, Any]
) -> AsyncIterator[OursOverHTTP]:
    options = {
        "model": model, "port": 0, "n_parallel": shape.n_parallel, "n_ctx": shape.n_ctx, "n_threads": n_threads,
        "store": None, "access_log": False, **settings,
    }  # fmt: skip
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", PROGRAM, json.dumps(options), stdout=asyncio.subprocess.PIPE
    )
    try:
        assert process.stdout is not None
        url = (await process.stdout.readline()).decode().strip()
        host, _, port = url.removeprefix("http://").rpartition(":")
        yield OursOverHTTP(host, int(port))
    finally:
        process.send_signal(signal.SIGTERM)
        await process.wait()
