"""`client.rerank`: documents by their relevance to a query. openai has no such method."""

from __future__ import annotations

from typing import TYPE_CHECKING

from llama_async._inputs import rerank_request
from llama_async._resource import AsyncAPIResource
from llama_async._submit import submit
from llama_async._types import not_given, omit
from llama_async._vectors import rerank_response

if TYPE_CHECKING:
    from collections.abc import Iterable

    from httpx import Timeout

    from llama_async._types import NotGiven, Omit
    from llama_async.types.rerank_response import RerankResponse

__all__ = ["AsyncRerank"]


class AsyncRerank(AsyncAPIResource):
    """Called as `client.rerank(...)`."""

    async def __call__(
        self,
        *,
        query: str,
        documents: Iterable[str],
        model: str,
        top_n: int | Omit | None = omit,
        return_documents: bool | Omit = omit,
        timeout: float | Timeout | NotGiven | None = not_given,
    ) -> RerankResponse:
        """Rank documents by their relevance to a query, with a model that has a rank head.

        Cancelling the calling task ends the request.

        Args:
            query: What is looked for.
            documents: Up to 2,048 texts.
            model: The file's stem, `"default"`, or an alias of the client.
            top_n: How many of the documents to return; default: all.
            return_documents: Whether a result holds the document, beside its index.
            timeout: Seconds the answer may take. Loading counts.

        Returns:
            The documents' indices and scores, the most relevant first. Scores are what the model computes: they rank,
            and their scale is the model's.

        Raises:
            NotFoundError: The client has no such model.
            BadRequestError: A parameter has a wrong type or range, or the model cannot rank; `param` names it. With
                code `context_length_exceeded`, the query and the document that `param` names are too long for it.
            RateLimitError: The queue is full.
            APITimeoutError: `timeout` passed.
            ModelLoadError: The model, loaded for this request, cannot be.
            ClientClosedError: The client is or was closed.
            EventLoopError: The client is at work for another event loop.
        """
        resolved = self._model(model)
        request = rerank_request(
            model,
            {"query": query, "documents": documents, "top_n": top_n, "return_documents": return_documents},
        )
        _, generation = await submit(resolved, request.native, request.inputs, self._timeout(timeout))
        deltas = await generation.collect()
        assert generation.end is not None
        return rerank_response(request, deltas, generation.end)
