"""`client.chat`."""

from typing import TYPE_CHECKING

from llama_async._lazy import lazy_exports

from .chat import AsyncChat
from .completions import AsyncCompletions

if TYPE_CHECKING:
    from llama_async._blocking.resources.chat import Chat, Completions

__all__ = ["AsyncChat", "AsyncCompletions", "Chat", "Completions"]

__getattr__, __dir__ = lazy_exports(__name__, {"llama_async._blocking.resources.chat": ("Chat", "Completions")})
