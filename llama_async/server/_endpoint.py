"""The API as one ASGI endpoint: a request's body in, a reply or a stream of events out, and what may go wrong between.

Owns the requests in flight: how many there may be, how long their bodies may take, what becomes of them when the
client goes away, when it does not read, and when the server stops. What they mean is `llama_async._http`'s. Plain ASGI,
since a framework's response costs more than the event it sends.
"""

from __future__ import annotations

import json
import logging
import time
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl, quote

import anyio

from llama_async._errors import (
    APIConnectionError,
    APIStatusError,
    ModelLoadError,
    OpenAIError,
    StoreError,
    internal_error,
    new_request_id,
    not_available,
    permission_denied,
    too_large,
    too_many,
    too_slow,
)
from llama_async._http import HTTPReply, HTTPRequest, LookAt, Router
from llama_async._wire import ErrorReply, EventStream, error_event, error_reply

from ._described import described

if TYPE_CHECKING:
    from starlette.types import Receive, Scope, Send

    from llama_async import AsyncLlama

    from ._metrics import Latencies
    from ._settings import AppSettings

__all__ = ["WRITE", "Endpoint", "discard_body", "send_reply"]

# The ASGI extension by which a server lets events be written without a task's being woken: a function that takes a
# part of a body whose head was sent, and returns whether it wrote it. Nothing between it and here may change bodies.
WRITE = "llama_async.write"

_log = logging.getLogger("llama_async.server")

_COMMENT = b": keep-alive\n\n"
_STREAM_HEADERS = {
    "content-type": "text/event-stream; charset=utf-8",
    "cache-control": "no-cache",
    # nginx collects replies otherwise, and a stream arrives in one piece.
    "x-accel-buffering": "no",
}
# A body that is this many times too long is not read to its end before it is refused.
_READ_ON = 4
# Nor for longer than this, where nobody wants it.
_DISCARD_S = 5
_SCHEMA_PARAMETERS = ("tools", "response_format", "functions", "grammar", "json_schema")


class Endpoint:
    """Answers the API's requests.

    Args:
        client: Who answers them.
        settings: The limits.
        latencies: Where times are noted.
    """

    def __init__(self, client: AsyncLlama, settings: AppSettings, latencies: Latencies) -> None:
        self.client = client
        self.settings = settings
        self.latencies = latencies
        self.is_closed = False
        # Bytes of bodies that are kept, of all requests.
        self.n_buffered = 0
        self._exchanges: set[_Exchange] = set()

    @property
    def n_requests(self) -> int:
        """Requests in flight."""
        return len(self._exchanges)

    def end_requests(self) -> None:
        """End every request in flight with an error that says why."""
        for exchange in list(self._exchanges):
            exchange.end(_stopping())

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if scope["type"] == "websocket":
            await send({"type": "websocket.close", "code": 1000, "reason": ""})
            return
        exchange = _Exchange(self, scope, receive, send)
        if self.is_closed:
            await exchange.refuse_unread(_stopping())
        elif len(self._exchanges) >= self.settings.max_requests:
            limit = self.settings.max_requests
            await exchange.refuse_unread(too_many(f"{limit} requests are in flight, which is the limit (max_requests)"))
        else:
            self._exchanges.add(exchange)
            try:
                await exchange.answer()
            finally:
                exchange.let_go()
                self._exchanges.discard(exchange)


def _stopping() -> APIStatusError:
    return not_available("the server is shutting down", "server_shutdown")


class _Router(Router):
    """Tells strangers neither files nor faults; the log has them, with the request's id."""

    def __init__(self, client: AsyncLlama, settings: AppSettings, request_id: str) -> None:
        super().__init__(client)
        self._settings = settings
        self._request_id = request_id

    async def _call(self, request: HTTPRequest, look_at: LookAt | None) -> object:
        resource = request.path.removeprefix("/v1").removeprefix("/").partition("/")[0]
        if request.method == "DELETE" and resource == "models" and not self._settings.allow_delete:
            # Whoever may ask a model may not, for that, take it from all others.
            raise permission_denied("this server lets nobody delete a model (allow_delete)", "deletion_not_allowed")
        return described(await super()._call(request, look_at), self._client)

    def error_reply(self, error: OpenAIError) -> ErrorReply:
        told = error
        if isinstance(error, ModelLoadError):
            told = internal_error("the model cannot be loaded; the server's log says why")
        elif isinstance(error, StoreError) and error.path is not None:
            told = internal_error("the store of completions cannot be used; the server's log says why")
        reply = error_reply(told)
        if reply.status_code >= 500:
            _log.error("request %s: %s", self._request_id, error)
        return reply


class _Gone(Exception):
    """The client left before its request was there."""


class _Exchange:
    """One request and its reply."""

    def __init__(self, endpoint: Endpoint, scope: Scope, receive: Receive, send: Send) -> None:
        self._endpoint = endpoint
        self._settings = endpoint.settings
        self._scope = scope
        self._receive = receive
        self._send = send
        # One for all that is told of it: a stream's head may be out before its result, or error, has an id.
        self._id = new_request_id()
        self._router = _Router(endpoint.client, endpoint.settings, self._id)
        self._started = time.perf_counter()
        self._work = anyio.CancelScope()
        # Why it is ended from outside.
        self._ended_by: OpenAIError | None = None
        self._buffer = bytearray()  # not a list of parts, of which a client might make one of each byte
        self._body = b""
        self._head_sent = False
        self._wants_stream = False
        self._sending = False
        self._moved = self._started  # when something was last sent, or began to be
        self._wrote = self._started  # when events were last sent
        # Writes a part of a body that has begun, without waiting; says whether it could. Our own server has it.
        self._writer: Callable[[bytes], bool] | None = scope.get("extensions", {}).get(WRITE)

    # -- life

    async def answer(self) -> None:
        """Read the request, answer it. Returns early when the client goes."""
        try:
            with self._work:
                await self._read()
                async with anyio.create_task_group() as tasks:
                    tasks.start_soon(self._watch)
                    try:
                        await self._respond(tasks)
                    finally:
                        tasks.cancel_scope.cancel()
        except _Gone:
            return
        except OpenAIError as error:
            # Of the body: what follows on this connection cannot be told from the rest of it.
            await self.refuse(error)
            return
        except Exception:
            _log.exception("request %s failed by a fault of the server's", self._id)
            await self._fail(internal_error("the server has failed; its log says why"))
            return
        if self._ended_by is not None:
            await self._fail(self._ended_by)

    def end(self, error: OpenAIError) -> None:
        """End it; what the client is told, where that is still possible, is the error."""
        self._ended_by = error
        self._work.cancel()

    async def refuse(self, error: OpenAIError) -> None:
        """Answer with an error, and end the connection."""
        status_code, headers, body = error_reply(error)
        await self._whole(status_code, {**headers, "connection": "close"}, body)

    async def refuse_unread(self, error: OpenAIError) -> None:
        """Answer with an error before the body was read."""
        await discard_body(self._scope, self._receive, self._settings.max_body_bytes)
        await self.refuse(error)

    async def _fail(self, error: OpenAIError) -> None:
        """Answer with an error in whichever form is still possible."""
        # A client that does not read must not keep it waiting.
        with anyio.move_on_after(1):
            if self._head_sent:
                await self._body_part(error_event(error), more=False)
            else:
                await self.refuse(error)

    async def _watch(self) -> None:
        """End the work when the client has gone."""
        while (await self._receive())["type"] != "http.disconnect":
            pass
        self._work.cancel()

    async def _tend(self) -> None:
        """Break the silence of a stream; give up on a client that does not read."""
        settings = self._settings
        while True:
            await anyio.sleep(min(settings.keep_alive_s, settings.write_timeout_s) / 4)
            silence_s = time.perf_counter() - self._moved
            if self._sending:
                if silence_s >= settings.write_timeout_s:
                    self._give_up(silence_s)
            elif silence_s >= settings.keep_alive_s:
                # Nobody else sends now: there is nothing to send. Nor would anybody see that this waits for the client.
                with anyio.move_on_after(settings.write_timeout_s) as sending:
                    if not self._head_sent:
                        await self._head(200, _STREAM_HEADERS)
                    await self._body_part(_COMMENT, more=True)
                if sending.cancelled_caught:
                    self._give_up(settings.write_timeout_s)

    def _give_up(self, silence_s: float) -> None:
        _log.warning("request %s: its client has read nothing for %.0f s: the stream is ended", self._id, silence_s)
        self._work.cancel()

    # -- the request

    async def _read(self) -> None:
        if self._scope["method"] not in {"POST", "PUT", "PATCH"}:
            return
        limit = self._settings.max_body_bytes
        if _declares_more(self._scope, _READ_ON * limit):
            raise _too_long(limit)
        n_bytes = 0
        refusal: APIStatusError | None = None
        with anyio.move_on_after(self._settings.body_timeout_s) as scope:
            while True:
                message = await self._receive()
                if message["type"] == "http.disconnect":
                    raise _Gone
                part = message.get("body", b"")
                n_bytes += len(part)
                if n_bytes > _READ_ON * limit:
                    raise _too_long(limit)
                if refusal is None:
                    refusal = self._keep(part)
                if not message.get("more_body", False):
                    break
        if scope.cancelled_caught:
            limit_s = self._settings.body_timeout_s
            raise too_slow(f"the body did not come within {limit_s:g} s (body_timeout_s)")
        if refusal is not None:
            raise refusal
        self._body = bytes(self._buffer)
        self._buffer = bytearray()

    def _keep(self, part: bytes) -> APIStatusError | None:
        """Keep a part of the body; return what the request is refused with where that is too much."""
        settings, endpoint = self._settings, self._endpoint
        refusal = None
        if len(self._buffer) + len(part) > settings.max_body_bytes:
            refusal = _too_long(settings.max_body_bytes)
        elif endpoint.n_buffered + len(part) > settings.max_buffered_bytes:
            limit = settings.max_buffered_bytes
            refusal = too_many(
                f"the bodies of all requests are longer than {limit} bytes together (max_buffered_bytes)"
            )
        if refusal is not None:
            self.let_go()
            return refusal
        self._buffer += part
        endpoint.n_buffered += len(part)
        return None

    def let_go(self) -> None:
        """Keep the body no longer."""
        self._endpoint.n_buffered -= len(self._buffer) + len(self._body)
        self._buffer, self._body = bytearray(), b""

    def _request(self) -> HTTPRequest:
        scope = self._scope
        root = quote(scope.get("root_path", ""), safe="/")
        # As it came: a name in it may hold an encoded slash.
        path = (scope.get("raw_path") or quote(scope["path"], safe="/").encode()).decode("latin-1")
        return HTTPRequest(
            # Of a reply to HEAD the server below keeps the body, as ASGI has it.
            method="GET" if scope["method"] == "HEAD" else scope["method"],
            path=path.removeprefix(root),
            query=parse_qsl(scope["query_string"].decode("latin-1"), keep_blank_values=True),
            body=self._body,
            timeout=self._settings.request_timeout_s,
        )

    def _look_at(self, parameters: Mapping[str, Any]) -> None:
        settings = self._settings
        messages = parameters.get("messages")
        if isinstance(messages, list) and len(messages) > settings.max_messages:
            n, limit = len(messages), settings.max_messages
            raise too_large(f"messages has {n} entries, the limit is {limit} (max_messages)", "messages")
        if len(self._body) > settings.max_schema_bytes:
            for name in _SCHEMA_PARAMETERS:
                n = len(json.dumps(parameters.get(name), ensure_ascii=False))
                if n > settings.max_schema_bytes:
                    limit = settings.max_schema_bytes
                    raise too_large(f"{name} is {n} long, the limit is {limit} (max_schema_bytes)", name)
        self._wants_stream = parameters.get("stream") is True

    # -- the reply

    async def _respond(self, tasks: anyio.abc.TaskGroup) -> None:
        def look_at(parameters: Mapping[str, Any]) -> None:
            self._look_at(parameters)
            if self._wants_stream:
                tasks.start_soon(self._tend)

        try:
            reply = await self._router.handle(self._request(), look_at)
        except APIConnectionError as error:
            status_code, headers, body = self._router.error_reply(error)
            reply = HTTPReply(status_code, headers, body)
        self.let_go()
        if isinstance(reply.body, EventStream):
            await self._stream(reply, reply.body)
        elif self._head_sent:
            # A comment went out, and the error came after it.
            await self._body_part(b"data: " + reply.body + b"\n\n", more=False)
        else:
            await self._whole(reply.status_code, reply.headers, reply.body)

    async def _stream(self, reply: HTTPReply, events: EventStream) -> None:
        latencies = self._endpoint.latencies
        try:
            if not self._head_sent:
                await self._head(reply.status_code, {**reply.headers, **_STREAM_HEADERS})
            note = latencies.first_token
            write: Callable[[bytes], bool] | None = None
            while not events.has_ended:
                part = await events.batch(write)
                now = time.perf_counter()
                note.observe(now - self._wrote)
                self._wrote, note = now, latencies.inter_token
                await self._body_part(part, more=not events.has_ended)
                # From here on the head is out.
                write = self._write_now if self._writer is not None else None
        except APIConnectionError as error:
            await self._body_part(error_event(error), more=False)
        finally:
            events.cancel()

    def _write_now(self, events: bytes) -> bool:
        """Write a part of the body without a task; return whether that was possible."""
        assert self._writer is not None
        if not self._writer(events):
            return False
        now = time.perf_counter()
        self._endpoint.latencies.inter_token.observe(now - self._wrote)
        self._wrote = self._moved = now
        return True

    async def _whole(self, status_code: int, headers: Mapping[str, str], body: bytes) -> None:
        await send_reply(self._send, status_code, {**headers, "x-request-id": self._id}, body)

    async def _head(self, status_code: int, headers: Mapping[str, str]) -> None:
        self._head_sent = True
        headers = {**headers, "x-request-id": self._id}
        await self._send({"type": "http.response.start", "status": status_code, "headers": _encoded(headers)})

    async def _body_part(self, body: bytes, *, more: bool) -> None:
        self._sending, self._moved = True, time.perf_counter()
        try:
            await self._send({"type": "http.response.body", "body": body, "more_body": more})
        finally:
            self._sending = False


async def discard_body(scope: Scope, receive: Receive, max_body_bytes: int) -> None:
    """Read a body that nobody wants, within limits: a connection closed before is reset, and the reply is lost."""
    limit = _READ_ON * max_body_bytes
    if b"expect" in dict(scope["headers"]) or _declares_more(scope, limit):
        return
    n_bytes = 0
    with anyio.move_on_after(_DISCARD_S):
        while n_bytes <= limit:
            message = await receive()
            n_bytes += len(message.get("body", b""))
            if not message.get("more_body", False):
                return


def _declares_more(scope: Scope, limit: int) -> bool:
    declared = dict(scope["headers"]).get(b"content-length", b"")
    return declared.isdigit() and int(declared[:20]) > limit


def _too_long(limit: int) -> APIStatusError:
    return too_large(f"the body is longer than {limit} bytes, which is the limit (max_body_bytes)")


async def send_reply(send: Send, status_code: int, headers: Mapping[str, str], body: bytes) -> None:
    """Send a whole reply."""
    encoded = _encoded(headers)
    if "content-length" not in headers:
        encoded.append((b"content-length", str(len(body)).encode()))
    await send({"type": "http.response.start", "status": status_code, "headers": encoded})
    await send({"type": "http.response.body", "body": body})


def _encoded(headers: Mapping[str, str]) -> list[tuple[bytes, bytes]]:
    return [(name.encode("ascii"), value.encode("latin-1")) for name, value in headers.items()]
