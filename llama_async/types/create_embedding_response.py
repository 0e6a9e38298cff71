"""The answer of the embedding endpoint."""

from typing import Literal

from llama_async._models import BaseModel

from .embedding import Embedding

__all__ = ["CreateEmbeddingResponse", "Usage"]


class Usage(BaseModel):
    """Token counts of an embedding request."""

    prompt_tokens: int
    total_tokens: int


class CreateEmbeddingResponse(BaseModel):
    """The vectors, the model, the token counts."""

    data: list[Embedding]
    model: str
    object: Literal["list"]
    usage: Usage
