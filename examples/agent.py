"""An agent's loop: the model asks for several tools at once, they run at the same time, it reports what they found.

python examples/agent.py [model.gguf]
"""

import sys
from typing import Any, Literal

import anyio
import pydantic

from llama_async import AsyncLlama, pydantic_function_tool
from llama_async._default_model import default_model_path


class City(pydantic.BaseModel):
    city: Literal["Paris", "Oslo", "Rome"]


class Report(pydantic.BaseModel):
    weather: str
    time: str
    population: str


async def get_weather(city: str) -> str:
    await anyio.sleep(0.2)  # somebody else's server
    return f"The weather of {city}: sunny, 21 degrees"


async def get_time(city: str) -> str:
    await anyio.sleep(0.2)
    return f"The time of {city}: 14:05"


async def get_population(city: str) -> str:
    await anyio.sleep(0.2)
    return f"The population of {city}: 2.1 million"


TOOLS = {
    tool.__name__: (tool, pydantic_function_tool(City, name=tool.__name__, description=description))
    for tool, description in (
        (get_weather, "The weather in a city."),
        (get_time, "The time in a city."),
        (get_population, "How many people live in a city."),
    )
}


async def run_tools(calls: Any) -> list[dict[str, Any]]:
    """Run all calls at once; return their results as messages, in order."""
    results: list[dict[str, Any]] = [{} for _ in calls]

    async def run(index: int, call: Any) -> None:
        tool, _ = TOOLS[call.function.name]
        content = await tool(call.function.parsed_arguments.city)
        print(f"  {call.function.name}: {content}")
        results[index] = {"role": "tool", "tool_call_id": call.id, "content": content}

    async with anyio.create_task_group() as tasks:
        for index, call in enumerate(calls):
            tasks.start_soon(run, index, call)
    return results


async def main(model: str) -> None:
    question = "I am going to Paris. What is the weather there, what time is it, and how many people live there?"
    messages: list[Any] = [
        {"role": "system", "content": "You are a helpful assistant."},
        {"role": "user", "content": question},
    ]
    async with AsyncLlama(model) as client:
        for turn in range(3):
            # A turn of calls, then an answer: what a large model decides by itself ("auto"), a small one is told.
            asked = await client.chat.completions.parse(
                model="default",
                messages=messages,
                tools=[tool for _, tool in TOOLS.values()],
                tool_choice="required" if turn == 0 else "none",
                response_format=Report,
                temperature=0,
                max_tokens=200,
            )
            message = asked.choices[0].message
            messages.append(message)
            if not message.tool_calls:
                break
            print(f"turn {turn}: {len(message.tool_calls)} calls")
            messages += await run_tools(message.tool_calls)
        print(f"reports {message.parsed!r}")


if __name__ == "__main__":
    anyio.run(main, sys.argv[1] if len(sys.argv) > 1 else str(default_model_path()))
