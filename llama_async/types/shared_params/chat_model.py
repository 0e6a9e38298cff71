"""Chat model names that editors complete; any other string is accepted too."""

from llama_async.types.shared.chat_model import ChatModel

__all__ = ["ChatModel"]
