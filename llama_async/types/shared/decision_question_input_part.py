"""Any part of a decision's question."""

from typing import Annotated, TypeAlias

from llama_async._models import PropertyInfo

from .decision_input_json import DecisionInputJSON
from .decision_question_input_image import DecisionQuestionInputImage
from .decision_question_input_text import DecisionQuestionInputText

__all__ = ["DecisionQuestionInputPart"]

DecisionQuestionInputPart: TypeAlias = Annotated[
    DecisionQuestionInputText | DecisionQuestionInputImage | DecisionInputJSON, PropertyInfo(discriminator="type")
]
