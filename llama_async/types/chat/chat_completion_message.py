"""The message of a complete answer."""

from typing import Literal

from llama_async._models import BaseModel

from .chat_completion_audio import ChatCompletionAudio
from .chat_completion_message_tool_call import ChatCompletionMessageToolCallUnion

__all__ = ["Annotation", "AnnotationURLCitation", "ChatCompletionMessage", "FunctionCall"]


class AnnotationURLCitation(BaseModel):
    """A cited web page and the span of text that cites it."""

    end_index: int
    start_index: int
    title: str
    url: str


class Annotation(BaseModel):
    """A remark on a span of the message."""

    type: Literal["url_citation"]
    url_citation: AnnotationURLCitation


class FunctionCall(BaseModel):
    """Name and arguments of a called function (deprecated, see `tool_calls`)."""

    arguments: str
    """JSON text as generated, not checked against the schema."""

    name: str


class ChatCompletionMessage(BaseModel):
    """What the model answered."""

    content: str | None = None
    refusal: str | None = None
    """The refusal, where the model declined."""

    role: Literal["assistant"]
    annotations: list[Annotation] | None = None
    audio: ChatCompletionAudio | None = None
    function_call: FunctionCall | None = None
    tool_calls: list[ChatCompletionMessageToolCallUnion] | None = None
