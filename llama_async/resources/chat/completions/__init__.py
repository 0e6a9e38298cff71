"""`client.chat.completions`."""

from .completions import AsyncCompletions

__all__ = ["AsyncCompletions"]
