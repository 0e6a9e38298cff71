"""Written by tools/gen_blocking.py from llama_async/resources/chat/completions/__init__.py."""

from .completions import Completions
from .messages import Messages

__all__ = ["Completions", "Messages"]
