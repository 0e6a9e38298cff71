"""One embedding vector."""

from typing import Literal

from llama_async._models import BaseModel

__all__ = ["Embedding"]


class Embedding(BaseModel):
    """One vector and the index of its input."""

    embedding: list[float]
    """As long as the model's dimension or the requested one."""

    index: int
    object: Literal["embedding"]
