"""The methods of a client, one module an endpoint, mirroring the URLs of the HTTP API."""

from typing import TYPE_CHECKING

from llama_async._lazy import lazy_exports

from .chat import AsyncChat
from .completions import AsyncCompletions
from .embeddings import AsyncEmbeddings
from .models import AsyncModels
from .rerank import AsyncRerank
from .tokens import AsyncApplyTemplate, AsyncCountTokens, AsyncDetokenize, AsyncTokenize

if TYPE_CHECKING:
    from llama_async._blocking.resources import (
        ApplyTemplate,
        Chat,
        Completions,
        CountTokens,
        Detokenize,
        Embeddings,
        Models,
        Rerank,
        Tokenize,
    )

__all__ = [
    "ApplyTemplate",
    "AsyncApplyTemplate",
    "AsyncChat",
    "AsyncCompletions",
    "AsyncCountTokens",
    "AsyncDetokenize",
    "AsyncEmbeddings",
    "AsyncModels",
    "AsyncRerank",
    "AsyncTokenize",
    "Chat",
    "Completions",
    "CountTokens",
    "Detokenize",
    "Embeddings",
    "Models",
    "Rerank",
    "Tokenize",
]

__getattr__, __dir__ = lazy_exports(
    __name__,
    {
        "llama_async._blocking.resources": (
            "ApplyTemplate",
            "Chat",
            "Completions",
            "CountTokens",
            "Detokenize",
            "Embeddings",
            "Models",
            "Rerank",
            "Tokenize",
        )
    },
)
