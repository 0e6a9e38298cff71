"""A chat completion whose content was parsed into an object."""

from typing import Generic, TypeVar

from llama_async._models import GenericModel

from .chat_completion import ChatCompletion, Choice
from .chat_completion_message import ChatCompletionMessage
from .parsed_function_tool_call import ParsedFunctionToolCall

__all__ = ["ParsedChatCompletion", "ParsedChoice"]

ContentType = TypeVar("ContentType")


class ParsedChatCompletionMessage(ChatCompletionMessage, GenericModel, Generic[ContentType]):
    """A message with its parsed content."""

    parsed: ContentType | None = None
    """`None` where the content was refused or no type was given."""

    # Narrowed as in the reference; unsound only for who assigns to it.
    tool_calls: list[ParsedFunctionToolCall] | None = None  # type: ignore[assignment]


class ParsedChoice(Choice, GenericModel, Generic[ContentType]):
    """An alternative answer with its parsed content."""

    message: ParsedChatCompletionMessage[ContentType]


class ParsedChatCompletion(ChatCompletion, GenericModel, Generic[ContentType]):
    """A complete answer with its parsed content."""

    choices: list[ParsedChoice[ContentType]]  # type: ignore[assignment]
