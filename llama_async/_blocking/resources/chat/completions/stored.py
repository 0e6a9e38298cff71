"""The methods of `client.chat.completions` over what `create(store=True)` left.

Written by tools/gen_blocking.py from llama_async/resources/chat/completions/stored.py.
"""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING

from llama_async._blocking._base import SyncAPIResource
from llama_async._types import not_given, omit

from .messages import Messages

if TYPE_CHECKING:
    from typing import Literal

    from httpx import Timeout

    from llama_async._types import Body, Headers, NotGiven, Omit, Query
    from llama_async.pagination import SyncCursorPage
    from llama_async.types.chat import ChatCompletion, ChatCompletionDeleted
    from llama_async.types.shared_params import Metadata

__all__ = ["StoredCompletions"]


class StoredCompletions(SyncAPIResource):
    """Stored completions."""

    @cached_property
    def messages(self) -> Messages:
        """The conversations that stored completions answer."""
        return Messages(self._client, self._wrapped.messages)

    def retrieve(
        self,
        completion_id: str,
        *,
        extra_headers: Headers | None = None,
        extra_query: Query | None = None,
        extra_body: Body | None = None,
        timeout: float | Timeout | NotGiven | None = not_given,
    ) -> ChatCompletion:
        """Return a stored completion.

        Blocks until that is done, else as `AsyncStoredCompletions.retrieve`.
        """
        result: ChatCompletion = self._call(
            "retrieve",
            completion_id=completion_id,
            extra_headers=extra_headers,
            extra_query=extra_query,
            extra_body=extra_body,
            timeout=timeout,
        )
        return result

    def update(
        self,
        completion_id: str,
        *,
        metadata: Metadata | None,
        extra_headers: Headers | None = None,
        extra_query: Query | None = None,
        extra_body: Body | None = None,
        timeout: float | Timeout | NotGiven | None = not_given,
    ) -> ChatCompletion:
        """Replace the metadata of a stored completion.

        Blocks until that is done, else as `AsyncStoredCompletions.update`.
        """
        result: ChatCompletion = self._call(
            "update",
            completion_id=completion_id,
            metadata=metadata,
            extra_headers=extra_headers,
            extra_query=extra_query,
            extra_body=extra_body,
            timeout=timeout,
        )
        return result

    def list(
        self,
        *,
        after: str | Omit = omit,
        limit: int | Omit = omit,
        metadata: Metadata | Omit | None = omit,
        model: str | Omit = omit,
        order: Literal["asc", "desc"] | Omit = omit,
        extra_headers: Headers | None = None,
        extra_query: Query | None = None,
        extra_body: Body | None = None,
        timeout: float | Timeout | NotGiven | None = not_given,
    ) -> SyncCursorPage[ChatCompletion]:
        """List stored completions by the time of their creation.

        Blocks until that is done, else as `AsyncStoredCompletions.list`.
        """
        result: SyncCursorPage[ChatCompletion] = self._call(
            "list",
            after=after,
            limit=limit,
            metadata=metadata,
            model=model,
            order=order,
            extra_headers=extra_headers,
            extra_query=extra_query,
            extra_body=extra_body,
            timeout=timeout,
        )
        return result

    def delete(
        self,
        completion_id: str,
        *,
        extra_headers: Headers | None = None,
        extra_query: Query | None = None,
        extra_body: Body | None = None,
        timeout: float | Timeout | NotGiven | None = not_given,
    ) -> ChatCompletionDeleted:
        """Remove a stored completion. Cancelling the calling task leaves open whether it was removed.

        Blocks until that is done, else as `AsyncStoredCompletions.delete`.
        """
        result: ChatCompletionDeleted = self._call(
            "delete",
            completion_id=completion_id,
            extra_headers=extra_headers,
            extra_query=extra_query,
            extra_body=extra_body,
            timeout=timeout,
        )
        return result
