"""`client.embeddings`: texts as vectors.

Written by tools/gen_blocking.py from llama_async/resources/embeddings.py.
"""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING

from llama_async._blocking._base import SyncAPIResource
from llama_async._types import not_given, omit

if TYPE_CHECKING:
    from collections.abc import Iterable
    from typing import Literal

    from httpx import Timeout

    from llama_async._blocking.resources.raw import EmbeddingsWithRawResponse, EmbeddingsWithStreamingResponse
    from llama_async._types import Body, Headers, NotGiven, Omit, Query, SequenceNotStr
    from llama_async.types import CreateEmbeddingResponse, EmbeddingModel

__all__ = ["Embeddings"]


class Embeddings(SyncAPIResource):
    """Texts as vectors."""

    @cached_property
    def with_raw_response(self) -> EmbeddingsWithRawResponse:
        """The same methods, returning the response around the result: its headers, its bytes, its id."""
        from llama_async._blocking.resources.raw import EmbeddingsWithRawResponse

        return EmbeddingsWithRawResponse(self)

    @cached_property
    def with_streaming_response(self) -> EmbeddingsWithStreamingResponse:
        """The same methods, returning a context of a response whose body is read when asked for."""
        from llama_async._blocking.resources.raw import EmbeddingsWithStreamingResponse

        return EmbeddingsWithStreamingResponse(self)

    def create(
        self,
        *,
        input: str | SequenceNotStr[str] | Iterable[int] | Iterable[Iterable[int]],
        model: str | EmbeddingModel,
        dimensions: int | Omit = omit,
        encoding_format: Literal["float", "base64"] | Omit = omit,
        user: str | Omit = omit,
        extra_headers: Headers | None = None,
        extra_query: Query | None = None,
        extra_body: Body | None = None,
        timeout: float | Timeout | NotGiven | None = not_given,
    ) -> CreateEmbeddingResponse:
        """Embed texts; names, kinds and defaults of the parameters are those of openai 3.54.0.

        Blocks until that is done, else as `AsyncEmbeddings.create`.
        """
        result: CreateEmbeddingResponse = self._call(
            "create",
            input=input,
            model=model,
            dimensions=dimensions,
            encoding_format=encoding_format,
            user=user,
            extra_headers=extra_headers,
            extra_query=extra_query,
            extra_body=extra_body,
            timeout=timeout,
        )
        return result
