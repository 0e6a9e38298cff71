"""What a model generates under the schemas of the official suite: for the test, and for `benchmarks/schemas.py`."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

import anyio
import jsonschema
from tools.json_schema_suite import Case

from llama_async import AsyncLlama, BadRequestError
from llama_async._grammar.compiler import schema_grammar

# Hot and cold: what a grammar lets through comes out, and what the model would say by itself.
TEMPERATURES = (2.0, 0.0)
_PROMPT = [{"role": "user", "content": "Give a short example, as JSON."}]


@dataclass
class Answers:
    """How many answers ended by themselves, under which schemas, and which of these do not satisfy them."""

    n: int = 0
    n_completed: int = 0
    completed_under: set[str] = field(default_factory=set)
    wrong: list[tuple[str, str]] = field(default_factory=list)


def is_accepted(case: Case) -> bool:
    try:
        schema_grammar(case.schema, "schema")
    except BadRequestError:
        return False
    return True


def validator(schema: Any) -> jsonschema.Draft202012Validator:
    """By decimal arithmetic: in binary 0.07 is no multiple of 0.01."""
    exact = json.loads(json.dumps(schema), parse_float=Decimal)
    return jsonschema.Draft202012Validator(exact, format_checker=jsonschema.Draft202012Validator.FORMAT_CHECKER)


async def answers(
    client: AsyncLlama, cases: Sequence[Case], *, max_tokens: int, n: int = 1, n_at_once: int = 4
) -> Answers:
    """Ask for so many hot answers a schema, and a cold one, several requests at once."""
    result = Answers()
    limiter = anyio.CapacityLimiter(n_at_once)

    async def ask(case: Case, temperature: float, seed: int) -> None:
        async with limiter:
            completion = await client.chat.completions.create(
                model="default",
                messages=_PROMPT,
                response_format={"type": "json_schema", "json_schema": {"name": "suite", "schema": case.schema}},
                temperature=temperature,
                seed=seed,
                n=n if temperature else 1,
                max_tokens=max_tokens,
                extra_body={"top_k": 0, "min_p": 0},
            )
        check = validator(case.schema)
        for choice in completion.choices:
            result.n += 1
            if choice.finish_reason != "stop":
                continue
            result.n_completed += 1
            result.completed_under.add(case.name)
            content = choice.message.content or ""
            try:
                check.validate(json.loads(content, parse_float=Decimal))
            except (ValueError, jsonschema.ValidationError):
                result.wrong.append((case.name, content))

    async with anyio.create_task_group() as tasks:
        for index, case in enumerate(cases):
            for temperature in TEMPERATURES:
                tasks.start_soon(ask, case, temperature, index)
    return result
