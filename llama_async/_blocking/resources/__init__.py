"""Written by tools/gen_blocking.py from llama_async/resources/__init__.py."""

from .chat import Chat
from .completions import Completions
from .embeddings import Embeddings
from .models import Models
from .rerank import Rerank
from .tokens import ApplyTemplate, CountTokens, Detokenize, Tokenize

__all__ = [
    "ApplyTemplate",
    "Chat",
    "Completions",
    "CountTokens",
    "Detokenize",
    "Embeddings",
    "Models",
    "Rerank",
    "Tokenize",
]
