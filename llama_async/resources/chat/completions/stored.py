"""The methods of `client.chat.completions` over what `create(store=True)` left."""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING, Any, Literal

from llama_async._database import Position
from llama_async._database import Query as StoreQuery
from llama_async._metadata import checked_metadata
from llama_async._models import build
from llama_async._resource import AsyncAPIResource
from llama_async._types import Omit, not_given, omit
from llama_async.pagination import AsyncCursorPage, AsyncPaginator
from llama_async.types.chat import ChatCompletion, ChatCompletionDeleted

from .listing import check_id, ordering, page_fields, page_limit, text_or_none
from .messages import AsyncMessages

if TYPE_CHECKING:
    from collections.abc import Mapping

    from httpx import Timeout

    from llama_async._types import Body, Headers, NotGiven, Query
    from llama_async.types.shared_params import Metadata

__all__ = ["AsyncStoredCompletions"]


class AsyncStoredCompletions(AsyncAPIResource):
    """Stored completions."""

    @cached_property
    def messages(self) -> AsyncMessages:
        """The conversations that stored completions answer."""
        return AsyncMessages(self._client)

    async def retrieve(
        self,
        completion_id: str,
        *,
        extra_headers: Headers | None = None,  # noqa: ARG002 (openai's signature)
        extra_query: Query | None = None,  # noqa: ARG002
        extra_body: Body | None = None,  # noqa: ARG002
        timeout: float | Timeout | NotGiven | None = not_given,
    ) -> ChatCompletion:
        """Return a stored completion.

        Args:
            completion_id: Its id.
            extra_headers: No effect: there is no HTTP.
            extra_query: No effect.
            extra_body: No effect.
            timeout: Seconds it may take.

        Returns:
            The answer as `create` returned it, and its `metadata`.

        Raises:
            ValueError: `completion_id` is empty.
            NotFoundError: Nothing is stored under it: never, not any more, or not yet by another process.
            StoreError: The store cannot be read, or the client has none.
            APITimeoutError: `timeout` passed.
            ClientClosedError: The client is closed.
        """
        check_id(completion_id)
        return await self._within(timeout, lambda: self._store().retrieve(completion_id))

    async def update(
        self,
        completion_id: str,
        *,
        metadata: Metadata | None,
        extra_headers: Headers | None = None,  # noqa: ARG002 (openai's signature)
        extra_query: Query | None = None,  # noqa: ARG002
        extra_body: Body | None = None,  # noqa: ARG002
        timeout: float | Timeout | NotGiven | None = not_given,
    ) -> ChatCompletion:
        """Replace the metadata of a stored completion.

        Cancelling the calling task leaves open whether it was replaced.

        Args:
            completion_id: Its id.
            metadata: All of its metadata from now on; `None`: none.
            extra_headers: No effect: there is no HTTP.
            extra_query: No effect.
            extra_body: No effect.
            timeout: Seconds it may take.

        Returns:
            The completion with its new metadata.

        Raises:
            ValueError: `completion_id` is empty.
            NotFoundError: Nothing is stored under it.
            BadRequestError: `metadata` is no mapping of text to text, or exceeds 16 keys of 64 characters with values
                of 512.
            StoreError: The store cannot be written, or the client has none.
            APITimeoutError: `timeout` passed.
            ClientClosedError: The client is closed.
        """
        check_id(completion_id)
        checked = {} if metadata is None else checked_metadata(metadata)
        return await self._within(timeout, lambda: self._store().update(completion_id, checked))

    def list(
        self,
        *,
        after: str | Omit = omit,
        limit: int | Omit = omit,
        metadata: Metadata | Omit | None = omit,
        model: str | Omit = omit,
        order: Literal["asc", "desc"] | Omit = omit,
        extra_headers: Headers | None = None,  # noqa: ARG002 (openai's signature)
        extra_query: Query | None = None,  # noqa: ARG002
        extra_body: Body | None = None,  # noqa: ARG002
        timeout: float | Timeout | NotGiven | None = not_given,
    ) -> AsyncPaginator[ChatCompletion, AsyncCursorPage[ChatCompletion]]:
        """List stored completions by the time of their creation.

        Nothing is looked up before the result is awaited or iterated over. Completions may be deleted while it is.

        Args:
            after: Begin behind the completion with this id.
            limit: Completions of a page, 0 to 100; default: 20.
            metadata: Only those that have each of these pairs.
            model: Only answers of the model by this name.
            order: `"desc"` begins with the newest.
            extra_headers: No effect: there is no HTTP.
            extra_query: No effect.
            extra_body: No effect.
            timeout: Seconds a page may take.

        Returns:
            What is awaited for the first page, or iterated over.

        Raises:
            NotFoundError: Nothing is stored under the id in `after`.
            BadRequestError: A parameter has a wrong type or value.
            StoreError: The store cannot be read, or the client has none.
            APITimeoutError: `timeout` passed.
            ClientClosedError: The client is closed.
        """
        # Where earlier pages ended: valid even when the completion there has been deleted since.
        ends: dict[str, Position] = {}

        async def fetch(params: Mapping[str, Any]) -> Mapping[str, object]:
            pairs = params["metadata"]
            query = StoreQuery(
                limit=page_limit(params["limit"]),
                model=text_or_none("model", params["model"]),
                metadata=None if pairs is None or isinstance(pairs, Omit) else checked_metadata(pairs),
                descending=ordering(params["order"]),
            )
            after = text_or_none("after", params["after"])
            listing = await self._within(
                timeout, lambda: self._store().find(query, ends.get(after, after) if after else None)
            )
            if listing.last is not None:
                ends[listing.completions[-1].id] = listing.last
            return page_fields(listing.completions, has_more=listing.has_more)

        params = {"after": after, "limit": limit, "metadata": metadata, "model": model, "order": order}
        return AsyncPaginator(AsyncCursorPage[ChatCompletion], fetch, params)

    async def delete(
        self,
        completion_id: str,
        *,
        extra_headers: Headers | None = None,  # noqa: ARG002 (openai's signature)
        extra_query: Query | None = None,  # noqa: ARG002
        extra_body: Body | None = None,  # noqa: ARG002
        timeout: float | Timeout | NotGiven | None = not_given,
    ) -> ChatCompletionDeleted:
        """Remove a stored completion. Cancelling the calling task leaves open whether it was removed.

        Args:
            completion_id: Its id.
            extra_headers: No effect: there is no HTTP.
            extra_query: No effect.
            extra_body: No effect.
            timeout: Seconds it may take.

        Returns:
            That it was deleted.

        Raises:
            ValueError: `completion_id` is empty.
            NotFoundError: Nothing is stored under it.
            StoreError: The store cannot be written, or the client has none.
            APITimeoutError: `timeout` passed.
            ClientClosedError: The client is closed.
        """
        check_id(completion_id)
        await self._within(timeout, lambda: self._store().delete(completion_id))
        return build(ChatCompletionDeleted, id=completion_id, deleted=True, object="chat.completion.deleted")
