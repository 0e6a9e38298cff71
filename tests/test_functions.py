"""`functions` and `function_call`, the older form of tools: asked for, answered, streamed and given back."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import openai
import pytest
from support import CLIENT_OPTIONS

import llama_async
from llama_async import AsyncLlama, BadRequestError
from llama_async._functions import messages_by_tools
from llama_async.types.chat import ChatCompletionMessage

pytestmark = pytest.mark.anyio
ONLY_ASYNCIO = True

QUESTION: Any = [{"role": "user", "content": "What is the weather in Paris?"}]
FUNCTION: Any = {
    "name": "get_weather",
    "description": "The weather in a city.",
    "parameters": {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]},
}
CALLING: dict[str, Any] = {
    "model": "default",
    "messages": QUESTION,
    "temperature": 0,
    "max_tokens": 40,
    "functions": [FUNCTION],
    "function_call": {"name": "get_weather"},
    "extra_body": {"cache_prompt": False},
}


@pytest.fixture(scope="module")
async def client(anyio_backend: Any, model_path: Path) -> AsyncIterator[AsyncLlama]:
    async with AsyncLlama(model_path, **CLIENT_OPTIONS) as client:
        yield client


async def test_a_function_is_called_and_its_result_given_back(client: AsyncLlama) -> None:
    asked = await client.chat.completions.create(**CALLING, store=True)
    message = asked.choices[0].message
    assert message.tool_calls is None
    assert message.content is None
    assert message.function_call is not None
    assert message.function_call.name == "get_weather"
    assert json.loads(message.function_call.arguments) == {"city": "Paris"}
    # openai's server says so of a call by name.
    assert asked.choices[0].finish_reason == "stop"
    result = {"role": "function", "name": "get_weather", "content": "21 degrees"}
    messages: list[Any] = [*QUESTION, message, result]
    assert "21 degrees" in await client.apply_template(messages=messages)
    answered = await client.chat.completions.create(
        **{**CALLING, "messages": messages, "function_call": "none", "max_tokens": 4}
    )
    assert answered.choices[0].message.content
    assert answered.choices[0].message.function_call is None


async def test_streams_say_the_same(client: AsyncLlama) -> None:
    """Also to the accumulators, to the store, and to openai's own client."""
    whole = (await client.chat.completions.create(**CALLING)).choices[0]
    stream = await client.chat.completions.create(**CALLING, stream=True, store=True)
    chunks = [chunk async for chunk in stream]
    deltas = [chunk.choices[0].delta for chunk in chunks]
    calls = [delta.function_call for delta in deltas if delta.function_call is not None]
    assert [call.name for call in calls] == ["get_weather"] + [None] * (len(calls) - 1)
    assert whole.message.function_call is not None
    assert "".join(call.arguments or "" for call in calls) == whole.message.function_call.arguments
    assert chunks[-1].choices[0].finish_reason == "stop"
    stored = await client.chat.completions.retrieve(chunks[0].id)
    assert stored.choices[0].message.function_call == whole.message.function_call
    async with client.chat.completions.stream(**CALLING) as events:
        final = (await events.get_final_completion()).choices[0].message
    assert final.function_call == whole.message.function_call
    async with client.as_openai() as real:
        theirs = (await real.chat.completions.create(**CALLING)).choices[0]
    assert isinstance(theirs.message.function_call, openai.types.chat.chat_completion_message.FunctionCall)
    assert theirs.to_dict() == whole.to_dict()


async def test_auto_is_free_to_answer(client: AsyncLlama) -> None:
    for choice in ({"function_call": "auto"}, {"function_call": "none"}, {}):
        options = {name: value for name, value in CALLING.items() if name != "function_call"}
        answer = await client.chat.completions.create(**{**options, "max_tokens": 3, **choice})
        assert answer.choices[0].finish_reason == "length"
        assert answer.choices[0].message.content


REFUSED: list[tuple[dict[str, Any], str]] = [
    ({"functions": "f"}, "functions"),
    ({"functions": [{"name": "a b"}]}, "functions[0].name"),
    ({"functions": [FUNCTION, FUNCTION]}, "functions[1].name"),
    ({"functions": [FUNCTION], "function_call": "required"}, "function_call"),
    ({"functions": [FUNCTION], "function_call": {"name": "other"}}, "function_call"),
    ({"function_call": {"name": "get_weather"}}, "function_call"),
    ({"functions": [FUNCTION], "tools": [{"type": "function", "function": FUNCTION}]}, "functions"),
    ({"functions": [FUNCTION], "tool_choice": "none"}, "functions"),
    ({"messages": [*QUESTION, {"role": "function", "name": "f", "content": "1"}]}, "messages[1]"),
    (
        {"messages": [*QUESTION, {"role": "assistant", "function_call": {"name": 3, "arguments": ""}}]},
        "messages[1].tool_calls[0].function.name",
    ),
]


@pytest.mark.parametrize(("parameters", "param"), REFUSED)
async def test_refused(client: AsyncLlama, parameters: dict[str, Any], param: str) -> None:
    with pytest.raises(BadRequestError) as caught:
        await client.chat.completions.create(**{"model": "default", "messages": QUESTION, **parameters})
    assert caught.value.param == param


def test_messages_that_have_none_are_left_alone() -> None:
    plain: list[Any] = [*QUESTION, ChatCompletionMessage(role="assistant", content="a"), 3]
    assert list(messages_by_tools(plain)) == plain
    assert all(one is other for one, other in zip(messages_by_tools(plain), plain, strict=True))


def test_a_result_belongs_to_the_call_before_it() -> None:
    call = llama_async.types.chat.chat_completion_message.FunctionCall(name="f", arguments="{}")
    said = list(
        messages_by_tools(
            [
                ChatCompletionMessage(role="assistant", content=None, function_call=call),
                {"role": "function", "name": "f", "content": None},
            ]
        )
    )
    assert said == [
        {
            "role": "assistant",
            "content": None,
            "tool_calls": [{"id": "call_0", "type": "function", "function": {"name": "f", "arguments": "{}"}}],
        },
        {"role": "tool", "name": "f", "content": "", "tool_call_id": "call_0"},
    ]
