"""`client.models`: which models a client knows.

Written by tools/gen_blocking.py from llama_async/resources/models.py.
"""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING

from llama_async._blocking._base import SyncAPIResource
from llama_async._types import not_given

if TYPE_CHECKING:
    from httpx import Timeout

    from llama_async._blocking.resources.raw import ModelsWithRawResponse, ModelsWithStreamingResponse
    from llama_async._types import Body, Headers, NotGiven, Query
    from llama_async.pagination import SyncPage
    from llama_async.types.model import Model
    from llama_async.types.model_deleted import ModelDeleted

__all__ = ["Models"]


class Models(SyncAPIResource):
    """The models a client knows, by each of their names."""

    @cached_property
    def with_raw_response(self) -> ModelsWithRawResponse:
        """The same methods, returning the response around the result: its headers, its bytes, its id."""
        from llama_async._blocking.resources.raw import ModelsWithRawResponse

        return ModelsWithRawResponse(self)

    @cached_property
    def with_streaming_response(self) -> ModelsWithStreamingResponse:
        """The same methods, returning a context of a response whose body is read when asked for."""
        from llama_async._blocking.resources.raw import ModelsWithStreamingResponse

        return ModelsWithStreamingResponse(self)

    def retrieve(
        self,
        model: str,
        *,
        extra_headers: Headers | None = None,
        extra_query: Query | None = None,
        extra_body: Body | None = None,
        timeout: float | Timeout | NotGiven | None = not_given,
    ) -> Model:
        """Describe a model. It need not be loaded, nor is its file opened.

        Blocks until that is done, else as `AsyncModels.retrieve`.
        """
        result: Model = self._call(
            "retrieve",
            model=model,
            extra_headers=extra_headers,
            extra_query=extra_query,
            extra_body=extra_body,
            timeout=timeout,
        )
        return result

    def list(
        self,
        *,
        extra_headers: Headers | None = None,
        extra_query: Query | None = None,
        extra_body: Body | None = None,
        timeout: float | Timeout | NotGiven | None = not_given,
    ) -> SyncPage[Model]:
        """List the models under each of their names, in the order they were given.

        Blocks until that is done, else as `AsyncModels.list`.
        """
        result: SyncPage[Model] = self._call(
            "list",
            extra_headers=extra_headers,
            extra_query=extra_query,
            extra_body=extra_body,
            timeout=timeout,
        )
        return result

    def delete(
        self,
        model: str,
        *,
        extra_headers: Headers | None = None,
        extra_query: Query | None = None,
        extra_body: Body | None = None,
        timeout: float | Timeout | NotGiven | None = not_given,
    ) -> ModelDeleted:
        """Take a name away from this client and its copies. The file stays.

        Blocks until that is done, else as `AsyncModels.delete`.
        """
        result: ModelDeleted = self._call(
            "delete",
            model=model,
            extra_headers=extra_headers,
            extra_query=extra_query,
            extra_body=extra_body,
            timeout=timeout,
        )
        return result
