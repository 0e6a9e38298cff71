"""Code in openai's style, run on an openai client and on ours: nothing but the client differs, and nothing else may.

Compared are classes, fields that are set, values (greedy answers, computed without cached prefixes), events and errors;
not ids, times and durations.
"""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any, Literal

import openai
import pydantic
import pytest
from support import CLIENT_OPTIONS
from tools.tiny_models import tiny_llama

import llama_async
from llama_async import AsyncLlama

pytestmark = pytest.mark.anyio

Snippet = Callable[[Any, Any], Awaitable[Any]]
SNIPPETS: dict[str, Snippet] = {}

QUESTION = [
    {"role": "system", "content": "Answer in one sentence."},
    {"role": "user", "content": "What is the capital of France?"},
]
# Computed anew each time, so that both compute the same in the same pieces.
FRESH = {"cache_prompt": False}
GREEDY: dict[str, Any] = {"model": "gpt-4o-mini", "temperature": 0, "max_tokens": 10, "extra_body": FRESH}


def snippet(function: Snippet) -> Snippet:
    SNIPPETS[function.__name__] = function
    return function


# -- the snippets: `sdk` is the module, `client` the client


@snippet
async def hello(sdk: Any, client: Any) -> Any:
    answer = await client.chat.completions.create(messages=QUESTION, **GREEDY)
    return answer, answer.choices[0].message.content, answer.usage.total_tokens


@snippet
async def conversation(sdk: Any, client: Any) -> Any:
    messages = list(QUESTION)
    first = await client.chat.completions.create(messages=messages, **GREEDY)
    # The answer itself is a message too.
    messages += [first.choices[0].message, {"role": "user", "content": "And of Italy?"}]
    return await client.chat.completions.create(messages=messages, **GREEDY)


@snippet
async def to_dict_and_json(sdk: Any, client: Any) -> Any:
    answer = await client.chat.completions.create(messages=QUESTION, **GREEDY)
    known = answer.to_dict()
    return sorted(known), known["choices"], re.sub(r"chatcmpl-\w+|\d{10}", "", answer.to_json())


@snippet
async def streaming(sdk: Any, client: Any) -> Any:
    stream = await client.chat.completions.create(messages=QUESTION, stream=True, **GREEDY)
    return merged([chunk async for chunk in stream])


@snippet
async def streaming_with_usage(sdk: Any, client: Any) -> Any:
    stream = await client.chat.completions.create(
        messages=QUESTION, stream=True, stream_options={"include_usage": True}, **GREEDY
    )
    chunks = [chunk async for chunk in stream]
    return merged(chunks), chunks[-1].usage, chunks[-1].choices


@snippet
async def streaming_left_early(sdk: Any, client: Any) -> Any:
    async with await client.chat.completions.create(messages=QUESTION, stream=True, **GREEDY) as stream:
        async for chunk in stream:
            return chunk
    raise AssertionError("no chunk")


@snippet
async def several_choices(sdk: Any, client: Any) -> Any:
    options = {**GREEDY, "temperature": 1}
    return await client.chat.completions.create(messages=QUESTION, n=3, seed=7, **options)


@snippet
async def log_probabilities(sdk: Any, client: Any) -> Any:
    answer = await client.chat.completions.create(messages=QUESTION, logprobs=True, top_logprobs=2, **GREEDY)
    return answer, [token.token for token in answer.choices[0].logprobs.content]


@snippet
async def log_probabilities_streaming(sdk: Any, client: Any) -> Any:
    stream = await client.chat.completions.create(messages=QUESTION, logprobs=True, stream=True, **GREEDY)
    return [
        (token.token, token.bytes, token.top_logprobs)
        async for chunk in stream
        for choice in chunk.choices
        if choice.logprobs
        for token in choice.logprobs.content
    ]


@snippet
async def stop_and_bias(sdk: Any, client: Any) -> Any:
    stopped = await client.chat.completions.create(messages=QUESTION, stop=[" Paris"], **GREEDY)
    biased = await client.chat.completions.create(messages=QUESTION, logit_bias={"504": -100}, **GREEDY)
    return stopped, biased


@snippet
async def omitted_and_null(sdk: Any, client: Any) -> Any:
    return await client.chat.completions.create(
        messages=QUESTION, stop=None, seed=sdk.omit, user=sdk.omit, top_p=None, timeout=sdk.not_given, **GREEDY
    )


@snippet
async def many_at_once(sdk: Any, client: Any) -> Any:
    questions = [f"What is the capital of {country}?" for country in ("France", "Italy", "Spain")]
    answers = await asyncio.gather(
        *(
            client.chat.completions.create(messages=[{"role": "user", "content": question}], **GREEDY)
            for question in questions
        )
    )
    return [type(answer).__name__ for answer in answers], len(answers)


@snippet
async def refused(sdk: Any, client: Any) -> Any:
    try:
        await client.chat.completions.create(messages=QUESTION, **{**GREEDY, "temperature": 5})
    except sdk.BadRequestError as error:
        return described(error)


@snippet
async def too_long(sdk: Any, client: Any) -> Any:
    try:
        await client.chat.completions.create(messages=[{"role": "user", "content": "word " * 2000}], **GREEDY)
    except sdk.APIStatusError as error:
        return described(error)


@snippet
async def no_such_model(sdk: Any, client: Any) -> Any:
    try:
        await client.chat.completions.create(messages=QUESTION, **{**GREEDY, "model": "gpt-9"})
    except sdk.APIError as error:
        return described(error)


@snippet
async def too_slow(sdk: Any, client: Any) -> Any:
    try:
        await client.with_options(timeout=0.001).chat.completions.create(messages=QUESTION, **GREEDY)
    except sdk.APITimeoutError as error:
        return type(error).__name__, isinstance(error, sdk.APIConnectionError), str(error), error.body


@snippet
async def wrong_call(sdk: Any, client: Any) -> Any:
    with pytest.raises(TypeError) as missing:
        await client.chat.completions.create(model="gpt-4o-mini")
    with pytest.raises(TypeError) as unknown:
        await client.chat.completions.create(messages=QUESTION, model="gpt-4o-mini", nonsense=1)
    return type(missing.value), type(unknown.value)


@snippet
async def events(sdk: Any, client: Any) -> Any:
    async with client.chat.completions.stream(messages=QUESTION, **GREEDY) as stream:
        seen = [event.type async for event in stream]
        final = await stream.get_final_completion()
    kinds = [kind for index, kind in enumerate(seen) if seen[index - 1 : index] != [kind]]
    return sorted(set(kinds)), final.choices[0].message.content, final.choices[0].finish_reason


@snippet
async def embeddings(sdk: Any, client: Any) -> Any:
    default = await client.embeddings.create(model="gpt-4o-mini", input=["one", "two"])
    floats = await client.embeddings.create(model="gpt-4o-mini", input="one", encoding_format="float")
    short = await client.embeddings.create(model="gpt-4o-mini", input="one", dimensions=4)
    return default, floats.usage, short.data[0].embedding


@snippet
async def models(sdk: Any, client: Any) -> Any:
    names = [model.id async for model in client.models.list()]
    one = await client.models.retrieve(names[0])
    return names, one, (await client.models.list()).data


@snippet
async def stored(sdk: Any, client: Any) -> Any:
    answer = await client.chat.completions.create(messages=QUESTION, store=True, metadata={"topic": "a"}, **GREEDY)
    found = await client.chat.completions.retrieve(answer.id)
    changed = await client.chat.completions.update(answer.id, metadata={"topic": "b"})
    listed = [one.id async for one in client.chat.completions.list(metadata={"topic": "b"}, limit=1)]
    messages = await client.chat.completions.messages.list(answer.id)
    deleted = await client.chat.completions.delete(answer.id)
    return found, changed.metadata, listed == [answer.id], [m.content for m in messages.data], deleted.deleted


@snippet
async def raw_response(sdk: Any, client: Any) -> Any:
    raw = await client.chat.completions.with_raw_response.create(messages=QUESTION, **GREEDY)
    answer = raw.parse()
    headers = {name for name in raw.headers if name in ("content-type", "x-request-id", "openai-processing-ms")}
    return raw.status_code, headers, answer, raw.request_id == raw.headers["x-request-id"]


@snippet
async def streaming_response(sdk: Any, client: Any) -> Any:
    async with client.chat.completions.with_streaming_response.create(
        messages=QUESTION, stream=True, **GREEDY
    ) as response:
        lines = [line async for line in response.iter_lines()]
    return lines[-2:], {line[:6] for line in lines}


class Capital(pydantic.BaseModel):
    country: str
    city: str


@snippet
async def parsed(sdk: Any, client: Any) -> Any:
    options = {**GREEDY, "max_tokens": 64}
    answer = await client.chat.completions.parse(messages=QUESTION, response_format=Capital, **options)
    return answer.choices[0].message.parsed, answer.choices[0].message.content


@snippet
async def legacy_completion(sdk: Any, client: Any) -> Any:
    whole = await client.completions.create(prompt="The capital of France is", logprobs=1, **GREEDY)
    stream = await client.completions.create(prompt="The capital of France is", stream=True, **GREEDY)
    text = "".join([chunk.choices[0].text async for chunk in stream if chunk.choices])
    return whole, text, text == whole.choices[0].text


# -- tools


class GetWeather(pydantic.BaseModel):
    """The weather in a city."""

    city: str


class GetTime(pydantic.BaseModel):
    zone: Literal["CET", "UTC"]


ABOUT_WEATHER = [{"role": "user", "content": "What is the weather in Paris?"}]
# One call each: this model would go on calling.
CALLING: dict[str, Any] = {
    **GREEDY,
    "messages": ABOUT_WEATHER,
    "max_tokens": 60,
    "tool_choice": "required",
    "parallel_tool_calls": False,
}


def tools_of(sdk: Any) -> list[Any]:
    return [sdk.pydantic_function_tool(GetWeather, name="get_weather")]


def loose_tool(**more: Any) -> Any:
    parameters = {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}
    return {"type": "function", "function": {"name": "get_weather", "parameters": parameters, **more}}


@snippet
async def a_tool_called_and_its_result_given_back(sdk: Any, client: Any) -> Any:
    asked = await client.chat.completions.create(tools=tools_of(sdk), **CALLING)
    call = asked.choices[0].message.tool_calls[0]
    city = json.loads(call.function.arguments)["city"]
    messages = [
        *ABOUT_WEATHER,
        asked.choices[0].message,
        {"role": "tool", "tool_call_id": call.id, "content": f"It is 21 degrees in {city}."},
    ]
    options = {**CALLING, "messages": messages, "tool_choice": "none", "max_tokens": 12}
    return asked, call.function, await client.chat.completions.create(tools=tools_of(sdk), **options)


@snippet
async def a_named_tool(sdk: Any, client: Any) -> Any:
    choice = {"type": "function", "function": {"name": "GetTime"}}
    tools = [*tools_of(sdk), sdk.pydantic_function_tool(GetTime)]
    return await client.chat.completions.create(tools=tools, **{**CALLING, "tool_choice": choice})


@snippet
async def tools_left_alone(sdk: Any, client: Any) -> Any:
    options = {**CALLING, "messages": QUESTION, "max_tokens": 10, "tool_choice": "auto"}
    return await client.chat.completions.create(tools=[loose_tool()], **options)


@snippet
async def tools_with_choices_and_log_probabilities(sdk: Any, client: Any) -> Any:
    options = {**CALLING, "temperature": 1, "seed": 11, "n": 2, "logprobs": True, "top_logprobs": 1}
    return await client.chat.completions.create(tools=tools_of(sdk), **options)


@snippet
async def tools_streaming(sdk: Any, client: Any) -> Any:
    stream = await client.chat.completions.create(
        tools=tools_of(sdk), stream=True, stream_options={"include_usage": True}, **CALLING
    )
    chunks = [chunk async for chunk in stream]
    calls: dict[int, dict[str, str]] = {}
    for chunk in chunks:
        for delta in (chunk.choices[0].delta.tool_calls or []) if chunk.choices else []:
            if delta.index not in calls:
                calls[delta.index] = {"id": delta.id, "name": delta.function.name, "arguments": ""}
            calls[delta.index]["arguments"] += delta.function.arguments
    return calls, merged(chunks), chunks[-1].usage


@snippet
async def tools_events(sdk: Any, client: Any) -> Any:
    strict = loose_tool(strict=True)
    strict["function"]["parameters"]["additionalProperties"] = False
    async with client.chat.completions.stream(tools=[strict], **CALLING) as stream:
        seen = [event async for event in stream]
        await stream.until_done()
        final = await stream.get_final_completion()
    deltas = [event for event in seen if event.type == "tool_calls.function.arguments.delta"]
    done = [event for event in seen if event.type == "tool_calls.function.arguments.done"]
    arguments = "".join(event.arguments_delta for event in deltas)
    assert arguments == deltas[-1].arguments == done[0].arguments
    assert done[0].parsed_arguments == json.loads(arguments)
    return arguments, deltas[-1].parsed_arguments, done, final, sorted({event.type for event in seen})


@snippet
async def tools_parsed(sdk: Any, client: Any) -> Any:
    answer = await client.chat.completions.parse(tools=tools_of(sdk), **CALLING)
    assert isinstance(answer.choices[0].message.tool_calls[0].function.parsed_arguments, GetWeather)
    return answer


@snippet
async def tools_or_a_class(sdk: Any, client: Any) -> Any:
    options = {**CALLING, "tool_choice": "auto"}
    answer = await client.chat.completions.parse(tools=tools_of(sdk), response_format=Capital, **options)
    message = answer.choices[0].message
    assert (message.parsed is None) != (message.tool_calls is None)
    return answer


@snippet
async def tools_cut_short(sdk: Any, client: Any) -> Any:
    try:
        await client.chat.completions.parse(tools=tools_of(sdk), **{**CALLING, "max_tokens": 18})
    except sdk.LengthFinishReasonError as error:
        return error.completion, str(error)


@snippet
async def tools_cut_short_streaming(sdk: Any, client: Any) -> Any:
    async with client.chat.completions.stream(tools=tools_of(sdk), **{**CALLING, "max_tokens": 18}) as stream:
        try:
            await stream.until_done()
        except sdk.LengthFinishReasonError as error:
            return error.completion.choices[0].finish_reason, stream.current_completion_snapshot


@snippet
async def tools_that_cannot_be_parsed(sdk: Any, client: Any) -> Any:
    try:
        await client.chat.completions.parse(tools=[loose_tool()], **CALLING)
    except ValueError as error:
        return type(error).__name__


@snippet
async def tools_refused(sdk: Any, client: Any) -> Any:
    seen = []
    for tools, choice in (
        ([loose_tool(name="two words")], "auto"),
        ([loose_tool(strict=True, parameters={"type": "object", "not": {}})], "auto"),
        ([loose_tool()], {"type": "function", "function": {"name": "other"}}),
        ([{"type": "custom", "custom": {"name": "free"}}], "auto"),
    ):
        try:
            await client.chat.completions.create(tools=tools, **{**CALLING, "tool_choice": choice})
        except sdk.BadRequestError as error:
            seen.append(described(error))
    return seen, len(seen)


@snippet
async def tools_raw(sdk: Any, client: Any) -> Any:
    raw = await client.chat.completions.with_raw_response.create(tools=tools_of(sdk), **CALLING)
    async with client.chat.completions.with_streaming_response.create(
        tools=tools_of(sdk), stream=True, **CALLING
    ) as response:
        chunks = [json.loads(line[6:]) async for line in response.iter_lines() if line.startswith("data: {")]
    calls = [call for chunk in chunks for call in chunk["choices"][0]["delta"].get("tool_calls", [])]
    return raw.parse(), calls[0], "".join(call["function"]["arguments"] for call in calls)


@snippet
async def tools_stored(sdk: Any, client: Any) -> Any:
    stream = await client.chat.completions.create(tools=tools_of(sdk), store=True, stream=True, **CALLING)
    name = [chunk.id async for chunk in stream][-1]
    asked = await client.chat.completions.retrieve(name)
    message = asked.choices[0].message
    result = {"role": "tool", "tool_call_id": message.tool_calls[0].id, "content": "21 degrees"}
    options = {**CALLING, "messages": [*ABOUT_WEATHER, message, result], "tool_choice": "none", "max_tokens": 4}
    answered = await client.chat.completions.create(tools=tools_of(sdk), store=True, **options)
    messages = [message async for message in client.chat.completions.messages.list(answered.id)]
    deleted = [await client.chat.completions.delete(one) for one in (name, answered.id)]
    return asked, messages, len(deleted)


# -- comparing them


def merged(chunks: list[Any]) -> Any:
    """A stream but for where its text is cut: text that waits for its reader is handed over in one piece."""
    text = "".join(chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices)
    kinds = [
        (tuple(sorted(chunk.choices[0].delta.model_fields_set)), chunk.choices[0].finish_reason)
        for chunk in chunks
        if chunk.choices
    ]
    return text, [kind for index, kind in enumerate(kinds) if kinds[index - 1 : index] != [kind]]


def described(error: Any) -> Any:
    return type(error).__name__, str(error), error.status_code, error.code, error.param, error.type, error.body


# What differs from call to call.
VARIES = frozenset({"id", "created", "created_at", "_request_id", "tool_call_id"})


def shape(value: Any) -> Any:
    """Plain data with the names of classes, without what differs from call to call."""
    if isinstance(value, pydantic.BaseModel):
        names = sorted(value.model_fields_set | set(value.model_extra or {}))
        fields = {name: "..." if name in VARIES else shape(getattr(value, name)) for name in names}
        return {"class": type(value).__name__, "fields": fields}
    if isinstance(value, (list, tuple)):
        return [shape(item) for item in value]
    if isinstance(value, dict):
        return {key: "..." if key in VARIES else shape(item) for key, item in value.items()}
    if isinstance(value, float):
        return pytest.approx(value, abs=1e-4)
    return value


ONLY_ASYNCIO = True


# Whose answers have to end by themselves, or to hold a word that is looked for. Random weights do for the others.
WITH_WORDS = frozenset(
    {
        "a_tool_called_and_its_result_given_back",
        "conversation",
        "events",
        "hello",
        "parsed",
        "stop_and_bias",
        "tools_events",
        "tools_or_a_class",
        "tools_parsed",
    }
)


@pytest.fixture(scope="module")
async def client(anyio_backend: Any, model_path: Path) -> AsyncIterator[AsyncLlama]:
    async with AsyncLlama(model_path, alias="gpt-4o-mini", **CLIENT_OPTIONS) as client:
        yield client


@pytest.fixture(scope="module")
async def tiny_client(anyio_backend: Any, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[AsyncLlama]:
    path = tiny_llama(tmp_path_factory.mktemp("snippets") / "tiny.gguf", n_vocab=600)
    async with AsyncLlama(path, alias="gpt-4o-mini", **{**CLIENT_OPTIONS, "n_ctx": 2048}) as client:
        yield client


def test_there_are_at_least_twenty() -> None:
    assert len(SNIPPETS) >= 20
    assert SNIPPETS.keys() >= WITH_WORDS


@pytest.mark.parametrize("name", SNIPPETS)
async def test_the_same_on_both(name: str, client: AsyncLlama, tiny_client: AsyncLlama) -> None:
    used = client if name in WITH_WORDS else tiny_client
    ours = await SNIPPETS[name](llama_async, used)
    async with used.as_openai() as theirs_client:
        theirs = await SNIPPETS[name](openai, theirs_client)
    assert ours is not None
    assert shape(ours) == shape(theirs)
