"""JSON data as input of a decision."""

from typing import Literal

from llama_async._models import BaseModel

__all__ = ["DecisionInputJSON"]


class DecisionInputJSON(BaseModel):
    """JSON data."""

    data: list[dict[str, object | None]] | dict[str, object | None]
    type: Literal["input_json"]
