"""The methods of a client, one module an endpoint, mirroring the URLs of the HTTP API."""

from .chat import AsyncChat, AsyncCompletions
from .embeddings import AsyncEmbeddings
from .models import AsyncModels
from .rerank import AsyncRerank

__all__ = ["AsyncChat", "AsyncCompletions", "AsyncEmbeddings", "AsyncModels", "AsyncRerank"]
