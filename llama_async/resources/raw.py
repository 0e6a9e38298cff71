"""`with_raw_response` and `with_streaming_response` of the client and of each resource.

A method that openai's class of the same name has is here once a resource has it; a test compares them. The signatures
are the wrapped methods' own. Imported by the properties that need it: most programs never do.
"""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING

from llama_async._response import async_to_raw_response_wrapper as raw
from llama_async._response import async_to_streamed_response_wrapper as streamed

if TYPE_CHECKING:
    from llama_async._client import AsyncLlama

    from .chat import AsyncChat
    from .chat.completions import AsyncCompletions
    from .chat.completions.messages import AsyncMessages
    from .completions import AsyncCompletions as AsyncTextCompletions
    from .embeddings import AsyncEmbeddings
    from .models import AsyncModels

__all__ = [
    "AsyncChatWithRawResponse",
    "AsyncChatWithStreamingResponse",
    "AsyncCompletionsWithRawResponse",
    "AsyncCompletionsWithStreamingResponse",
    "AsyncEmbeddingsWithRawResponse",
    "AsyncEmbeddingsWithStreamingResponse",
    "AsyncLlamaWithRawResponse",
    "AsyncLlamaWithStreamedResponse",
    "AsyncMessagesWithRawResponse",
    "AsyncMessagesWithStreamingResponse",
    "AsyncModelsWithRawResponse",
    "AsyncModelsWithStreamingResponse",
    "AsyncTextCompletionsWithRawResponse",
    "AsyncTextCompletionsWithStreamingResponse",
]

_COMPLETIONS = "/chat/completions"
_COMPLETION = "/chat/completions/{completion_id}"
_MESSAGES = "/chat/completions/{completion_id}/messages"
_TEXT_COMPLETIONS = "/completions"
_EMBEDDINGS = "/embeddings"
_MODELS = "/models"
_MODEL = "/models/{model}"


class AsyncModelsWithRawResponse:
    """The methods of `client.models`, returning responses."""

    def __init__(self, models: AsyncModels) -> None:
        self._models = models
        self.retrieve = raw(models.retrieve, "GET", _MODEL)
        self.list = raw(models.list, "GET", _MODELS)
        self.delete = raw(models.delete, "DELETE", _MODEL)


class AsyncModelsWithStreamingResponse:
    """The methods of `client.models`, returning contexts of responses."""

    def __init__(self, models: AsyncModels) -> None:
        self._models = models
        self.retrieve = streamed(models.retrieve, "GET", _MODEL)
        self.list = streamed(models.list, "GET", _MODELS)
        self.delete = streamed(models.delete, "DELETE", _MODEL)


class AsyncTextCompletionsWithRawResponse:
    """The methods of `client.completions`, returning responses."""

    def __init__(self, completions: AsyncTextCompletions) -> None:
        self._completions = completions
        self.create = raw(completions.create, "POST", _TEXT_COMPLETIONS)


class AsyncTextCompletionsWithStreamingResponse:
    """The methods of `client.completions`, returning contexts of responses."""

    def __init__(self, completions: AsyncTextCompletions) -> None:
        self._completions = completions
        self.create = streamed(completions.create, "POST", _TEXT_COMPLETIONS)


class AsyncEmbeddingsWithRawResponse:
    """The methods of `client.embeddings`, returning responses."""

    def __init__(self, embeddings: AsyncEmbeddings) -> None:
        self._embeddings = embeddings
        self.create = raw(embeddings.create, "POST", _EMBEDDINGS)


class AsyncEmbeddingsWithStreamingResponse:
    """The methods of `client.embeddings`, returning contexts of responses."""

    def __init__(self, embeddings: AsyncEmbeddings) -> None:
        self._embeddings = embeddings
        self.create = streamed(embeddings.create, "POST", _EMBEDDINGS)


class AsyncMessagesWithRawResponse:
    """The methods of `client.chat.completions.messages`, returning responses."""

    def __init__(self, messages: AsyncMessages) -> None:
        self._messages = messages
        self.list = raw(messages.list, "GET", _MESSAGES)


class AsyncMessagesWithStreamingResponse:
    """The methods of `client.chat.completions.messages`, returning contexts of responses."""

    def __init__(self, messages: AsyncMessages) -> None:
        self._messages = messages
        self.list = streamed(messages.list, "GET", _MESSAGES)


class AsyncCompletionsWithRawResponse:
    """The methods of `client.chat.completions`, returning responses."""

    def __init__(self, completions: AsyncCompletions) -> None:
        self._completions = completions
        self.create = raw(completions.create, "POST", _COMPLETIONS)
        self.parse = raw(completions.parse, "POST", _COMPLETIONS)
        self.retrieve = raw(completions.retrieve, "GET", _COMPLETION)
        self.update = raw(completions.update, "POST", _COMPLETION)
        self.list = raw(completions.list, "GET", _COMPLETIONS)
        self.delete = raw(completions.delete, "DELETE", _COMPLETION)

    @cached_property
    def messages(self) -> AsyncMessagesWithRawResponse:
        """The conversations that stored completions answer."""
        return AsyncMessagesWithRawResponse(self._completions.messages)


class AsyncCompletionsWithStreamingResponse:
    """The methods of `client.chat.completions`, returning contexts of responses."""

    def __init__(self, completions: AsyncCompletions) -> None:
        self._completions = completions
        self.create = streamed(completions.create, "POST", _COMPLETIONS)
        self.parse = streamed(completions.parse, "POST", _COMPLETIONS)
        self.retrieve = streamed(completions.retrieve, "GET", _COMPLETION)
        self.update = streamed(completions.update, "POST", _COMPLETION)
        self.list = streamed(completions.list, "GET", _COMPLETIONS)
        self.delete = streamed(completions.delete, "DELETE", _COMPLETION)

    @cached_property
    def messages(self) -> AsyncMessagesWithStreamingResponse:
        """The conversations that stored completions answer."""
        return AsyncMessagesWithStreamingResponse(self._completions.messages)


class AsyncChatWithRawResponse:
    """`client.chat`, returning responses."""

    def __init__(self, chat: AsyncChat) -> None:
        self._chat = chat

    @cached_property
    def completions(self) -> AsyncCompletionsWithRawResponse:
        """Answers to conversations."""
        return AsyncCompletionsWithRawResponse(self._chat.completions)


class AsyncChatWithStreamingResponse:
    """`client.chat`, returning contexts of responses."""

    def __init__(self, chat: AsyncChat) -> None:
        self._chat = chat

    @cached_property
    def completions(self) -> AsyncCompletionsWithStreamingResponse:
        """Answers to conversations."""
        return AsyncCompletionsWithStreamingResponse(self._chat.completions)


class AsyncLlamaWithRawResponse:
    """The resources of a client, returning responses."""

    def __init__(self, client: AsyncLlama) -> None:
        self._client = client

    @cached_property
    def chat(self) -> AsyncChatWithRawResponse:
        """Conversations."""
        return AsyncChatWithRawResponse(self._client.chat)

    @cached_property
    def completions(self) -> AsyncTextCompletionsWithRawResponse:
        """Texts continued."""
        return AsyncTextCompletionsWithRawResponse(self._client.completions)

    @cached_property
    def embeddings(self) -> AsyncEmbeddingsWithRawResponse:
        """Texts as vectors."""
        return AsyncEmbeddingsWithRawResponse(self._client.embeddings)

    @cached_property
    def models(self) -> AsyncModelsWithRawResponse:
        """The models the client knows."""
        return AsyncModelsWithRawResponse(self._client.models)


class AsyncLlamaWithStreamedResponse:
    """The resources of a client, returning contexts of responses."""

    def __init__(self, client: AsyncLlama) -> None:
        self._client = client

    @cached_property
    def chat(self) -> AsyncChatWithStreamingResponse:
        """Conversations."""
        return AsyncChatWithStreamingResponse(self._client.chat)

    @cached_property
    def completions(self) -> AsyncTextCompletionsWithStreamingResponse:
        """Texts continued."""
        return AsyncTextCompletionsWithStreamingResponse(self._client.completions)

    @cached_property
    def embeddings(self) -> AsyncEmbeddingsWithStreamingResponse:
        """Texts as vectors."""
        return AsyncEmbeddingsWithStreamingResponse(self._client.embeddings)

    @cached_property
    def models(self) -> AsyncModelsWithStreamingResponse:
        """The models the client knows."""
        return AsyncModelsWithStreamingResponse(self._client.models)
