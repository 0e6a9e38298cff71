"""Text into a pydantic class: whatever the model writes fits it.

python examples/extraction.py [model.gguf]
"""

import asyncio
import sys
from typing import Literal

import pydantic

from llama_async import AsyncLlama
from llama_async._default_model import default_model_path

TEXT = "Maria Schmidt, 34, is a doctor in Berlin. She plays chess."


class Person(pydantic.BaseModel):
    name: str
    age: int
    city: str
    job: Literal["doctor", "teacher", "baker", "other"]


async def main(model: str) -> None:
    async with AsyncLlama(model) as client:
        answer = await client.chat.completions.parse(
            model="default",
            messages=[
                {"role": "system", "content": "Say who the text is about, as JSON with name, age, city and job."},
                {"role": "user", "content": TEXT},
            ],
            response_format=Person,
            temperature=0,
            max_tokens=120,
        )
        person = answer.choices[0].message.parsed
        print(repr(person))
        print(f"{person.name} is {person.age} and lives in {person.city}")


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1] if len(sys.argv) > 1 else str(default_model_path())))
