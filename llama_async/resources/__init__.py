"""The methods of a client, one module an endpoint, mirroring the URLs of the HTTP API."""

from typing import TYPE_CHECKING

from llama_async._lazy import lazy_exports

from .chat import AsyncChat
from .completions import AsyncCompletions
from .embeddings import AsyncEmbeddings
from .models import AsyncModels
from .rerank import AsyncRerank

if TYPE_CHECKING:
    from llama_async._blocking.resources import Chat, Completions, Embeddings, Models, Rerank

__all__ = [
    "AsyncChat",
    "AsyncCompletions",
    "AsyncEmbeddings",
    "AsyncModels",
    "AsyncRerank",
    "Chat",
    "Completions",
    "Embeddings",
    "Models",
    "Rerank",
]

__getattr__, __dir__ = lazy_exports(
    __name__, {"llama_async._blocking.resources": ("Chat", "Completions", "Embeddings", "Models", "Rerank")}
)
