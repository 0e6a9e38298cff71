"""`client.chat.completions`: answers as objects of the user's classes, and as events."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal, cast

from llama_async._models import add_request_id
from llama_async._resource import AsyncAPIResource
from llama_async._types import not_given, omit

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Generator, Iterable

    from httpx import Timeout

    from llama_async._stream import AsyncStream
    from llama_async._types import Body, Headers, NotGiven, Omit, Query, SequenceNotStr
    from llama_async.lib._parsing import ResponseFormatT
    from llama_async.lib.streaming.chat import AsyncChatCompletionStreamManager
    from llama_async.types.chat import (
        ChatCompletionAudioParam,
        ChatCompletionChunk,
        ChatCompletionMessageParam,
        ChatCompletionPredictionContentParam,
        ChatCompletionStreamOptionsParam,
        ChatCompletionToolChoiceOptionParam,
        ChatCompletionToolUnionParam,
        ParsedChatCompletion,
        completion_create_params,
    )
    from llama_async.types.shared import ChatModel, ReasoningEffort
    from llama_async.types.shared_params import Metadata

    from .completions import AsyncCompletions

__all__ = ["AsyncParsedCompletions"]

# llama_async.lib is imported by the calls that need it: most programs make none.


class AsyncParsedCompletions(AsyncAPIResource):
    """What stands on `create`, which the subclass has."""

    async def parse(  # noqa: D417 (the other parameters are `create`'s)
        self,
        *,
        messages: Iterable[ChatCompletionMessageParam],
        model: str | ChatModel,
        audio: ChatCompletionAudioParam | Omit | None = omit,
        response_format: type[ResponseFormatT] | Omit = omit,
        frequency_penalty: float | Omit | None = omit,
        function_call: completion_create_params.FunctionCall | Omit = omit,
        functions: Iterable[completion_create_params.Function] | Omit = omit,
        logit_bias: dict[str, int] | Omit | None = omit,
        logprobs: bool | Omit | None = omit,
        max_completion_tokens: int | Omit | None = omit,
        max_tokens: int | Omit | None = omit,
        metadata: Metadata | Omit | None = omit,
        modalities: list[Literal["text", "audio"]] | Omit | None = omit,
        moderation: completion_create_params.Moderation | Omit | None = omit,
        n: int | Omit | None = omit,
        parallel_tool_calls: bool | Omit = omit,
        prediction: ChatCompletionPredictionContentParam | Omit | None = omit,
        presence_penalty: float | Omit | None = omit,
        prompt_cache_key: str | Omit | None = omit,
        prompt_cache_options: completion_create_params.PromptCacheOptions | Omit = omit,
        prompt_cache_retention: Literal["in_memory", "24h"] | Omit | None = omit,
        reasoning_effort: ReasoningEffort | Omit | None = omit,
        safety_identifier: str | Omit | None = omit,
        seed: int | Omit | None = omit,
        service_tier: Literal["auto", "default", "flex", "scale", "priority", "fast"] | Omit | None = omit,
        stop: str | SequenceNotStr[str] | Omit | None = omit,
        store: bool | Omit | None = omit,
        stream_options: ChatCompletionStreamOptionsParam | Omit | None = omit,
        temperature: float | Omit | None = omit,
        tool_choice: ChatCompletionToolChoiceOptionParam | Omit = omit,
        tools: Iterable[ChatCompletionToolUnionParam] | Omit = omit,
        top_logprobs: int | Omit | None = omit,
        top_p: float | Omit | None = omit,
        user: str | Omit = omit,
        verbosity: Literal["low", "medium", "high"] | Omit | None = omit,
        web_search_options: completion_create_params.WebSearchOptions | Omit = omit,
        extra_headers: Headers | None = None,
        extra_query: Query | None = None,
        extra_body: Body | None = None,
        timeout: float | Timeout | NotGiven | None = not_given,
    ) -> ParsedChatCompletion[ResponseFormatT]:
        """Answer a conversation with an object of the user's class.

        The class becomes the JSON schema that the answer must fit, and the answer an instance of the class:
        `choices[0].message.parsed`. The arguments of calls are parsed too, into `function.parsed_arguments`: as an
        instance where the tool was made by `pydantic_function_tool`, else as what their JSON says.

        Args:
            messages: The conversation so far, at least one message.
            model: The file's stem, `"default"`, or an alias of the client.
            response_format: A pydantic class or pydantic dataclass; with a response format as `create` takes it the
                content stays text.
            tools: Strict function tools only.
            timeout: Seconds the answer may take. Loading counts.

        The other parameters are those of `create`.

        Raises:
            TypeError: `response_format` is a class that is not pydantic's.
            ValueError: A tool is no function or not strict.
            LengthFinishReasonError: The answer ended by its length before it was complete.
            pydantic.ValidationError: It fits the schema, but not a validator of the class.
            OpenAIError: What `create` raises.
        """
        from llama_async.lib._parsing import parse_chat_completion, type_to_response_format_param, validate_input_tools

        input_tools = validate_input_tools(tools)
        completion = await cast("AsyncCompletions", self).create(
            messages=messages,
            model=model,
            audio=audio,
            response_format=type_to_response_format_param(response_format),
            frequency_penalty=frequency_penalty,
            function_call=function_call,
            functions=functions,
            logit_bias=logit_bias,
            logprobs=logprobs,
            max_completion_tokens=max_completion_tokens,
            max_tokens=max_tokens,
            metadata=metadata,
            modalities=modalities,
            moderation=moderation,
            n=n,
            parallel_tool_calls=parallel_tool_calls,
            prediction=prediction,
            presence_penalty=presence_penalty,
            prompt_cache_key=prompt_cache_key,
            prompt_cache_options=prompt_cache_options,
            prompt_cache_retention=prompt_cache_retention,
            reasoning_effort=reasoning_effort,
            safety_identifier=safety_identifier,
            seed=seed,
            service_tier=service_tier,
            stop=stop,
            store=store,
            stream_options=stream_options,
            temperature=temperature,
            tool_choice=tool_choice,
            tools=input_tools,
            top_logprobs=top_logprobs,
            top_p=top_p,
            user=user,
            verbosity=verbosity,
            web_search_options=web_search_options,
            extra_headers=extra_headers,
            extra_query=extra_query,
            extra_body=extra_body,
            timeout=timeout,
            stream=False,
        )
        parsed = parse_chat_completion(
            response_format=response_format, input_tools=input_tools, chat_completion=completion
        )
        add_request_id(parsed, completion._request_id)  # noqa: SLF001 (public, in spite of its name)
        return parsed

    def stream(  # noqa: D417 (the other parameters are `create`'s)
        self,
        *,
        messages: Iterable[ChatCompletionMessageParam],
        model: str | ChatModel,
        audio: ChatCompletionAudioParam | Omit | None = omit,
        response_format: completion_create_params.ResponseFormat | type[ResponseFormatT] | Omit = omit,
        frequency_penalty: float | Omit | None = omit,
        function_call: completion_create_params.FunctionCall | Omit = omit,
        functions: Iterable[completion_create_params.Function] | Omit = omit,
        logit_bias: dict[str, int] | Omit | None = omit,
        logprobs: bool | Omit | None = omit,
        max_completion_tokens: int | Omit | None = omit,
        max_tokens: int | Omit | None = omit,
        metadata: Metadata | Omit | None = omit,
        modalities: list[Literal["text", "audio"]] | Omit | None = omit,
        moderation: completion_create_params.Moderation | Omit | None = omit,
        n: int | Omit | None = omit,
        parallel_tool_calls: bool | Omit = omit,
        prediction: ChatCompletionPredictionContentParam | Omit | None = omit,
        presence_penalty: float | Omit | None = omit,
        prompt_cache_key: str | Omit | None = omit,
        prompt_cache_options: completion_create_params.PromptCacheOptions | Omit = omit,
        prompt_cache_retention: Literal["in_memory", "24h"] | Omit | None = omit,
        reasoning_effort: ReasoningEffort | Omit | None = omit,
        safety_identifier: str | Omit | None = omit,
        seed: int | Omit | None = omit,
        service_tier: Literal["auto", "default", "flex", "scale", "priority", "fast"] | Omit | None = omit,
        stop: str | SequenceNotStr[str] | Omit | None = omit,
        store: bool | Omit | None = omit,
        stream_options: ChatCompletionStreamOptionsParam | Omit | None = omit,
        temperature: float | Omit | None = omit,
        tool_choice: ChatCompletionToolChoiceOptionParam | Omit = omit,
        tools: Iterable[ChatCompletionToolUnionParam] | Omit = omit,
        top_logprobs: int | Omit | None = omit,
        top_p: float | Omit | None = omit,
        user: str | Omit = omit,
        verbosity: Literal["low", "medium", "high"] | Omit | None = omit,
        web_search_options: completion_create_params.WebSearchOptions | Omit = omit,
        extra_headers: Headers | None = None,
        extra_query: Query | None = None,
        extra_body: Body | None = None,
        timeout: float | Timeout | NotGiven | None = not_given,
    ) -> AsyncChatCompletionStreamManager[ResponseFormatT]:
        """Answer a conversation with events while the answer is generated.

        `async with client.chat.completions.stream(...) as stream` sends the request, `async for event in stream` yields
        events (see `llama_async.lib.streaming.chat`), `await stream.get_final_completion()` returns the whole answer,
        parsed as `parse` does. Leaving the block ends the request.

        Args:
            messages: The conversation so far, at least one message.
            model: The file's stem, `"default"`, or an alias of the client.
            response_format: A pydantic class or pydantic dataclass; with a response format as `create` takes it the
                content stays text.
            tools: The arguments of strict ones are parsed.
            timeout: Seconds the engine may stay silent. Loading counts.

        The other parameters are those of `create`, and so are the errors that entering the block raises.

        Raises:
            TypeError: `response_format` is a class that is not pydantic's.
        """
        from llama_async.lib._parsing import materialize_input_tools, type_to_response_format_param
        from llama_async.lib.streaming.chat import AsyncChatCompletionStreamManager

        input_tools = materialize_input_tools(tools)
        create = cast("AsyncCompletions", self).create
        asked = type_to_response_format_param(response_format)
        request = _Request(
            lambda: create(
                messages=messages,
                model=model,
                audio=audio,
                response_format=asked,
                frequency_penalty=frequency_penalty,
                function_call=function_call,
                functions=functions,
                logit_bias=logit_bias,
                logprobs=logprobs,
                max_completion_tokens=max_completion_tokens,
                max_tokens=max_tokens,
                metadata=metadata,
                modalities=modalities,
                moderation=moderation,
                n=n,
                parallel_tool_calls=parallel_tool_calls,
                prediction=prediction,
                presence_penalty=presence_penalty,
                prompt_cache_key=prompt_cache_key,
                prompt_cache_options=prompt_cache_options,
                prompt_cache_retention=prompt_cache_retention,
                reasoning_effort=reasoning_effort,
                safety_identifier=safety_identifier,
                seed=seed,
                service_tier=service_tier,
                stop=stop,
                store=store,
                stream_options=stream_options,
                temperature=temperature,
                tool_choice=tool_choice,
                tools=input_tools,
                top_logprobs=top_logprobs,
                top_p=top_p,
                user=user,
                verbosity=verbosity,
                web_search_options=web_search_options,
                extra_headers=extra_headers,
                extra_query=extra_query,
                extra_body=extra_body,
                timeout=timeout,
                stream=True,
            )
        )
        return AsyncChatCompletionStreamManager(request, response_format=response_format, input_tools=input_tools)


class _Request:
    """A request that is made when somebody awaits it. A coroutine that nobody awaits would be a warning."""

    __slots__ = ("_create",)

    def __init__(self, create: Callable[[], Coroutine[Any, Any, AsyncStream[ChatCompletionChunk]]]) -> None:
        self._create = create

    def __await__(self) -> Generator[Any, Any, AsyncStream[ChatCompletionChunk]]:
        return self._create().__await__()
