"""The answer to deleting a model."""

from llama_async._models import BaseModel

__all__ = ["ModelDeleted"]


class ModelDeleted(BaseModel):
    """Confirms the deletion of a model."""

    id: str
    deleted: bool
    object: str
