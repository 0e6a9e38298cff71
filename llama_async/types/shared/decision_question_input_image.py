"""An image as part of a decision's question."""

from typing import Literal

from llama_async._models import BaseModel

__all__ = ["DecisionQuestionInputImage"]


class DecisionQuestionInputImage(BaseModel):
    """An image."""

    image_url: str
    type: Literal["input_image"]
    detail: Literal["low", "high", "auto", "original"] | None = None
