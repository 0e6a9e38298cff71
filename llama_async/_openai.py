"""A real openai client whose transport is a client of ours: requests go to its resources, in process, without a socket.

The only module that imports openai, and so imported by `as_openai` alone. Knows httpx2, and what openai's client makes
of a transport's errors; the routes are `_http`'s.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, NoReturn

from ._errors import BASE_URL, APIConnectionError, APITimeoutError, ClientClosedError
from ._http import HTTPReply, HTTPRequest, Router
from ._types import not_given

try:
    import httpx2
    import openai
except ImportError as error:
    raise ImportError(
        f"as_openai() needs the openai package, version 3 or later ({error}): pip install 'llama-async[openai]'"
    ) from error

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterator
    from typing import Any

    from ._client import AsyncLlama
    from ._wire import EventStream

__all__ = ["AsyncTransport", "Transport", "async_openai", "blocking_openai"]

# openai wants one; it goes nowhere.
_API_KEY = "llama-async"


def async_openai(client: AsyncLlama) -> openai.AsyncOpenAI:
    """Return an openai client that a client of ours answers, with its timeout and retries."""
    return openai.AsyncOpenAI(
        api_key=_API_KEY,
        base_url=BASE_URL,
        timeout=client.timeout,  # type: ignore[arg-type]
        max_retries=client.max_retries,
        http_client=httpx2.AsyncClient(transport=AsyncTransport(client)),
    )


def blocking_openai(client: AsyncLlama, run: Callable[[Callable[[], Any]], Any]) -> openai.OpenAI:
    """Return a blocking openai client that a client of ours answers, with its timeout and retries.

    Args:
        client: Who answers.
        run: Runs a function in the client's event loop, which is asyncio's, awaits what it returns if that can be
            awaited, and returns or raises what came of it.
    """
    return openai.OpenAI(
        api_key=_API_KEY,
        base_url=BASE_URL,
        timeout=client.timeout,  # type: ignore[arg-type]
        max_retries=client.max_retries,
        http_client=httpx2.Client(transport=Transport(client, run)),
    )


class ClosedError(openai.APIConnectionError, RuntimeError):
    """The client that answers was closed; openai's own closed client raises a RuntimeError."""


class AsyncTransport(httpx2.AsyncBaseTransport):
    """Answers httpx2's requests with a client of ours; an answer that is streamed comes event by event.

    What httpx2 would raise for a timeout or a lost connection makes openai's client try again, twice, although the
    work would only be done again in this process. Its own exceptions pass through it untouched: so those are raised.

    Args:
        client: Who answers. Closing the transport leaves it open.
    """

    def __init__(self, client: AsyncLlama) -> None:
        self._router = Router(client)

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        """Answer a request. Cancelling the calling task, or closing the response, ends the work.

        Raises:
            openai.APITimeoutError: The request's read timeout passed.
            openai.APIConnectionError: The client is or was closed: a RuntimeError too.
        """
        await request.aread()
        try:
            reply = await self._router.handle(_request(request))
        except APIConnectionError as error:
            _raise_for(error, request)
        if isinstance(reply.body, bytes):
            return _response(reply, httpx2.ByteStream(reply.body))
        return _response(reply, _Body(reply.body, request))


class _Body(httpx2.AsyncByteStream):
    def __init__(self, events: EventStream, request: httpx2.Request) -> None:
        self._events = events
        self._request = request

    def __aiter__(self) -> AsyncIterator[bytes]:
        return self

    async def __anext__(self) -> bytes:
        try:
            return await self._events.__anext__()
        except APIConnectionError as error:
            _raise_for(error, self._request)

    async def aclose(self) -> None:
        await self._events.aclose()


class Transport(httpx2.BaseTransport):
    """Does as `AsyncTransport` for openai's blocking client.

    Args:
        client: Who answers. Closing the transport leaves it open.
        run: Runs a function in the client's event loop, as `blocking_openai` says. What interrupts it ends the work.
    """

    def __init__(self, client: AsyncLlama, run: Callable[[Callable[[], Any]], Any]) -> None:
        self._router = Router(client)
        self._run = run

    def handle_request(self, request: httpx2.Request) -> httpx2.Response:
        """Answer a request. Closing the response ends the work, and does not wait for that.

        Raises:
            openai.APITimeoutError: The request's read timeout passed.
            openai.APIConnectionError: The client is or was closed: a RuntimeError too.
        """
        request.read()
        try:
            reply, loop = self._run(lambda: self._handle(_request(request)))
        except APIConnectionError as error:
            _raise_for(error, request)
        if isinstance(reply.body, bytes):
            return _response(reply, httpx2.ByteStream(reply.body))
        return _response(reply, _BlockingBody(reply.body, request, self._run, loop))

    async def _handle(self, request: HTTPRequest) -> tuple[HTTPReply, asyncio.AbstractEventLoop]:
        return await self._router.handle(request), asyncio.get_running_loop()


class _BlockingBody(httpx2.SyncByteStream):
    def __init__(
        self,
        events: EventStream,
        request: httpx2.Request,
        run: Callable[[Callable[[], Any]], Any],
        loop: asyncio.AbstractEventLoop,
    ) -> None:
        self._events = events
        self._request = request
        self._run = run
        self._loop = loop

    def __iter__(self) -> Iterator[bytes]:
        while True:
            try:
                event: bytes = self._run(self._events.__anext__)
            except StopAsyncIteration:
                return
            except APIConnectionError as error:
                _raise_for(error, self._request)
            yield event

    def close(self) -> None:
        # Without waiting: openai's generators close a response when they are collected, which happens in any thread at
        # any point, the loop's own among them.
        try:
            self._loop.call_soon_threadsafe(self._events.cancel)
        except RuntimeError:
            # The loop is closed, and with it all work.
            pass


def _request(request: httpx2.Request) -> HTTPRequest:
    timeouts = request.extensions.get("timeout")
    return HTTPRequest(
        method=request.method,
        path=request.url.raw_path.partition(b"?")[0].decode("ascii"),
        query=request.url.params.multi_items(),
        body=request.content,
        timeout=timeouts.get("read") if isinstance(timeouts, dict) else not_given,
    )


def _response(reply: HTTPReply, stream: httpx2.AsyncByteStream | httpx2.SyncByteStream) -> httpx2.Response:
    # Never `content=`: that response would count as read and closed before openai's client hands it out.
    return httpx2.Response(reply.status_code, headers=dict(reply.headers), stream=stream)


def _raise_for(error: APIConnectionError, request: httpx2.Request) -> NoReturn:
    if isinstance(error, APITimeoutError):
        raise openai.APITimeoutError(request=request) from error  # type: ignore[arg-type,unused-ignore]
    if isinstance(error, ClientClosedError):
        raise ClosedError(message=error.message, request=request) from error
    raise openai.APIConnectionError(message=error.message, request=request) from error
