"""Four ways to stop an answer; each frees its place in the engine at once.

python examples/cancellation.py [model.gguf]
"""

import asyncio
import sys
from typing import Any

from llama_async import APITimeoutError, AsyncLlama
from llama_async._default_model import default_model_path

# An answer that would go on to the end of the context.
ENDLESS: dict[str, Any] = {
    "model": "default",
    "messages": [{"role": "user", "content": "Count from one to a thousand, in words."}],
    "extra_body": {"ignore_eos": True},
}


async def main(model: str) -> None:
    async with AsyncLlama(model) as client:
        # 1. Leave the stream and close it.
        stream = await client.chat.completions.create(**ENDLESS, stream=True)
        async for chunk in stream:
            print("closed after", repr(chunk.choices[0].delta.content))
            break
        await stream.close()

        # 2. The same, by a block.
        async with await client.chat.completions.create(**ENDLESS, stream=True) as stream:
            async for _ in stream:
                break
        print("left the block")

        # 3. A deadline of the request.
        try:
            await client.chat.completions.create(**ENDLESS, timeout=0.2)
        except APITimeoutError as error:
            print("timed out:", error)

        # 4. Cancel the task that waits.
        task = asyncio.create_task(client.chat.completions.create(**ENDLESS))
        await asyncio.sleep(0.2)
        task.cancel()
        try:
            await task
        except asyncio.CancelledError:
            print("cancelled")

        answer = await client.chat.completions.create(**ENDLESS, max_tokens=5)
        print("and the engine goes on:", answer.choices[0].message.content)


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1] if len(sys.argv) > 1 else str(default_model_path())))
