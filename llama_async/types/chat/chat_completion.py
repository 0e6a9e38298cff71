"""A complete answer from the chat endpoint."""

from typing import Annotated, Literal, TypeAlias

from llama_async._models import BaseModel, PropertyInfo
from llama_async.types.completion_usage import CompletionUsage
from llama_async.types.shared.metadata import Metadata

from .chat_completion_message import ChatCompletionMessage
from .chat_completion_token_logprob import ChatCompletionTokenLogprob

__all__ = [
    "ChatCompletion",
    "Choice",
    "ChoiceLogprobs",
    "Moderation",
    "ModerationInput",
    "ModerationInputError",
    "ModerationInputModerationResults",
    "ModerationInputModerationResultsResult",
    "ModerationOutput",
    "ModerationOutputError",
    "ModerationOutputModerationResults",
    "ModerationOutputModerationResultsResult",
]


class ChoiceLogprobs(BaseModel):
    """Log probabilities of the tokens of one choice."""

    content: list[ChatCompletionTokenLogprob] | None = None
    refusal: list[ChatCompletionTokenLogprob] | None = None


class Choice(BaseModel):
    """One alternative answer."""

    finish_reason: Literal["stop", "length", "tool_calls", "content_filter", "function_call"]
    """Why generation ended: a stop, the token limit, a tool call, a filter."""

    index: int
    logprobs: ChoiceLogprobs | None = None
    message: ChatCompletionMessage


class ModerationInputModerationResultsResult(BaseModel):
    """The verdict on one input."""

    categories: dict[str, bool]
    category_applied_input_types: dict[str, list[Literal["text", "image"]]]
    category_scores: dict[str, float]
    flagged: bool
    model: str
    type: Literal["moderation_result"]


class ModerationInputModerationResults(BaseModel):
    """The verdicts on the input."""

    model: str
    results: list[ModerationInputModerationResultsResult]
    type: Literal["moderation_results"]


class ModerationInputError(BaseModel):
    """Why the input could not be moderated."""

    code: str
    message: str
    type: Literal["error"]


ModerationInput: TypeAlias = Annotated[
    ModerationInputModerationResults | ModerationInputError, PropertyInfo(discriminator="type")
]


class ModerationOutputModerationResultsResult(BaseModel):
    """The verdict on one output."""

    categories: dict[str, bool]
    category_applied_input_types: dict[str, list[Literal["text", "image"]]]
    category_scores: dict[str, float]
    flagged: bool
    model: str
    type: Literal["moderation_result"]


class ModerationOutputModerationResults(BaseModel):
    """The verdicts on the output."""

    model: str
    results: list[ModerationOutputModerationResultsResult]
    type: Literal["moderation_results"]


class ModerationOutputError(BaseModel):
    """Why the output could not be moderated."""

    code: str
    message: str
    type: Literal["error"]


ModerationOutput: TypeAlias = Annotated[
    ModerationOutputModerationResults | ModerationOutputError, PropertyInfo(discriminator="type")
]


class Moderation(BaseModel):
    """Moderation of input and output."""

    input: ModerationInput
    output: ModerationOutput


class ChatCompletion(BaseModel):
    """A complete answer: the choices, the model, the token counts."""

    id: str
    choices: list[Choice]
    created: int
    """Unix time in seconds."""

    model: str
    object: Literal["chat.completion"]
    metadata: Metadata | None = None
    moderation: Moderation | None = None
    service_tier: Literal["auto", "default", "flex", "scale", "priority", "fast"] | None = None
    system_fingerprint: str | None = None
    usage: CompletionUsage | None = None
