"""One question, one answer.

python examples/hello.py [model.gguf]
"""

import asyncio
import sys

from llama_async import AsyncLlama
from llama_async._default_model import default_model_path


async def main(model: str) -> None:
    async with AsyncLlama(model) as client:
        answer = await client.chat.completions.create(
            model="default",
            messages=[{"role": "user", "content": "Why is the sky blue?"}],
            max_tokens=60,
        )
        print(answer.choices[0].message.content)
        print(answer.usage)


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1] if len(sys.argv) > 1 else str(default_model_path())))
