"""The body of a text completion request."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Literal, TypeAlias

from typing_extensions import Required, TypedDict

from llama_async._types import SequenceNotStr

from .chat.chat_completion_stream_options_param import ChatCompletionStreamOptionsParam

__all__ = ["CompletionCreateParamsBase", "CompletionCreateParamsNonStreaming", "CompletionCreateParamsStreaming"]


class CompletionCreateParamsBase(TypedDict, total=False):
    """The parameters that both forms of the request share."""

    model: Required[str | Literal["gpt-3.5-turbo-instruct", "davinci-002", "babbage-002"]]
    prompt: Required[str | SequenceNotStr[str] | Iterable[int] | Iterable[Iterable[int]] | None]
    """Text, several texts, token ids, or several lists of them."""

    best_of: int | None
    """Generate this many, return the `n` likeliest."""

    echo: bool | None
    """Return the prompt before the text."""

    frequency_penalty: float | None
    """-2 to 2; grows with each occurrence of a token."""

    logit_bias: dict[str, int] | None
    """Token id (as text) to bias, -100 to 100."""

    logprobs: int | None
    """0 to 5 alternatives a token."""

    max_tokens: int | None
    n: int | None
    presence_penalty: float | None
    """-2 to 2; counts once a token has occurred."""

    seed: int | None
    stop: str | SequenceNotStr[str] | None
    """One sequence or up to four; the text ends before it."""

    stream_options: ChatCompletionStreamOptionsParam | None
    suffix: str | None
    """The text that follows; the model fills in between."""

    temperature: float | None
    top_p: float | None
    user: str


class CompletionCreateParamsNonStreaming(CompletionCreateParamsBase, total=False):
    """A request for one complete answer."""

    stream: Literal[False] | None


class CompletionCreateParamsStreaming(CompletionCreateParamsBase):
    """A request for a streamed answer."""

    stream: Required[Literal[True]]


CompletionCreateParams: TypeAlias = CompletionCreateParamsNonStreaming | CompletionCreateParamsStreaming
