"""`client.chat.completions.messages`: the conversations that stored completions answer."""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING, Any, Literal

from llama_async._errors import completion_not_found
from llama_async._resource import AsyncAPIResource
from llama_async._types import not_given, omit
from llama_async.pagination import AsyncCursorPage, AsyncPaginator
from llama_async.types.chat import ChatCompletionStoreMessage

from .listing import check_id, ordering, page_fields, page_limit

if TYPE_CHECKING:
    from collections.abc import Mapping

    from httpx import Timeout

    from llama_async._types import Body, Headers, NotGiven, Omit, Query
    from llama_async.resources.raw import AsyncMessagesWithRawResponse, AsyncMessagesWithStreamingResponse

__all__ = ["AsyncMessages"]


class AsyncMessages(AsyncAPIResource):
    """The conversations that stored completions answer."""

    @cached_property
    def with_raw_response(self) -> AsyncMessagesWithRawResponse:
        """The same methods, returning the response around the result: its headers, its bytes, its id."""
        from llama_async.resources.raw import AsyncMessagesWithRawResponse

        return AsyncMessagesWithRawResponse(self)

    @cached_property
    def with_streaming_response(self) -> AsyncMessagesWithStreamingResponse:
        """The same methods, returning a context of a response whose body is read when asked for."""
        from llama_async.resources.raw import AsyncMessagesWithStreamingResponse

        return AsyncMessagesWithStreamingResponse(self)

    def list(
        self,
        completion_id: str,
        *,
        after: str | Omit = omit,
        limit: int | Omit = omit,
        order: Literal["asc", "desc"] | Omit = omit,
        extra_headers: Headers | None = None,  # noqa: ARG002 (openai's signature)
        extra_query: Query | None = None,  # noqa: ARG002
        extra_body: Body | None = None,  # noqa: ARG002
        timeout: float | Timeout | NotGiven | None = not_given,
    ) -> AsyncPaginator[ChatCompletionStoreMessage, AsyncCursorPage[ChatCompletionStoreMessage]]:
        """List the messages that a stored completion answers, in their order.

        Nothing is looked up before the result is awaited or iterated over.

        Args:
            completion_id: The id of the completion.
            after: Begin behind the message with this id.
            limit: Messages of a page, 0 to 100; default: 20.
            order: `"desc"` begins with the last one.
            extra_headers: No effect: there is no HTTP.
            extra_query: No effect.
            extra_body: No effect.
            timeout: Seconds a page may take.

        Returns:
            What is awaited for the first page, or iterated over.

        Raises:
            ValueError: `completion_id` is empty.
            NotFoundError: Nothing is stored under one of the ids.
            BadRequestError: A parameter has a wrong type or value.
            StoreError: The store cannot be read, or the client has none.
            APITimeoutError: `timeout` passed.
            ClientClosedError: The client is closed.
        """
        check_id(completion_id)

        async def fetch(params: Mapping[str, Any]) -> Mapping[str, object]:
            n, descending = page_limit(params["limit"]), ordering(params["order"])
            messages = await self._within(timeout, lambda: self._store().messages(completion_id))
            if descending:
                messages.reverse()
            after = params["after"]
            if isinstance(after, str):
                ids = [message.id for message in messages]
                if after not in ids:
                    raise completion_not_found(after, "after")
                del messages[: ids.index(after) + 1]
            return page_fields(messages[:n], has_more=len(messages) > n)

        params = {"after": after, "limit": limit, "order": order}
        return AsyncPaginator(AsyncCursorPage[ChatCompletionStoreMessage], fetch, params)
