"""A pydantic-ai agent on a local model, whole and streamed.

pip install llama-async[openai] "pydantic-ai-slim[openai]"
python examples/pydantic_ai_agent.py [model.gguf]
"""

import asyncio
import sys

from pydantic_ai import Agent
from pydantic_ai.models.openai import OpenAIChatModel
from pydantic_ai.providers.openai import OpenAIProvider

from llama_async import AsyncLlama
from llama_async._default_model import default_model_path


async def main(model: str) -> None:
    async with AsyncLlama(model) as client:
        provider = OpenAIProvider(openai_client=client.as_openai())
        agent = Agent(
            OpenAIChatModel("default", provider=provider),
            instructions="Be brief.",
            model_settings={"max_tokens": 40},
        )
        result = await agent.run("What is an owl?")
        print("whole:", result.output)
        print("streamed: ", end="")
        async with agent.run_stream("What is a bee?") as stream:
            async for text in stream.stream_text(delta=True):
                print(text, end="", flush=True)
        print()


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1] if len(sys.argv) > 1 else str(default_model_path())))
