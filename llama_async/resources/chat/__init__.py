"""`client.chat`."""

from .chat import AsyncChat
from .completions import AsyncCompletions

__all__ = ["AsyncChat", "AsyncCompletions"]
