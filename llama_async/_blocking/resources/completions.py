"""`client.completions`: texts continued.

Written by tools/gen_blocking.py from llama_async/resources/completions.py.
"""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING, overload

from llama_async._blocking._base import SyncAPIResource
from llama_async._types import not_given, omit

if TYPE_CHECKING:
    from collections.abc import Iterable
    from typing import Literal

    from httpx import Timeout

    from llama_async._blocking._base import Stream
    from llama_async._blocking.resources.raw import TextCompletionsWithRawResponse, TextCompletionsWithStreamingResponse
    from llama_async._types import Body, Headers, NotGiven, Omit, Query, SequenceNotStr
    from llama_async.types.chat import ChatCompletionStreamOptionsParam
    from llama_async.types.completion import Completion

__all__ = ["Completions"]


class Completions(SyncAPIResource):
    """Texts continued, without a conversation around them."""

    @cached_property
    def with_raw_response(self) -> TextCompletionsWithRawResponse:
        """The same methods, returning the response around the result: its headers, its bytes, its id."""
        from llama_async._blocking.resources.raw import TextCompletionsWithRawResponse

        return TextCompletionsWithRawResponse(self)

    @cached_property
    def with_streaming_response(self) -> TextCompletionsWithStreamingResponse:
        """The same methods, returning a context of a response whose body is read when asked for."""
        from llama_async._blocking.resources.raw import TextCompletionsWithStreamingResponse

        return TextCompletionsWithStreamingResponse(self)

    @overload
    def create(
        self,
        *,
        model: str | Literal["gpt-3.5-turbo-instruct", "davinci-002", "babbage-002"],
        prompt: str | SequenceNotStr[str] | Iterable[int] | Iterable[Iterable[int]] | None,
        best_of: int | Omit | None = omit,
        echo: bool | Omit | None = omit,
        frequency_penalty: float | Omit | None = omit,
        logit_bias: dict[str, int] | Omit | None = omit,
        logprobs: int | Omit | None = omit,
        max_tokens: int | Omit | None = omit,
        n: int | Omit | None = omit,
        presence_penalty: float | Omit | None = omit,
        seed: int | Omit | None = omit,
        stop: str | SequenceNotStr[str] | Omit | None = omit,
        stream: Literal[False] | Omit | None = omit,
        stream_options: ChatCompletionStreamOptionsParam | Omit | None = omit,
        suffix: str | Omit | None = omit,
        temperature: float | Omit | None = omit,
        top_p: float | Omit | None = omit,
        user: str | Omit = omit,
        extra_headers: Headers | None = None,
        extra_query: Query | None = None,
        extra_body: Body | None = None,
        timeout: float | Timeout | NotGiven | None = not_given,
    ) -> Completion: ...

    @overload
    def create(
        self,
        *,
        model: str | Literal["gpt-3.5-turbo-instruct", "davinci-002", "babbage-002"],
        prompt: str | SequenceNotStr[str] | Iterable[int] | Iterable[Iterable[int]] | None,
        stream: Literal[True],
        best_of: int | Omit | None = omit,
        echo: bool | Omit | None = omit,
        frequency_penalty: float | Omit | None = omit,
        logit_bias: dict[str, int] | Omit | None = omit,
        logprobs: int | Omit | None = omit,
        max_tokens: int | Omit | None = omit,
        n: int | Omit | None = omit,
        presence_penalty: float | Omit | None = omit,
        seed: int | Omit | None = omit,
        stop: str | SequenceNotStr[str] | Omit | None = omit,
        stream_options: ChatCompletionStreamOptionsParam | Omit | None = omit,
        suffix: str | Omit | None = omit,
        temperature: float | Omit | None = omit,
        top_p: float | Omit | None = omit,
        user: str | Omit = omit,
        extra_headers: Headers | None = None,
        extra_query: Query | None = None,
        extra_body: Body | None = None,
        timeout: float | Timeout | NotGiven | None = not_given,
    ) -> Stream[Completion]: ...

    @overload
    def create(
        self,
        *,
        model: str | Literal["gpt-3.5-turbo-instruct", "davinci-002", "babbage-002"],
        prompt: str | SequenceNotStr[str] | Iterable[int] | Iterable[Iterable[int]] | None,
        stream: bool,
        best_of: int | Omit | None = omit,
        echo: bool | Omit | None = omit,
        frequency_penalty: float | Omit | None = omit,
        logit_bias: dict[str, int] | Omit | None = omit,
        logprobs: int | Omit | None = omit,
        max_tokens: int | Omit | None = omit,
        n: int | Omit | None = omit,
        presence_penalty: float | Omit | None = omit,
        seed: int | Omit | None = omit,
        stop: str | SequenceNotStr[str] | Omit | None = omit,
        stream_options: ChatCompletionStreamOptionsParam | Omit | None = omit,
        suffix: str | Omit | None = omit,
        temperature: float | Omit | None = omit,
        top_p: float | Omit | None = omit,
        user: str | Omit = omit,
        extra_headers: Headers | None = None,
        extra_query: Query | None = None,
        extra_body: Body | None = None,
        timeout: float | Timeout | NotGiven | None = not_given,
    ) -> Completion | Stream[Completion]: ...

    def create(
        self,
        *,
        model: str | Literal["gpt-3.5-turbo-instruct", "davinci-002", "babbage-002"],
        prompt: str | SequenceNotStr[str] | Iterable[int] | Iterable[Iterable[int]] | None,
        best_of: int | Omit | None = omit,
        echo: bool | Omit | None = omit,
        frequency_penalty: float | Omit | None = omit,
        logit_bias: dict[str, int] | Omit | None = omit,
        logprobs: int | Omit | None = omit,
        max_tokens: int | Omit | None = omit,
        n: int | Omit | None = omit,
        presence_penalty: float | Omit | None = omit,
        seed: int | Omit | None = omit,
        stop: str | SequenceNotStr[str] | Omit | None = omit,
        stream: Literal[False, True] | Omit | None = omit,
        stream_options: ChatCompletionStreamOptionsParam | Omit | None = omit,
        suffix: str | Omit | None = omit,
        temperature: float | Omit | None = omit,
        top_p: float | Omit | None = omit,
        user: str | Omit = omit,
        extra_headers: Headers | None = None,
        extra_query: Query | None = None,
        extra_body: Body | None = None,
        timeout: float | Timeout | NotGiven | None = not_given,
    ) -> Completion | Stream[Completion]:
        """Continue texts; names, kinds and defaults of the parameters are those of openai 3.54.0.

        Blocks until that is done, else as `AsyncCompletions.create`.
        """
        result: Completion | Stream[Completion] = self._call(
            "create",
            model=model,
            prompt=prompt,
            best_of=best_of,
            echo=echo,
            frequency_penalty=frequency_penalty,
            logit_bias=logit_bias,
            logprobs=logprobs,
            max_tokens=max_tokens,
            n=n,
            presence_penalty=presence_penalty,
            seed=seed,
            stop=stop,
            stream=stream,
            stream_options=stream_options,
            suffix=suffix,
            temperature=temperature,
            top_p=top_p,
            user=user,
            extra_headers=extra_headers,
            extra_query=extra_query,
            extra_body=extra_body,
            timeout=timeout,
        )
        return result
