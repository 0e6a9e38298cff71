"""`client.chat.completions`."""

from .completions import AsyncCompletions
from .messages import AsyncMessages

__all__ = ["AsyncCompletions", "AsyncMessages"]
