"""The command line: `python -m llama_async doctor` and `python -m llama_async demo`, also as `llama-async`.

Only the public client and the two modules named here are used; nothing is imported before the command is known.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import sys
from collections.abc import Sequence

QUESTION = "What is the capital of France?"


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command and return its exit status: 0, or 1 if it failed."""
    parser = argparse.ArgumentParser(prog="llama-async", description="local models behind the async openai client API")
    commands = parser.add_subparsers(dest="command", required=True)
    doctor = commands.add_parser("doctor", help="what was built, what this machine offers, and a self-test")
    doctor.add_argument("--json", action="store_true", help="print one JSON object")
    demo = commands.add_parser("demo", help="stream an answer of the default model (98 MB, fetched once)")
    demo.add_argument("question", nargs="?", default=QUESTION)
    demo.add_argument("--model", help="a GGUF file; default: SmolLM2-135M-Instruct")
    demo.add_argument("--max-tokens", type=int, default=200)
    options = parser.parse_args(arguments)
    if options.command == "doctor":
        return _doctor(as_json=options.json)
    return _demo(options.question, options.model, options.max_tokens)


def _doctor(*, as_json: bool) -> int:
    from . import _doctor

    facts = _doctor.report()
    print(json.dumps(facts, indent=2) if as_json else _doctor.format_report(facts))
    return 0 if facts["self_test"]["outcome"] == "passed" else 1


def _demo(question: str, model: str | None, max_tokens: int) -> int:
    from ._default_model import default_model_path
    from ._errors import OpenAIError

    try:
        path = model or default_model_path()
        asyncio.run(_answer(question, str(path), max_tokens))
    except OpenAIError as error:
        print(f"llama-async demo: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130
    return 0


async def _answer(question: str, model: str, max_tokens: int) -> None:
    from . import AsyncLlama

    async with AsyncLlama(model) as client:
        print(f"> {question}")
        stream = await client.chat.completions.create(
            model="default",
            # Without a system message the default model's template puts one of its own, which leads it astray.
            messages=[
                {"role": "system", "content": "You are a helpful assistant."},
                {"role": "user", "content": question},
            ],
            max_tokens=max_tokens,
            temperature=0,
            stream=True,
        )
        async for chunk in stream:
            for choice in chunk.choices:
                print(choice.delta.content or "", end="", flush=True)
        print()


if __name__ == "__main__":
    sys.exit(main())
