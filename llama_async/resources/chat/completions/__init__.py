"""`client.chat.completions`."""

from typing import TYPE_CHECKING

from llama_async._lazy import lazy_exports

from .completions import AsyncCompletions
from .messages import AsyncMessages

if TYPE_CHECKING:
    from llama_async._blocking.resources.chat.completions import Completions, Messages

__all__ = ["AsyncCompletions", "AsyncMessages", "Completions", "Messages"]

__getattr__, __dir__ = lazy_exports(
    __name__, {"llama_async._blocking.resources.chat.completions": ("Completions", "Messages")}
)
