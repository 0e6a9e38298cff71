"""Streams of events, awaited and blocking: chunks go through a `ChatCompletionStreamState`.

Classes, not generators: leaving a loop early has no clean-up to wait for, and closing is the raw stream's.
"""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, Generic, Protocol

from typing_extensions import Self

from llama_async.lib._parsing import ResponseFormatT

from ._state import ChatCompletionStreamState

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Iterator
    from types import TracebackType

    from llama_async._stream import AsyncStream
    from llama_async._types import Omit
    from llama_async.types.chat import ChatCompletionChunk, ChatCompletionToolUnionParam, ParsedChatCompletion
    from llama_async.types.chat.completion_create_params import ResponseFormat

    from ._events import ChatCompletionStreamEvent
    from ._types import ParsedChatCompletionSnapshot

__all__ = [
    "AsyncChatCompletionStream",
    "AsyncChatCompletionStreamManager",
    "ChatCompletionStream",
    "ChatCompletionStreamManager",
    "ChatCompletionStreamState",
]


class _RawStream(Protocol):
    """A blocking stream of chunks."""

    def __next__(self) -> ChatCompletionChunk: ...

    def close(self) -> None: ...


class _Events(Generic[ResponseFormatT]):
    """What both kinds of streams have in common: the state, and the events nobody has fetched yet."""

    def __init__(
        self,
        *,
        response_format: type[ResponseFormatT] | ResponseFormat | Omit,
        input_tools: Iterable[ChatCompletionToolUnionParam] | Omit,
    ) -> None:
        self._state = ChatCompletionStreamState(response_format=response_format, input_tools=input_tools)
        self._ready: deque[ChatCompletionStreamEvent[ResponseFormatT]] = deque()
        # Ended, well or by an error: there is nothing more to come.
        self._has_ended = False

    @property
    def current_completion_snapshot(self) -> ParsedChatCompletionSnapshot:
        """The answer so far; there must have been a chunk. The same object each time, which goes on growing."""
        return self._state.current_completion_snapshot

    def _take(self, chunk: ChatCompletionChunk) -> None:
        # A server in between may put other objects into the stream.
        if chunk.object == "chat.completion.chunk":
            self._ready.extend(self._state.handle_chunk(chunk))


class AsyncChatCompletionStream(_Events[ResponseFormatT]):
    """An answer as events while it is generated: `async for event in stream`.

    Args:
        raw_stream: The chunks.
        response_format: A class to make the content an instance of; others change nothing.
        input_tools: The tools that may be called.
    """

    def __init__(
        self,
        *,
        raw_stream: AsyncStream[ChatCompletionChunk],
        response_format: type[ResponseFormatT] | ResponseFormat | Omit,
        input_tools: Iterable[ChatCompletionToolUnionParam] | Omit,
    ) -> None:
        super().__init__(response_format=response_format, input_tools=input_tools)
        self._raw_stream = raw_stream

    async def __anext__(self) -> ChatCompletionStreamEvent[ResponseFormatT]:
        """Return the next event.

        Raises:
            StopAsyncIteration: The answer has ended, or an error ended it before.
            APIError: The request failed.
            LengthFinishReasonError: An answer that is to be parsed ended by its length.
            ValueError: What is to be parsed is not JSON, or (pydantic.ValidationError) does not fit its class.
            StreamClosedError: The stream was closed.
        """
        while not self._ready:
            if self._has_ended:
                raise StopAsyncIteration
            try:
                self._take(await self._raw_stream.__anext__())
            except BaseException:
                self._has_ended = True
                raise
        return self._ready.popleft()

    def __aiter__(self) -> AsyncIterator[ChatCompletionStreamEvent[ResponseFormatT]]:
        return self

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, exc_tb: TracebackType | None
    ) -> None:
        await self.close()

    async def close(self) -> None:
        """End the request, if it has not ended. Idempotent."""
        await self._raw_stream.close()

    async def get_final_completion(self) -> ParsedChatCompletion[ResponseFormatT]:
        """Read the stream to its end and return the whole answer, parsed. Raises as iterating does."""
        await self.until_done()
        return self._state.get_final_completion()

    async def until_done(self) -> Self:
        """Read the stream to its end. Raises as iterating does."""
        async for _ in self:
            pass
        return self


class AsyncChatCompletionStreamManager(Generic[ResponseFormatT]):
    """What `stream()` returns: `async with` sends the request and gives the stream, and closes it at the end.

    Args:
        api_request: Gives the chunks when awaited.
        response_format: A class to make the content an instance of; others change nothing.
        input_tools: The tools that may be called.
    """

    def __init__(
        self,
        api_request: Awaitable[AsyncStream[ChatCompletionChunk]],
        *,
        response_format: type[ResponseFormatT] | ResponseFormat | Omit,
        input_tools: Iterable[ChatCompletionToolUnionParam] | Omit,
    ) -> None:
        self._stream: AsyncChatCompletionStream[ResponseFormatT] | None = None
        self._api_request = api_request
        self._response_format = response_format
        self._input_tools = input_tools

    async def __aenter__(self) -> AsyncChatCompletionStream[ResponseFormatT]:
        self._stream = AsyncChatCompletionStream(
            raw_stream=await self._api_request,
            response_format=self._response_format,
            input_tools=self._input_tools,
        )
        return self._stream

    async def __aexit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, exc_tb: TracebackType | None
    ) -> None:
        if self._stream is not None:
            await self._stream.close()


class ChatCompletionStream(_Events[ResponseFormatT]):
    """The blocking twin of `AsyncChatCompletionStream`: `for event in stream`.

    Args:
        raw_stream: The chunks.
        response_format: A class to make the content an instance of; others change nothing.
        input_tools: The tools that may be called.
    """

    def __init__(
        self,
        *,
        raw_stream: _RawStream,
        response_format: type[ResponseFormatT] | ResponseFormat | Omit,
        input_tools: Iterable[ChatCompletionToolUnionParam] | Omit,
    ) -> None:
        super().__init__(response_format=response_format, input_tools=input_tools)
        self._raw_stream = raw_stream

    def __next__(self) -> ChatCompletionStreamEvent[ResponseFormatT]:
        """Return the next event. Raises as `AsyncChatCompletionStream` does, StopIteration at the end."""
        while not self._ready:
            if self._has_ended:
                raise StopIteration
            try:
                self._take(self._raw_stream.__next__())
            except BaseException:
                self._has_ended = True
                raise
        return self._ready.popleft()

    def __iter__(self) -> Iterator[ChatCompletionStreamEvent[ResponseFormatT]]:
        return self

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, exc_tb: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """End the request, if it has not ended. Idempotent."""
        self._raw_stream.close()

    def get_final_completion(self) -> ParsedChatCompletion[ResponseFormatT]:
        """Read the stream to its end and return the whole answer, parsed. Raises as iterating does."""
        self.until_done()
        return self._state.get_final_completion()

    def until_done(self) -> Self:
        """Read the stream to its end. Raises as iterating does."""
        for _ in self:
            pass
        return self


class ChatCompletionStreamManager(Generic[ResponseFormatT]):
    """The blocking twin of `AsyncChatCompletionStreamManager`.

    Args:
        api_request: Sends the request and returns the chunks.
        response_format: A class to make the content an instance of; others change nothing.
        input_tools: The tools that may be called.
    """

    def __init__(
        self,
        api_request: Callable[[], _RawStream],
        *,
        response_format: type[ResponseFormatT] | ResponseFormat | Omit,
        input_tools: Iterable[ChatCompletionToolUnionParam] | Omit,
    ) -> None:
        self._stream: ChatCompletionStream[ResponseFormatT] | None = None
        self._api_request = api_request
        self._response_format = response_format
        self._input_tools = input_tools

    def __enter__(self) -> ChatCompletionStream[ResponseFormatT]:
        self._stream = ChatCompletionStream(
            raw_stream=self._api_request(),
            response_format=self._response_format,
            input_tools=self._input_tools,
        )
        return self._stream

    def __exit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, exc_tb: TracebackType | None
    ) -> None:
        if self._stream is not None:
            self._stream.close()
