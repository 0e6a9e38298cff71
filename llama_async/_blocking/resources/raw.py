"""`with_raw_response` and `with_streaming_response` of the client and of each resource.

Written by tools/gen_blocking.py from llama_async/resources/raw.py.
"""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING

from llama_async._response import to_raw_response_wrapper as raw
from llama_async._response import to_streamed_response_wrapper as streamed

if TYPE_CHECKING:
    from llama_async._blocking.client import Llama

    from .chat import Chat
    from .chat.completions import Completions
    from .chat.completions.messages import Messages
    from .completions import Completions as TextCompletions
    from .embeddings import Embeddings
    from .models import Models

__all__ = [
    "ChatWithRawResponse",
    "ChatWithStreamingResponse",
    "CompletionsWithRawResponse",
    "CompletionsWithStreamingResponse",
    "EmbeddingsWithRawResponse",
    "EmbeddingsWithStreamingResponse",
    "LlamaWithRawResponse",
    "LlamaWithStreamedResponse",
    "MessagesWithRawResponse",
    "MessagesWithStreamingResponse",
    "ModelsWithRawResponse",
    "ModelsWithStreamingResponse",
    "TextCompletionsWithRawResponse",
    "TextCompletionsWithStreamingResponse",
]

_COMPLETIONS = "/chat/completions"
_COMPLETION = "/chat/completions/{completion_id}"
_MESSAGES = "/chat/completions/{completion_id}/messages"
_TEXT_COMPLETIONS = "/completions"
_EMBEDDINGS = "/embeddings"
_MODELS = "/models"
_MODEL = "/models/{model}"


class ModelsWithRawResponse:
    """The methods of `client.models`, returning responses."""

    def __init__(self, models: Models) -> None:
        self._models = models
        self.retrieve = raw(models.retrieve, "GET", _MODEL)
        self.list = raw(models.list, "GET", _MODELS)
        self.delete = raw(models.delete, "DELETE", _MODEL)


class ModelsWithStreamingResponse:
    """The methods of `client.models`, returning contexts of responses."""

    def __init__(self, models: Models) -> None:
        self._models = models
        self.retrieve = streamed(models.retrieve, "GET", _MODEL)
        self.list = streamed(models.list, "GET", _MODELS)
        self.delete = streamed(models.delete, "DELETE", _MODEL)


class TextCompletionsWithRawResponse:
    """The methods of `client.completions`, returning responses."""

    def __init__(self, completions: TextCompletions) -> None:
        self._completions = completions
        self.create = raw(completions.create, "POST", _TEXT_COMPLETIONS)


class TextCompletionsWithStreamingResponse:
    """The methods of `client.completions`, returning contexts of responses."""

    def __init__(self, completions: TextCompletions) -> None:
        self._completions = completions
        self.create = streamed(completions.create, "POST", _TEXT_COMPLETIONS)


class EmbeddingsWithRawResponse:
    """The methods of `client.embeddings`, returning responses."""

    def __init__(self, embeddings: Embeddings) -> None:
        self._embeddings = embeddings
        self.create = raw(embeddings.create, "POST", _EMBEDDINGS)


class EmbeddingsWithStreamingResponse:
    """The methods of `client.embeddings`, returning contexts of responses."""

    def __init__(self, embeddings: Embeddings) -> None:
        self._embeddings = embeddings
        self.create = streamed(embeddings.create, "POST", _EMBEDDINGS)


class MessagesWithRawResponse:
    """The methods of `client.chat.completions.messages`, returning responses."""

    def __init__(self, messages: Messages) -> None:
        self._messages = messages
        self.list = raw(messages.list, "GET", _MESSAGES)


class MessagesWithStreamingResponse:
    """The methods of `client.chat.completions.messages`, returning contexts of responses."""

    def __init__(self, messages: Messages) -> None:
        self._messages = messages
        self.list = streamed(messages.list, "GET", _MESSAGES)


class CompletionsWithRawResponse:
    """The methods of `client.chat.completions`, returning responses."""

    def __init__(self, completions: Completions) -> None:
        self._completions = completions
        self.create = raw(completions.create, "POST", _COMPLETIONS)
        self.parse = raw(completions.parse, "POST", _COMPLETIONS)
        self.retrieve = raw(completions.retrieve, "GET", _COMPLETION)
        self.update = raw(completions.update, "POST", _COMPLETION)
        self.list = raw(completions.list, "GET", _COMPLETIONS)
        self.delete = raw(completions.delete, "DELETE", _COMPLETION)

    @cached_property
    def messages(self) -> MessagesWithRawResponse:
        """The conversations that stored completions answer."""
        return MessagesWithRawResponse(self._completions.messages)


class CompletionsWithStreamingResponse:
    """The methods of `client.chat.completions`, returning contexts of responses."""

    def __init__(self, completions: Completions) -> None:
        self._completions = completions
        self.create = streamed(completions.create, "POST", _COMPLETIONS)
        self.parse = streamed(completions.parse, "POST", _COMPLETIONS)
        self.retrieve = streamed(completions.retrieve, "GET", _COMPLETION)
        self.update = streamed(completions.update, "POST", _COMPLETION)
        self.list = streamed(completions.list, "GET", _COMPLETIONS)
        self.delete = streamed(completions.delete, "DELETE", _COMPLETION)

    @cached_property
    def messages(self) -> MessagesWithStreamingResponse:
        """The conversations that stored completions answer."""
        return MessagesWithStreamingResponse(self._completions.messages)


class ChatWithRawResponse:
    """`client.chat`, returning responses."""

    def __init__(self, chat: Chat) -> None:
        self._chat = chat

    @cached_property
    def completions(self) -> CompletionsWithRawResponse:
        """Answers to conversations."""
        return CompletionsWithRawResponse(self._chat.completions)


class ChatWithStreamingResponse:
    """`client.chat`, returning contexts of responses."""

    def __init__(self, chat: Chat) -> None:
        self._chat = chat

    @cached_property
    def completions(self) -> CompletionsWithStreamingResponse:
        """Answers to conversations."""
        return CompletionsWithStreamingResponse(self._chat.completions)


class LlamaWithRawResponse:
    """The resources of a client, returning responses."""

    def __init__(self, client: Llama) -> None:
        self._client = client

    @cached_property
    def chat(self) -> ChatWithRawResponse:
        """Conversations."""
        return ChatWithRawResponse(self._client.chat)

    @cached_property
    def completions(self) -> TextCompletionsWithRawResponse:
        """Texts continued."""
        return TextCompletionsWithRawResponse(self._client.completions)

    @cached_property
    def embeddings(self) -> EmbeddingsWithRawResponse:
        """Texts as vectors."""
        return EmbeddingsWithRawResponse(self._client.embeddings)

    @cached_property
    def models(self) -> ModelsWithRawResponse:
        """The models the client knows."""
        return ModelsWithRawResponse(self._client.models)


class LlamaWithStreamedResponse:
    """The resources of a client, returning contexts of responses."""

    def __init__(self, client: Llama) -> None:
        self._client = client

    @cached_property
    def chat(self) -> ChatWithStreamingResponse:
        """Conversations."""
        return ChatWithStreamingResponse(self._client.chat)

    @cached_property
    def completions(self) -> TextCompletionsWithStreamingResponse:
        """Texts continued."""
        return TextCompletionsWithStreamingResponse(self._client.completions)

    @cached_property
    def embeddings(self) -> EmbeddingsWithStreamingResponse:
        """Texts as vectors."""
        return EmbeddingsWithStreamingResponse(self._client.embeddings)

    @cached_property
    def models(self) -> ModelsWithStreamingResponse:
        """The models the client knows."""
        return ModelsWithStreamingResponse(self._client.models)
