"""The commands that need nothing but the package itself: `doctor` and `demo`. They import what they use when called."""

from __future__ import annotations

import json
import sys

__all__ = ["QUESTION", "demo", "doctor"]

# Answered well whichever of upstream's kernels computes it: of a capital the default model speaks French with some.
QUESTION = "Why is the sky blue?"


def doctor(*, as_json: bool) -> int:
    """Print what was built and what this machine offers; 0 if the self-test passes."""
    from . import _doctor

    facts = _doctor.report()
    print(json.dumps(facts, indent=2) if as_json else _doctor.format_report(facts))
    return 0 if facts["self_test"]["outcome"] == "passed" else 1


def demo(question: str, model: str | None, max_tokens: int) -> int:
    """Stream an answer of a model file, or of the default model; 0 if there was one."""
    import asyncio

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
