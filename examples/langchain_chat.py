"""LangChain on a local model: a chain of a prompt, a model and a parser, whole and streamed.

pip install llama-async[openai] langchain-openai
python examples/langchain_chat.py [model.gguf]
"""

import asyncio
import sys

from langchain_core.output_parsers import StrOutputParser
from langchain_core.prompts import ChatPromptTemplate
from langchain_openai import ChatOpenAI

from llama_async import AsyncLlama
from llama_async._default_model import default_model_path


async def main(model: str) -> None:
    async with AsyncLlama(model) as client:
        remote = client.as_openai()
        chat = ChatOpenAI(
            model="default",
            api_key="unused",
            max_tokens=40,
            root_async_client=remote,
            async_client=remote.chat.completions,
        )
        prompt = ChatPromptTemplate.from_messages([("system", "Be brief."), ("human", "Say something about {animal}.")])
        chain = prompt | chat | StrOutputParser()
        print("whole:", await chain.ainvoke({"animal": "owls"}))
        print("streamed: ", end="")
        async for text in chain.astream({"animal": "bees"}):
            print(text, end="", flush=True)
        print()


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1] if len(sys.argv) > 1 else str(default_model_path())))
