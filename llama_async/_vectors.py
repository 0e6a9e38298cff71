"""Deltas of embeddings and ranks -> their results.

Two thousand vectors become 800,000 Python floats, which takes 20 ms: they are made in pieces, and between two of them
others have the event loop.
"""

from __future__ import annotations

import sys
from array import array
from base64 import b64encode
from functools import lru_cache
from typing import TYPE_CHECKING, Any, NamedTuple

from ._errors import new_request_id
from ._models import add_request_id, make_builder
from ._threads import let_others_run

if TYPE_CHECKING:
    from ._generation import Delta, End
    from ._inputs import EmbeddingRequest, RerankRequest
    from .types.create_embedding_response import CreateEmbeddingResponse
    from .types.rerank_response import RerankResponse

__all__ = ["embedding_response", "rerank_response"]

# Bytes of vectors converted before the event loop has its turn: 32,000 floats take half a millisecond (measured).
_PIECE_BYTES = 1 << 17


class _Builders(NamedTuple):
    embedding: Any
    embedding_response: Any
    embedding_usage: Any
    rank: Any
    document: Any
    rank_response: Any
    rank_usage: Any


@lru_cache(maxsize=1)
def _builders() -> _Builders:
    from .types import create_embedding_response as embeddings
    from .types import rerank_response as ranks
    from .types.embedding import Embedding

    return _Builders(
        embedding=make_builder(Embedding, object="embedding"),
        embedding_response=make_builder(embeddings.CreateEmbeddingResponse, object="list"),
        embedding_usage=make_builder(embeddings.Usage),
        rank=make_builder(ranks.RerankResult),
        document=make_builder(ranks.Document),
        rank_response=make_builder(ranks.RerankResponse, object="list"),
        rank_usage=make_builder(ranks.Usage),
    )


async def embedding_response(request: EmbeddingRequest, deltas: list[Delta], end: End) -> CreateEmbeddingResponse:
    """Build the answer of an embedding request.

    Args:
        request: What was asked.
        deltas: One for each input, in any order.
        end: How it ended: well.
    """
    build = _builders()
    data = []
    n_bytes = 0
    for delta in sorted(deltas, key=_place):
        packed = b"".join(delta.logprobs)
        n_bytes += len(packed)
        if n_bytes > _PIECE_BYTES:
            n_bytes = len(packed)
            await let_others_run()
        floats = array("f", packed)
        if not request.base64:
            data.append(build.embedding(embedding=floats.tolist(), index=delta.choice))
            continue
        if sys.byteorder == "big":
            floats.byteswap()
        data.append(build.embedding(embedding=b64encode(floats.tobytes()).decode("ascii"), index=delta.choice))
    usage = build.embedding_usage(prompt_tokens=end.n_prompt, total_tokens=end.n_prompt)
    response: CreateEmbeddingResponse = build.embedding_response(data=data, model=request.model, usage=usage)
    add_request_id(response, new_request_id())
    return response


def rerank_response(request: RerankRequest, deltas: list[Delta], end: End) -> RerankResponse:
    """Build the answer of a rerank request. Equally relevant documents keep their order.

    Args:
        request: What was asked.
        deltas: One for each document, in any order.
        end: How it ended: well.
    """
    build = _builders()
    scores = [(-array("f", b"".join(delta.logprobs))[0], delta.choice) for delta in deltas]
    results = []
    for score, index in sorted(scores)[: request.top_n]:
        document = {} if request.documents is None else {"document": build.document(text=request.documents[index])}
        results.append(build.rank(index=index, relevance_score=-score, **document))
    usage = build.rank_usage(prompt_tokens=end.n_prompt, total_tokens=end.n_prompt)
    response: RerankResponse = build.rank_response(results=results, model=request.model, usage=usage)
    add_request_id(response, new_request_id())
    return response


def _place(delta: Delta) -> int:
    return delta.choice
