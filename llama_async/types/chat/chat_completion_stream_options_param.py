"""Options of a streamed answer."""

from __future__ import annotations

from typing_extensions import TypedDict

__all__ = ["ChatCompletionStreamOptionsParam"]


class ChatCompletionStreamOptionsParam(TypedDict, total=False):
    """Options that count only with `stream=True`."""

    include_obfuscation: bool
    """Pad chunks to hide the length of their text."""

    include_usage: bool
    """Send one more chunk, with the counts and without choices."""
