"""`client.rerank`: documents by their relevance to a query. openai has no such method.

Written by tools/gen_blocking.py from llama_async/resources/rerank.py.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from llama_async._blocking._base import SyncAPIResource
from llama_async._types import not_given, omit

if TYPE_CHECKING:
    from collections.abc import Iterable

    from httpx import Timeout

    from llama_async._types import NotGiven, Omit
    from llama_async.types.rerank_response import RerankResponse

__all__ = ["Rerank"]


class Rerank(SyncAPIResource):
    """Called as `client.rerank(...)`."""

    def __call__(
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

        Blocks until that is done, else as `AsyncRerank.__call__`.
        """
        result: RerankResponse = self._call(
            "__call__",
            query=query,
            documents=documents,
            model=model,
            top_n=top_n,
            return_documents=return_documents,
            timeout=timeout,
        )
        return result
