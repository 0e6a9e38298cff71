"""`client.chat.completions.messages`: the conversations that stored completions answer.

Written by tools/gen_blocking.py from llama_async/resources/chat/completions/messages.py.
"""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING

from llama_async._blocking._base import SyncAPIResource
from llama_async._types import not_given, omit

if TYPE_CHECKING:
    from typing import Literal

    from httpx import Timeout

    from llama_async._blocking.resources.raw import MessagesWithRawResponse, MessagesWithStreamingResponse
    from llama_async._types import Body, Headers, NotGiven, Omit, Query
    from llama_async.pagination import SyncCursorPage
    from llama_async.types.chat import ChatCompletionStoreMessage

__all__ = ["Messages"]


class Messages(SyncAPIResource):
    """The conversations that stored completions answer."""

    @cached_property
    def with_raw_response(self) -> MessagesWithRawResponse:
        """The same methods, returning the response around the result: its headers, its bytes, its id."""
        from llama_async._blocking.resources.raw import MessagesWithRawResponse

        return MessagesWithRawResponse(self)

    @cached_property
    def with_streaming_response(self) -> MessagesWithStreamingResponse:
        """The same methods, returning a context of a response whose body is read when asked for."""
        from llama_async._blocking.resources.raw import MessagesWithStreamingResponse

        return MessagesWithStreamingResponse(self)

    def list(
        self,
        completion_id: str,
        *,
        after: str | Omit = omit,
        limit: int | Omit = omit,
        order: Literal["asc", "desc"] | Omit = omit,
        extra_headers: Headers | None = None,
        extra_query: Query | None = None,
        extra_body: Body | None = None,
        timeout: float | Timeout | NotGiven | None = not_given,
    ) -> SyncCursorPage[ChatCompletionStoreMessage]:
        """List the messages that a stored completion answers, in their order.

        Blocks until that is done, else as `AsyncMessages.list`.
        """
        result: SyncCursorPage[ChatCompletionStoreMessage] = self._call(
            "list",
            completion_id=completion_id,
            after=after,
            limit=limit,
            order=order,
            extra_headers=extra_headers,
            extra_query=extra_query,
            extra_body=extra_body,
            timeout=timeout,
        )
        return result
