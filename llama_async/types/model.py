"""A model that a client can use."""

from typing import Literal

from llama_async._models import BaseModel

__all__ = ["Model"]


class Model(BaseModel):
    """A model's name and origin."""

    id: str
    created: int
    """Unix time in seconds."""

    object: Literal["model"]
    owned_by: str
    shutdown_date: str | None = None
