"""`client.chat`: holds `completions`."""

from __future__ import annotations

from functools import cached_property

from llama_async._resource import AsyncAPIResource

from .completions import AsyncCompletions

__all__ = ["AsyncChat"]


class AsyncChat(AsyncAPIResource):
    """Conversations."""

    @cached_property
    def completions(self) -> AsyncCompletions:
        """Answers to conversations."""
        return AsyncCompletions(self._client)
