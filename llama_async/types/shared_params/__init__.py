"""Parameter types that several endpoints use.

Names are imported from their modules when first used, which keeps the import of the package short.
"""

from typing import TYPE_CHECKING

from ..._lazy import lazy_exports

if TYPE_CHECKING:
    from .chat_model import ChatModel as ChatModel
    from .comparison_filter import ComparisonFilter as ComparisonFilter
    from .compound_filter import CompoundFilter as CompoundFilter
    from .custom_tool_input_format import CustomToolInputFormat as CustomToolInputFormat
    from .decision_input_json import DecisionInputJSON as DecisionInputJSON
    from .decision_question_input_image import DecisionQuestionInputImage as DecisionQuestionInputImage
    from .decision_question_input_part import DecisionQuestionInputPart as DecisionQuestionInputPart
    from .decision_question_input_text import DecisionQuestionInputText as DecisionQuestionInputText
    from .function_definition import FunctionDefinition as FunctionDefinition
    from .function_parameters import FunctionParameters as FunctionParameters
    from .metadata import Metadata as Metadata
    from .oauth_error_code import OAuthErrorCode as OAuthErrorCode
    from .reasoning import Reasoning as Reasoning
    from .reasoning_effort import ReasoningEffort as ReasoningEffort
    from .response_format_json_object import ResponseFormatJSONObject as ResponseFormatJSONObject
    from .response_format_json_schema import ResponseFormatJSONSchema as ResponseFormatJSONSchema
    from .response_format_text import ResponseFormatText as ResponseFormatText
    from .responses_model import ResponsesModel as ResponsesModel

__all__ = [
    "ChatModel",
    "ComparisonFilter",
    "CompoundFilter",
    "CustomToolInputFormat",
    "DecisionInputJSON",
    "DecisionQuestionInputImage",
    "DecisionQuestionInputPart",
    "DecisionQuestionInputText",
    "FunctionDefinition",
    "FunctionParameters",
    "Metadata",
    "OAuthErrorCode",
    "Reasoning",
    "ReasoningEffort",
    "ResponseFormatJSONObject",
    "ResponseFormatJSONSchema",
    "ResponseFormatText",
    "ResponsesModel",
]

__getattr__, __dir__ = lazy_exports(
    __name__,
    {
        "chat_model": ("ChatModel",),
        "comparison_filter": ("ComparisonFilter",),
        "compound_filter": ("CompoundFilter",),
        "custom_tool_input_format": ("CustomToolInputFormat",),
        "decision_input_json": ("DecisionInputJSON",),
        "decision_question_input_image": ("DecisionQuestionInputImage",),
        "decision_question_input_part": ("DecisionQuestionInputPart",),
        "decision_question_input_text": ("DecisionQuestionInputText",),
        "function_definition": ("FunctionDefinition",),
        "function_parameters": ("FunctionParameters",),
        "metadata": ("Metadata",),
        "oauth_error_code": ("OAuthErrorCode",),
        "reasoning": ("Reasoning",),
        "reasoning_effort": ("ReasoningEffort",),
        "response_format_json_object": ("ResponseFormatJSONObject",),
        "response_format_json_schema": ("ResponseFormatJSONSchema",),
        "response_format_text": ("ResponseFormatText",),
        "responses_model": ("ResponsesModel",),
    },
)
