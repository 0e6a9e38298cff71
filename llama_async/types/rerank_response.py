"""The answer of `client.rerank`; the HTTP APIs of llama-server and Jina have the same."""

from typing import Literal

from llama_async._models import BaseModel

__all__ = ["Document", "RerankResponse", "RerankResult", "Usage"]


class Document(BaseModel):
    """A document that was ranked."""

    text: str


class RerankResult(BaseModel):
    """One document's rank."""

    index: int
    """Its place among the documents given."""

    relevance_score: float
    """What the model computes, as it is: higher is more relevant; the scale is the model's."""

    document: Document | None = None
    """The document itself, where it was asked for."""


class Usage(BaseModel):
    """Token counts of a rerank request."""

    prompt_tokens: int
    """Of all pairs of the query with a document."""

    total_tokens: int


class RerankResponse(BaseModel):
    """The most relevant documents, the first one first."""

    model: str
    object: Literal["list"]
    results: list[RerankResult]
    usage: Usage
