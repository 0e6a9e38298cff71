"""Result and parameter types, under the names and paths of `openai.types`.

Names are imported from their modules when first used, which keeps the import of the package short.
"""

from typing import TYPE_CHECKING

from llama_async._lazy import lazy_exports

if TYPE_CHECKING:
    from .chat_model import ChatModel
    from .completion import Completion
    from .completion_choice import CompletionChoice
    from .completion_create_params import CompletionCreateParams
    from .completion_usage import CompletionUsage
    from .create_embedding_response import CreateEmbeddingResponse
    from .embedding import Embedding
    from .embedding_create_params import EmbeddingCreateParams
    from .embedding_model import EmbeddingModel
    from .model import Model
    from .model_deleted import ModelDeleted
    from .shared.all_models import AllModels
    from .shared.comparison_filter import ComparisonFilter
    from .shared.compound_filter import CompoundFilter
    from .shared.custom_tool_input_format import CustomToolInputFormat
    from .shared.decision_input_json import DecisionInputJSON
    from .shared.decision_question_input_image import DecisionQuestionInputImage
    from .shared.decision_question_input_part import DecisionQuestionInputPart
    from .shared.decision_question_input_text import DecisionQuestionInputText
    from .shared.error_object import ErrorObject
    from .shared.function_definition import FunctionDefinition
    from .shared.function_parameters import FunctionParameters
    from .shared.metadata import Metadata
    from .shared.oauth_error_code import OAuthErrorCode
    from .shared.reasoning import Reasoning
    from .shared.reasoning_effort import ReasoningEffort
    from .shared.response_format_json_object import ResponseFormatJSONObject
    from .shared.response_format_json_schema import ResponseFormatJSONSchema
    from .shared.response_format_text import ResponseFormatText
    from .shared.response_format_text_grammar import ResponseFormatTextGrammar
    from .shared.response_format_text_python import ResponseFormatTextPython
    from .shared.responses_model import ResponsesModel

__all__ = [
    "AllModels",
    "ChatModel",
    "ComparisonFilter",
    "Completion",
    "CompletionChoice",
    "CompletionCreateParams",
    "CompletionUsage",
    "CompoundFilter",
    "CreateEmbeddingResponse",
    "CustomToolInputFormat",
    "DecisionInputJSON",
    "DecisionQuestionInputImage",
    "DecisionQuestionInputPart",
    "DecisionQuestionInputText",
    "Embedding",
    "EmbeddingCreateParams",
    "EmbeddingModel",
    "ErrorObject",
    "FunctionDefinition",
    "FunctionParameters",
    "Metadata",
    "Model",
    "ModelDeleted",
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
        "chat_model": ("ChatModel",),
        "completion": ("Completion",),
        "completion_choice": ("CompletionChoice",),
        "completion_create_params": ("CompletionCreateParams",),
        "completion_usage": ("CompletionUsage",),
        "create_embedding_response": ("CreateEmbeddingResponse",),
        "embedding": ("Embedding",),
        "embedding_create_params": ("EmbeddingCreateParams",),
        "embedding_model": ("EmbeddingModel",),
        "model": ("Model",),
        "model_deleted": ("ModelDeleted",),
        "shared.all_models": ("AllModels",),
        "shared.comparison_filter": ("ComparisonFilter",),
        "shared.compound_filter": ("CompoundFilter",),
        "shared.custom_tool_input_format": ("CustomToolInputFormat",),
        "shared.decision_input_json": ("DecisionInputJSON",),
        "shared.decision_question_input_image": ("DecisionQuestionInputImage",),
        "shared.decision_question_input_part": ("DecisionQuestionInputPart",),
        "shared.decision_question_input_text": ("DecisionQuestionInputText",),
        "shared.error_object": ("ErrorObject",),
        "shared.function_definition": ("FunctionDefinition",),
        "shared.function_parameters": ("FunctionParameters",),
        "shared.metadata": ("Metadata",),
        "shared.oauth_error_code": ("OAuthErrorCode",),
        "shared.reasoning": ("Reasoning",),
        "shared.reasoning_effort": ("ReasoningEffort",),
        "shared.response_format_json_object": ("ResponseFormatJSONObject",),
        "shared.response_format_json_schema": ("ResponseFormatJSONSchema",),
        "shared.response_format_text": ("ResponseFormatText",),
        "shared.response_format_text_grammar": ("ResponseFormatTextGrammar",),
        "shared.response_format_text_python": ("ResponseFormatTextPython",),
        "shared.responses_model": ("ResponsesModel",),
    },
)
