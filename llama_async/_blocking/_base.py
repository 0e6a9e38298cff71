"""What the generated blocking modules stand on: calls through the portal, and async results turned into blocking ones.

A call runs the async method in the portal's loop while its caller waits; KeyboardInterrupt ends both. Streams and pages
come out as blocking ones over the same portal, clients as blocking clients.
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any, Generic, TypeVar, cast

from typing_extensions import Self

from llama_async._client import AsyncLlama
from llama_async._errors import ClientClosedError
from llama_async._models import add_request_id
from llama_async._portal import Portal
from llama_async._pretrained import fetched_model
from llama_async._stream import AsyncStream
from llama_async.pagination import AsyncCursorPage, AsyncPage, BaseAsyncPage, SyncCursorPage, SyncPage, make_page

if TYPE_CHECKING:
    import os
    from collections.abc import Callable, Iterator
    from types import TracebackType

    import httpx
    import openai

    from llama_async.lib.streaming.chat import AsyncChatCompletionStreamManager, ChatCompletionStreamManager
    from llama_async.pagination import BaseSyncPage, PageInfo
    from llama_async.types.chat import ChatCompletionChunk

__all__ = ["BlockingClient", "Stream", "SyncAPIResource", "Wrapped"]

_T = TypeVar("_T")
_SYNC_PAGES: dict[Any, Any] = {AsyncPage: SyncPage, AsyncCursorPage: SyncCursorPage}


class Stream(Generic[_T]):
    """An answer as it is generated: `for chunk in stream`.

    Leaving the loop early does not end the request; `stream.close()` (or `with stream`) does, and so does dropping the
    stream. One thread at a time reads it; any thread may close it.
    """

    def __init__(self, stream: AsyncStream[_T], portal: Portal) -> None:
        self._stream = stream
        self._portal = portal
        self._response: httpx.Response | None = None

    def __next__(self) -> _T:
        """Return the next chunk; an interrupt while it waits ends the request.

        Raises:
            StopIteration: The answer has ended.
            APIError: It failed; APITimeoutError and ClientClosedError are among its kinds.
            StreamClosedError: The stream was closed.
        """
        try:
            return cast("_T", self._portal.run(self._stream.__anext__))
        except StopAsyncIteration:
            raise StopIteration from None
        finally:
            self._note_end()

    def __iter__(self) -> Iterator[_T]:
        return self

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """End the request, if it has not ended, and drop what was not read. Idempotent."""
        if self._portal.is_own_thread:
            # Finalizers run in any thread, and generators close what they read from when they are collected.
            self._stream._close()  # noqa: SLF001 (its `close`, which waits for nothing)
        else:
            try:
                self._portal.run(self._stream.close)
            except ClientClosedError:
                # So has the stream been.
                pass
        self._note_end()

    def _note_end(self) -> None:
        if self._response is not None:
            self._response.is_closed = self._stream.response.is_closed

    @property
    def response(self) -> httpx.Response:
        """The response as an HTTP client would have it. Its body is the rest of the stream, its `close` closes it."""
        if self._response is None:
            self._response = _response(self, self._stream, self._portal)
            self._note_end()
        return self._response


class SyncAPIResource:
    """A group of methods of a blocking client.

    Args:
        client: The client.
        wrapped: The async resource that does the work.
    """

    def __init__(self, client: BlockingClient, wrapped: Any) -> None:
        self._client = client
        self._wrapped = wrapped

    def _call(self, name: str, /, *args: Any, **kwargs: Any) -> Any:
        return self._client._run(getattr(self._wrapped, name), *args, **kwargs)  # noqa: SLF001 (they are one)


class Wrapped(AsyncLlama):
    """The client inside a blocking one."""

    _closed_by = "`with` or `client.close()`"


# As which it shows itself.
Wrapped.__name__ = "Llama"


class BlockingClient:
    """What `Llama` consists of beside the generated methods."""

    _wrapped: AsyncLlama
    _portal: Portal

    @classmethod
    def from_pretrained(
        cls,
        repo_id: str,
        filename: str | None = None,
        *,
        revision: str | None = None,
        token: str | None = None,
        cache_dir: str | os.PathLike[str] | None = None,
        local_files_only: bool = False,
        on_download: Callable[[int, int | None], object] | None = None,
        **options: Any,
    ) -> Self:
        """Return a client of a model of the Hugging Face hub, which is fetched unless it is in the cache.

        Blocks until that is done, else as `AsyncLlama.from_pretrained`. KeyboardInterrupt ends the transfer, and keeps
        what came.
        """
        path = fetched_model(
            repo_id,
            filename,
            revision=revision,
            token=token,
            cache_dir=cache_dir,
            local_files_only=local_files_only,
            on_download=on_download,
        )
        return cast("Any", cls)(path, **options)  # type: ignore[no-any-return]

    def _cover(self, wrapped: AsyncLlama, portal: Portal | None = None) -> None:
        self._wrapped = wrapped
        self._portal = portal or Portal()

    def _call(self, name: str, /, *args: Any, **kwargs: Any) -> Any:
        return self._run(getattr(self._wrapped, name), *args, **kwargs)

    def _run(self, method: Any, /, *args: Any, **kwargs: Any) -> Any:
        return self._blocking(self._portal.run(lambda: method(*args, **kwargs)))

    def _blocking(self, result: Any) -> Any:
        """Return the blocking counterpart of an async result; any other result as it is."""
        if isinstance(result, AsyncStream):
            return Stream(result, self._portal)
        if isinstance(result, BaseAsyncPage):
            return self._blocking_page(result)
        if isinstance(result, AsyncLlama):
            return self if result is self._wrapped else self._like(result)
        # Imported by whoever made one.
        streaming: Any = sys.modules.get("llama_async.lib.streaming.chat")
        if streaming is not None and isinstance(result, streaming.AsyncChatCompletionStreamManager):
            return self._blocking_manager(result)
        return result

    def _blocking_manager(self, manager: AsyncChatCompletionStreamManager[Any]) -> ChatCompletionStreamManager[Any]:
        from llama_async.lib.streaming.chat import ChatCompletionStreamManager

        # The request is an awaitable, which is awaited when the block is entered.
        request = manager._api_request  # noqa: SLF001
        return ChatCompletionStreamManager(
            lambda: cast("Stream[ChatCompletionChunk]", self._run(lambda: request)),
            response_format=manager._response_format,  # noqa: SLF001
            input_tools=manager._input_tools,  # noqa: SLF001
        )

    def _blocking_page(self, page: BaseAsyncPage[Any]) -> BaseSyncPage[Any]:
        def fetch(_: PageInfo) -> BaseSyncPage[Any]:
            return cast("BaseSyncPage[Any]", self._run(page.get_next_page))

        generic = type(page).__pydantic_generic_metadata__
        made = _SYNC_PAGES[generic["origin"]][generic["args"]]
        fields = {name: getattr(page, name) for name in (*page.model_fields_set, *(page.model_extra or ()))}
        sync_page = cast("BaseSyncPage[Any]", make_page(made, fields, fetch))
        request_id = getattr(page, "_request_id", None)
        if request_id is not None:
            add_request_id(sync_page, request_id)
        return sync_page

    def _like(self, wrapped: AsyncLlama) -> Self:
        other = object.__new__(type(self))
        other._cover(wrapped, self._portal)
        return other

    def close(self) -> None:
        """End every request with an exception and free what the client holds. Idempotent.

        Interrupting it does not undo it.
        """
        if self._portal.is_closed:
            return
        try:
            self._portal.run(self._wrapped.close)
        except ClientClosedError:
            # Another thread has closed it meanwhile.
            pass
        self._portal.close()

    def is_closed(self) -> bool:
        """Whether `close` was called, of this client or a copy."""
        return self._wrapped.is_closed()

    def as_openai(self) -> openai.OpenAI:
        """Return a real `openai.OpenAI` that this client answers, for code that must have one.

        As `AsyncLlama.as_openai`; closing a stream of it does not wait for the end of the work.

        Raises:
            ImportError: The `openai` package is not installed (the extra `llama-async[openai]`).
        """
        from llama_async._openai import blocking_openai

        return blocking_openai(self._wrapped, self._portal.run)

    def __enter__(self) -> Self:
        self._portal.run(self._wrapped.__aenter__)
        return self

    def __exit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def __repr__(self) -> str:
        return repr(self._wrapped)


def _response(stream: Stream[Any], wrapped: AsyncStream[Any], portal: Portal) -> httpx.Response:
    import httpx

    from llama_async._wire import EventStream

    class Body(httpx.SyncByteStream):
        def __iter__(self) -> Iterator[bytes]:
            events = EventStream(wrapped)
            while True:
                try:
                    event: bytes = portal.run(events.__anext__)
                except StopAsyncIteration:
                    return
                yield event

        def close(self) -> None:
            stream.close()

    response = wrapped.response
    return httpx.Response(response.status_code, headers=response.headers, stream=Body(), request=response.request)
