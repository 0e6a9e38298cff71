"""An answer as it is generated, with the numbers at its end.

python examples/streaming.py [model.gguf]
"""

import asyncio
import sys

from llama_async import AsyncLlama
from llama_async._default_model import default_model_path


async def main(model: str) -> None:
    async with AsyncLlama(model, on_progress=show_progress) as client:
        stream = await client.chat.completions.create(
            model="default",
            messages=[
                {"role": "system", "content": "You are a helpful assistant."},
                {"role": "user", "content": "Why is the sky blue? Answer in two sentences."},
            ],
            max_tokens=80,
            stream=True,
            stream_options={"include_usage": True},
        )
        async for chunk in stream:
            if chunk.choices:
                print(chunk.choices[0].delta.content or "", end="", flush=True)
            elif chunk.usage is not None:
                print(f"\n{chunk.usage.prompt_tokens} tokens in, {chunk.usage.completion_tokens} out")


def show_progress(fraction: float) -> None:
    print(f"\rloading {fraction:4.0%}", end="\n" if fraction == 1 else "", file=sys.stderr)


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1] if len(sys.argv) > 1 else str(default_model_path())))
