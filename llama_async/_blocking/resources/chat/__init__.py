"""Written by tools/gen_blocking.py from llama_async/resources/chat/__init__.py."""

from .chat import Chat
from .completions import Completions

__all__ = ["Chat", "Completions"]
