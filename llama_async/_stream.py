"""The stream of chunks that `create(stream=True)` returns.

A class, not an async generator: leaving a generator early runs its clean-up whenever the loop's hooks get to it;
leaving this one costs nothing, and `close`, cancellation and collection each free the engine at once.
"""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, Any, Generic, TypeVar, cast

from typing_extensions import Self

from ._errors import BASE_URL, StreamClosedError
from ._generation import Delta

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable
    from types import TracebackType

    import httpx

    from ._assemble import ChatAssembler
    from ._generation import Generation
    from ._group import GenerationGroup
    from ._text_assemble import TextAssembler
    from .types.chat import ChatCompletionChunk

__all__ = ["AsyncStream"]

_T = TypeVar("_T")


class AsyncStream(Generic[_T]):
    """An answer as it is generated: `async for chunk in stream`.

    Leaving the loop early does not end the request; `await stream.close()` (or `async with stream`) does, and so do
    cancelling the task that reads it and dropping the stream.
    """

    def __init__(
        self,
        *,
        generation: Generation | GenerationGroup,
        assembler: ChatAssembler | TextAssembler,
        client: object,
    ) -> None:
        self._generation = generation
        self._assembler = assembler
        # The engine is closed when its client is collected; a stream that is read still needs it.
        self._client = client
        self._ready: deque[Any] = deque(assembler.opening())
        # Nothing more comes: it ended, well or by an error.
        self._exhausted = False
        # Closed before that.
        self._closed = False
        self._response: httpx.Response | None = None

    async def __anext__(self) -> _T:
        """Return the next chunk.

        Raises:
            StopAsyncIteration: The answer has ended, or an error has ended it before.
            APIError: It failed; APITimeoutError and ClientClosedError are among its kinds.
            StreamClosedError: The stream was closed.
        """
        ready = self._ready
        while not ready:
            if self._closed:
                raise StreamClosedError
            if self._exhausted:
                raise StopAsyncIteration
            delta = await self._next()
            if delta is None:
                end = self._generation.end
                closing = self._assembler.closing(end) if end is not None else None
                if closing is not None:
                    ready.append(closing)
                continue
            chunk = self._assembler.chunk(delta)
            if delta.reasoning or delta.calls:
                # Only of a chat.
                assembler = cast("ChatAssembler", self._assembler)
                ready.extend(assembler.parts(delta, cast("ChatCompletionChunk | None", chunk)))
                chunk = None
            if delta.finish:
                finish = self._assembler.finish(delta)
                if finish is not None:
                    ready.append(finish)
            if chunk is not None:
                return cast("_T", chunk)
        return cast("_T", ready.popleft())

    async def _next(self) -> Delta | None:
        try:
            delta = await self._generation.next()
        except BaseException:
            self._note_end()
            raise
        if delta is None:
            self._end()
        return delta

    def _note_end(self) -> None:
        # Not so if it was a second task that wanted to wait here.
        if self._generation.closed or self._generation.end is not None:
            self._end()

    # -- for `_wire.EventStream`, which writes most chunks without making them

    def _has_next(self) -> bool:
        """Whether `__anext__` would not wait."""
        return bool(self._ready) or self._exhausted or self._generation.ready()

    async def _wait(self, sink: Callable[[int, str], bool] | None = None) -> None:
        """Return when `__anext__` would not wait. Cancelling the calling task cancels the request.

        Args:
            sink: As for `Answer.wait`.
        """
        if not self._assembler.has_plain_text:
            sink = None
        try:
            while not self._has_next():
                await self._generation.wait(sink)
        except BaseException:
            self._note_end()
            raise

    def _take_text(self) -> tuple[int, str] | None:
        """Return the next chunk's choice and text if it is there and has no more; `None` leaves it to `__anext__`."""
        if self._ready or not self._assembler.has_plain_text:
            return None
        while (delta := self._generation.take_text()) is not None:
            if text := delta.text:
                return delta.choice, text
        return None

    def _text_part(self, choice: int, text: str) -> _T:
        """Return the chunk that `_take_text` spares."""
        return cast("_T", self._assembler.chunk(Delta(choice, text, b"", 0, 1)))

    def _end(self) -> None:
        self._exhausted = True
        if self._response is not None:
            self._response.is_closed = True

    def __aiter__(self) -> AsyncIterator[_T]:
        return self

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self.close()

    async def close(self) -> None:
        """End the request, if it has not ended, and drop what was not read. Idempotent."""
        self._close()

    async def aclose(self) -> None:
        """Do as `close`."""
        self._close()

    def _close(self) -> None:
        if self._exhausted and not self._ready:
            return
        self._closed = True
        self._ready.clear()
        self._generation.cancel()
        self._end()

    # No ResourceWarning: leaving a stream by `break` is usual in code written against openai, whose stream has none.
    def __del__(self) -> None:
        generation = getattr(self, "_generation", None)
        if generation is not None:
            generation.cancel()

    @property
    def _request_id(self) -> str:
        # By the name that whole results have it under.
        return self._assembler.request_id

    @property
    def response(self) -> httpx.Response:
        """The response as an HTTP client would have it. Its body is the rest of the stream, its `aclose` closes it."""
        if self._response is None:
            self._response = _response(self, self._assembler.path, self._request_id)
            self._response.is_closed = self._exhausted
        return self._response


def _response(stream: AsyncStream[Any], path: str, request_id: str) -> httpx.Response:
    import httpx

    from ._wire import EventStream

    class Body(httpx.AsyncByteStream):
        def __aiter__(self) -> AsyncIterator[bytes]:
            return EventStream(stream)

        async def aclose(self) -> None:
            await stream.close()

    return httpx.Response(
        200,
        headers={"content-type": "text/event-stream; charset=utf-8", "x-request-id": request_id},
        stream=Body(),
        request=httpx.Request("POST", f"{BASE_URL}/{path}"),
    )
