"""Tools: calls obey their schemas, come whole and streamed alike, in the format of each family's template."""

from __future__ import annotations

import json
import logging
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from support import CLIENT_OPTIONS

from llama_async import AsyncLlama, BadRequestError
from llama_async.types.chat import ChatCompletionFunctionTool

ROOT = Path(__file__).parent.parent

WEATHER: dict[str, Any] = {
    "type": "object",
    "properties": {
        "city": {"type": "string", "maxLength": 20, "description": "which, not <|im_end|>"},
        "unit": {"type": "string", "enum": ["C", "F"]},
        "days": {"type": "integer", "minimum": 1, "maximum": 7},
    },
    "required": ["city", "unit", "days"],
    "additionalProperties": False,
}
TIME: dict[str, Any] = {
    "type": "object",
    "properties": {"zone": {"enum": ["CET", "UTC"], "type": "string"}},
    "required": ["zone"],
    "additionalProperties": False,
}
TOOLS: Any = [
    {"type": "function", "function": {"name": "get_weather", "description": "The weather.", "parameters": WEATHER}},
    {"type": "function", "function": {"name": "get_time", "parameters": TIME, "strict": True}},
]
SCHEMAS = {"get_weather": WEATHER, "get_time": TIME}
QUESTION: Any = [{"role": "user", "content": "What is the weather in Paris, and what time is it?"}]
GREEDY: dict[str, Any] = {
    "model": "default",
    "messages": QUESTION,
    "temperature": 0,
    "max_tokens": 120,
    "extra_body": {"cache_prompt": False},
}


@pytest.fixture(scope="module")
def anyio_backend() -> Any:
    return ("asyncio", {})


@pytest.fixture(scope="module")
async def client(anyio_backend: Any, model_path: Path) -> AsyncIterator[AsyncLlama]:
    async with AsyncLlama(model_path, **CLIENT_OPTIONS) as client:
        yield client


pytestmark = pytest.mark.anyio


def check_calls(calls: Any) -> None:
    assert calls
    assert len({call.id for call in calls}) == len(calls)
    for call in calls:
        assert call.type == "function"
        jsonschema.validate(json.loads(call.function.arguments), SCHEMAS[call.function.name])


async def streamed(client: AsyncLlama, **parameters: Any) -> tuple[str, str, list[tuple[str, str]], str]:
    """Return content, reasoning, calls and finish reason; check what openai's accumulators rely on."""
    content, reasoning, finish = "", "", ""
    calls: list[tuple[str, str]] = []
    first = True
    async for chunk in await client.chat.completions.create(**parameters, stream=True):
        choice = chunk.choices[0]
        assert choice.index == 0
        if first:
            assert choice.delta.role == "assistant"
            first = False
        content += choice.delta.content or ""
        reasoning += getattr(choice.delta, "reasoning_content", None) or ""
        for call in choice.delta.tool_calls or ():
            assert call.function is not None
            if call.id is not None:
                assert call.index == len(calls)
                assert call.type == "function"
                assert call.function.name
                assert call.function.arguments == ""
                calls.append((call.function.name, ""))
            else:
                assert call.function.name is None
                name, arguments = calls[call.index]
                calls[call.index] = name, arguments + (call.function.arguments or "")
        finish = choice.finish_reason or finish
    return content, reasoning, calls, finish


def said(completion: Any, index: int = 0) -> tuple[str, str, list[tuple[str, str]], str]:
    choice = completion.choices[index]
    message = choice.message
    calls = [(call.function.name, call.function.arguments) for call in message.tool_calls or ()]
    return message.content or "", getattr(message, "reasoning_content", ""), calls, choice.finish_reason


async def test_required_calls_obey_their_schemas(client: AsyncLlama) -> None:
    completion = await client.chat.completions.create(
        **{**GREEDY, "temperature": 1.5, "seed": 3}, tools=TOOLS, tool_choice="required", parallel_tool_calls=False, n=3
    )
    assert len(completion.choices) == 3
    for choice in completion.choices:
        assert choice.finish_reason == "tool_calls"
        assert choice.message.content is None
        assert len(choice.message.tool_calls or ()) == 1
        check_calls(choice.message.tool_calls)


async def test_streamed_and_whole_are_the_same(client: AsyncLlama) -> None:
    asked: dict[str, Any] = {**GREEDY, "tools": TOOLS, "tool_choice": "required", "parallel_tool_calls": False}
    whole = said(await client.chat.completions.create(**asked))
    assert whole[3] == "tool_calls"
    assert await streamed(client, **asked) == whole


async def test_a_named_function_is_called_once(client: AsyncLlama) -> None:
    for name in SCHEMAS:
        completion = await client.chat.completions.create(
            **GREEDY, tools=TOOLS, tool_choice={"type": "function", "function": {"name": name}}
        )
        calls = completion.choices[0].message.tool_calls
        check_calls(calls)
        assert [call.function.name for call in calls or ()] == [name]


@pytest.mark.parametrize("fields", [{}, {"parameters": None}, {"parameters": {}}])
async def test_a_function_may_take_nothing(client: AsyncLlama, fields: dict[str, Any]) -> None:
    completion = await client.chat.completions.create(
        **GREEDY, tools=function(**fields), tool_choice="required", parallel_tool_calls=False
    )
    (call,) = completion.choices[0].message.tool_calls or ()
    assert call.type == "function"
    assert json.loads(call.function.arguments) == {}


async def test_allowed_tools(client: AsyncLlama) -> None:
    choice: Any = {
        "type": "allowed_tools",
        "allowed_tools": {"mode": "required", "tools": [{"type": "function", "function": {"name": "get_time"}}]},
    }
    completion = await client.chat.completions.create(**{**GREEDY, "max_tokens": 60}, tools=TOOLS, tool_choice=choice)
    assert {name for name, _ in said(completion)[2]} == {"get_time"}


async def test_auto_leaves_text_free(client: AsyncLlama) -> None:
    asked: dict[str, Any] = {**GREEDY, "messages": [{"role": "user", "content": "Say hello."}], "tools": TOOLS}
    completion = await client.chat.completions.create(**{**asked, "max_tokens": 12})
    content, _, calls, finish = said(completion)
    assert content
    assert not calls
    assert finish in ("stop", "length")
    assert await streamed(client, **{**asked, "max_tokens": 12}) == (content, "", [], finish)


async def test_a_call_that_begins_is_bound_to_the_schema(client: AsyncLlama) -> None:
    """With auto the beginning of a call makes the grammar hold: what the model has seen would break the schema."""
    arguments = json.dumps({"zone": "GMT"})
    messages: list[Any] = []
    for turn in range(4):
        call = {"id": f"call_{turn}", "type": "function", "function": {"name": "get_time", "arguments": arguments}}
        messages += [
            {"role": "user", "content": "What time is it in GMT?"},
            {"role": "assistant", "content": None, "tool_calls": [call]},
            {"role": "tool", "tool_call_id": f"call_{turn}", "content": "12:00"},
            {"role": "assistant", "content": "12:00"},
        ]
    messages.append({"role": "user", "content": "What time is it in GMT?"})
    asked: dict[str, Any] = {**GREEDY, "messages": messages, "tools": TOOLS, "tool_choice": "auto"}
    completion = await client.chat.completions.create(**asked)
    assert completion.choices[0].finish_reason == "tool_calls"
    check_calls(completion.choices[0].message.tool_calls)
    assert {name for name, _ in said(completion)[2]} == {"get_time"}


async def test_none_calls_nothing(client: AsyncLlama) -> None:
    completion = await client.chat.completions.create(**{**GREEDY, "max_tokens": 12}, tools=TOOLS, tool_choice="none")
    assert not completion.choices[0].message.tool_calls
    assert completion.choices[0].message.content


async def test_a_result_goes_back(client: AsyncLlama) -> None:
    first = await client.chat.completions.create(
        **GREEDY, tools=TOOLS, tool_choice={"type": "function", "function": {"name": "get_time"}}
    )
    message = first.choices[0].message
    assert message.tool_calls
    history = [*QUESTION, message, {"role": "tool", "tool_call_id": message.tool_calls[0].id, "content": "12:00"}]
    rendered = await client.apply_template(messages=history)
    assert "12:00" in rendered
    assert "get_time" in rendered
    second = await client.chat.completions.create(
        **{**GREEDY, "messages": history, "max_tokens": 8}, tools=TOOLS, tool_choice="none"
    )
    assert second.choices[0].message.content


async def test_response_format_beside_tools_gives_one_or_the_other(client: AsyncLlama) -> None:
    schema = {"type": "object", "properties": {"a": {"type": "integer", "minimum": 0, "maximum": 9}}, "required": ["a"]}
    response_format: Any = {"type": "json_schema", "json_schema": {"name": "a", "schema": schema}}
    kinds = set()
    for seed in range(3):
        completion = await client.chat.completions.create(
            **{**GREEDY, "temperature": 1.5, "seed": seed, "max_tokens": 200},
            tools=TOOLS,
            parallel_tool_calls=False,
            response_format=response_format,
        )
        content, _, calls, finish = said(completion)
        kinds.add(finish)
        if finish == "tool_calls":
            check_calls(completion.choices[0].message.tool_calls)
        elif finish == "stop":
            assert not calls
            jsonschema.validate(json.loads(content), schema)
    assert kinds & {"tool_calls", "stop"}


async def test_stop_strings_do_not_cut_calls(client: AsyncLlama) -> None:
    for choice in ("required", {"type": "function", "function": {"name": "get_time"}}):
        completion = await client.chat.completions.create(
            **{**GREEDY, "max_tokens": 60},
            tools=TOOLS[1:],
            tool_choice=choice,
            parallel_tool_calls=False,
            stop=["zone", '"', "}"],
        )
        check_calls(completion.choices[0].message.tool_calls)
        # openai's server says stop of a call by name.
        assert completion.choices[0].finish_reason == ("tool_calls" if choice == "required" else "stop")


async def test_a_call_cut_short_keeps_what_came(client: AsyncLlama) -> None:
    asked: dict[str, Any] = {**GREEDY, "tools": TOOLS[1:], "tool_choice": "required", "max_tokens": 18}
    content, _, calls, finish = whole = said(await client.chat.completions.create(**asked))
    assert (content, finish) == ("", "length")
    ((name, arguments),) = calls
    assert name == "get_time"
    assert arguments.startswith("{")
    with pytest.raises(json.JSONDecodeError):
        json.loads(arguments)
    assert await streamed(client, **asked) == whole


async def test_tools_may_be_models(client: AsyncLlama) -> None:
    tool = ChatCompletionFunctionTool.model_validate(TOOLS[1])
    completion = await client.chat.completions.create(
        **{**GREEDY, "max_tokens": 60},
        tools=[tool],  # type: ignore[list-item]  # openai's client takes them, its types do not say so
        tool_choice="required",
        parallel_tool_calls=False,
    )
    check_calls(completion.choices[0].message.tool_calls)


async def test_logprobs_beside_calls(client: AsyncLlama) -> None:
    completion = await client.chat.completions.create(
        **GREEDY,
        tools=TOOLS,
        tool_choice={"type": "function", "function": {"name": "get_time"}},
        logprobs=True,
    )
    logprobs = completion.choices[0].logprobs
    assert logprobs is not None
    assert "get_time" in "".join(entry.token for entry in logprobs.content or ())
    check_calls(completion.choices[0].message.tool_calls)


# -- thinking ----------------------------------------------------------------------------------------------------------

THINKING = (
    "{% for message in messages %}{{ '<|im_start|>' + message['role'] + '\\n' }}"
    "{% if message['reasoning_content'] %}"
    "{{ '<think>\\n' + message['reasoning_content'] + '\\n</think>\\n\\n' }}{% endif %}"
    "{{ message['content'] + '<|im_end|>\\n' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\\n' }}{% endif %}"
)


@pytest.fixture(scope="module")
async def thinker(anyio_backend: Any, model_path: Path) -> AsyncIterator[AsyncLlama]:
    async with AsyncLlama(model_path, **CLIENT_OPTIONS, chat_template=THINKING) as client:
        yield client


async def test_reasoning_is_told_apart(thinker: AsyncLlama) -> None:
    """A grammar makes the model say just this, so that the template's reading of it is what is tested."""
    asked: dict[str, Any] = {
        **GREEDY,
        "extra_body": {
            "cache_prompt": False,
            "grammar": 'root ::= "<think>\\nSome thought.\\n</think>\\n\\nAn answer."',
        },
    }
    completion = await thinker.chat.completions.create(**asked)
    content, reasoning, calls, finish = said(completion)
    assert (content, reasoning.strip(), calls, finish) == ("An answer.", "Some thought.", [], "stop")
    usage = completion.usage
    assert usage is not None
    assert usage.completion_tokens_details is not None
    n_reasoning = usage.completion_tokens_details.reasoning_tokens
    assert n_reasoning is not None
    assert 3 < n_reasoning < usage.completion_tokens
    assert await streamed(thinker, **asked) == (content, reasoning, [], "stop")


async def test_thoughts_cut_short_are_thoughts(thinker: AsyncLlama) -> None:
    asked: dict[str, Any] = {
        **GREEDY,
        "max_tokens": 8,
        "extra_body": {
            "cache_prompt": False,
            "grammar": 'root ::= "<think>\\nOne two three four five six seven eight nine."',
        },
    }
    content, reasoning, _, finish = said(await thinker.chat.completions.create(**asked))
    assert content == ""
    assert reasoning.startswith("One")
    assert finish == "length"


async def test_a_schema_holds_after_the_thinking(thinker: AsyncLlama) -> None:
    schema = {"type": "object", "properties": {"a": {"type": "integer", "minimum": 0, "maximum": 9}}, "required": ["a"]}
    completion = await thinker.chat.completions.create(
        **GREEDY, response_format={"type": "json_schema", "json_schema": {"name": "a", "schema": schema}}
    )
    content, _, _, finish = said(completion)
    if finish == "stop":
        jsonschema.validate(json.loads(content), schema)


async def test_a_budget_ends_the_thinking(model_path: Path) -> None:
    # The tag has to be tokens of its own: with a line end behind it this model's vocabulary joins the two.
    template = THINKING.replace("'<think>\\n'", "'<think>'").replace("'\\n</think>\\n\\n'", "'</think>'")
    thought = {"role": "assistant", "content": "", "reasoning_content": "Let me think about this at length."}
    async with AsyncLlama(model_path, **CLIENT_OPTIONS, chat_template=template) as client:
        completion = await client.chat.completions.create(
            **{
                **GREEDY,
                "messages": [*QUESTION, thought],
                "max_tokens": 60,
                "extra_body": {"cache_prompt": False, "reasoning_budget_tokens": 12},
            }
        )
    content, reasoning, _, _ = said(completion)
    assert content
    assert len(reasoning) < 100


# -- an assistant's message at the end ---------------------------------------------------------------------------------


async def test_an_assistants_message_at_the_end_is_continued(client: AsyncLlama) -> None:
    messages = [{"role": "user", "content": "Count."}, {"role": "assistant", "content": "one, two, three, four,"}]
    rendered = await client.apply_template(messages=messages)
    assert rendered.endswith("assistant\none, two, three, four,")
    completion = await client.chat.completions.create(**{**GREEDY, "messages": messages, "max_tokens": 6})
    content = completion.choices[0].message.content or ""
    assert "five" in content
    assert "one" not in content


# -- the families ------------------------------------------------------------------------------------------------------

# Whose templates know tools, and how upstream names their file.
FAMILIES = [
    "Qwen-Qwen3-0.6B",
    "NousResearch-Hermes-3-Llama-3.1-8B-tool_use",
    "meta-llama-Llama-3.1-8B-Instruct",
    "Qwen3-Coder",
    "HuggingFaceTB-SmolLM3-3B",
    "LFM2-8B-A1B",
    "MiMo-VL",
]


def template(name: str) -> str:
    sys.path.insert(0, str(ROOT / "llama.cpp"))
    try:
        import obtain
    finally:
        sys.path.pop(0)
    cached = obtain.cache_dir() / "llama.cpp" / obtain.pin()[1][:16]
    for source in (ROOT / "llama.cpp" / "source", ROOT / "llama.cpp" / "carried", cached):
        path = source / "models" / "templates" / f"{name}.jinja"
        if path.is_file():
            return path.read_text(encoding="utf-8")
    pytest.skip(f"the pinned source with {name} is not here")


@pytest.mark.parametrize("name", FAMILIES)
async def test_families(model_path: Path, name: str) -> None:
    options = {**CLIENT_OPTIONS, "n_ctx": 2048}
    asked: dict[str, Any] = {
        **GREEDY,
        "extra_body": {"cache_prompt": False, "chat_template_kwargs": {"enable_thinking": False}},
    }
    asked.update(tools=TOOLS, tool_choice={"type": "function", "function": {"name": "get_time"}})
    async with AsyncLlama(model_path, **options, chat_template=template(name)) as client:
        completion = await client.chat.completions.create(**asked)
        check_calls(completion.choices[0].message.tool_calls)
        whole = said(completion)
        assert await streamed(client, **asked) == whole


async def test_what_the_format_does_not_know_comes_raw(model_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """A grammar of the user makes a model of the thinking kind say what its template's parser refuses."""
    broken = THINKING.replace("message['content'] +", "'<answer>' + message['content'] + '</answer>' +")
    grammar = 'root ::= "No marks here at all."'
    with caplog.at_level(logging.WARNING, logger="llama_async"):
        async with AsyncLlama(model_path, **CLIENT_OPTIONS, chat_template=broken) as client:
            completion = await client.chat.completions.create(
                **{**GREEDY, "extra_body": {"cache_prompt": False, "grammar": grammar}}
            )
    assert "No marks here at all." in (completion.choices[0].message.content or "")


# -- refused -----------------------------------------------------------------------------------------------------------


def function(**fields: Any) -> Any:
    return [{"type": "function", "function": {"name": "f", **fields}}]


REFUSED: list[tuple[dict[str, Any], str]] = [
    ({"tools": "f"}, "tools"),
    ({"tools": [{"type": "custom", "custom": {"name": "f"}}]}, "tools[0].type"),
    ({"tools": [{"type": "function"}]}, "tools[0].function"),
    ({"tools": function(name="a b")}, "tools[0].function.name"),
    ({"tools": function() * 2}, "tools[1].function.name"),
    ({"tools": function(parameters=3)}, "tools[0].function.parameters"),
    ({"tools": function(parameters={"type": "string"})}, "tools[0].function.parameters"),
    ({"tools": function(parameters={"not": {}}, strict=True)}, "tools[0].function.parameters"),
    ({"tools": function(strict="yes")}, "tools[0].function.strict"),
    ({"tools": function(description=3)}, "tools[0].function.description"),
    ({"tools": function(returns={})}, "tools[0].function"),
    ({"tools": function(), "tool_choice": "maybe"}, "tool_choice"),
    ({"tools": function(), "tool_choice": {"type": "function", "function": {"name": "g"}}}, "tool_choice"),
    ({"tools": function(), "tool_choice": {"type": "custom", "custom": {"name": "f"}}}, "tool_choice.type"),
    ({"tool_choice": "required"}, "tool_choice"),
    ({"tools": function(), "parallel_tool_calls": 1}, "parallel_tool_calls"),
    ({"tools": function(), "extra_body": {"grammar": 'root ::= "a"'}}, "grammar"),
]


@pytest.mark.parametrize(("parameters", "param"), REFUSED)
async def test_refused(client: AsyncLlama, parameters: dict[str, Any], param: str) -> None:
    with pytest.raises(BadRequestError) as caught:
        await client.chat.completions.create(**{"model": "default", "messages": QUESTION, **parameters})
    assert caught.value.param == param


async def test_a_loose_schema_is_kept_to_as_far_as_can_be(client: AsyncLlama) -> None:
    parameters = {
        "type": "object",
        "properties": {"rate": {"type": "number", "minimum": 0}, "ok": {"type": "boolean"}},
        "required": ["ok"],
        "minProperties": 1,
    }
    completion = await client.chat.completions.create(
        **GREEDY, tools=function(parameters=parameters), tool_choice={"type": "function", "function": {"name": "f"}}
    )
    call = (completion.choices[0].message.tool_calls or [])[0]
    assert call.type == "function"
    arguments = json.loads(call.function.arguments)
    assert isinstance(arguments["ok"], bool)
    assert isinstance(arguments.get("rate", 0), (int, float))
