"""The answer to deleting a stored chat completion."""

from typing import Literal

from llama_async._models import BaseModel

__all__ = ["ChatCompletionDeleted"]


class ChatCompletionDeleted(BaseModel):
    """Confirms the deletion of a stored chat completion."""

    id: str
    deleted: bool
    object: Literal["chat.completion.deleted"]
