"""The body of an embedding request."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Literal

from typing_extensions import Required, TypedDict

from llama_async._types import SequenceNotStr

from .embedding_model import EmbeddingModel

__all__ = ["EmbeddingCreateParams"]


class EmbeddingCreateParams(TypedDict, total=False):
    """What to embed, with which model and encoding."""

    input: Required[str | SequenceNotStr[str] | Iterable[int] | Iterable[Iterable[int]]]
    """A text, several texts, token ids, or several lists of them."""

    model: Required[str | EmbeddingModel]
    dimensions: int
    """Length of the vectors, where the model can shorten them."""

    encoding_format: Literal["float", "base64"]
    user: str
