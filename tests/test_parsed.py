"""`chat.completions.parse` and `stream`: answers as objects of the user's classes, equal to those of `openai`."""

from __future__ import annotations

import copy
import gc
import inspect
import logging
from pathlib import Path
from typing import Any

import openai.lib._parsing
import openai.types.chat
import pydantic
import pytest
from openai.resources.chat.completions import AsyncCompletions
from stream_chunks import (
    OURS,
    POINT,
    THEIRS,
    USAGE,
    WEATHER,
    Json,
    Point,
    Weather,
    failure,
    logprobs,
    shape,
    strict_tool,
)
from support import ENDLESS, QUESTION, is_idle, until

import llama_async.lib._parsing
import llama_async.types.chat
from llama_async import AsyncLlama, BadRequestError, LengthFinishReasonError, NotFoundError, StreamClosedError

OURS.parsing, THEIRS.parsing = llama_async.lib._parsing, openai.lib._parsing
OURS.Completion = llama_async.types.chat.ChatCompletion
THEIRS.Completion = openai.types.chat.ChatCompletion


ONLY_ASYNCIO = True


# -- parsing, by hand --------------------------------------------------------------------------------------------------


def choice(index: int = 0, finish: str = "stop", **message: Any) -> Json:
    message = {"role": "assistant", "content": None, "refusal": None, **message}
    return {"index": index, "finish_reason": finish, "logprobs": None, "message": message}


def completion(*choices: Json, **more: Any) -> Json:
    return {"id": "chatcmpl-1", "object": "chat.completion", "created": 1, "model": "m", "choices": [*choices], **more}


def called(name: str, arguments: str, **more: Any) -> Json:
    return {"id": f"call_{name}", "type": "function", "function": {"name": name, "arguments": arguments}, **more}


CUSTOM = {"id": "call_c", "type": "custom", "custom": {"name": "custom", "input": "text"}}
COMPLETIONS: dict[str, Json] = {
    "text": completion(choice(content="Hello."), usage=USAGE),
    "json": completion(choice(content=WEATHER), system_fingerprint="fp", service_tier="default", more={"a": 1}),
    "misfit": completion(choice(content='{"city": 5}')),
    "empty": completion(choice(content="")),
    "none": completion(choice()),
    "refusal": completion(choice(content=WEATHER, refusal="no")),
    "several": completion(choice(content=WEATHER), choice(1, content=WEATHER.replace("Z", "z")), usage=USAGE),
    "length": completion(choice(content=WEATHER), choice(1, "length", content="{"), usage=USAGE),
    "filter": completion(choice(finish="content_filter", content="{")),
    "logprobs": completion({**choice(content=WEATHER), "logprobs": logprobs("ab")}),
    "reasoning": completion(choice(content=WEATHER, reasoning_content="I think", annotations=[])),
    "calls": completion(choice(finish="tool_calls", tool_calls=[called("weather", WEATHER), called("strict", POINT)])),
    "loose calls": completion(choice(tool_calls=[called(name, "no json") for name in ("loose", "unstrict", "other")])),
    "calls with more": completion(choice(tool_calls=[called("strict", "{}", note="n", index=0)], content=WEATHER)),
    "call misfits": completion(choice(tool_calls=[called("weather", "{}")])),
    "call is no json": completion(choice(tool_calls=[called("strict", "{")])),
    "custom": completion(choice(tool_calls=[CUSTOM, called("strict", "[1]")])),
    "no calls": completion(choice(content="a", tool_calls=[])),
    "no choices": completion(),
}


def tools(api: Any) -> list[Json]:
    loose: Json = {"type": "function", "function": {"name": "loose"}}
    custom: Json = {"type": "custom", "custom": {"name": "custom"}}
    tool = api.root.pydantic_function_tool(Weather, name="weather")
    return [custom, loose, tool, strict_tool("strict"), strict_tool("unstrict", strict=False)]


@pytest.mark.parametrize("has_tools", [True, False])
@pytest.mark.parametrize("asked", [Weather, Point, {"type": "json_object"}, None, int])
@pytest.mark.parametrize("name", COMPLETIONS)
def test_parsed_completions_equal_the_reference(name: str, asked: Any, has_tools: bool) -> None:
    def parse(api: Any) -> Any:
        parsed = api.parsing.parse_chat_completion(
            response_format=api.root.omit if asked is None else asked,
            input_tools=tools(api) if has_tools else api.root.omit,
            chat_completion=api.Completion.construct(**copy.deepcopy(COMPLETIONS[name])),
        )
        return shape(parsed), parsed.to_dict(warnings=False), str(parsed).replace("openai.", "llama_async.")

    assert failure(lambda: parse(OURS)) == failure(lambda: parse(THEIRS))


def test_custom_call_is_left_out_with_a_warning(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING, "llama_async"):
        llama_async.lib._parsing.parse_chat_completion(
            response_format=llama_async.omit,
            input_tools=llama_async.omit,
            chat_completion=OURS.Completion.construct(**COMPLETIONS["custom"]),
        )
    assert "call_c" in caplog.text


@pytest.mark.parametrize("listed", [[0], [1], [2], [3], [4], [2, 3], [2, 1], []])
def test_only_strict_function_tools_are_taken(listed: list[int]) -> None:
    def validate(api: Any) -> bool:
        given = [tools(api)[index] for index in listed]
        return bool(api.parsing.validate_input_tools(iter(given)) == given)

    assert failure(lambda: validate(OURS)) == failure(lambda: validate(THEIRS))
    for api in (OURS, THEIRS):
        assert api.parsing.validate_input_tools(api.root.omit) is api.root.omit
    assert llama_async.lib._parsing.validate_input_tools(None) is llama_async.omit


def test_exports_equal_the_reference() -> None:
    for name in ("lib", "lib._parsing"):
        ours, theirs = (inspect.importlib.import_module(f"{root}.{name}") for root in ("llama_async", "openai"))
        public = {key for key, value in vars(theirs).items() if not key.startswith("_") and not inspect.ismodule(value)}
        # The other endpoint's tool.
        assert set(ours.__all__) == public - {"pydantic_responses_function_tool"}


@pytest.mark.parametrize("name", ["parse", "stream"])
def test_signature_equals_the_reference(name: str, model_path: Path) -> None:
    client = AsyncLlama(model_path)
    ours = inspect.signature(getattr(client.chat.completions, name)).parameters
    theirs = dict(inspect.signature(getattr(AsyncCompletions, name)).parameters)
    del theirs["self"]
    assert [(p.name, p.kind, type(p.default).__name__) for p in ours.values()] == [
        (p.name, p.kind, type(p.default).__name__) for p in theirs.values()
    ]


# -- the client --------------------------------------------------------------------------------------------------------


@pytest.mark.anyio
async def test_stream_of_the_client(shared_client: AsyncLlama) -> None:
    options: Json = {"model": "default", "messages": QUESTION, "max_tokens": 64, "temperature": 0, "stop": ","}
    async with shared_client.chat.completions.stream(**options) as stream:
        events = [event async for event in stream]
        final = await stream.get_final_completion()
    assert events[0].type == "chunk"
    assert [event.type for event in events if event.type.endswith("done")] == ["content.done"]
    text = "".join(event.delta for event in events if event.type == "content.delta")
    whole = await shared_client.chat.completions.create(**options, extra_body={"cache_prompt": False})
    assert final.choices[0].finish_reason == "stop"
    assert final.choices[0].message.content == text == whole.choices[0].message.content
    assert final.choices[0].message.parsed is None
    assert stream.current_completion_snapshot.id == final.id


@pytest.mark.anyio
async def test_leaving_the_block_ends_the_request(client: AsyncLlama) -> None:
    async with client.chat.completions.stream(**ENDLESS) as stream:
        async for event in stream:
            if event.type == "content.delta" and event.snapshot:
                break
    await until(lambda: is_idle(client))
    with pytest.raises(StreamClosedError):
        await stream.until_done()


@pytest.mark.anyio
async def test_errors_of_create_are_raised_on_entering(shared_client: AsyncLlama) -> None:
    for options, error in (({"model": "no such"}, NotFoundError), ({"top_p": 5}, BadRequestError)):
        manager = shared_client.chat.completions.stream(**{"model": "default", "messages": QUESTION, **options})
        with pytest.raises(error):
            await manager.__aenter__()


def test_request_that_is_never_made_is_no_warning(model_path: Path) -> None:
    client = AsyncLlama(model_path)
    client.chat.completions.stream(model="default", messages=[])
    gc.collect()


def test_class_that_is_not_pydantics_is_refused_at_once(model_path: Path) -> None:
    client = AsyncLlama(model_path)
    with pytest.raises(TypeError, match="response_format is"):
        client.chat.completions.stream(model="default", messages=[], response_format=int)


# A grammar in the place of the response format: what is parsed is the same.
GRAMMAR = r"""
root ::= "{\"city\": \"" [A-Z] [a-z]{1,6} "\", \"degrees\": " [1-9] [0-9]? ", \"unit\": \"" unit "\", \"notes\": null}"
unit ::= "celsius" | "kelvin"
"""
WEATHER_QUESTION: Json = {
    "model": "default",
    "messages": [{"role": "user", "content": "What is the weather like in Rome? Answer in JSON."}],
    "extra_body": {"grammar": GRAMMAR, "response_format": None},
}


@pytest.mark.anyio
async def test_parse_gives_an_instance(shared_client: AsyncLlama) -> None:
    answer = await shared_client.chat.completions.parse(
        **WEATHER_QUESTION, response_format=Weather, n=2, max_tokens=64, seed=1
    )
    assert isinstance(answer, llama_async.types.chat.ParsedChatCompletion)
    assert answer._request_id
    assert answer.usage is not None
    for each in answer.choices:
        parsed = each.message.parsed
        assert isinstance(parsed, Weather)
        assert each.message.content is not None
        assert parsed == Weather.model_validate_json(each.message.content)


@pytest.mark.anyio
async def test_parse_of_an_answer_that_was_cut(shared_client: AsyncLlama) -> None:
    with pytest.raises(LengthFinishReasonError, match="CompletionUsage") as error:
        await shared_client.chat.completions.parse(**WEATHER_QUESTION, response_format=Weather, max_tokens=3)
    assert error.value.completion.choices[0].finish_reason == "length"
    async with shared_client.chat.completions.stream(
        **WEATHER_QUESTION, response_format=Weather, max_tokens=3
    ) as stream:
        with pytest.raises(LengthFinishReasonError):
            await stream.until_done()


@pytest.mark.anyio
async def test_parse_of_an_answer_that_does_not_fit(shared_client: AsyncLlama) -> None:
    class Strict(Weather):
        degrees: float = pydantic.Field(gt=1000)

    with pytest.raises(pydantic.ValidationError, match="1000"):
        await shared_client.chat.completions.parse(**WEATHER_QUESTION, response_format=Strict, max_tokens=64)


@pytest.mark.anyio
async def test_parse_refuses_before_it_asks(shared_client: AsyncLlama) -> None:
    ask = shared_client.chat.completions.parse
    with pytest.raises(ValueError, match="not strict"):
        await ask(model="default", messages=QUESTION, tools=[strict_tool("loose", strict=False)])
    with pytest.raises(TypeError, match="response_format is"):
        await ask(model="default", messages=QUESTION, response_format=dict[str, int])
    with pytest.raises(TypeError, match="parse"):
        await shared_client.chat.completions.create(model="default", messages=QUESTION, response_format=Weather)


@pytest.mark.anyio
async def test_stream_ends_with_an_instance(shared_client: AsyncLlama) -> None:
    async with shared_client.chat.completions.stream(
        **WEATHER_QUESTION, response_format=Weather, max_tokens=64, seed=1, stream_options={"include_usage": True}
    ) as stream:
        partial = [event.parsed async for event in stream if event.type == "content.delta"]
        final = await stream.get_final_completion()
    # The first delta is the empty one that opens the choice.
    assert partial[0] is None
    assert {} in partial
    parsed = final.choices[0].message.parsed
    assert isinstance(parsed, Weather)
    assert partial[-1] == parsed.model_dump(mode="json")
    assert final.usage is not None
    assert final.usage.completion_tokens > 5
