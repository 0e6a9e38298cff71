"""Text as part of a decision's question."""

from typing import Literal

from llama_async._models import BaseModel

__all__ = ["DecisionQuestionInputText"]


class DecisionQuestionInputText(BaseModel):
    """Text."""

    text: str
    type: Literal["input_text"]
