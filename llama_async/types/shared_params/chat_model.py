"""Chat model names that editors complete; any other string is accepted too."""

from ..shared.chat_model import ChatModel

__all__ = ["ChatModel"]
