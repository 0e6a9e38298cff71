"""`with_raw_response` and `with_streaming_response`: a result as the HTTP response it would have been.

Owns the response classes, by openai's names and with their surfaces, and the wrappers that make them out of the
methods of a resource. There is no HTTP: the body is the result's own JSON, or its chunks as server-sent events.
"""

from __future__ import annotations

import functools
import inspect
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping
from datetime import timedelta
from typing import TYPE_CHECKING, Any, Generic, TypeVar, cast, get_origin, overload
from urllib.parse import quote

import pydantic
from typing_extensions import ParamSpec

from ._errors import OpenAIError, new_request_id
from ._models import BaseModel, add_request_id, construct_type
from ._wire import json_body

if TYPE_CHECKING:
    from types import TracebackType

    import httpx

__all__ = [
    "APIResponse",
    "AsyncAPIResponse",
    "AsyncResponseContextManager",
    "BaseAPIResponse",
    "LegacyAPIResponse",
    "ResponseContextManager",
    "StreamAlreadyConsumed",
    "async_to_raw_response_wrapper",
    "async_to_streamed_response_wrapper",
    "to_raw_response_wrapper",
    "to_streamed_response_wrapper",
]

_P = ParamSpec("_P")
_R = TypeVar("_R")
_T = TypeVar("_T")
_ResponseT = TypeVar("_ResponseT", bound="APIResponse[Any]")
_AsyncResponseT = TypeVar("_AsyncResponseT", bound="AsyncAPIResponse[Any]")


class StreamAlreadyConsumed(OpenAIError):
    """The body was read part by part before, and was not kept."""

    def __init__(self) -> None:
        super().__init__(
            "the body was streamed already and is gone: call read() first, or keep the parts while they come"
        )


class _Response(Generic[_R]):
    """What all kinds of response have in common.

    Args:
        result: What the method returned.
        http_response: The response around it.
    """

    http_response: httpx.Response
    retries_taken: int = 0
    """Always 0: in one process there is nothing to retry."""

    def __init__(self, result: _R, http_response: httpx.Response) -> None:
        self._result = result
        self.http_response = http_response

    @property
    def request_id(self) -> str | None:
        """The id that the result has, too."""
        return cast("str | None", self.http_response.headers.get("x-request-id"))

    @property
    def headers(self) -> httpx.Headers:
        """Headers of the response."""
        return self.http_response.headers

    @property
    def http_request(self) -> httpx.Request:
        """The request as an HTTP client would have sent it, without its body."""
        return self.http_response.request

    @property
    def status_code(self) -> int:
        """200: what fails is raised."""
        return self.http_response.status_code

    @property
    def url(self) -> httpx.URL:
        """Where the request would have gone."""
        return self.http_response.url

    @property
    def method(self) -> str:
        """`"GET"`, `"POST"`, ..."""
        return self.http_request.method

    @property
    def http_version(self) -> str:
        """That of an HTTP client by default."""
        return self.http_response.http_version

    @property
    def elapsed(self) -> timedelta:
        """From the call to the result; of a stream, to its first part."""
        return self.http_response.elapsed

    @property
    def is_closed(self) -> bool:
        """Whether nothing is left to read."""
        return self.http_response.is_closed

    def _parsed(self, to: Any) -> Any:
        """Return the result, or its body read as another type."""
        import httpx

        if to is None:
            return self._result
        if _is_stream(self._result):
            if not (inspect.isclass(get_origin(to) or to) and isinstance(self._result, get_origin(to) or to)):
                raise TypeError(f"a stream can only be parsed as {type(self._result).__name__}, not as {to}")
            return self._result
        text = self.http_response.text
        if to is str:
            return text
        if to in (int, float):
            return to(text)
        if to is bool:
            return text.strip().lower() == "true"
        if to is httpx.Response:
            return self.http_response
        if inspect.isclass(to) and issubclass(to, pydantic.BaseModel) and not issubclass(to, BaseModel):
            raise TypeError(f"{to.__name__} must be a subclass of llama_async.BaseModel")
        parsed = construct_type(self.http_response.json(), to)
        if isinstance(parsed, BaseModel):
            add_request_id(parsed, self.request_id)
        return parsed


class LegacyAPIResponse(_Response[_R]):
    """What `with_raw_response` gives: the body was read."""

    @overload
    def parse(self, *, to: type[_T]) -> _T: ...

    @overload
    def parse(self) -> _R: ...

    def parse(self, *, to: type[_T] | None = None) -> _R | _T:
        """Return the result as the method itself would, or its body as another type.

        Args:
            to: A subclass of `llama_async.BaseModel`, `dict`, `list`, `str`, a number, a union, or `httpx.Response`.
        """
        return cast("_R | _T", self._parsed(to))

    @property
    def content(self) -> bytes:
        """The body."""
        return self.http_response.content

    @property
    def text(self) -> str:
        """The body as text."""
        return self.http_response.text

    def __repr__(self) -> str:
        return _shown("APIResponse", self.http_response, self._result)


class BaseAPIResponse(_Response[_R]):
    """What `with_streaming_response` gives, blocking or not."""

    def __repr__(self) -> str:
        return _shown(type(self).__name__, self.http_response, self._result)


class APIResponse(BaseAPIResponse[_R]):
    """A response of the blocking client, whose body is read when asked for."""

    @overload
    def parse(self, *, to: type[_T]) -> _T: ...

    @overload
    def parse(self) -> _R: ...

    def parse(self, *, to: type[_T] | None = None) -> _R | _T:
        """Return the result as the method itself would, or its body as another type; `to` as for raw responses."""
        if not _is_stream(self._result):
            self.read()
        return cast("_R | _T", self._parsed(to))

    def read(self) -> bytes:
        """Return the body.

        Raises:
            StreamAlreadyConsumed: It was iterated over before.
        """
        import httpx

        try:
            return self.http_response.read()
        except httpx.StreamConsumed:
            raise StreamAlreadyConsumed from None

    def text(self) -> str:
        """Return the body as text."""
        self.read()
        return self.http_response.text

    def json(self) -> object:
        """Return the body's JSON, decoded."""
        self.read()
        return cast("object", self.http_response.json())

    def close(self) -> None:
        """Drop what was not read; a stream's request ends."""
        self.http_response.close()

    def iter_bytes(self, chunk_size: int | None = None) -> Iterator[bytes]:
        """Iterate over the body as it comes, or in pieces of a size in bytes."""
        return self.http_response.iter_bytes(chunk_size)

    def iter_text(self, chunk_size: int | None = None) -> Iterator[str]:
        """Iterate over the body's text as it comes, or in pieces of a size in characters."""
        return self.http_response.iter_text(chunk_size)

    def iter_lines(self) -> Iterator[str]:
        """Iterate over the body's lines, without their ends."""
        return self.http_response.iter_lines()


class AsyncAPIResponse(BaseAPIResponse[_R]):
    """A response whose body is read when asked for."""

    @overload
    async def parse(self, *, to: type[_T]) -> _T: ...

    @overload
    async def parse(self) -> _R: ...

    async def parse(self, *, to: type[_T] | None = None) -> _R | _T:
        """Return the result as the method itself would, or its body as another type; `to` as for raw responses."""
        if not _is_stream(self._result):
            await self.read()
        return cast("_R | _T", self._parsed(to))

    async def read(self) -> bytes:
        """Return the body.

        Raises:
            StreamAlreadyConsumed: It was iterated over before.
        """
        import httpx

        try:
            return await self.http_response.aread()
        except httpx.StreamConsumed:
            raise StreamAlreadyConsumed from None

    async def text(self) -> str:
        """Return the body as text."""
        await self.read()
        return self.http_response.text

    async def json(self) -> object:
        """Return the body's JSON, decoded."""
        await self.read()
        return cast("object", self.http_response.json())

    async def close(self) -> None:
        """Drop what was not read; a stream's request ends."""
        await self.http_response.aclose()

    def iter_bytes(self, chunk_size: int | None = None) -> AsyncIterator[bytes]:
        """Iterate over the body as it comes, or in pieces of a size in bytes."""
        return self.http_response.aiter_bytes(chunk_size)

    def iter_text(self, chunk_size: int | None = None) -> AsyncIterator[str]:
        """Iterate over the body's text as it comes, or in pieces of a size in characters."""
        return self.http_response.aiter_text(chunk_size)

    def iter_lines(self) -> AsyncIterator[str]:
        """Iterate over the body's lines, without their ends."""
        return self.http_response.aiter_lines()


class ResponseContextManager(Generic[_ResponseT]):
    """Calls the method when entered, and closes its response when left."""

    def __init__(self, request_func: Callable[[], _ResponseT]) -> None:
        self._request_func = request_func
        self._response: _ResponseT | None = None

    def __enter__(self) -> _ResponseT:
        self._response = self._request_func()
        return self._response

    def __exit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if self._response is not None:
            self._response.close()


class AsyncResponseContextManager(Generic[_AsyncResponseT]):
    """Calls the method when entered, and closes its response when left."""

    # A function, not a coroutine as in openai: one that is never entered leaves none behind that was never awaited.
    def __init__(self, request_func: Callable[[], Awaitable[_AsyncResponseT]]) -> None:
        self._request_func = request_func
        self._response: _AsyncResponseT | None = None

    async def __aenter__(self) -> _AsyncResponseT:
        self._response = await self._request_func()
        return self._response

    async def __aexit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if self._response is not None:
            await self._response.close()


# -- the wrappers ------------------------------------------------------------------------------------------------------


def to_raw_response_wrapper(func: Callable[_P, _R], method: str, path: str) -> Callable[_P, LegacyAPIResponse[_R]]:
    """Return a blocking method of a resource that returns its result's response.

    Args:
        func: The bound method.
        method: The HTTP method it stands for.
        path: The path, with parameters of the method in braces.
    """

    @functools.wraps(func)
    def wrapped(*args: _P.args, **kwargs: _P.kwargs) -> LegacyAPIResponse[_R]:
        call = _Call(func, method, path, args, kwargs)
        result = func(*args, **kwargs)
        return LegacyAPIResponse(result, call.response(result, bytes))

    return wrapped


def async_to_raw_response_wrapper(
    func: Callable[_P, Awaitable[_R]], method: str, path: str
) -> Callable[_P, Awaitable[LegacyAPIResponse[_R]]]:
    """Return a method of a resource that returns its result's response; arguments as for the blocking one."""

    @functools.wraps(func)
    async def wrapped(*args: _P.args, **kwargs: _P.kwargs) -> LegacyAPIResponse[_R]:
        call = _Call(func, method, path, args, kwargs)
        result = await func(*args, **kwargs)
        return LegacyAPIResponse(result, call.response(result, bytes))

    return wrapped


def to_streamed_response_wrapper(
    func: Callable[_P, _R], method: str, path: str
) -> Callable[_P, ResponseContextManager[APIResponse[_R]]]:
    """Return a blocking method of a resource that returns a context of its result's response."""

    @functools.wraps(func)
    def wrapped(*args: _P.args, **kwargs: _P.kwargs) -> ResponseContextManager[APIResponse[_R]]:
        def request() -> APIResponse[_R]:
            call = _Call(func, method, path, args, kwargs)
            result = func(*args, **kwargs)
            return APIResponse(result, call.response(result, lambda body: iter((body,))))

        return ResponseContextManager(request)

    return wrapped


def async_to_streamed_response_wrapper(
    func: Callable[_P, Awaitable[_R]], method: str, path: str
) -> Callable[_P, AsyncResponseContextManager[AsyncAPIResponse[_R]]]:
    """Return a method of a resource that returns a context of its result's response."""

    @functools.wraps(func)
    def wrapped(*args: _P.args, **kwargs: _P.kwargs) -> AsyncResponseContextManager[AsyncAPIResponse[_R]]:
        async def request() -> AsyncAPIResponse[_R]:
            call = _Call(func, method, path, args, kwargs)
            result = await func(*args, **kwargs)
            return AsyncAPIResponse(result, call.response(result, _Once))

        return AsyncResponseContextManager(request)

    return wrapped


class _Once:
    """A body in one piece. Not an async generator: one that is left early makes trio warn."""

    def __init__(self, body: bytes) -> None:
        self._body: bytes | None = body

    def __aiter__(self) -> AsyncIterator[bytes]:
        return self

    async def __anext__(self) -> bytes:
        if self._body is None:
            raise StopAsyncIteration
        body, self._body = self._body, None
        return body


class _Call:
    """One call of a wrapped method: the request that it stands for."""

    def __init__(
        self, func: Callable[..., object], method: str, path: str, args: tuple[object, ...], kwargs: Mapping[str, Any]
    ) -> None:
        self._client: Any = func.__self__._client  # type: ignore[attr-defined] # noqa: SLF001 (a resource's method)
        self._method = method
        if "{" in path:
            given = inspect.signature(func).bind(*args, **kwargs).arguments
            path = path.format_map({name: quote(str(value), safe="") for name, value in given.items()})
        self._path = path
        self._extra_headers: Mapping[str, Any] = kwargs.get("extra_headers") or {}
        self._started = time.monotonic()

    def response(self, result: Any, body: Callable[[bytes], Any]) -> httpx.Response:
        """Return the response around a result.

        Args:
            result: What the method returned.
            body: Makes of the bytes what the response reads them from.
        """
        import httpx

        elapsed = timedelta(seconds=time.monotonic() - self._started)
        if _is_stream(result):
            response: httpx.Response = result.response
        else:
            request_id = getattr(result, "_request_id", None)
            if request_id is None:
                request_id = new_request_id()
                add_request_id(result, request_id)
            content = json_body(result)
            headers = {"content-type": "application/json", "x-request-id": request_id}
            response = httpx.Response(200, headers=headers, content=body(content))
        response.headers["openai-processing-ms"] = str(round(elapsed.total_seconds() * 1000))
        response.request = self._request()
        response.elapsed = elapsed
        return response

    def _request(self) -> httpx.Request:
        import httpx

        given = {**self._client.default_headers, **self._extra_headers}
        headers = {name: value for name, value in given.items() if isinstance(value, str)}
        return httpx.Request(self._method, str(self._client.base_url).rstrip("/") + self._path, headers=headers)


def _is_stream(result: object) -> bool:
    return not isinstance(result, BaseModel) and hasattr(result, "response")


def _shown(name: str, response: httpx.Response, result: object) -> str:
    return f"<{name} [{response.status_code} {response.reason_phrase}] type={type(result)}>"
