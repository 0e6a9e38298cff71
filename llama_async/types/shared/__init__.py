"""Result types that several endpoints use.

Names are imported from their modules when first used, which keeps the import of the package short.
"""

from typing import TYPE_CHECKING

from llama_async._lazy import lazy_exports

if TYPE_CHECKING:
    from .all_models import AllModels
    from .chat_model import ChatModel
    from .comparison_filter import ComparisonFilter
    from .compound_filter import CompoundFilter
    from .custom_tool_input_format import CustomToolInputFormat
    from .decision_input_json import DecisionInputJSON
    from .decision_question_input_image import DecisionQuestionInputImage
    from .decision_question_input_part import DecisionQuestionInputPart
    from .decision_question_input_text import DecisionQuestionInputText
    from .error_object import ErrorObject
    from .function_definition import FunctionDefinition
    from .function_parameters import FunctionParameters
    from .metadata import Metadata
    from .oauth_error_code import OAuthErrorCode
    from .reasoning import Reasoning
    from .reasoning_effort import ReasoningEffort
    from .response_format_json_object import ResponseFormatJSONObject
    from .response_format_json_schema import ResponseFormatJSONSchema
    from .response_format_text import ResponseFormatText
    from .response_format_text_grammar import ResponseFormatTextGrammar
    from .response_format_text_python import ResponseFormatTextPython
    from .responses_model import ResponsesModel

__all__ = [
    "AllModels",
    "ChatModel",
    "ComparisonFilter",
    "CompoundFilter",
    "CustomToolInputFormat",
    "DecisionInputJSON",
    "DecisionQuestionInputImage",
    "DecisionQuestionInputPart",
    "DecisionQuestionInputText",
    "ErrorObject",
    "FunctionDefinition",
    "FunctionParameters",
    "Metadata",
    "OAuthErrorCode",
    "Reasoning",
    "ReasoningEffort",
    "ResponseFormatJSONObject",
    "ResponseFormatJSONSchema",
    "ResponseFormatText",
    "ResponseFormatTextGrammar",
    "ResponseFormatTextPython",
    "ResponsesModel",
]

__getattr__, __dir__ = lazy_exports(
    __name__,
    {
        "all_models": ("AllModels",),
        "chat_model": ("ChatModel",),
        "comparison_filter": ("ComparisonFilter",),
        "compound_filter": ("CompoundFilter",),
        "custom_tool_input_format": ("CustomToolInputFormat",),
        "decision_input_json": ("DecisionInputJSON",),
        "decision_question_input_image": ("DecisionQuestionInputImage",),
        "decision_question_input_part": ("DecisionQuestionInputPart",),
        "decision_question_input_text": ("DecisionQuestionInputText",),
        "error_object": ("ErrorObject",),
        "function_definition": ("FunctionDefinition",),
        "function_parameters": ("FunctionParameters",),
        "metadata": ("Metadata",),
        "oauth_error_code": ("OAuthErrorCode",),
        "reasoning": ("Reasoning",),
        "reasoning_effort": ("ReasoningEffort",),
        "response_format_json_object": ("ResponseFormatJSONObject",),
        "response_format_json_schema": ("ResponseFormatJSONSchema",),
        "response_format_text": ("ResponseFormatText",),
        "response_format_text_grammar": ("ResponseFormatTextGrammar",),
        "response_format_text_python": ("ResponseFormatTextPython",),
        "responses_model": ("ResponsesModel",),
    },
)
