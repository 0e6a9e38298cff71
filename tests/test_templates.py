"""All templates of the pinned source: prompts equal Jinja2's, or the difference is listed here with its reason."""

from __future__ import annotations

import copy
import datetime as dt
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from jinja_oracle import Refused, render
from support import CLIENT_OPTIONS

from llama_async import AsyncLlama, BadRequestError

ONLY_ASYNCIO = True

pytestmark = pytest.mark.anyio


def function(name: str, description: str, **properties: dict[str, Any]) -> Any:
    parameters = {"type": "object", "properties": properties, "required": [next(iter(properties))]}
    return {"type": "function", "function": {"name": name, "description": description, "parameters": parameters}}


def call(call_id: str, name: str, **arguments: object) -> Any:
    return {"id": call_id, "type": "function", "function": {"name": name, "arguments": json.dumps(arguments)}}


def user(text: str) -> Any:
    return {"role": "user", "content": text}


def assistant(text: str, **fields: object) -> Any:
    return {"role": "assistant", "content": text, **fields}


def result(call_id: str, text: str) -> Any:
    return {"role": "tool", "tool_call_id": call_id, "content": text}


SYSTEM: Any = {"role": "system", "content": "You are terse."}
TOOLS = [
    function(
        "get_weather",
        "The weather of a city",
        city={"type": "string", "description": "Which city"},
        unit={"type": "string", "enum": ["C", "F"], "description": "Of what"},
        days={"type": "integer", "description": "How many"},
    ),
    function("get_time", "The time of day", zone={"type": "string", "description": "Where"}),
]
WEATHER = call("call00001", "get_weather", city="Paris", unit="C")
TIME = call("call00002", "get_time", zone="CET")

CONVERSATIONS: dict[str, list[Any]] = {
    "plain": [user("Hello")],
    "system": [SYSTEM, user("Hello")],
    "turns": [SYSTEM, user("Hello"), assistant("Hi."), user("How are you?")],
    "tools": [SYSTEM, user("Weather in Paris?")],
    "result": [user("Weather?"), assistant("", tool_calls=[WEATHER]), result("call00001", '{"degrees": 12}')],
    "parallel": [
        user("Weather and time?"),
        assistant("Let me see.", tool_calls=[WEATHER, TIME]),
        result("call00001", "12"),
        result("call00002", "noon"),
        assistant("12 degrees, noon."),
        user("Thanks"),
    ],
    "reasoning": [user("2+2?"), assistant("4", reasoning_content="Two and two."), user("And 3+3?")],
    "thought call": [
        user("Weather?"),
        assistant("", reasoning_content="I must look.", tool_calls=[WEATHER]),
        result("call00001", "12"),
    ],
}
WITH_TOOLS = ("tools", "result", "parallel", "thought call")

# Reason -> template -> conversations whose prompts differ from Jinja2's. One that is listed and gone is an error
# too.
DIFFERENCES: dict[str, dict[str, tuple[str, ...]]] = {
    # Ours, where upstream has nothing.
    "it knows neither tools nor calls, or upstream reads no calls of its: both become text": {
        "HuggingFaceTB-SmolLM3-3B": WITH_TOOLS,  # knows tools by variables of its own, xml_tools and python_tools
        "deepseek-ai-DeepSeek-R1-Distill-Llama-8B": WITH_TOOLS,
        "ibm-granite-granite-3.3-2B-Instruct": WITH_TOOLS,
        "llama-cpp-rwkv-world": WITH_TOOLS,
        "microsoft-Phi-3.5-mini-instruct": WITH_TOOLS,
    },
    "it renders calls, but not what can be called: the system message tells": {
        "deepseek-ai-DeepSeek-R1-Distill-Qwen-32B": WITH_TOOLS,
        "deepseek-ai-DeepSeek-V3.1": WITH_TOOLS,
    },
    "it leaves calls to whoever writes the assistant's text": {
        "LFM2-8B-A1B": ("result", "parallel", "thought call"),
        "LFM2.5-Instruct": ("result", "parallel", "thought call"),
    },
    # Upstream's.
    "it refuses system messages, which upstream puts into the user's": {
        "google-gemma-2-2b-it": ("system", "turns", *WITH_TOOLS),  # tools as above
    },
    "it has a field or a kind of part of its own for thoughts, which upstream fills": {
        "LFM2.5-8B-A1B": ("thought call",),
        "mistralai-Ministral-3-14B-Reasoning-2512": ("reasoning", "thought call"),
        "openai-gpt-oss-120b": ("thought call",),
    },
    "an older release of the template, whose results upstream writes as the newer ones do": {
        "google-gemma-4-31B-it-interleaved": ("result", "parallel", "thought call"),
    },
    "Jinja2 refuses to add a variable that is not there; upstream takes it for empty": {
        "fireworks-ai-llama-3-firefunction-v2": ("plain", "system", "turns", "reasoning"),
    },
    "Jinja2's map is a generator, which tojson refuses; upstream's is a list": {
        "llama-cpp-deepseek-r1": WITH_TOOLS,
    },
    "Jinja2 escapes what is joined to text that is marked safe; upstream escapes nothing": {
        "meetkai-functionary-medium-v3.1": WITH_TOOLS,
    },
}


def listed() -> dict[tuple[str, str], str]:
    return {
        (template, conversation): reason
        for reason, templates in DIFFERENCES.items()
        for template, conversations in templates.items()
        for conversation in conversations
    }


def as_documented(messages: list[Any], *, objects: bool) -> list[Any]:
    """As transformers documents it: results name their function, arguments are objects (in some templates, text)."""
    messages = copy.deepcopy(messages)
    names = {}
    for message in messages:
        for made in message.get("tool_calls", ()):
            names[made["id"]] = made["function"]["name"]
            if objects:
                made["function"]["arguments"] = json.loads(made["function"]["arguments"])
        if message["role"] == "tool":
            message["name"] = names[message["tool_call_id"]]
    return messages


def wanted(source: str, messages: list[Any], tools: Any) -> list[str]:
    """Return Jinja2's prompts: one with arguments as objects, one with arguments as text; none that are refused."""
    today = dt.datetime.now()  # noqa: DTZ005 (local time, as the engine)
    variables: dict[str, Any] = {
        "bos_token": "<|im_start|>",
        "eos_token": "<|im_end|>",
        "enable_thinking": True,
        "add_generation_prompt": True,
        "date_string": today.strftime("%d %b %Y"),
        "datetime": today.strftime("%b %d %Y"),
    }
    if tools:
        variables["tools"] = tools
        variables["functions"] = json.dumps([tool["function"] for tool in tools], indent=4)  # Firefunction's
    prompts = []
    for objects in (True, False):
        try:
            prompts.append(render(source, messages=as_documented(messages, objects=objects), **variables))
        except Refused:
            continue
    return prompts


@pytest.fixture(scope="module")
async def client(anyio_backend: Any, model_path: Path) -> AsyncIterator[AsyncLlama]:
    async with AsyncLlama(model_path, **CLIENT_OPTIONS) as client:
        yield client


async def prompt_of(client: AsyncLlama, source: str, messages: list[Any], tools: Any = None) -> str | None:
    """Return our prompt, or `None` if the template refuses the conversation."""
    try:
        return await client.apply_template(
            copy.deepcopy(messages), **({"tools": tools} if tools else {}), extra_body={"chat_template": source}
        )
    except BadRequestError as error:
        assert error.param == "messages"  # noqa: PT017
        return None


async def test_prompts_equal_jinja2s(client: AsyncLlama, source: Path) -> None:
    templates = sorted((source / "models" / "templates").glob("*.jinja"))
    assert len(templates) == 70
    different = set()
    for path in templates:
        text = path.read_text(encoding="utf-8")
        for name, messages in CONVERSATIONS.items():
            tools = TOOLS if name in WITH_TOOLS else None
            prompts = wanted(text, messages, tools)
            ours = await prompt_of(client, text, messages, tools)
            if ours not in (prompts or [None]):
                different.add((path.stem, name))
    known = listed().keys()
    assert sorted(different - known) == [], "not as Jinja2 renders it, and not listed"
    assert sorted(known - different) == [], "listed, but as Jinja2 renders it"


# -- what users send beside that ---------------------------------------------------------------------------------------

# A few of each kind: parts or text, thoughts, calls in JSON, XML and Python, own roles, no system role.
FAMILIES = [
    "ByteDance-Seed-OSS",
    "Kimi-K2-Instruct",
    "LFM2-8B-A1B",
    "Mistral-Small-3.2-24B-Instruct-2506",
    "NousResearch-Hermes-3-Llama-3.1-8B-tool_use",
    "Qwen-Qwen3-0.6B",
    "Qwen3-Coder",
    "deepseek-ai-DeepSeek-V3.1",
    "google-gemma-2-2b-it",
    "google-gemma-4-31B-it",
    "ibm-granite-granite-4.0",
    "meta-llama-Llama-3.1-8B-Instruct",
    "microsoft-Phi-3.5-mini-instruct",
    "mistralai-Ministral-3-14B-Reasoning-2512",
    "openai-gpt-oss-120b",
    "unsloth-mistral-Devstral-Small-2507",
]


@pytest.fixture(params=FAMILIES)
def template(request: pytest.FixtureRequest, source: Path) -> str:
    return (source / "models" / "templates" / f"{request.param}.jinja").read_text(encoding="utf-8")


def parts(*texts: str, kind: str = "text") -> list[Any]:
    return [{"type": kind, kind: text} for text in texts]


async def test_parts_of_text_are_text(client: AsyncLlama, template: str) -> None:
    as_text = await prompt_of(client, template, CONVERSATIONS["turns"])
    in_parts = [{**message, "content": parts(message["content"])} for message in CONVERSATIONS["turns"]]
    assert as_text is not None
    assert await prompt_of(client, template, in_parts) == as_text
    several = await prompt_of(client, template, [SYSTEM, {"role": "user", "content": parts("First.", "Second.")}])
    assert several is not None
    assert several.index("First.") < several.index("Second.")


async def test_a_developers_message_is_the_systems(client: AsyncLlama, template: str) -> None:
    prompt = await prompt_of(client, template, [{**SYSTEM, "role": "developer"}, user("Hello")])
    assert prompt is not None
    assert SYSTEM["content"] in prompt
    assert prompt == await prompt_of(client, template, CONVERSATIONS["system"])


async def test_a_refusal_is_what_was_said(client: AsyncLlama, template: str) -> None:
    said = await prompt_of(client, template, [user("Hello"), assistant("I will not."), user("Please.")])
    assert said is not None
    refused = {"role": "assistant", "content": None, "refusal": "I will not."}
    in_part = {"role": "assistant", "content": parts("I will not.", kind="refusal")}
    for message in (refused, in_part):
        assert await prompt_of(client, template, [user("Hello"), message, user("Please.")]) == said


async def test_calls_without_content_are_calls_with_none(client: AsyncLlama, template: str) -> None:
    asked, called, answered = CONVERSATIONS["result"]
    prompt = await prompt_of(client, template, CONVERSATIONS["result"], TOOLS)
    assert prompt is not None
    assert "Paris" in prompt
    assert "degrees" in prompt
    for content in ({"content": None}, {}):
        without = {key: value for key, value in called.items() if key != "content"} | content
        assert await prompt_of(client, template, [asked, without, answered], TOOLS) == prompt


async def test_results_are_known_by_their_function(client: AsyncLlama, template: str) -> None:
    """openai's messages name the call only; a name that is given is the same."""
    *before, answered = CONVERSATIONS["result"]
    prompt = await prompt_of(client, template, CONVERSATIONS["result"], TOOLS)
    assert await prompt_of(client, template, [*before, {**answered, "name": "get_weather"}], TOOLS) == prompt
    in_parts = {**answered, "content": parts(answered["content"])}
    assert await prompt_of(client, template, [*before, in_parts], TOOLS) == prompt


async def test_names_of_people_do_no_harm(client: AsyncLlama, template: str) -> None:
    prompt = await prompt_of(client, template, [{**SYSTEM, "name": "Op"}, {**user("Hello"), "name": "Ann"}])
    assert prompt is not None
    assert "Hello" in prompt


async def test_an_answer_that_has_begun_goes_on(client: AsyncLlama, template: str) -> None:
    begun = await prompt_of(client, template, [*CONVERSATIONS["system"], assistant("Once upon")])
    asked = await client.apply_template(
        CONVERSATIONS["system"], add_generation_prompt=False, extra_body={"chat_template": template}
    )
    assert begun is not None
    assert begun.endswith("Once upon")
    assert begun.startswith(asked.rstrip())
    in_parts = [*CONVERSATIONS["system"], {"role": "assistant", "content": parts("Once upon")}]
    assert await prompt_of(client, template, in_parts) == begun


SCHEMAS: list[Any] = [
    {"enum": ["C", "F"]},
    {"const": 1},
    {"anyOf": [{"type": "string"}, {"type": "integer"}]},
    {"type": ["string", "null"]},
    {},
]


async def test_a_parameter_need_not_have_one_type(client: AsyncLlama, template: str) -> None:
    for schema in SCHEMAS:
        tools = [function("set_unit", "Sets it", unit={"description": "Of what", **schema})]
        prompt = await prompt_of(client, template, CONVERSATIONS["system"], tools)
        assert prompt is not None
        assert "set_unit" in prompt


async def test_thoughts_never_cost_content(client: AsyncLlama, template: str) -> None:
    prompt = await prompt_of(
        client, template, [user("2+2?"), assistant("It is 4.", reasoning_content="2.."), user("?")]
    )
    assert prompt is not None
    assert "It is 4." in prompt
