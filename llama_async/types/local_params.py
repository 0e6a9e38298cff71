"""Bodies of the requests that openai's API has not: rerank, tokenize, detokenize, apply-template."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from typing_extensions import Required, TypedDict

from llama_async.types.chat.chat_completion_message_param import ChatCompletionMessageParam
from llama_async.types.chat.chat_completion_tool_union_param import ChatCompletionToolUnionParam
from llama_async.types.shared.reasoning_effort import ReasoningEffort

__all__ = ["ApplyTemplateParams", "DetokenizeParams", "RerankParams", "TokenizeParams"]


class RerankParams(TypedDict, total=False):
    """Documents to be ranked by their relevance to a query."""

    query: Required[str]
    documents: Required[Iterable[str]]
    model: Required[str]
    top_n: int | None
    return_documents: bool


class TokenizeParams(TypedDict, total=False):
    """A text to be cut into tokens, or several."""

    content: Required[str | list[str]]
    model: str
    add_special: bool
    parse_special: bool


class DetokenizeParams(TypedDict, total=False):
    """Tokens whose text is wanted, or lists of them."""

    tokens: Required[list[int] | list[list[int]]]
    model: str


class ApplyTemplateParams(TypedDict, total=False):
    """A conversation whose prompt is wanted."""

    messages: Required[Iterable[ChatCompletionMessageParam]]
    model: str
    add_generation_prompt: bool
    tools: Iterable[ChatCompletionToolUnionParam]
    reasoning_effort: ReasoningEffort | None
    chat_template: str
    chat_template_kwargs: dict[str, Any]
