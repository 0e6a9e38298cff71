"""`client.completions`: texts continued."""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING, Literal, overload

from llama_async._group import GenerationGroup
from llama_async._resource import AsyncAPIResource
from llama_async._stream import AsyncStream
from llama_async._submit import submit_all
from llama_async._text_assemble import TextAssembler
from llama_async._text_request import completion_request
from llama_async._tokens import detokenize_segments
from llama_async._types import not_given, omit

if TYPE_CHECKING:
    from collections.abc import Iterable

    from httpx import Timeout

    from llama_async._engine import Engine
    from llama_async._generation import Generation
    from llama_async._model import Model
    from llama_async._text_request import TextPrompt, TextRequest
    from llama_async._types import Body, Headers, NotGiven, Omit, Query, SequenceNotStr
    from llama_async.resources.raw import AsyncTextCompletionsWithRawResponse, AsyncTextCompletionsWithStreamingResponse
    from llama_async.types.chat import ChatCompletionStreamOptionsParam
    from llama_async.types.completion import Completion

__all__ = ["AsyncCompletions"]


class AsyncCompletions(AsyncAPIResource):
    """Texts continued, without a conversation around them."""

    @cached_property
    def with_raw_response(self) -> AsyncTextCompletionsWithRawResponse:
        """The same methods, returning the response around the result: its headers, its bytes, its id."""
        from llama_async.resources.raw import AsyncTextCompletionsWithRawResponse

        return AsyncTextCompletionsWithRawResponse(self)

    @cached_property
    def with_streaming_response(self) -> AsyncTextCompletionsWithStreamingResponse:
        """The same methods, returning a context of a response whose body is read when asked for."""
        from llama_async.resources.raw import AsyncTextCompletionsWithStreamingResponse

        return AsyncTextCompletionsWithStreamingResponse(self)

    @overload
    async def create(
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
    async def create(
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
    ) -> AsyncStream[Completion]: ...

    @overload
    async def create(
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
    ) -> Completion | AsyncStream[Completion]: ...

    async def create(
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
    ) -> Completion | AsyncStream[Completion]:
        """Continue texts; names, kinds and defaults of the parameters are those of openai 3.54.0.

        Each parameter is honoured, has no possible effect here, or is rejected: docs/compatibility.md lists them.
        Several prompts are answered side by side; where one fails, the others are cancelled. Cancelling the calling
        task ends them all; so does closing or dropping the stream.

        Args:
            model: The file's stem, `"default"`, or an alias of the client.
            prompt: A text, a list of texts, token ids, or lists of them; `None`: the beginning of a document. The
                choices of prompt i are those from `i * n` on.
            best_of: Generate so many answers and return the `n` whose tokens are likeliest on average.
            echo: Begin each answer with its prompt. With `logprobs` the prompt is scored too; `max_tokens=0` then
                returns nothing else.
            frequency_penalty: -2 to 2; grows with each occurrence of a token.
            logit_bias: Token ids of this model, and what is added to their logits; -100 forbids a token.
            logprobs: Return log probabilities, and so many alternatives at each token.
            max_tokens: Tokens of an answer; 16 where it is not given.
            n: Answers to each prompt.
            presence_penalty: -2 to 2; counts once a token has occurred.
            seed: Repeats an answer, as far as the same requests run beside it.
            stop: Up to 4 strings that end an answer before them.
            stream: Return the answers while they are generated, mixed as they come. The stream is returned when the
                first token is there, so that a request the model cannot take is refused here.
            stream_options: `{"include_usage": True}`: a last chunk has the token counts.
            suffix: The text that follows; the model fills in what is between, if it has tokens for that.
            temperature: 0 to 2; 0 takes the likeliest token.
            top_p: Share of the probability that is chosen from.
            user: No effect.
            extra_body: llama.cpp's own parameters by llama-server's names (`top_k`, `min_p`, `grammar`, ...), and any
                parameter of this method, which it then overrides.
            extra_headers: No effect: there is no HTTP.
            extra_query: No effect.
            timeout: Seconds the answer may take or, when streaming, the engine may stay silent. Loading counts.

        Returns:
            The answers, or with `stream=True` a stream of their parts.

        Raises:
            NotFoundError: The client has no such model.
            BadRequestError: A parameter has a wrong type, range or combination; `param` names it. With code
                `context_length_exceeded`, prompt and `max_tokens` do not fit.
            RateLimitError: The queue is full.
            APITimeoutError: `timeout` passed.
            ModelLoadError: The model, loaded for this request, cannot be.
            ClientClosedError: The client is or was closed.
            EventLoopError: The client is at work for another event loop.
        """
        resolved = self._model(model)
        request = completion_request(
            model,
            {
                "prompt": prompt,
                "best_of": best_of,
                "echo": echo,
                "frequency_penalty": frequency_penalty,
                "logit_bias": logit_bias,
                "logprobs": logprobs,
                "max_tokens": max_tokens,
                "n": n,
                "presence_penalty": presence_penalty,
                "seed": seed,
                "stop": stop,
                "stream": stream,
                "stream_options": stream_options,
                "suffix": suffix,
                "temperature": temperature,
                "top_p": top_p,
                "user": user,
                "extra_headers": extra_headers,
                "extra_query": extra_query,
                "extra_body": extra_body,
            },
        )
        return await _complete(self._client, resolved, request, self._timeout(timeout))


async def _complete(
    client: object, model: Model, request: TextRequest, timeout_s: float | None
) -> Completion | AsyncStream[Completion]:
    prompts: list[TextPrompt] = []

    def make_prompts(engine: Engine) -> list[TextPrompt]:
        prompts.extend(request.prompts(engine.facts))
        return prompts

    n_choices = request.native.n_choices
    engine, generations = await submit_all(model, request.native, make_prompts, timeout_s, bias=request.logit_bias)
    answer: Generation | GenerationGroup = generations[0]
    if len(generations) > 1:
        answer = GenerationGroup(generations, n_choices)
    try:
        echo = await _texts(engine, prompts, timeout_s) if request.echo else None
    except BaseException:
        answer.cancel()
        raise
    assembler = TextAssembler(
        model=request.model,
        fingerprint=engine.fingerprint,
        echo=echo,
        n_prompts=len(prompts),
        n=request.n,
        n_choices=n_choices,
        logprobs=request.logprobs,
        include_usage=request.include_usage,
    )
    if request.stream:
        await answer.wait_first()
        return AsyncStream(generation=answer, assembler=assembler, client=client)
    deltas = await answer.collect()
    assert answer.end is not None
    return assembler.completion(deltas, answer.end)


async def _texts(engine: Engine, prompts: list[TextPrompt], timeout_s: float | None) -> list[str]:
    texts = [prompt.text for prompt in prompts]
    if None in texts:
        # All are lists of token ids, or none is.
        return await detokenize_segments(engine, [prompt.tokens for prompt in prompts], timeout_s)
    return [text or "" for text in texts]
