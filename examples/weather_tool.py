"""A tool: the model calls a function, gets its result, and answers from it.

python examples/weather_tool.py [model.gguf]
"""

import asyncio
import sys
from typing import Literal

import pydantic

from llama_async import AsyncLlama, pydantic_function_tool
from llama_async._default_model import default_model_path


class GetWeather(pydantic.BaseModel):
    """The weather in a city."""

    city: str
    unit: Literal["celsius", "fahrenheit"]


def get_weather(arguments: GetWeather) -> str:
    return f"The weather in {arguments.city} is sunny, 21 degrees {arguments.unit}."


async def main(model: str) -> None:
    messages = [{"role": "user", "content": "What is the weather in Paris, in celsius?"}]
    async with AsyncLlama(model) as client:
        asked = await client.chat.completions.parse(
            model="default",
            messages=messages,
            tools=[pydantic_function_tool(GetWeather)],
            # A small model seldom thinks of calling anything: with "required" it has to.
            tool_choice="required",
            parallel_tool_calls=False,
            temperature=0,
        )
        message = asked.choices[0].message
        (call,) = message.tool_calls
        print(f"calls {call.function.name}: {call.function.parsed_arguments!r}")
        result = get_weather(call.function.parsed_arguments)
        messages += [message, {"role": "tool", "tool_call_id": call.id, "content": result}]
        # An assistant's message at the end is gone on with.
        messages += [{"role": "assistant", "content": "The weather in"}]
        answer = await client.chat.completions.create(model="default", messages=messages, temperature=0, max_tokens=24)
        print("answers:", messages[-1]["content"] + answer.choices[0].message.content)


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1] if len(sys.argv) > 1 else str(default_model_path())))
