"""Frameworks that must have a real `openai` client, on `as_openai()`: whole, streamed, several at once, failing."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import anyio
import pydantic
import pytest
from support import CLIENT_OPTIONS, is_idle, until

from llama_async import AsyncLlama

pytestmark = pytest.mark.anyio


# The frameworks are asyncio's.
ONLY_ASYNCIO = True


@pytest.fixture(scope="module")
async def client(anyio_backend: Any, model_path: Path) -> AsyncIterator[AsyncLlama]:
    async with AsyncLlama(model_path, **CLIENT_OPTIONS) as client:
        yield client


class Capital(pydantic.BaseModel):
    """The capital of a country."""

    country: str
    city: str


CAPITAL_QUESTION = "What is the capital of France? Answer in JSON."
WEATHER_QUESTION = "What is the weather in Paris?"


def weather(city: str) -> str:
    """The weather in a city."""
    return f"21 degrees in {city}"


def chat_openai(client: AsyncLlama, **options: Any) -> Any:
    langchain_openai = pytest.importorskip("langchain_openai")
    remote = client.as_openai()
    return langchain_openai.ChatOpenAI(
        model="default",
        api_key="unused",
        root_async_client=remote,
        async_client=remote.chat.completions,
        **{"max_tokens": 12, "temperature": 0, **options},
    )


async def test_langchain_answers(client: AsyncLlama) -> None:
    message = await chat_openai(client).ainvoke("Name a river.")
    assert message.content
    assert message.response_metadata["finish_reason"] == "length"
    assert message.usage_metadata["output_tokens"] == 12


async def test_langchain_streams_and_batches(client: AsyncLlama) -> None:
    chat = chat_openai(client)
    parts = [part async for part in chat.astream("Name a river.", stream_usage=True)]
    assert len([part for part in parts if part.content]) > 1
    assert sum(part.usage_metadata["output_tokens"] for part in parts if part.usage_metadata) == 12
    answers = await chat.abatch(["Name a river.", "Name a lake.", "Name a sea."])
    assert all(answer.content for answer in answers)


async def test_langchain_stream_left_early_frees_the_engine(client: AsyncLlama) -> None:
    stream = chat_openai(client, max_tokens=500).astream("Count to a thousand.")
    async for part in stream:
        if part.content:
            break
    await stream.aclose()
    await until(lambda: is_idle(client))


async def test_langchain_sees_openai_errors(client: AsyncLlama) -> None:
    import openai

    with pytest.raises(openai.BadRequestError) as caught:
        await chat_openai(client, max_tokens=10**6).ainvoke("Name a river.")
    assert caught.value.code == "context_length_exceeded"


async def test_langchain_calls_a_tool_and_answers(client: AsyncLlama) -> None:
    chat = chat_openai(client, max_tokens=40)
    from langchain_core.messages import HumanMessage
    from langchain_core.tools import tool

    looked_up = tool(weather)
    asking = chat.bind_tools([looked_up], tool_choice="any", parallel_tool_calls=False)
    messages: list[Any] = [HumanMessage(WEATHER_QUESTION)]
    asked = await asking.ainvoke(messages)
    (call,) = asked.tool_calls
    assert (call["name"], call["args"]) == ("weather", {"city": "Paris"})
    messages += [asked, await looked_up.ainvoke(call)]
    answered = await chat.bind_tools([looked_up], tool_choice="none").ainvoke(messages)
    assert answered.content
    assert not answered.tool_calls
    whole, n_parts = None, 0
    async for part in asking.astream(WEATHER_QUESTION):
        whole, n_parts = part if whole is None else whole + part, n_parts + 1
    assert n_parts > 1
    assert whole is not None
    assert [(call["name"], call["args"]) for call in whole.tool_calls] == [("weather", {"city": "Paris"})]


@pytest.mark.parametrize("method", ["function_calling", "json_schema"])
async def test_langchain_gives_an_instance(client: AsyncLlama, method: str) -> None:
    chat = chat_openai(client, max_tokens=50).with_structured_output(Capital, method=method)
    answer = await chat.ainvoke(CAPITAL_QUESTION)
    assert isinstance(answer, Capital)
    assert answer.city == "Paris"


def agent(client: AsyncLlama, **options: Any) -> Any:
    pydantic_ai = pytest.importorskip("pydantic_ai")
    from pydantic_ai.models.openai import OpenAIChatModel
    from pydantic_ai.providers.openai import OpenAIProvider

    model = OpenAIChatModel("default", provider=OpenAIProvider(openai_client=client.as_openai()))
    return pydantic_ai.Agent(model, **{"model_settings": {"max_tokens": 12, "temperature": 0.0}, **options})


async def test_pydantic_ai_answers(client: AsyncLlama) -> None:
    result = await agent(client, instructions="Be brief.").run("Name a river.")
    assert isinstance(result.output, str)
    assert result.output
    assert result.usage.output_tokens == 12
    again = await agent(client).run("And another?", message_history=result.all_messages())
    assert again.output


async def test_pydantic_ai_streams(client: AsyncLlama) -> None:
    async with agent(client).run_stream("Name a river.") as stream:
        parts = [part async for part in stream.stream_text(delta=True, debounce_by=None)]
    assert len(parts) > 1
    assert "".join(parts) == await stream.get_output()


async def test_pydantic_ai_gives_an_instance(client: AsyncLlama) -> None:
    """Its output is a tool that has to be called."""
    settings = {"max_tokens": 50, "temperature": 0.0}
    result = await agent(client, output_type=Capital, model_settings=settings).run(CAPITAL_QUESTION)
    assert result.output.city == "Paris"


async def test_pydantic_ai_calls_a_tool_and_answers(client: AsyncLlama) -> None:
    pytest.importorskip("pydantic_ai")
    calls: list[str] = []

    def look_up(city: str) -> str:
        """The weather in a city."""
        calls.append(city)
        return weather(city)

    def settings(context: Any) -> Any:
        # With auto this model does not call anything.
        choice = "none" if calls else "required"
        return {
            "max_tokens": 40,
            "temperature": 0.0,
            "parallel_tool_calls": False,
            "extra_body": {"tool_choice": choice},
        }

    result = await agent(client, tools=[look_up], model_settings=settings).run(WEATHER_QUESTION)
    assert calls == ["Paris"]
    assert result.output
    kinds = [part.part_kind for message in result.all_messages() for part in message.parts]
    assert kinds == ["user-prompt", "tool-call", "tool-return", "text"]


async def test_agents_sdk_calls_a_tool_and_answers(client: AsyncLlama) -> None:
    agents = pytest.importorskip("agents")
    one = agents.Agent(
        name="one",
        model=agents.OpenAIChatCompletionsModel(model="default", openai_client=client.as_openai()),
        tools=[agents.function_tool(weather)],
        # Required until it was called, as the SDK has it.
        model_settings=agents.ModelSettings(
            max_tokens=40, temperature=0.0, tool_choice="required", parallel_tool_calls=False
        ),
    )
    config = agents.RunConfig(tracing_disabled=True)
    result = await agents.Runner.run(one, WEATHER_QUESTION, run_config=config)
    assert [item.type for item in result.new_items] == [
        "tool_call_item",
        "tool_call_output_item",
        "message_output_item",
    ]
    assert result.new_items[1].output == weather("Paris")
    assert result.final_output
    streamed = agents.Runner.run_streamed(one, WEATHER_QUESTION, run_config=config)
    names = [event.name async for event in streamed.stream_events() if event.type == "run_item_stream_event"]
    assert names == ["tool_called", "tool_output", "message_output_created"]


async def test_agents_sdk_gives_an_instance(client: AsyncLlama) -> None:
    agents = pytest.importorskip("agents")
    one = agents.Agent(
        name="one",
        model=agents.OpenAIChatCompletionsModel(model="default", openai_client=client.as_openai()),
        output_type=Capital,
        model_settings=agents.ModelSettings(max_tokens=50, temperature=0.0),
    )
    result = await agents.Runner.run(one, CAPITAL_QUESTION, run_config=agents.RunConfig(tracing_disabled=True))
    assert result.final_output.city == "Paris"


async def test_agents_sdk_answers_and_streams(client: AsyncLlama) -> None:
    agents = pytest.importorskip("agents")
    model = agents.OpenAIChatCompletionsModel(model="default", openai_client=client.as_openai())
    settings = agents.ModelSettings(max_tokens=12, temperature=0.0)
    one = agents.Agent(name="one", instructions="Be brief.", model=model, model_settings=settings)
    config = agents.RunConfig(tracing_disabled=True)
    result = await agents.Runner.run(one, "Name a river.", run_config=config)
    assert result.final_output
    streamed = agents.Runner.run_streamed(one, "Name a river.", run_config=config)
    deltas = [
        event.data.delta
        async for event in streamed.stream_events()
        if event.type == "raw_response_event" and event.data.type == "response.output_text.delta"
    ]
    assert len(deltas) > 1
    assert "".join(deltas).strip() == streamed.final_output.strip()


async def test_three_frameworks_at_once(client: AsyncLlama) -> None:
    answers: list[str] = []

    async def langchain() -> None:
        answers.append((await chat_openai(client).ainvoke("Name a river.")).content)

    async def pydantic_ai() -> None:
        answers.append((await agent(client).run("Name a lake.")).output)

    async with anyio.create_task_group() as tasks:
        for call in (langchain, pydantic_ai, langchain):
            tasks.start_soon(call)
    assert len(answers) == 3
    assert all(answers)
