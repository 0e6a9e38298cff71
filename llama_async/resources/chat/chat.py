"""`client.chat`: holds `completions`."""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING

from llama_async._resource import AsyncAPIResource

from .completions import AsyncCompletions

if TYPE_CHECKING:
    from llama_async.resources.raw import AsyncChatWithRawResponse, AsyncChatWithStreamingResponse

__all__ = ["AsyncChat"]


class AsyncChat(AsyncAPIResource):
    """Conversations."""

    @cached_property
    def with_raw_response(self) -> AsyncChatWithRawResponse:
        """The same methods, returning the response around the result: its headers, its bytes, its id."""
        from llama_async.resources.raw import AsyncChatWithRawResponse

        return AsyncChatWithRawResponse(self)

    @cached_property
    def with_streaming_response(self) -> AsyncChatWithStreamingResponse:
        """The same methods, returning a context of a response whose body is read when asked for."""
        from llama_async.resources.raw import AsyncChatWithStreamingResponse

        return AsyncChatWithStreamingResponse(self)

    @cached_property
    def completions(self) -> AsyncCompletions:
        """Answers to conversations."""
        return AsyncCompletions(self._client)
