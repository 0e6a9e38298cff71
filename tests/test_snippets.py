"""Code in openai's style, run on an openai client and on ours: nothing but the client differs, and nothing else may.

Compared are classes, fields that are set, values (greedy answers, computed without cached prefixes), events and errors;
not ids, times and durations.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import openai
import pydantic
import pytest
from support import CLIENT_OPTIONS

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
VARIES = frozenset({"id", "created", "created_at", "_request_id"})


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


@pytest.fixture(scope="module")
async def client(anyio_backend: Any, model_path: Path) -> AsyncIterator[AsyncLlama]:
    async with AsyncLlama(model_path, alias="gpt-4o-mini", **CLIENT_OPTIONS) as client:
        yield client


def test_there_are_at_least_twenty() -> None:
    assert len(SNIPPETS) >= 20


@pytest.mark.parametrize("name", SNIPPETS)
async def test_the_same_on_both(name: str, client: AsyncLlama) -> None:
    ours = await SNIPPETS[name](llama_async, client)
    async with client.as_openai() as theirs_client:
        theirs = await SNIPPETS[name](openai, theirs_client)
    assert ours is not None
    assert shape(ours) == shape(theirs)
