"""A complete answer, or one streamed piece, of the text completion endpoint."""

from typing import Literal

from llama_async._models import BaseModel

from .completion_choice import CompletionChoice
from .completion_usage import CompletionUsage

__all__ = ["Completion"]


class Completion(BaseModel):
    """A text completion, or one streamed piece of it."""

    id: str
    choices: list[CompletionChoice]
    created: int
    """Unix time in seconds."""

    model: str
    object: Literal["text_completion"]
    system_fingerprint: str | None = None
    usage: CompletionUsage | None = None
