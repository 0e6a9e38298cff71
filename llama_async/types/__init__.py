"""Result and parameter types, under the names and paths of `openai.types`.

Names are imported from their modules when first used, which keeps the import of the package short.
"""

from typing import TYPE_CHECKING

from .._lazy import lazy_exports

if TYPE_CHECKING:
    from . import chat as chat
    from . import shared as shared
    from . import shared_params as shared_params
    from .chat_model import ChatModel as ChatModel
    from .completion import Completion as Completion
    from .completion_choice import CompletionChoice as CompletionChoice
    from .completion_create_params import CompletionCreateParams as CompletionCreateParams
    from .completion_usage import CompletionUsage as CompletionUsage
    from .create_embedding_response import CreateEmbeddingResponse as CreateEmbeddingResponse
    from .embedding import Embedding as Embedding
    from .embedding_create_params import EmbeddingCreateParams as EmbeddingCreateParams
    from .embedding_model import EmbeddingModel as EmbeddingModel
    from .model import Model as Model
    from .model_deleted import ModelDeleted as ModelDeleted
    from .shared.all_models import AllModels as AllModels
    from .shared.comparison_filter import ComparisonFilter as ComparisonFilter
    from .shared.compound_filter import CompoundFilter as CompoundFilter
    from .shared.custom_tool_input_format import CustomToolInputFormat as CustomToolInputFormat
    from .shared.decision_input_json import DecisionInputJSON as DecisionInputJSON
    from .shared.decision_question_input_image import DecisionQuestionInputImage as DecisionQuestionInputImage
    from .shared.decision_question_input_part import DecisionQuestionInputPart as DecisionQuestionInputPart
    from .shared.decision_question_input_text import DecisionQuestionInputText as DecisionQuestionInputText
    from .shared.error_object import ErrorObject as ErrorObject
    from .shared.function_definition import FunctionDefinition as FunctionDefinition
    from .shared.function_parameters import FunctionParameters as FunctionParameters
    from .shared.metadata import Metadata as Metadata
    from .shared.oauth_error_code import OAuthErrorCode as OAuthErrorCode
    from .shared.reasoning import Reasoning as Reasoning
    from .shared.reasoning_effort import ReasoningEffort as ReasoningEffort
    from .shared.response_format_json_object import ResponseFormatJSONObject as ResponseFormatJSONObject
    from .shared.response_format_json_schema import ResponseFormatJSONSchema as ResponseFormatJSONSchema
    from .shared.response_format_text import ResponseFormatText as ResponseFormatText
    from .shared.response_format_text_grammar import ResponseFormatTextGrammar as ResponseFormatTextGrammar
    from .shared.response_format_text_python import ResponseFormatTextPython as ResponseFormatTextPython
    from .shared.responses_model import ResponsesModel as ResponsesModel

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
