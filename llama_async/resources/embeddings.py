"""`client.embeddings`: texts as vectors."""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING, Literal

from llama_async._inputs import embedding_request
from llama_async._resource import AsyncAPIResource
from llama_async._submit import submit
from llama_async._types import not_given, omit
from llama_async._vectors import embedding_response

if TYPE_CHECKING:
    from collections.abc import Iterable

    from httpx import Timeout

    from llama_async._types import Body, Headers, NotGiven, Omit, Query, SequenceNotStr
    from llama_async.resources.raw import AsyncEmbeddingsWithRawResponse, AsyncEmbeddingsWithStreamingResponse
    from llama_async.types import CreateEmbeddingResponse, EmbeddingModel

__all__ = ["AsyncEmbeddings"]


class AsyncEmbeddings(AsyncAPIResource):
    """Texts as vectors."""

    @cached_property
    def with_raw_response(self) -> AsyncEmbeddingsWithRawResponse:
        """The same methods, returning the response around the result: its headers, its bytes, its id."""
        from llama_async.resources.raw import AsyncEmbeddingsWithRawResponse

        return AsyncEmbeddingsWithRawResponse(self)

    @cached_property
    def with_streaming_response(self) -> AsyncEmbeddingsWithStreamingResponse:
        """The same methods, returning a context of a response whose body is read when asked for."""
        from llama_async.resources.raw import AsyncEmbeddingsWithStreamingResponse

        return AsyncEmbeddingsWithStreamingResponse(self)

    async def create(
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

        Inputs are packed into common steps, also those of other requests; each vector is what it would be alone, but
        for rounding. Cancelling the calling task ends the request.

        Args:
            input: A text, up to 2,048 texts, token ids of this model, or up to 2,048 lists of them. Texts get the
                special tokens that the model wants, token ids are taken as they are.
            model: The file's stem, `"default"`, or an alias of the client.
            dimensions: Keep so many leading dimensions, scaled to length 1 anew. Useful with models trained for it.
            encoding_format: `"float"` for lists of numbers, `"base64"` for the bytes of little-endian float32, which
                costs a tenth.
            user: No effect.
            extra_headers: No effect: there is no HTTP.
            extra_query: No effect.
            extra_body: `embd_normalize` and `priority` (docs/compatibility.md), and any parameter of this method.
            timeout: Seconds the answer may take. Loading counts.

        Returns:
            One vector for each input, in their order, and the token counts.

        Raises:
            NotFoundError: The client has no such model.
            BadRequestError: A parameter has a wrong type or range, or the model cannot embed; `param` names it. With
                code `context_length_exceeded`, the input that `param` names is too long for the model.
            RateLimitError: The queue is full.
            APITimeoutError: `timeout` passed.
            ModelLoadError: The model, loaded for this request, cannot be.
            ClientClosedError: The client is or was closed.
            EventLoopError: The client is at work for another event loop.
        """
        resolved = self._model(model)
        request = embedding_request(
            model,
            {
                "input": input,
                "dimensions": dimensions,
                "encoding_format": encoding_format,
                "user": user,
                "extra_headers": extra_headers,
                "extra_query": extra_query,
                "extra_body": extra_body,
            },
        )
        _, generation = await submit(resolved, request.native, request.inputs, self._timeout(timeout))
        deltas = await generation.collect()
        assert generation.end is not None
        return await embedding_response(request, deltas, generation.end)
