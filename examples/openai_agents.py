"""The OpenAI Agents SDK on a local model, whole and streamed.

pip install llama-async[openai] openai-agents
python examples/openai_agents.py [model.gguf]
"""

import asyncio
import sys

from agents import Agent, ModelSettings, OpenAIChatCompletionsModel, RunConfig, Runner

from llama_async import AsyncLlama
from llama_async._default_model import default_model_path


async def main(model: str) -> None:
    async with AsyncLlama(model) as client:
        agent = Agent(
            name="brief",
            instructions="Be brief.",
            model=OpenAIChatCompletionsModel(model="default", openai_client=client.as_openai()),
            model_settings=ModelSettings(max_tokens=40),
        )
        config = RunConfig(tracing_disabled=True)  # traces would go to openai's servers
        result = await Runner.run(agent, "What is an owl?", run_config=config)
        print("whole:", result.final_output)
        print("streamed: ", end="")
        streamed = Runner.run_streamed(agent, "What is a bee?", run_config=config)
        async for event in streamed.stream_events():
            if event.type == "raw_response_event" and event.data.type == "response.output_text.delta":
                print(event.data.delta, end="", flush=True)
        print()


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1] if len(sys.argv) > 1 else str(default_model_path())))
