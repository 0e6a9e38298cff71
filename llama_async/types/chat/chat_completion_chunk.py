"""One piece of a streamed chat completion."""

from typing import Annotated, Literal, TypeAlias

from llama_async._models import BaseModel, PropertyInfo
from llama_async.types.completion_usage import CompletionUsage

from .chat_completion_token_logprob import ChatCompletionTokenLogprob

__all__ = [
    "ChatCompletionChunk",
    "Choice",
    "ChoiceDelta",
    "ChoiceDeltaAudio",
    "ChoiceDeltaFunctionCall",
    "ChoiceDeltaToolCall",
    "ChoiceDeltaToolCallFunction",
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


class ChoiceDeltaAudio(BaseModel):
    """A piece of audio output."""

    id: str | None = None
    data: str | None = None
    """Base64."""

    expires_at: int | None = None
    """Unix time in seconds."""

    transcript: str | None = None


class ChoiceDeltaFunctionCall(BaseModel):
    """A piece of a function call (deprecated, see `tool_calls`)."""

    arguments: str | None = None
    """JSON text, to be joined with that of the other pieces."""

    name: str | None = None


class ChoiceDeltaToolCallFunction(BaseModel):
    """A piece of the called function's name and arguments."""

    arguments: str | None = None
    """JSON text, to be joined with that of the other pieces."""

    name: str | None = None


class ChoiceDeltaToolCall(BaseModel):
    """A piece of one tool call; pieces with the same `index` belong together."""

    index: int
    id: str | None = None
    function: ChoiceDeltaToolCallFunction | None = None
    type: Literal["function"] | None = None


class ChoiceDelta(BaseModel):
    """What this chunk adds to the message."""

    audio: ChoiceDeltaAudio | None = None
    content: str | None = None
    function_call: ChoiceDeltaFunctionCall | None = None
    refusal: str | None = None
    role: Literal["developer", "system", "user", "assistant", "tool"] | None = None
    tool_calls: list[ChoiceDeltaToolCall] | None = None


class ChoiceLogprobs(BaseModel):
    """Log probabilities of the tokens of one choice."""

    content: list[ChatCompletionTokenLogprob] | None = None
    refusal: list[ChatCompletionTokenLogprob] | None = None


class Choice(BaseModel):
    """The piece of one alternative answer."""

    delta: ChoiceDelta
    index: int
    finish_reason: Literal["stop", "length", "tool_calls", "content_filter", "function_call"] | None = None
    """Why generation ended; `None` on all but the last piece of the choice."""

    logprobs: ChoiceLogprobs | None = None


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


class ChatCompletionChunk(BaseModel):
    """One piece of a streamed answer."""

    id: str
    choices: list[Choice]
    """Empty on the last chunk when usage was asked for."""

    created: int
    """Unix time in seconds, the same on every chunk."""

    model: str
    object: Literal["chat.completion.chunk"]
    moderation: Moderation | None = None
    obfuscation: str | None = None
    """Padding that hides the length of the text from an observer."""

    service_tier: Literal["auto", "default", "flex", "scale", "priority", "fast"] | None = None
    system_fingerprint: str | None = None
    usage: CompletionUsage | None = None
    """Counts of the whole request, on the last chunk, when asked for."""
