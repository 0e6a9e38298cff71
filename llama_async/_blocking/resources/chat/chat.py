"""`client.chat`: holds `completions`.

Written by tools/gen_blocking.py from llama_async/resources/chat/chat.py.
"""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING

from llama_async._blocking._base import SyncAPIResource

from .completions import Completions

if TYPE_CHECKING:
    from llama_async._blocking.resources.raw import ChatWithRawResponse, ChatWithStreamingResponse

__all__ = ["Chat"]


class Chat(SyncAPIResource):
    """Conversations."""

    @cached_property
    def with_raw_response(self) -> ChatWithRawResponse:
        """The same methods, returning the response around the result: its headers, its bytes, its id."""
        from llama_async._blocking.resources.raw import ChatWithRawResponse

        return ChatWithRawResponse(self)

    @cached_property
    def with_streaming_response(self) -> ChatWithStreamingResponse:
        """The same methods, returning a context of a response whose body is read when asked for."""
        from llama_async._blocking.resources.raw import ChatWithStreamingResponse

        return ChatWithStreamingResponse(self)

    @cached_property
    def completions(self) -> Completions:
        """Answers to conversations."""
        return Completions(self._client, self._wrapped.completions)
