"""The body of a chat completion request."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Literal, TypeAlias

from typing_extensions import Required, TypedDict

from llama_async._types import SequenceNotStr
from llama_async.types.shared.chat_model import ChatModel
from llama_async.types.shared.reasoning_effort import ReasoningEffort
from llama_async.types.shared_params.function_parameters import FunctionParameters
from llama_async.types.shared_params.metadata import Metadata
from llama_async.types.shared_params.response_format_json_object import ResponseFormatJSONObject
from llama_async.types.shared_params.response_format_json_schema import ResponseFormatJSONSchema
from llama_async.types.shared_params.response_format_text import ResponseFormatText

from .chat_completion_audio_param import ChatCompletionAudioParam
from .chat_completion_function_call_option_param import ChatCompletionFunctionCallOptionParam
from .chat_completion_message_param import ChatCompletionMessageParam
from .chat_completion_prediction_content_param import ChatCompletionPredictionContentParam
from .chat_completion_stream_options_param import ChatCompletionStreamOptionsParam
from .chat_completion_tool_choice_option_param import ChatCompletionToolChoiceOptionParam
from .chat_completion_tool_union_param import ChatCompletionToolUnionParam

__all__ = [
    "CompletionCreateParamsBase",
    "CompletionCreateParamsNonStreaming",
    "CompletionCreateParamsStreaming",
    "Function",
    "FunctionCall",
    "Moderation",
    "ModerationPolicy",
    "ModerationPolicyInput",
    "ModerationPolicyOutput",
    "PromptCacheOptions",
    "ResponseFormat",
    "WebSearchOptions",
    "WebSearchOptionsUserLocation",
    "WebSearchOptionsUserLocationApproximate",
]


class CompletionCreateParamsBase(TypedDict, total=False):
    """The parameters that both forms of the request share."""

    messages: Required[Iterable[ChatCompletionMessageParam]]
    model: Required[str | ChatModel]
    audio: ChatCompletionAudioParam | None
    frequency_penalty: float | None
    """-2 to 2; grows with each occurrence of a token."""

    function_call: FunctionCall
    """Deprecated, see `tool_choice`."""

    functions: Iterable[Function]
    """Deprecated, see `tools`."""

    logit_bias: dict[str, int] | None
    """Token id (as text) to bias, -100 to 100."""

    logprobs: bool | None
    max_completion_tokens: int | None
    max_tokens: int | None
    """Deprecated, see `max_completion_tokens`."""

    metadata: Metadata | None
    modalities: list[Literal["text", "audio"]] | None
    moderation: Moderation | None
    n: int | None
    """How many alternative answers."""

    parallel_tool_calls: bool
    prediction: ChatCompletionPredictionContentParam | None
    presence_penalty: float | None
    """-2 to 2; counts once a token has occurred."""

    prompt_cache_key: str | None
    prompt_cache_options: PromptCacheOptions
    prompt_cache_retention: Literal["in_memory", "24h"] | None
    reasoning_effort: ReasoningEffort | None
    response_format: ResponseFormat
    safety_identifier: str | None
    seed: int | None
    service_tier: Literal["auto", "default", "flex", "scale", "priority", "fast"] | None
    stop: str | SequenceNotStr[str] | None
    """One sequence or up to four; the answer ends before it."""

    store: bool | None
    stream_options: ChatCompletionStreamOptionsParam | None
    temperature: float | None
    """0 to 2; 0 takes the likeliest token."""

    tool_choice: ChatCompletionToolChoiceOptionParam
    tools: Iterable[ChatCompletionToolUnionParam]
    top_logprobs: int | None
    """0 to 20 alternatives a token; needs `logprobs`."""

    top_p: float | None
    """Sample among the likeliest tokens that hold this much probability."""

    user: str
    verbosity: Literal["low", "medium", "high"] | None
    web_search_options: WebSearchOptions


FunctionCall: TypeAlias = Literal["none", "auto"] | ChatCompletionFunctionCallOptionParam


class Function(TypedDict, total=False):
    """A function that the model may call (deprecated, see `tools`)."""

    name: Required[str]
    description: str
    parameters: FunctionParameters


class ModerationPolicyInput(TypedDict, total=False):
    """What happens to flagged input."""

    mode: Required[Literal["score", "block"]]


class ModerationPolicyOutput(TypedDict, total=False):
    """What happens to flagged output."""

    mode: Required[Literal["score", "block"]]


class ModerationPolicy(TypedDict, total=False):
    """What happens to flagged content."""

    input: ModerationPolicyInput | None
    output: ModerationPolicyOutput | None


class Moderation(TypedDict, total=False):
    """Moderation of input and output, and its model."""

    model: Required[str]
    policy: ModerationPolicy | None


class PromptCacheOptions(TypedDict, total=False):
    """How prefixes of the prompt are kept for reuse."""

    mode: Literal["implicit", "explicit"]
    ttl: Literal["30m"]


ResponseFormat: TypeAlias = ResponseFormatText | ResponseFormatJSONSchema | ResponseFormatJSONObject


class WebSearchOptionsUserLocationApproximate(TypedDict, total=False):
    """Roughly where the user is."""

    city: str
    country: str
    region: str
    timezone: str


class WebSearchOptionsUserLocation(TypedDict, total=False):
    """Location for the web search."""

    approximate: Required[WebSearchOptionsUserLocationApproximate]
    type: Required[Literal["approximate"]]


class WebSearchOptions(TypedDict, total=False):
    """Options of the web search tool."""

    search_context_size: Literal["low", "medium", "high"]
    user_location: WebSearchOptionsUserLocation | None


class CompletionCreateParamsNonStreaming(CompletionCreateParamsBase, total=False):
    """A request for one complete answer."""

    stream: Literal[False] | None


class CompletionCreateParamsStreaming(CompletionCreateParamsBase):
    """A request for a streamed answer."""

    stream: Required[Literal[True]]


CompletionCreateParams: TypeAlias = CompletionCreateParamsNonStreaming | CompletionCreateParamsStreaming
