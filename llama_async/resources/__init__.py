"""The methods of a client, one module an endpoint, mirroring the URLs of the HTTP API."""

from .chat import AsyncChat, AsyncCompletions

__all__ = ["AsyncChat", "AsyncCompletions"]
