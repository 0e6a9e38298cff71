"""`ChatModel`, where older code imports it from."""

from .shared.chat_model import ChatModel

__all__ = ["ChatModel"]
