"""Sixteen conversations at once, decoded as one batch; they share the prefix they have in common.

python examples/sixteen.py [model.gguf]
"""

import asyncio
import sys
import time

from llama_async import AsyncLlama
from llama_async._default_model import default_model_path

ANIMALS = "ant bee cat dog eel fox gnu hen ibis jay kiwi lion mole newt owl pig".split()


async def ask(client: AsyncLlama, animal: str) -> int:
    answer = await client.chat.completions.create(
        model="default",
        messages=[{"role": "user", "content": f"Describe the {animal} in one sentence."}],
        max_tokens=32,
    )
    text = (answer.choices[0].message.content or "").strip().replace("\n", " ")
    print(f"{animal:>5}: {text}")
    assert answer.usage is not None
    return answer.usage.completion_tokens


async def main(model: str) -> None:
    async with AsyncLlama(model, n_ctx=512, n_parallel=16) as client:
        started = time.perf_counter()
        n_tokens = sum(await asyncio.gather(*(ask(client, animal) for animal in ANIMALS)))
        print(f"{n_tokens} tokens, {n_tokens / (time.perf_counter() - started):.0f} a second")


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1] if len(sys.argv) > 1 else str(default_model_path())))
