"""Spoken output of a chat completion."""

from llama_async._models import BaseModel

__all__ = ["ChatCompletionAudio"]


class ChatCompletionAudio(BaseModel):
    """Audio of an answer with its transcript."""

    id: str
    data: str
    """Base64."""

    expires_at: int
    """Unix time in seconds."""

    transcript: str
