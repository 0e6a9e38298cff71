"""JSON into a form as it arrives: each field is shown while the model still writes it.

python examples/streaming_form.py [model.gguf]
"""

import asyncio
import sys

import pydantic

from llama_async import AsyncLlama
from llama_async._default_model import default_model_path

TEXT = "Hello, I am Maria Schmidt, 34 years old. I live in Berlin and speak German, English and Spanish."


class Form(pydantic.BaseModel):
    name: str
    age: int = pydantic.Field(ge=0, le=150)
    city: str
    languages: list[str] = pydantic.Field(min_length=1, max_length=3)


async def main(model: str) -> None:
    async with AsyncLlama(model) as client:
        form: dict[str, object] = {}
        async with client.chat.completions.stream(
            model="default",
            messages=[
                {"role": "system", "content": "Fill in a form as JSON with name, age, city and languages."},
                {"role": "user", "content": TEXT},
            ],
            response_format=Form,
            temperature=0,
            max_tokens=160,
        ) as stream:
            async for event in stream:
                if event.type != "content.delta" or not isinstance(event.parsed, dict):
                    continue
                for field, value in event.parsed.items():
                    if form.get(field) != value:
                        form[field] = value
                        print(f"{field:12} {value}")
            filled = (await stream.get_final_completion()).choices[0].message.parsed
        print(f"done: {filled!r}")


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1] if len(sys.argv) > 1 else str(default_model_path())))
